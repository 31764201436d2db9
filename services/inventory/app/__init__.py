"""What inventory does around its decisions; ports only, no drivers."""
