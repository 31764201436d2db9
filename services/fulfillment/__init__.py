"""Orders and signed tickets, exactly one order for each activation."""
