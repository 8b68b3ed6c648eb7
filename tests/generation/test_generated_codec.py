"""Samples end with a codec: one for a photograph, at the place that the patch has in it, and written down."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factory import QUICK, files_of, make, samples_of, write_picture, write_pictures
from PIL import Image

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.images.codec import CODEC_LIBRARY, Codec, Jpeg
from sdflow_data.models import degraders
from sdflow_data.models.degraders import Ranges

JPEG = replace(QUICK, model="bicubic", codec="jpeg:40:444", patch_size=32)
CAMERA = Codec(((Jpeg.of_quality(30), 0.4), (None, 0.2), (Jpeg.of_quality(80, phase=(3, 5)), 0.4)))


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr", range(6))


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The bicubic degrader as if it had been learned from photographs with this codec."""
    monkeypatch.setattr(degraders.BicubicDegrader, "codecs", (CAMERA,))
    return CAMERA


def test_stored_samples_are_those_without_a_codec_after_it(hr: Path, tmp_path: Path) -> None:
    make(hr, tmp_path / "coded", JPEG)
    make(hr, tmp_path / "plain", replace(JPEG, codec="none"))
    coded, plain = samples_of(tmp_path / "coded"), samples_of(tmp_path / "plain")
    rows = read_dataset(tmp_path / "coded").columns(["sample_id", "top", "left", "codec"])
    assert len(rows)
    for row in rows.itertuples():
        levels = np.frombuffer(plain[row.sample_id][1], np.uint8).reshape(16, 16, 3)
        expected = Jpeg.of_quality(40, "4:4:4").apply(levels, row.top // 2, row.left // 2)
        assert coded[row.sample_id][1] == expected.tobytes()
        assert row.codec == "jpeg:40:444"


def test_patches_of_a_photograph_share_the_codec_of_the_camera_and_photographs_differ(
    hr: Path, tmp_path: Path, camera: Codec
) -> None:
    request = replace(JPEG, codec="camera", patch_size=16, variants=3)
    make(hr, tmp_path / "out", request)
    rows = read_dataset(tmp_path / "out").columns(["source_sha256", "variant", "codec"])
    drawn = rows.groupby(["source_sha256", "variant"])["codec"].unique()
    assert (drawn.str.len() == 1).all()
    assert set(rows["codec"]) == {"none", "jpeg:30:420", "jpeg:80:420"}


def test_runs_and_shard_sizes_give_the_same_bytes(hr: Path, tmp_path: Path, camera: Codec) -> None:
    request = replace(JPEG, codec="camera", patch_size=16)
    for name, patches in (("once", 5), ("again", 5), ("other", 3)):
        make(hr, tmp_path / name, replace(request, patches_per_shard=patches))
    assert files_of(tmp_path / "once") == files_of(tmp_path / "again")
    assert samples_of(tmp_path / "once") == samples_of(tmp_path / "other")


def test_the_description_tells_the_codec_and_the_library_and_nothing_without_one(
    hr: Path, tmp_path: Path
) -> None:
    make(hr, tmp_path / "coded", JPEG)
    make(hr, tmp_path / "plain", replace(JPEG, codec="camera"))  # which bicubic has none of
    info = read_dataset(tmp_path / "coded").info
    assert (info["codec"], info["codec_library"]) == ("jpeg:40:444", CODEC_LIBRARY)
    assert "codec" not in read_dataset(tmp_path / "plain").info


def test_another_codec_on_the_same_folder_is_refused(hr: Path, tmp_path: Path) -> None:
    make(hr, tmp_path / "out", JPEG)
    write_picture(hr / "new.png", 77)
    with pytest.raises(SDFlowError, match="codec"):
        make(hr, tmp_path / "out", replace(JPEG, codec="jpeg:40:420"))
    with pytest.raises(SDFlowError, match=r"codec: expected camera, none or jpeg:Q"):
        make(hr, tmp_path / "new", replace(JPEG, codec="webp"))


def test_classical_strengths_are_drawn_from_the_ranges_of_photographs(tmp_path: Path) -> None:
    hr, request = tmp_path / "hr", replace(QUICK, patch_size=32)
    hr.mkdir()
    Image.new("RGB", (64, 64), (90, 120, 140)).save(hr / "flat.png")
    for name, (low, high) in {"clean": (0, 0), "noisy": (10, 12)}.items():
        make(hr, tmp_path / name, replace(request, ranges=Ranges(0.2, 0.3, low, high, 95, 95, 0.0)))
    clean, noisy = (read_dataset(tmp_path / name).manifest["noise_sigma"] for name in ("clean", "noisy"))
    assert clean.max() < 1
    assert 8 < noisy.mean() < 13
    with pytest.raises(SDFlowError, match="was begun with classical"):
        make(hr, tmp_path / "clean", replace(request, ranges=Ranges(0.2, 0.3, 5, 6, 95, 95, 0.0)))
