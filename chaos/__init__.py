"""The fault campaign: a stack of its own under load, with faults, and what it must still keep."""
