"""Signed ticket tokens and their QR images."""
