"""Shards: HDF5 files of HR patches and their LR variants, with a checksum.

A shard contains, for N patches with K variants each,

    hr              (N, P, P, 3) uint8 RGB, one chunk per image
    lr              (N, K, P/s, P/s, 3) uint8 RGB, one chunk per image; lr[n, k] is variant k of hr[n]
    columns/NAME    (N,) values of patches, or (N, K) values of samples; see `schema.COLUMNS`
    failures/NAME   (F,) planned patches that are missing: source, top, left (-1: the whole picture), reason
    @facts          JSON: metadata of all samples (model, scale, seed, ...)
    @key            identifies the planned contents of the shard

and nothing that depends on time, machine or folder. A shard is built in memory and written at once. The first
512 bytes (HDF5's user block, which HDF5 readers skip) are a seal: a line of text with the size and the
SHA-256 of all following bytes.
"""

import errno
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np

from sdflow.errors import SDFlowError
from sdflow.files import parse_json, reading, sha256_file

from .schema import as_column, check_types

_SEAL_SIZE = 512
CHUNK_FILTER: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}
"""Chosen by measurement (benchmarks/storage.py). Higher levels take time and save almost nothing."""

MAX_SHARDS = 10**6
"""The most shards of a dataset, whose names have six digits."""

MAX_PATCH_BYTES = 1 << 28
"""The largest HR patch with its variants. Readers keep one in memory, and shards are untrusted."""

_MAX_FILE = 1 << 32
"""The largest shard in bytes. Shards of this program have less than 2 GiB of pixels."""

_INDEX_ENTRY = 8
"""The least bytes of a chunk's entry in the index of HDF5."""

_TEXT = h5py.string_dtype()


class Failure(NamedTuple):
    """An input, or a patch of it, that gave no pairs.

    Attributes:
        source: the path of the input.
        top, left: the position of the patch in HR pixels; None if the whole picture failed.
        reason: the reason in words.
    """

    source: str
    top: int | None
    left: int | None
    reason: str


class Sizes(NamedTuple):
    """The sizes of the pictures in a shard: P (HR side in pixels), s (scale) and K (variants)."""

    patch_size: int
    scale: int
    variants: int

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the HR picture of a patch, (P, P, 3), and of its LR pictures, (K, P/s, P/s, 3)."""
        low = self.patch_size // self.scale
        return (self.patch_size, self.patch_size, 3), (self.variants, low, low, 3)

    @property
    def nbytes(self) -> int:
        """Of a patch: its HR picture and its LR pictures."""
        return sum(prod(shape) for shape in self.shapes())


def shard_path(folder: Path, number: int) -> Path:
    """The path of shard ``number`` of a dataset."""
    return folder / "shards" / f"{number:06d}.h5"


class ShardWriter:
    """Builds one shard in memory.

    Args:
        patch_size: P, side of an HR patch.
        scale: s; LR patches are (P/s, P/s).
        variants: K, LR patches per HR patch.
    """

    def __init__(self, patch_size: int, scale: int, variants: int) -> None:
        hr, lr = Sizes(patch_size, scale, variants).shapes()
        self._buffer = io.BytesIO()
        self._file = h5py.File(self._buffer, "w", userblock_size=_SEAL_SIZE)
        self._hr, self._lr = self._images("hr", hr), self._images("lr", lr)
        self._columns: dict[str, list[Any]] = {}

    def _images(self, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """An empty array of images of a patch, of this shape, with one chunk per image."""
        return self._file.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(*(1 for _ in range(len(shape) - 2)), *shape[-3:]),
            dtype=np.uint8,
            **CHUNK_FILTER,
        )

    def add(self, hr: np.ndarray, lr: np.ndarray, columns: Mapping[str, Any]) -> None:
        """Append a patch.

        Args:
            hr: uint8 (P, P, 3).
            lr: uint8 (K, P/s, P/s, 3).
            columns: values by name: one for the patch or K for the samples, see `schema.COLUMNS`. Other names
                are statistics. All patches have the same names.
        """
        rows = len(self._hr)
        if rows and columns.keys() != self._columns.keys():
            raise ValueError(f"columns: expected {sorted(self._columns)}, got {sorted(columns)}")
        for images, added in ((self._hr, hr), (self._lr, lr)):
            if added.dtype != np.uint8 or added.shape != images.shape[1:]:
                raise ValueError(f"expected uint8 {images.shape[1:]}, got {added.dtype} {added.shape}")
            images.resize(rows + 1, axis=0)
            images[rows] = added
        for name, value in columns.items():
            self._columns.setdefault(name, []).append(value)

    def finish(
        self, metadata: Mapping[str, Any], key: str = "", failures: Sequence[Failure] = ()
    ) -> memoryview:
        """Finish the shard.

        Args:
            metadata: metadata of all samples.
            key: identifies the planned contents.
            failures: planned patches that are missing.

        Returns:
            The bytes of the sealed file.
        """
        self._file.create_group("columns", track_order=True)
        for name, values in self._columns.items():
            self._write_column(f"columns/{name}", as_column(name, values))
        for name in Failure._fields:
            values = [getattr(failure, name) for failure in failures]
            if name in ("top", "left"):
                column = np.array([-1 if value is None else value for value in values], np.int64)
            else:
                column = np.array(values, object)
            self._write_column(f"failures/{name}", column)
        self._file.attrs["facts"] = json.dumps(metadata, sort_keys=True)
        self._file.attrs["key"] = key
        self._file.close()
        content = self._buffer.getbuffer()
        content[:_SEAL_SIZE] = _seal(len(content), hashlib.sha256(content[_SEAL_SIZE:]).hexdigest())
        return content

    def _write_column(self, name: str, column: np.ndarray) -> None:
        text = column.dtype.kind in "OU"
        self._file.create_dataset(
            name, data=column.astype(object) if text else column, dtype=_TEXT if text else None
        )


def _seal(size: int, sha256: str) -> bytes:
    text = f"SDFlow shard, HDF5 from byte {_SEAL_SIZE} of {size}; sha256 of those bytes: {sha256}\n"
    return text.encode("ascii").ljust(_SEAL_SIZE, b"\n")


def is_whole(path: Path) -> bool:
    """Whether a shard exists and matches its checksum. Reads the whole file."""
    try:
        with reading(path) as file:
            seal = file.read(_SEAL_SIZE)
        size = path.stat().st_size
        return size <= _MAX_FILE and seal == _seal(size, sha256_file(path, _SEAL_SIZE))
    except FileNotFoundError:
        return False


class ShardReader:
    """Reads a shard; a context manager.

    ``hr[n]`` is patch n, uint8 (P, P, 3); ``lr[n]`` its variants, (K, P/s, P/s, 3); ``lr[n, k]`` one of them.

    >>> from tempfile import TemporaryDirectory
    >>> writer = ShardWriter(patch_size=4, scale=2, variants=1)
    >>> writer.add(np.zeros((4, 4, 3), np.uint8), np.ones((1, 2, 2, 3), np.uint8), {"source": "a.png"})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "000000.h5"
    ...     _ = path.write_bytes(writer.finish({"scale": 2}))
    ...     with ShardReader(path) as shard:
    ...         is_whole(path), shard.lr[0, 0].shape, shard.columns()["source"], shard.metadata
    (True, (2, 2, 3), array(['a.png'], dtype=object), {'scale': 2})

    Args:
        path: the file.
        sizes: the expected sizes; None to accept any.

    Raises:
        SDFlowError: the file is missing, is not a shard, or has pictures of other sizes; later, a picture
            does not exist or cannot be decoded. Other damage is not detected; see :func:`is_whole`.
    """

    def __init__(self, path: Path, sizes: Sizes | None = None) -> None:
        if path.exists() and not path.is_file():  # opening a named pipe would wait
            raise SDFlowError(f"{path}: expected a shard, found something that is not a file")
        try:
            # Shards never change, and locks fail on some network file systems.
            self._file = h5py.File(path, "r", locking=False)
        except FileNotFoundError:
            raise SDFlowError(f"{path}: expected a shard, found nothing") from None
        except PermissionError as error:
            raise SDFlowError(f"{path}: cannot be read: {os.strerror(errno.EACCES)}") from error
        except OSError as error:
            raise SDFlowError(f"{path}: expected a shard, found a damaged file: {error}") from error
        try:
            _refuse_links(self._file)
            hr, lr = self._file["hr"], self._file["lr"]
            _check_images(hr, lr, sizes)
            self.hr, self.lr = StoredPictures(path, hr), StoredPictures(path, lr)
            self.metadata: dict[str, Any] = parse_json(self._file.attrs["facts"])
            self.key = str(self._file.attrs["key"])
        except (*_DAMAGE, AttributeError) as error:
            self.close()
            raise SDFlowError(f"{path}: expected a shard, found other HDF5: {error}") from error
        self.path = path

    def __len__(self) -> int:
        """N, the number of patches."""
        return int(self.hr.shape[0])

    def columns(self) -> dict[str, np.ndarray]:
        """All columns by name: (N,) of patches or (N, K) of samples; text as arrays of str objects."""
        shapes = ((len(self),), self.lr.shape[:2])
        with _as_sdflow_error(self.path):
            stored = dict(self._file.get("columns", {}))
            columns = {name: _read_column(name, column, shapes) for name, column in stored.items()}
            check_types({name: column.dtype.type for name, column in columns.items()}, needed=())
            return columns

    def failures(self) -> list[Failure]:
        """The planned patches that are missing."""
        with _as_sdflow_error(self.path):
            stored = [self._file[f"failures/{name}"] for name in Failure._fields]
            shapes = (stored[0].shape,) if stored[0].ndim == 1 else ()
            columns = [_read_column(name, each, shapes) for name, each in zip(Failure._fields, stored)]
            return [
                Failure(str(source), _place(top), _place(left), str(reason))
                for source, top, left, reason in zip(*columns)
            ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place(stored: int) -> int | None:
    return None if stored < 0 else int(stored)


class StoredPictures:
    """The HR or LR pictures of a shard, uint8 RGB, which indexing decodes.

    Chunks are decompressed here instead of by HDF5, which would allocate whatever a chunk inflates to.

    Attributes:
        shape: (N, P, P, 3), or (N, K, P/s, P/s, 3).
    """

    def __init__(self, path: Path, stored: h5py.Dataset) -> None:
        self._path, self._stored = path, stored
        self.shape: tuple[int, ...] = stored.shape
        self._picture = self.shape[-3:]
        self._numbers = np.arange(prod(self.shape[:-3])).reshape(self.shape[:-3])
        self._last = -1, np.empty(0, np.uint8)  # variants one after the other read their HR again
        size = prod(self._picture)
        self._deflated = bytearray(size + size // 100 + 64)  # zlib makes no picture larger

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Decode pictures by an index of NumPy.

        Raises:
            SDFlowError: the index is out of range, or a picture cannot be decoded.
        """
        with _as_sdflow_error(self._path):
            numbers = self._numbers[index]
            pictures = np.empty((numbers.size, *self._picture), np.uint8)
            for picture, number in zip(pictures, numbers.flat):
                if number != self._last[0]:
                    self._last = number, self._decoded(np.unravel_index(number, self._numbers.shape))
                picture[:] = self._last[1]
            return pictures.reshape(*numbers.shape, *self._picture)

    def _decoded(self, position: Sequence[np.intp]) -> np.ndarray:
        mask, stored = self._stored.id.read_direct_chunk((*map(int, position), 0, 0, 0), out=self._deflated)
        size = prod(self._picture)
        if not (self._stored.compression and mask == 0):  # HDF5 stores incompressible chunks as they are
            pixels = bytes(stored)
        else:
            pixels = zlib.decompressobj().decompress(stored, size + 1)
        if len(pixels) != size:
            raise ValueError(
                f"expected a picture of {size} bytes, found {'more' if len(pixels) > size else 'less'}"
            )
        return np.frombuffer(pixels, np.uint8).reshape(self._picture)


_DAMAGE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, OverflowError, zlib.error)
"""The exceptions of h5py and zlib for damaged or foreign files."""


@contextmanager
def _as_sdflow_error(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise SDFlowError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


def _check_images(hr: h5py.Dataset, lr: h5py.Dataset, sizes: Sizes | None) -> None:
    """Refuse arrays whose reading would take more memory or time than their pictures.

    Raises:
        ValueError: the types, dimensions, chunks or filters are wrong, or chunks are missing.
    """
    if (hr.dtype, hr.ndim, lr.dtype, lr.ndim) != (np.uint8, 4, np.uint8, 5) or len(hr) != len(lr):
        found = f"{hr.dtype} {hr.shape}, {lr.dtype} {lr.shape}"
        raise ValueError(f"expected uint8 (N, P, P, 3) and (N, K, p, p, 3), found {found}")
    low, high = lr.shape[-2], hr.shape[-2]
    if sizes is None:
        sizes = Sizes(high, high // max(low, 1) or 1, lr.shape[1])
    if (hr.shape[1:], lr.shape[1:]) != sizes.shapes():
        expected = "pictures of {} and {}".format(*sizes.shapes())
        raise ValueError(f"expected {expected}, found {hr.shape[1:]} and {lr.shape[1:]}")
    if sizes.nbytes > MAX_PATCH_BYTES:
        raise ValueError(f"expected patches of at most {MAX_PATCH_BYTES} bytes, found {sizes.nbytes}")
    for images in (hr, lr):
        if images.chunks != (*(1 for _ in images.shape[:-3]), *images.shape[-3:]):
            raise ValueError(f"expected a chunk for each picture, found chunks of {images.chunks}")
        if _filters(images) not in ([], [h5py.h5z.FILTER_DEFLATE]):
            raise ValueError(f"expected only gzip, found the HDF5 filters {_filters(images)}")
        pictures, found = prod(images.shape[:-3]), images.id.get_num_chunks()
        if found != pictures or pictures * _INDEX_ENTRY > images.file.id.get_filesize():
            raise ValueError(f"expected all of {images.shape}, found only {found} chunks")


def _filters(stored: h5py.Dataset) -> list[int]:
    settings = stored.id.get_create_plist()
    return [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]


def _refuse_links(group: h5py.Group, depth: int = 0) -> None:
    """Refuse HDF5 links to other files. A shard contains its data itself, in groups of datasets.

    Raises:
        ValueError: a link, an external or virtual dataset, or a group inside a group.
    """
    for name in group:
        item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if isinstance(item, h5py.Group) and depth == 0:
            _refuse_links(item, 1)
        elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
            raise ValueError(f"expected all data in the file, found a link or another kind of object: {name}")


def _read_column(name: str, column: h5py.Dataset, shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The values of a column.

    Raises:
        ValueError: the column has none of the shapes, is neither text nor numeric, is chunked (chunks may be
            compressed), or claims more data than the file contains.
    """
    text = h5py.check_string_dtype(column.dtype) is not None
    if column.shape not in shapes or not (text or column.dtype.kind in "biuf"):
        found = f"{column.dtype} {column.shape}"
        expected = " or ".join(map(str, shapes))
        raise ValueError(f"expected text or numbers of {expected} in {name}, found {found}")
    if column.chunks is not None or column.nbytes > column.id.get_storage_size():
        raise ValueError(f"expected all of {column.shape} in {name}, found less")
    values: np.ndarray = column.asstr()[:] if text else column[:]
    return values
