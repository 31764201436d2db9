"""The committed copies of the generated documents (`make openapi`)."""
