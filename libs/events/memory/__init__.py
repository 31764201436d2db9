"""Verified twins of the log and the broker, for fast tests and simulation."""
