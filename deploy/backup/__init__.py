"""Backups of the local stack's databases, and restores to a moment."""
