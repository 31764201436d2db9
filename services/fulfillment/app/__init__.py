"""What a batch means for the fulfillment service."""
