"""Damaged and hostile pictures: nothing hangs, crashes or exceeds its memory, and no wrong pixels pass.

Seeded mutations of 13 files of every format that is read: ROUNDS of the header of each, and as many of any
byte; 2,600 by default. What is taken must be what another decoder makes of the same bytes.
"""

import io
import multiprocessing
import resource
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from calls import PATIENCE, at_most
from fuzzing import rounds
from PIL import Image, ImageOps

from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import read_header, read_picture
from sdflow_data.system.processes import worker_context

ROUNDS = rounds(100)
SECONDS, GIBIBYTES = 5, 6  # for one picture; torch and its libraries alone map 4
SIZE = (40, 56)


def seeds() -> dict[str, bytes]:
    """Small sound files of every format and of the kinds that take other paths in decoders."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    rgb = np.stack([5 * y + 40, 4 * x + 10, 3 * x + 2 * y], axis=2).astype(np.uint8)
    deep = rgb.astype(np.uint16) * 257
    picture = Image.fromarray(rgb)
    files = {}

    def add(name: str, image: Image.Image, kind: str, **options: object) -> None:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files[name] = file.getvalue()

    def add_tiff(name: str, data: np.ndarray, **options: object) -> None:
        file = io.BytesIO()
        tifffile.imwrite(file, data, metadata=None, **options)
        files[name] = file.getvalue()

    add("png", picture, "PNG")
    add("png palette", picture.quantize(32), "PNG", transparency=3)
    files["png 16"] = cv2.imencode(".png", deep)[1].tobytes()
    add("jpeg", picture, "JPEG")
    add("jpeg progressive", picture, "JPEG", progressive=True)
    add("webp", picture, "WEBP", quality=80)
    add("bmp", picture, "BMP")
    add("avif", picture, "AVIF")
    add_tiff("tiff", rgb, photometric="rgb", rowsperstrip=9)
    add_tiff("tiff lzw", rgb, photometric="rgb", compression="lzw", predictor=True)
    add_tiff(
        "tiff 16 planar",
        np.moveaxis(deep, 2, 0).copy(),
        photometric="rgb",
        planarconfig="separate",
        tile=(16, 16),
    )
    add_tiff("tiff jpeg", rgb, photometric="rgb", compression="jpeg")
    add_tiff("tiff deflate", rgb[..., 0].copy(), photometric="minisblack", compression="zlib")
    return files


def mutated(data: bytes, random: np.random.Generator, header_alone: bool) -> bytes:
    file = bytearray(data)
    end = min(len(file), 256) if header_alone else len(file)
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(end))
        kind = int(random.integers(5))
        if kind == 0:
            file[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            file[place : place + 4] = random.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"]
            )
        elif kind == 2:
            file[place : place + 8] = random.bytes(8)
        elif kind == 3:
            del file[place : place + int(random.integers(1, 9))]
        elif not header_alone:
            del file[place:]
        end = max(min(end, len(file)), 1)
        if not file:
            break
    return bytes(file)


def references(data: bytes) -> list[np.ndarray]:
    """What other decoders make of the file, as RGB on white."""
    found = []
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            found.append(np.asarray(upright.convert("RGB")))
    except Exception:
        pass
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
        if picture is not None:
            eight = picture if picture.dtype == np.uint8 else np.round(picture / 257).astype(np.uint8)
            found.append(eight[..., ::-1])
    try:
        stored = tifffile.imread(io.BytesIO(data), key=0)
        stored = np.moveaxis(stored, 0, 2) if stored.ndim == 3 and stored.shape[0] == 3 else stored
        stored = stored[..., None] if stored.ndim == 2 else stored
        eight = stored if stored.dtype == np.uint8 else np.round(stored / 257).astype(np.uint8)
        found += [
            np.broadcast_to(eight, (*eight.shape[:2], 3)),
            255 - np.broadcast_to(eight, (*eight.shape[:2], 3)),
        ]
    except Exception:
        pass
    return found


def outcome(path: Path) -> str:
    data = path.read_bytes()
    try:
        header, picture = read_header(path), read_picture(path)
    except PictureError as error:
        return "refused" if "\n" not in str(error) else f"more than one line: {error}"
    if picture.shape != (header.height, header.width, 3) or picture.dtype != np.uint8:
        return "not what its header says"
    others = [other for other in references(data) if other.shape == picture.shape]
    near = [np.abs(other.astype(int) - picture).mean() <= 3 for other in others]
    return "taken" if any(near) else f"seen by no other decoder ({len(others)} of its size)"


def fuzz(
    name: str, data: bytes, folder: Path, results: "multiprocessing.Queue[tuple[str, int, str]]"
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES << 30, GIBIBYTES << 30))

    cv2.setNumThreads(1)
    path = folder / "a"
    for number in range(2 * ROUNDS):
        random = np.random.default_rng([len(name), number])
        path.write_bytes(mutated(data, random, header_alone=number < ROUNDS))
        try:
            with at_most(SECONDS):
                result = outcome(path)
        except BaseException as error:
            result = f"raised {error!r}"
        results.put((name, number, result))


@pytest.mark.slow
def test_no_mutation_hangs_crashes_or_passes_with_wrong_pixels(tmp_path: Path) -> None:
    context = worker_context()
    counts, wrong = Counter[str](), []
    for name, data in seeds().items():
        folder = tmp_path / name
        folder.mkdir()
        results = context.Queue()
        process = context.Process(target=fuzz, args=(name, data, folder, results))
        process.start()
        for number in range(2 * ROUNDS):
            _, _, result = results.get(timeout=PATIENCE)
            counts[result] += 1
            if result not in ("taken", "refused"):
                wrong.append((name, number, result))
        process.join()
        assert process.exitcode == 0, name
    print(counts)
    total = 2 * ROUNDS * len(seeds())
    assert sum(counts.values()) == total
    assert wrong == []
    assert counts["taken"] > total / 26 and counts["refused"] > total / 3  # it tries both
