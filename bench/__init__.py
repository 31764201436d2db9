"""`make bench`: one canonical workload against a running stack, alternatives measured beside it."""
