"""Pure decisions of the inventory service."""
