"""Export of datasets for other programs: formats, configurations of trainers, and the export itself."""

FORMATS = ("folder", "lmdb", "webdataset", "hdf5", "parquet")
