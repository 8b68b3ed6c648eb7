"""``sdflow inspect`` on datasets on disk: what it measures, prints, writes and how it ends."""

import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pairs
import pandas as pd
import pytest
from calls import call, output_of
from inspected import SCALE, SIZE, VARIANTS, write_dataset, write_photographs
from PIL import Image

from sdflow.camera import Camera
from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.images.codec import NO_CODEC
from sdflow_data.inspection.classifier import Effort
from sdflow_data.inspection.components import ComponentShare
from sdflow_data.inspection.inspection import inspect_dataset
from sdflow_data.inspection.otf import otf_yaml
from sdflow_data.inspection.photographs import survey
from sdflow_data.inspection.report import report_html
from sdflow_data.inspection.sets import measure_dataset, measure_photographs, read_partners
from sdflow_data.inspection.tables import component_table
from sdflow_data.models.cameras import CameraLook, ModelCamera
from sdflow_data.models.measured import CameraOfModel
from sdflow_data.statistics import CHEAP_COLUMNS, STATISTICS, frame_of_pairs


@pytest.fixture(scope="module")
def classical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "classical ü").folder


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "bicubic", "bicubic").folder


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("real") / "my photos")


def test_every_sample_is_measured_in_the_order_of_the_manifest(classical: Path) -> None:
    dataset = read_dataset(classical)
    measured = measure_dataset(dataset).samples
    patches = list(dataset.patches())
    assert len(measured.frame) == len(dataset.manifest)
    for number in (0, 7, len(patches) - 1):
        expected = frame_of_pairs(patches[number].hr[None], patches[number].lr[None])
        rows = measured.frame.iloc[number * VARIANTS : (number + 1) * VARIANTS]
        np.testing.assert_allclose(rows[list(STATISTICS)], expected[list(STATISTICS)], rtol=1e-4, atol=1e-4)
        assert set(rows["group"]) == set(patches[number].rows["source_sha256"])


def test_the_kept_pictures_are_those_of_their_rows(classical: Path) -> None:
    dataset = read_dataset(classical)
    measured = measure_dataset(dataset)
    samples = np.concatenate([patch.lr for patch in dataset.patches()])
    np.testing.assert_array_equal(measured.samples.pixels, samples[measured.samples.rows])
    assert len(measured.bicubic.pixels) == len(measured.bicubic.frame) == len(samples) // VARIANTS


def test_processes_measure_what_one_process_measures(
    classical: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = measure_dataset(read_dataset(classical), workers=1)
    monkeypatch.setattr("sdflow_data.inspection.sets._WORTH_A_PROCESS", 0)
    together = measure_dataset(read_dataset(classical), workers=2)
    pd.testing.assert_frame_equal(alone.samples.frame, together.samples.frame, rtol=1e-4, atol=1e-4)
    assert alone.kernel is not None
    assert together.kernel is not None
    np.testing.assert_allclose(alone.kernel.taps, together.kernel.taps, atol=1e-5)


def test_cheap_statistics_are_those_that_generate_stores(classical: Path) -> None:
    assert set(CHEAP_COLUMNS) <= set(measure_dataset(read_dataset(classical)).samples.frame.columns)


def test_photographs_that_give_nothing_are_told_and_the_rest_is_measured(real: Path) -> None:
    patches, skipped = measure_photographs(real, SIZE, most=30)
    assert sorted(set(patches.groups)) == ["ihc.png", "m 1.png", "m2.png"]
    assert sorted(error.path.name for error in skipped) == ["no picture.png", "small.png"]
    assert len(patches.pixels) == 3 * 6


def test_a_folder_whose_photographs_are_all_too_small_is_refused(real: Path) -> None:
    with pytest.raises(SDFlowError, match="at least 4000x4000 pixels, found none"):
        measure_photographs(real, 4000)


def test_the_table_and_the_verdicts_are_printed(classical: Path) -> None:
    lines = call("inspect", classical).stdout.splitlines()
    assert lines[0].split() == ["statistic", "unit", "generated", "bicubic"]
    for statistic in ("noise_sigma", "residual_mean_r", "residual_std", "residual_correlation", "sharpness"):
        assert any(line.startswith(statistic) for line in lines)
    assert any(line.startswith("realistic?") and "needs real photographs" in line for line in lines)
    assert "4 of 6 answered" in lines[-2]
    assert "--real" in lines[-1]


def test_real_photographs_stand_beside_it(classical: Path, real: Path) -> None:
    result = call("inspect", classical, "--real", real, "--no-classifier")
    assert "real" in result.stdout.splitlines()[0].split()
    assert "skipped" in result.stderr
    assert "no picture.png" in result.stderr


def test_a_dataset_of_real_pairs_can_be_what_is_held_against(classical: Path, bicubic: Path) -> None:
    inspection = inspect_dataset(read_dataset(classical), bicubic, classifier=None)
    assert inspection.table.loc["residual_std", "real"] < 1  # statistics of pairs have a counterpart too
    assert inspection.table.loc["residual_std", "distance"] > 1


def test_samples_are_held_against_the_real_lr_of_the_same_hr(classical: Path, bicubic: Path) -> None:
    dataset, pairs = read_dataset(classical), read_dataset(bicubic)
    found = read_partners(dataset, pairs)
    assert found is not None
    generated, real, hr = found
    for ours, theirs in zip(dataset.patches(), pairs.patches()):
        (number,) = np.flatnonzero((hr == ours.hr).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(generated[number], ours.lr)
        np.testing.assert_array_equal(real[number], theirs.lr[0])
    measured = {measure.name: measure.value for measure in inspect_dataset(dataset, bicubic, None).noise}
    assert measured["AKLD"] > 0
    assert measured["temporal variance"] > 0


def test_without_the_same_photographs_there_are_no_partners(classical: Path, tmp_path: Path) -> None:
    from pairs import write_dataset as write_others

    write_others(tmp_path / "others")
    assert read_partners(read_dataset(classical), read_dataset(tmp_path / "others")) is None


def test_patches_of_another_size_are_no_counterpart(classical: Path, tmp_path: Path) -> None:
    from pairs import write_dataset as write_small

    write_small(tmp_path / "small")
    with pytest.raises(SDFlowError, match="expected LR patches of 32 pixels"):
        inspect_dataset(read_dataset(classical), tmp_path / "small")


def test_the_json_has_everything_and_no_nan(classical: Path, real: Path, tmp_path: Path) -> None:
    output_of("inspect", classical, "--real", real, "--no-classifier", "--json", tmp_path / "all.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads((tmp_path / "all.json").read_text("utf-8"), parse_constant=refuse)
    assert found["dataset"]["model"] == "classical"
    assert found["real"]["photographs"] == 3
    assert len(found["real"]["skipped"]) == 2
    assert set(found["statistics"]) == set(STATISTICS)
    assert found["statistics"]["noise_sigma"]["distance"] > 0
    assert found["statistics"]["residual_std"]["distance"] is None
    assert {v["question"] for v in found["verdicts"]} >= {"realistic?", "aligned?", "degraded?"}
    assert len(found["kernel"]["taps"]) == len(found["kernel"]["taps"][0]) == 4 * SCALE + 8


def test_the_classifier_has_its_say_where_there_are_photographs_enough(bicubic: Path, real: Path) -> None:
    inspection = inspect_dataset(read_dataset(bicubic), real, Effort(5, 2, 5), workers=1)
    found = inspection.to_json()["classifier_auc"]
    assert 0.5 <= found["generated"]["mean"] <= 1
    assert 0.5 <= found["bicubic"]["mean"] <= 1
    assert found["real"] == {"mean": None, "splits": []}  # three photographs do not make two sets of three
    assert found["seconds"] > 0


def test_thorough_needs_photographs(classical: Path, real: Path) -> None:
    for arguments in (["--thorough"], ["--real", real, "--thorough", "--no-classifier"]):
        assert "--thorough" in output_of("inspect", classical, *arguments, status=2)


def test_fail_under_is_a_gate(bicubic: Path, real: Path) -> None:
    against = ("--real", real, "--no-classifier", "--fail-under")
    output_of("inspect", bicubic, *against, 0)
    assert "expected a score of at least 50, got 0" in output_of("inspect", bicubic, *against, 50, status=1)


def test_the_components_are_told_as_the_manifest_has_them(classical: Path, tmp_path: Path) -> None:
    told = output_of("inspect", classical, "--json", tmp_path / "all.json")
    found = json.loads((tmp_path / "all.json").read_text("utf-8"))["components"]
    drawn = read_dataset(classical).manifest["component"].value_counts(normalize=True)
    assert {each["component"]: each["share"] for each in found} == pytest.approx(drawn.to_dict())
    for each in found:
        assert re.search(rf"^{each['component']} +{each['samples']} +{each['share']:.1%}", told, re.MULTILINE)


def test_the_components_have_the_cameras_of_the_model() -> None:
    """A component without a description in the model has a dash."""
    components = [ComponentShare(k, 5, 0.5, None, 1.0, math.nan) for k in range(2)]
    look = CameraLook(0.7, 1.1, 2.0, 100, (1.0, 1.0, 1.0))
    known = CameraOfModel(Camera.identity(), ModelCamera(look, NO_CODEC))
    first, second = component_table(components, [known]).splitlines()[2:]
    assert first.split("  ")[-1] == "70% blur 1.1, noise 2.0, no JPEG"
    assert second.endswith("—")
    assert component_table(components[:1], []) == ""
    assert "70%" in component_table(components[:1], [known])


def test_what_cannot_be_told_does_not_pass_the_gate(classical: Path) -> None:
    refused = call("inspect", classical, "--fail-under", 0)
    assert refused.returncode == 1
    assert "realistic? needs real photographs" in refused.stderr
    assert "--real" in refused.stderr
    assert "4 of 6 answered" in refused.stdout


def test_the_gate_ends_the_program_with_status_1(bicubic: Path) -> None:
    done = call("inspect", bicubic, "--fail-under", "50")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_dataset_is_refused_in_one_line(tmp_path: Path) -> None:
    done = call("inspect", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "dataset.json" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("names", [["a.gif"], ["a.jpg"], ["a", "b"]])
def test_a_folder_without_a_picture_is_refused_with_the_first_file_that_is_none(
    names: list[str], tmp_path: Path
) -> None:
    for name, other in zip(names, [*names[1:], names[0]]):  # links in a circle
        (tmp_path / name).symlink_to(other)
    (told,) = call("inspect", tmp_path).stderr.splitlines()
    assert "no picture in it" in told and "(a bug" not in told
    assert (str(tmp_path / "a.") in told) == (names != ["a", "b"])


@pytest.mark.parametrize("size", [4, 8, 16])
def test_patches_of_a_few_pixels_are_measured_without_a_warning(size: int, tmp_path: Path) -> None:
    dataset = pairs.write_dataset(tmp_path / "pairs", patch_size=size)
    real = pairs.write_dataset(tmp_path / "real", photographs=4, patch_size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inspection = inspect_dataset(dataset, real.folder, None, workers=1)
        assert json.dumps(inspection.to_json())
        assert report_html(inspection)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [1, 9, 64])
def test_photographs_of_one_colour_are_measured_without_a_warning(
    level: int, size: int, tmp_path: Path
) -> None:
    for number in range(2):
        Image.new("RGB", (size + number, size), (level, level, level)).save(tmp_path / f"{number}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = survey([tmp_path], workers=1)
        assert json.dumps(found.to_json())
        assert otf_yaml(found, 4)


@pytest.mark.parametrize("model", ["bicubic", "classical"])
def test_no_figure_of_plain_pairs_is_nan_or_infinite(model: str, tmp_path: Path) -> None:
    def plain() -> dict[str, np.ndarray]:
        return {f"{level}.png": np.full((128, 128, 3), level, np.uint8) for level in (0, 90, 255)}

    folder = write_dataset(tmp_path / "plain", model, shown=plain).folder
    page = tmp_path / "page.html"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = output_of("inspect", folder, "--real", folder, "--no-classifier", "--report", page)
    shown = told + re.sub("<script.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert re.findall(r"\b(?:nan|inf)\b|-0\.0+\b", shown) == []
