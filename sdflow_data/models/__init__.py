"""Degraders behind one protocol, the registry of those that are built in, and tiles of large pictures."""
