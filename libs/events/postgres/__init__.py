"""The log of a deciding service in PostgreSQL."""
