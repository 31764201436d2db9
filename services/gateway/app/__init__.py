"""What the gateway does with a request; ports only, no drivers."""
