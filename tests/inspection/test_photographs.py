"""``sdflow inspect`` on photographs: what it measures, and what it warns of before a training."""

import json
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from calls import call, output_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow.errors import SDFlowError
from sdflow_data.inspection.advice import advice, advice_for_training
from sdflow_data.inspection.otf import ranges_of
from sdflow_data.inspection.photographs import survey
from sdflow_data.statistics.photograph import measure_photograph

SCENES = (skimage.data.astronaut, skimage.data.coffee, skimage.data.chelsea, skimage.data.rocket)


@cache
def scene(number: int) -> np.ndarray:
    """A sharp photograph of 256 pixels, float32; the first four differ in their scene, others in the part."""
    whole = SCENES[number % 4]()
    top = 8 * (number // 4)
    return cv2.resize(whole[top:], (256, 256), interpolation=cv2.INTER_AREA).astype(np.float32)


def noisy(photo: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, photo.shape)
    return np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)


def write(
    folder: Path,
    change: Callable[[np.ndarray], np.ndarray] = lambda photo: photo,
    count: int = 10,
    suffix: str = ".png",
    **how: object,
) -> Path:
    """Photographs with a little noise, changed before it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = noisy(change(scene(number)), 1, number)
        Image.fromarray(picture).save(folder / f"{folder.name}{number}{suffix}", **how)
    return folder


def blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda photo: cv2.GaussianBlur(photo, (0, 0), sigma)


@pytest.mark.parametrize("sigma", [1.0, 1.6])
def test_a_blur_is_measured_to_a_quarter_of_a_pixel(tmp_path: Path, sigma: float) -> None:
    found = survey([write(tmp_path / "soft", blurred(sigma), 4)], workers=1).frame["blur"]
    assert found.median() == pytest.approx(sigma, abs=0.25)


@pytest.mark.parametrize("sigma", [3.0, 8.0])
def test_noise_is_measured_to_a_fifth(tmp_path: Path, sigma: float) -> None:
    path = tmp_path / "noisy.png"
    Image.fromarray(noisy(blurred(2)(scene(1)), sigma)).save(path)
    assert measure_photograph(path).noise == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarged_photographs_are_found_with_the_factor(tmp_path: Path, factor: int) -> None:
    def enlarge(photo: np.ndarray) -> np.ndarray:
        return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)

    found = survey([write(tmp_path / "large", enlarge, 4)], workers=1)
    assert found.frame["enlargement"].median() == pytest.approx(factor, rel=0.25)
    assert any("scale such photographs down" in line for line in advice(found))


def test_sharp_photographs_enough_of_them_give_no_warning(tmp_path: Path) -> None:
    assert advice(survey([write(tmp_path / "good")], workers=1), "HR") == []


def broken(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")


def doubled(folder: Path) -> None:
    (folder / "twice.png").write_bytes(next(folder.iterdir()).read_bytes())


def colourless(folder: Path) -> None:
    Image.fromarray(noisy(scene(2), 1)).convert("L").save(folder / "grey.png")


def drawn(folder: Path) -> None:
    picture = np.full((300, 300, 3), 240, np.uint8)
    cv2.putText(picture, "menu", (30, 150), cv2.FONT_HERSHEY_SIMPLEX, 2, (10, 60, 90), 3)
    Image.fromarray(picture).save(folder / "screen.png")


def inks(folder: Path) -> None:
    Image.fromarray(noisy(scene(2), 1)).convert("CMYK").save(folder / "inks.jpg")


@pytest.mark.parametrize(
    ("spoil", "name", "cure"),
    [
        (broken, "broken.jpg", "remove such files"),
        (doubled, "byte for byte", "remove copies"),
        (colourless, "grey.png", "remove such photographs"),
        (drawn, "screen.png", "cut the areas off"),
        (inks, "inks.jpg", "save such files as PNG"),
    ],
)
def test_what_would_spoil_a_training_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], name: str, cure: str
) -> None:
    spoil(write(tmp_path / "set", count=4))
    found = [line for line in advice(survey([tmp_path / "set"], workers=1)) if name in line]
    assert len(found) == 1
    assert cure in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize("bad", ["blurred", "noisy", "JPEG"])
def test_hr_has_to_be_sharp_and_clean_and_lr_has_not(tmp_path: Path, bad: str) -> None:
    folder = {
        "blurred": lambda: write(tmp_path / "set", blurred(1.5), 4),
        "noisy": lambda: write(tmp_path / "set", lambda photo: noisy(photo, 9).astype(np.float32), 4),
        "JPEG": lambda: write(tmp_path / "set", count=4, suffix=".jpg", quality=50),
    }[bad]()
    found = survey([folder], workers=1)
    assert any(bad in line for line in advice(found, "HR"))
    assert not any(bad in line for line in advice(found, "LR") if "enlarged" not in line)


def test_two_sides_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    sharp = write(tmp_path / "hr")
    small = write(sharp / "lr", lambda photo: cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA))
    dark = write(tmp_path / "dark", lambda photo: 0.3 * photo[::-1])
    hr, lr, night = (survey([folder], workers=1) for folder in (sharp, small, dark))
    within = "\n".join(advice_for_training(hr, lr, scale=4, patch_size=1024))
    assert "so its photographs are on both sides" in within
    assert "lower the patch size" in within
    assert "on both sides (" in within
    apart = "\n".join(advice_for_training(hr, night))
    assert "different scenes" in apart
    assert "on both sides" not in apart
    assert "both HR and LR" in "\n".join(advice_for_training(hr, hr))


def test_a_scale_that_does_not_fit_is_told_where_scenes_are_shared(tmp_path: Path) -> None:
    hr = survey([write(tmp_path / "hr")], workers=1)
    halved = write(tmp_path / "lr", lambda photo: cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA))
    lr = survey([halved], workers=1)
    assert not any("the scale is" in line for line in advice_for_training(hr, lr, scale=2))
    assert any("the scale is 4" in line for line in advice_for_training(hr, lr, scale=4))


def test_a_folder_without_a_picture_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    broken(tmp_path)
    with pytest.raises(SDFlowError, match=r"none that can be read \(broken\.jpg"):
        survey([tmp_path], workers=1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=12))
@settings(max_examples=30)
def test_duplicates_are_the_files_of_equal_bytes(parts: list[tuple[int, int, int]]) -> None:
    """They differ in length, in their first bytes or in their last."""
    with tempfile.TemporaryDirectory() as folder:
        contents = {}
        for number, (length, start, end) in enumerate(parts):
            pixels = np.zeros((160 + length, 160, 3), np.uint8)
            pixels[-1, 0], pixels[0, -1] = start, end  # a BMP begins with the lowest row
            Image.fromarray(pixels).save(path := Path(folder, f"{number:02}.bmp"))
            contents[path.name] = path.read_bytes()
        expected: dict[str, str] = {}
        first: dict[bytes, str] = {}
        for name, content in contents.items():
            if first.setdefault(content, name) != name:
                expected[name] = first[content]
        assert survey([Path(folder)], most=1, workers=1).duplicates == expected


def test_files_of_equal_length_are_compared_under_a_bar_and_by_their_beginnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, level in enumerate((0, 0, 9, 99)):
        Image.new("RGB", (160, 160), (level, level, level)).save(tmp_path / f"{number}.bmp")
    monkeypatch.setattr("sdflow_data.system.progress._SECONDS_BETWEEN_LINES", 0.0)
    survey([tmp_path], most=1, workers=1)
    told = capsys.readouterr().err
    assert "Comparing beginnings: 4 of 4 files" in told
    assert "Comparing files: 2 of 2 files" in told


def test_what_is_measured_does_not_depend_on_how_much_else_there_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    few, all_of_them = (survey([folder], most, workers=1) for most in (3, 10))
    assert few.measured == all_of_them.measured[:3]
    assert few.files == all_of_them.files == 10


def test_ranges_for_other_pipelines_are_those_of_the_photographs(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number, quality in enumerate((60, 70, 80, 90)):
        Image.fromarray(noisy(blurred(1.2)(scene(number)), 4)).save(folder / f"{number}.jpg", quality=quality)
    ranges = ranges_of(survey([folder], workers=1))
    assert 60 <= ranges.jpeg_low <= 65
    assert 85 <= ranges.jpeg_high <= 90
    assert ranges.jpeg_share == 1


def test_the_command_tells_a_folder_of_photographs_from_a_dataset(tmp_path: Path) -> None:
    folder = write(tmp_path / "<b>set", count=3)
    outputs = {"--json": tmp_path / "o.json", "--report": tmp_path / "o.html", "--otf": tmp_path / "o.yml"}
    options = [str(part) for pair in outputs.items() for part in pair]
    assert "Warning: 3 photographs, too few" in output_of("inspect", folder, *options)
    assert json.loads(outputs["--json"].read_text())["photographs"]["files"] == 3
    assert "blur_sigma: [" in outputs["--otf"].read_text()
    page = outputs["--report"].read_text()
    assert "too few" in page
    assert "<b>set" not in page


@pytest.mark.parametrize("arguments", [[], ["--hr", "."], [".", "--hr", ".", "--lr", "."]])
def test_a_call_of_neither_kind_is_wrong(arguments: list[str]) -> None:
    assert call("inspect", *arguments).returncode == 2


def test_every_file_is_measured_or_named_as_unreadable(tmp_path: Path) -> None:
    broken(write(tmp_path, count=2))
    Image.new("P", (40, 40)).save(tmp_path / "other.gif")
    found = survey([tmp_path], workers=1)
    assert found.files == len(found.measured) + len(found.unreadable) == 4


def test_photographs_that_are_too_small_for_a_camera_are_told(tmp_path: Path) -> None:
    for side in (31, 32, 63, 64):
        Image.fromarray(noisy(scene(0), 1)[:side, :side]).save(tmp_path / f"{side}.png")
    found = survey([tmp_path], workers=1)
    assert "1 photograph smaller than 32x32 pixels" in "\n".join(advice(found))
    of_training = "\n".join(advice_for_training(found, found, scale=2))
    assert "HR: 3 photographs smaller than 64x64" in of_training
    assert "LR: 1 photograph smaller than 32x32" in of_training


@pytest.mark.parametrize(("side", "unknown"), [(24, {"noise", "blur"}), (64, {"blur"}), (128, set())])
def test_what_cannot_be_measured_has_no_figure(side: int, unknown: set[str], tmp_path: Path) -> None:
    Image.fromarray(noisy(scene(0), 3)[:side, :side]).save(tmp_path / "a.png")
    rows = dict(
        re.split("  +", line) for line in output_of("inspect", tmp_path).split("\n\n")[0].splitlines()
    )
    told = {"noise": rows["noise, levels"], "blur": rows["blur, pixels"]}
    assert {name for name, text in told.items() if text == "not measurable"} == unknown
    assert {name for name in told if name not in rows["cameras"]} == unknown
    assert (rows["enlargement"] == "not measurable") == ("blur" in unknown)


def test_the_report_of_several_folders_publishes_none_of_the_machine(tmp_path: Path) -> None:
    sides = [write(tmp_path / name, count=2) for name in ("first", "second", "third")]
    hr, lr = ["--hr", sides[0], "--hr", sides[1]], ["--lr", sides[0], "--lr", sides[2]]
    page = tmp_path / "page.html"
    output = output_of("inspect", *hr, *lr, "--workers", "1", "--report", page)
    assert str(sides[0] / "first0.png") in output
    assert "first/first0.png" in page.read_text() and str(tmp_path) not in page.read_text()
