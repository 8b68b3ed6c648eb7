"""The sheet of samples of a training: what is compared with photographs looks as they are stored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from small_training import ARCHITECTURE, CONFIG

from sdflow.training import Trainer
from sdflow_data.images.codec import NO_CODEC, Codec, Jpeg
from sdflow_data.images.reading import read_picture
from sdflow_data.training.crops import UnpairedCrops
from sdflow_data.training.metrics_log import MetricsLog
from sdflow_data.training.monitor import Monitor
from sdflow_data.training.run_folder import RunFolder

COLUMNS = 8
SAMPLES = slice(2, 7)  # after HR and bicubic, before real LR


def sheet_columns(tmp_path: Path, codecs: Sequence[Codec]) -> list[np.ndarray]:
    for side, size in (("hr", 64), ("lr", 32)):
        (tmp_path / side).mkdir(exist_ok=True)
        noise = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / side / "noise.png")
    crops = UnpairedCrops([tmp_path / "hr"], [tmp_path / "lr"], scale=2, patch_size=32, batch_size=4, seed=0)
    folder, said = RunFolder(tmp_path / "run"), list[str]()
    folder.path.mkdir(exist_ok=True)
    folder.claim({})
    with MetricsLog(folder.metrics, folder.events, 0) as log:
        Monitor(crops, None, codecs, said.append).look(Trainer(ARCHITECTURE, CONFIG), folder, log, 0.0)
    sheet = read_picture(folder.samples / "0000000.png").astype(float)
    return np.split(sheet, COLUMNS, axis=1)


def roughness(column: np.ndarray) -> float:
    return float(np.abs(np.diff(column, axis=0)).mean())


def test_samples_are_compressed_as_the_photographs_and_nothing_else_is(tmp_path: Path) -> None:
    coarse = Codec(((Jpeg.of_quality(1), 1.0),))
    without = sheet_columns(tmp_path, [NO_CODEC] * 2)
    coded = sheet_columns(tmp_path, [coarse] * 2)
    same = [np.array_equal(*pair) for pair in zip(without, coded)]
    assert same == [True, True, *[False] * 5, True]
    for before, after in zip(without[SAMPLES], coded[SAMPLES]):
        assert roughness(after) < 0.7 * roughness(before)
