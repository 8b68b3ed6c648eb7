"""Training on crops of two unpaired folders, into a RUN folder."""
