"""What a process needs to run: settings, clock, logs, metrics, supervision, database, ops port."""
