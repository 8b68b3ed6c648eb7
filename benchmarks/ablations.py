"""What each term of the objective brings: the same training with terms taken out, held against the camera.

    python benchmarks/ablations.py --hr HR --lr LR --val-hr VAL_HR --val-lr VAL_LR --scale 2 --out runs/terms

A row a variation, trained for the same number of steps from the same seed with ``tiny`` networks: enough to
rank. Each is a training run of its own under OUT; run again, the command goes on where it was stopped.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from camera import Classifier, Scenes, measure  # type: ignore[import-not-found]
from results import json_option, record  # type: ignore[import-not-found]

from sdflow.objective import ObjectiveConfig
from sdflow_data.models.degraders import load_degrader
from sdflow_data.training.presets import preset_settings
from sdflow_data.training.run import train
from sdflow_data.training.run_folder import METRICS

LAST_STEPS = 50
SHORT = Classifier(steps=250, splits=3)


@dataclass(frozen=True)
class Variation:
    """What is other than the defaults: fields of the objective, the training and the architecture."""

    objective: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)


def only(*terms: str) -> Variation:
    """The objective with these terms and no other."""
    weights = {f.name for f in fields(ObjectiveConfig)} - {
        "content_noise",
        "detach_content",
        "full_band",
        "late",
    }
    return Variation(dict.fromkeys(weights - set(terms), 0.0))


LIKELIHOOD = ("likelihood_lr", "likelihood_hr")
CONTENT = (*LIKELIHOOD, "content_hr", "content_lr")
DOMAIN = (*CONTENT, "domain")
BACKWARD = (*DOMAIN, "anchor", "gan_lr")
PAPER = (*BACKWARD, "cycle", "super_resolution", "gan_hr")
SPECTRUM = (*PAPER, "spectrum")
NOISE = (*SPECTRUM, "noise")
GRID = (*NOISE, "grid")
VARIATIONS = {
    "likelihood alone": only(*LIKELIHOOD),
    "+ content": only(*CONTENT),
    "+ domain": only(*DOMAIN),
    "+ backward downscaling": only(*BACKWARD),
    "+ cycle and SR": only(*PAPER),
    "+ spectrum of samples": only(*SPECTRUM),
    "+ noise between samples": only(*NOISE),
    "+ grid": only(*GRID),
    "+ evenness": only(*GRID, "evenness"),
    "+ coherence: the defaults": Variation(),
    "defaults, element mixture": Variation(architecture={"mixture": "element"}),
    "defaults, one component": Variation(architecture={"components": 1}),
    "defaults, HR content low-passed": Variation({"full_band": False}),
    "defaults, likelihood's gradient into E": Variation({"detach_content": False}),
    "defaults without GAN": Variation({"gan_lr": 0.0, "gan_hr": 0.0}),
    "defaults without cycle": Variation({"cycle": 0.0}),
    "defaults without SR": Variation({"super_resolution": 0.0, "gan_hr": 0.0}),
    "defaults, one rate for all networks": Variation(training={"picture_rate": 1.0}),
}
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--hr", required=True, type=FOLDER, help="HR photographs to train on.")
@click.option("--lr", required=True, type=FOLDER, help="LR photographs to train on, of other scenes.")
@click.option("--val-hr", required=True, type=FOLDER, help="HR of aligned pairs.")
@click.option("--val-lr", required=True, type=FOLDER, help="LR of aligned pairs, the same names.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the runs are kept.")
@click.option("--scale", type=int, default=2, show_default=True)
@click.option("--steps", type=int, default=1_000, show_default=True, help="Of each run.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--only", "chosen", multiple=True, type=click.Choice(list(VARIATIONS)), help="These alone.")
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
        variation = VARIATIONS[name]
        run = out / name.replace(" ", "-").replace(",", "").replace(":", "").replace("'", "")
        settings = preset_settings("tiny", hr=(hr,), lr=(lr,), out=run, scale=scale, steps=steps, resume=True)
        training = replace(
            settings.training, objective=ObjectiveConfig(**variation.objective), **variation.training
        )
        architecture = replace(settings.architecture, **variation.architecture)
        train(replace(settings, training=training, architecture=architecture))
        measured = measure(load_degrader(str(run), scale), scenes, 1.0, SHORT)
        bits = pd.read_csv(run / METRICS)["likelihood_lr"].tail(LAST_STEPS).mean()
        rows[name] = {**_row(measured), "bits of LR": bits}
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
        "AUC": measured["classifier's AUC"],
    }


if __name__ == "__main__":
    main()
