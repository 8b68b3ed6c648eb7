"""Degraders behind one protocol, the registry of built-in models, and tiles of large pictures."""
