"""Tables and migrations of the inventory service."""
