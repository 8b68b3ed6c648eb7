"""The effect of each term of the objective: trainings without it, compared with the camera.

    python benchmarks/ablations.py --hr HR --lr LR --val-hr VAL_HR --val-lr VAL_LR --scale 2 --out runs/terms

The table has one row per variation. All are trained for the same number of steps from the same seed, with
``tiny`` networks, which is enough for a ranking. Each has its own run under OUT. The same command continues
after an interruption. ``perceptual_super_resolution``, which needs downloaded weights, is left out.
"""

import math
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from camera import Classifier, Scenes, measure, super_resolution, upscaled  # type: ignore[import-not-found]
from results import json_option, record  # type: ignore[import-not-found]

from sdflow.objective import TERMS, ObjectiveConfig
from sdflow_data.models.degraders import load_degrader
from sdflow_data.training.presets import preset_settings
from sdflow_data.training.run import train
from sdflow_data.training.run_folder import METRICS

LAST_STEPS = 50
SHORT = Classifier(steps=(250,), splits=3)


DEFAULTS = {name: term.weight for name, term in TERMS.items() if not term.needs_perceptual}
VARIATIONS: dict[str, dict[str, float]] = {
    "the defaults": DEFAULTS,
    **{f"without {name}": {**DEFAULTS, name: 0.0} for name, weight in DEFAULTS.items() if weight},
    **{f"with {name}": {**DEFAULTS, name: 0.1} for name, weight in DEFAULTS.items() if not weight},
}
"""The weights of the terms, by variation."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--hr", required=True, type=FOLDER, help="HR photographs to train on.")
@click.option("--lr", required=True, type=FOLDER, help="LR photographs to train on, of other scenes.")
@click.option("--val-hr", required=True, type=FOLDER, help="HR of aligned pairs.")
@click.option("--val-lr", required=True, type=FOLDER, help="LR of aligned pairs, the same names.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder of the runs.")
@click.option("--scale", type=int, default=2, show_default=True)
@click.option("--steps", type=int, default=1_000, show_default=True, help="Steps of each run.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option(
    "--only", "chosen", multiple=True, type=click.Choice(list(VARIATIONS)), help="Only these variations."
)
@json_option
def main(
    hr: Path,
    lr: Path,
    val_hr: Path,
    val_lr: Path,
    out: Path,
    scale: int,
    steps: int,
    threads: int,
    chosen: tuple[str, ...],
) -> None:
    """Train every variation and print the table."""
    torch.set_num_threads(threads)
    scenes = Scenes.read(val_hr, val_lr, scale)
    rows = {"bicubic": _row(measure(load_degrader("bicubic", scale), scenes, 1.0, SHORT))}
    for name in chosen or VARIATIONS:
        run = out / name.replace(" ", "-")
        settings = preset_settings("tiny", hr=(hr,), lr=(lr,), out=run, scale=scale, steps=steps, resume=True)
        training = replace(settings.training, objective=ObjectiveConfig(weights=VARIATIONS[name]))
        train(replace(settings, training=training))
        measured = measure(load_degrader(str(run), scale), scenes, 1.0, SHORT)
        last = pd.read_csv(run / METRICS).tail(LAST_STEPS).mean()
        resolved = upscaled(scenes, str(run), "cpu", "fp32")
        rows[name] = {
            **_row(measured),
            "SR, dB": super_resolution(scenes, resolved)["SR: PSNR at temperature 0, dB"],
            "cycle": last.get("cycle", math.nan),
            "bits of HR": last.get("likelihood_hr", math.nan),
        }
        print(pd.DataFrame(rows[name], [name]).to_string(), flush=True)
    table = pd.DataFrame(rows).T
    print("| objective | " + " | ".join(table.columns) + " |\n|---|" + "---|" * len(table.columns))
    for row, values in table.iterrows():
        print(f"| {row} | " + " | ".join("" if np.isnan(v) else f"{v:.3g}" for v in values) + " |")
    record(table.T)


def _row(measured: dict[str, float]) -> dict[str, float]:
    spectrum = np.mean([measured[f"distance of spectrum_{band}"] for band in (8, 12, 16)])
    return {
        "PSNR at T = 0": measured["PSNR at temperature 0, dB"],
        "PSNR of the mean of 16": measured["PSNR of the mean of 16, dB"],
        "spectrum": float(spectrum),
        "noise": measured["noise level, levels"],
        "spread": measured["standard deviation between samples, levels"],
        "colour": measured["colour shift, largest of R, G, B, levels"],
        "AUC": measured[f"AUC after {SHORT.steps[-1]:,} steps"],
    }


if __name__ == "__main__":
    main()
