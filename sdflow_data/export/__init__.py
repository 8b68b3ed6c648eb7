"""Datasets as other programs read them: the formats, what trainers want, and the run that writes."""

FORMATS = ("folder", "lmdb", "webdataset", "hdf5", "parquet")
