"""What a batch means for the reservation service."""
