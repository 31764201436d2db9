"""Judges what a run has left behind, by a small model of the contract of its own (docs/history.md).

Imports nothing of the system it judges: both sides would share a mistake.
"""
