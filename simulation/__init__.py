"""The whole platform in one process, on in-memory twins, driven by one seed."""
