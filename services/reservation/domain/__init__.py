"""Pure decisions of the reservation service."""
