"""Checks a running or exported system from its stored rows alone, with none of its code."""
