"""Training: crops of two unpaired folders in, a RUN folder out."""
