"""Images, pairs, shards, manifests, statistics and export around the SDFlow model."""
