"""Mass production: HR folders in, a dataset out, on one machine or many."""
