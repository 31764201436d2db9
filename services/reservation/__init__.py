"""The life of a hold: opened, then activated, cancelled or expired."""
