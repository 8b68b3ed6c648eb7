"""A dataset on disk: its recipe, plan, shards and manifest, and how it is read and verified."""
