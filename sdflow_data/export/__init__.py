"""Export of datasets for other programs: formats, requirements of trainers, and the run that writes."""

FORMATS = ("folder", "lmdb", "webdataset", "hdf5", "parquet")
