"""Datasets on disk: recipe, plan, shards and manifest; readers and verification."""
