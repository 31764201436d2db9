"""Tables and migrations of the fulfillment service."""
