"""Pictures as files and as patches: finding, decoding, cutting, augmenting, writing."""
