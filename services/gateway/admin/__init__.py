"""The operators' console: partners, keys, stock and records, beside the running gateway."""
