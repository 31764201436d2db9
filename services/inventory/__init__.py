"""The inventory service: the ledger of units, one writer per partition."""
