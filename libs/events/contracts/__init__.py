"""Public messages, one file per service that decides them.

Plain frozen dataclasses: domain code uses them as they are, and the codec
validates and writes them (ADR 3). Every class is a storage format: a changed
shape is a new version with an upcaster, a changed meaning a new name.
"""
