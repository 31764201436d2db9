"""Shared libraries: kernel is pure, events speaks messages, runtime is the process."""
