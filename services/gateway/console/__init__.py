"""The operators' console: pages on the gateway's ops port, live, read-only but for few actions."""
