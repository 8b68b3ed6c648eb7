"""A demonstration on photographs of scikit-image: train, generate, inspect, export, compare.

The camera is simulated, so that its degradations are known. It photographs scenes for training. For the
comparison only, it also photographs the HR pictures of the pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import skimage

from sdflow.files import write_file
from sdflow.noise import derive_seed
from sdflow.wording import counted

from .dataset.manifest import Dataset, read_dataset
from .export.run import ExportRequest, export
from .generation.engines.local import LocalEngine
from .generation.run import GenerationRequest, generate
from .images.reading import read_picture
from .images.sheet import sheet
from .images.writing import encode_png
from .inspection.inspection import inspect_dataset
from .inspection.report import report_html
from .models.simulated_camera import SimulatedCamera
from .statistics import STATISTICS, bicubic_frame, compare, frame_of_pairs
from .statistics.frames import bicubic_patches
from .system.lock import check_new_or_empty
from .training.presets import preset_settings
from .training.run import train

SCALE, PATCH, VARIANTS = 2, 128, 4
CAMERA = SimulatedCamera(
    scale=SCALE, blur_sigma=1.2, poisson_gain=0.2, read_noise=3.0, strength=(0.8, 1.2), jpeg_quality=95
)
_HR = ("astronaut.png", "camera.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png")
_LR = ("chelsea.png", "grass.png", "ihc.png", "retina.jpg", "rocket.jpg")

KEPT = ("residual_mean_r", "residual_mean_g", "residual_mean_b", "shift")
"""Statistics that the camera does not change. Bicubic LR has the same values, so it cannot be surpassed."""


@dataclass(frozen=True)
class Demo:
    """The results of a demo.

    Attributes:
        table: the table of `compare` for generated, real (the camera's) and bicubic LR.
        paths: the files and folders to look at, by name.
    """

    table: pd.DataFrame
    paths: dict[str, Path]

    @property
    def spread_share(self) -> float:
        """The standard deviation between variants, as a fraction of the camera's noise level."""
        return float(self.table.attrs["spread"] / self.table.loc["noise_sigma", "real"])


def run_demo(out: Path, steps: int, seed: int, say: Callable[[str], None]) -> Demo:
    """Run the demo into a new folder.

    Args:
        out: a new or empty folder.
        steps: the number of training steps, so that the result does not depend on the speed of the machine.
        seed: the seed of everything.
        say: prints a line of progress.

    Raises:
        SDFlowError: the folder is not empty.
    """
    check_new_or_empty(out)
    say("1/5 Photographs: scikit-image's as HR, others of them through a simulated camera as LR")
    hr, lr = take_photographs(out / "photographs", seed)
    say(f"2/5 Training the tiny model, {counted(steps, 'step')}")
    settings = preset_settings(
        "tiny", hr=(hr,), lr=(lr,), out=out / "run", scale=SCALE, steps=steps, seed=seed
    )
    train(settings, say)
    say("3/5 Generating pairs")
    request = GenerationRequest(
        model=str(out / "run"), patch_size=PATCH, variants=VARIANTS, temperature=1.0, seed=seed
    )
    generate(request, (hr,), out / "pairs", LocalEngine(None))
    dataset = read_dataset(out / "pairs")
    say("4/5 Inspecting them against the camera's photographs, exporting them for a trainer")
    report = out / "report.html"
    write_file(report, report_html(inspect_dataset(dataset, lr, classifier=None)).encode())
    export(dataset, out / "export", ExportRequest(trainer="basicsr"))
    say("5/5 Comparing with what the camera makes of the same pictures")
    table, grid = compare_with_camera(dataset, hr, seed)
    write_file(out / "grid.png", encode_png(grid))
    paths = {
        "pictures side by side": out / "grid.png",
        "report, for a browser": report,
        "dataset": out / "pairs",
        "export for BasicSR": out / "export",
        "training curves": out / "run" / "metrics.csv",
        "checkpoint": out / "run" / "model",
    }
    return Demo(table, paths)


def take_photographs(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write HR pictures, and photographs of other scenes by the camera; returns the two folders."""
    for kind, names in (("hr", _HR), ("lr", _LR)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            picture = _scene(name)
            if kind == "lr":
                picture = CAMERA(picture, derive_seed(seed, number))
            write_file(folder / kind / f"{Path(name).stem}.png", encode_png(picture))
    return folder / "hr", folder / "lr"


def _scene(name: str) -> np.ndarray:
    picture = read_picture(Path(skimage.__file__).parent / "data" / name)
    height, width = (size - size % SCALE for size in picture.shape[:2])
    return picture[:height, :width]


def compare_with_camera(dataset: Dataset, hr_folder: Path, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Compare the generated LR with the camera's photographs of the same HR patches.

    Returns:
        The table of `compare` for headline statistics, with the median spread between variants in
        ``attrs["spread"]``; and a sheet of patches.
    """
    photographs = {
        path.name: CAMERA(read_picture(path), derive_seed(seed, 1000 + number))
        for number, path in enumerate(sorted(hr_folder.iterdir()))
    }
    hr, generated, camera, groups = [], [], [], []
    for patch in dataset.patches():
        row = patch.rows.iloc[0]
        top, left = row["top"] // SCALE, row["left"] // SCALE
        size = PATCH // SCALE
        hr.append(patch.hr)
        generated.append(patch.lr)
        camera.append(photographs[row["source"]][top : top + size, left : left + size])
        groups.append(row["source"])
    pairs, samples, real = np.stack(hr), np.stack(generated), np.stack(camera)
    frames = (
        frame_of_pairs(pairs, samples, groups),
        frame_of_pairs(pairs, real[:, None], groups),
        bicubic_frame(pairs, PATCH // SCALE, groups),
    )
    table = compare(*frames)
    table = table[
        [STATISTICS[name].headline and STATISTICS[name].needs != "variants" for name in table.index]
    ]
    table.attrs["spread"] = frames[0]["variant_spread"].median()
    return table, _grid(pairs, samples, real, np.array(groups))


def _grid(hr: np.ndarray, generated: np.ndarray, camera: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A sheet with one patch of each photograph, at the 75 % quantile of contrast."""
    contrast = hr.std((1, 2, 3))
    chosen = []
    for group in dict.fromkeys(groups):
        members = np.flatnonzero(groups == group)
        chosen.append(members[np.argsort(contrast[members])[int(0.75 * (len(members) - 1))]])
    titles = ["HR", "bicubic", "camera", "generated 1", "generated 2", "generated 3", "mean of 4"]
    bicubic = bicubic_patches(hr[chosen], PATCH // SCALE)
    means = np.rint(generated[chosen].mean(1)).astype(np.uint8)
    columns = [hr[chosen], bicubic, camera[chosen], *generated[chosen].swapaxes(0, 1)[:3], means]
    return sheet(list(zip(*columns)), titles)
