"""Generation of datasets from HR folders, on one machine or many."""
