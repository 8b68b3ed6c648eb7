"""Degraders behind one interface, the registry of built-in models, and tiling of large pictures."""
