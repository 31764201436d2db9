"""Tables and migrations of the reservation service."""
