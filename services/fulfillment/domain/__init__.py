"""Pure decisions of the fulfillment service."""
