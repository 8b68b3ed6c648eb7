"""What ``sdflow inspect`` says of sets that are known to be good, or bad in one way; by the command line.

    python benchmarks/verdicts.py --hr train_hr --work runs/verdicts
    python benchmarks/verdicts.py --hr train_hr --lr train_lr --val-hr val_hr --val-lr val_lr \
        --model city100-nikon-x2 --work runs/verdicts

Half of the photographs in --hr become HR, the others the real photographs of a simulated camera whose noise
grows with brightness. With --lr, the camera's real photographs, there are more sets: bicubic, classical,
a model's, and with --val-hr and --val-lr real pairs. Sets that lie in --work are not made again.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from results import json_option, record  # type: ignore[import-not-found]

from sdflow_data.dataset.manifest import INFO, finish_dataset
from sdflow_data.dataset.shards import ShardWriter, shard_path
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.images.writing import encode_png
from sdflow_data.models.simulated_camera import SimulatedCamera
from sdflow_data.statistics.frames import bicubic_patches

SCALE, SIZE, VARIANTS = 2, 64, 3
CAMERA = SimulatedCamera(scale=SCALE, blur_sigma=1.6, poisson_gain=0.35, read_noise=1.5, jpeg_quality=None)
QUESTIONS = ("realistic?", "random?", "diverse?", "aligned?", "colour-true?", "degraded?")
GOOD = dict.fromkeys(QUESTIONS, "yes")
UNTOLD = "cannot be told"

Degrade = Callable[[np.ndarray, int, int], np.ndarray]
"""A photograph, its number and that of the variant to LR, grey levels."""


@dataclass(frozen=True)
class Case:
    """A set and what is to be said of it.

    Attributes:
        answers: by question; questions that are not in it may be answered either way.
        named: must stand in the evidence.
        real: what it is held against; None for nothing.
    """

    answers: Mapping[str, str]
    named: str = ""
    real: Path | None = None


def camera(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    return CAMERA(photo, 1000 * number + variant).astype(np.float32)


def collapsed(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """Bicubic LR, and all but no noise."""
    low = bicubic_patches(photo[None], len(photo) // SCALE)[0]
    return low + np.random.default_rng([number, variant]).normal(0, 0.2, low.shape)


def misaligned(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """Half an LR pixel to the right."""
    return camera(np.roll(photo, 1, axis=1), number, variant)


def grid_of_colours(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """The second colour difference follows the first on even rows and opposes it on odd ones."""
    low = camera(photo, number, variant)
    first = np.random.default_rng([number, variant]).normal(0, 3, (*low.shape[:2], 1))
    sign = np.where(np.arange(len(low)) % 2 == 0, 1, -1)[:, None, None]
    return low + first * [1, 0, -1] + sign * first * [0.5, -1, 0.5]


def wrong_places(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """As much noise as the camera's, as strong as light elsewhere in the picture asks for."""
    clean, seed = CAMERA.noise_free(photo).astype(np.float32), 1000 * number + variant
    strength = CAMERA.strength_of(seed) * CAMERA.noise_std(clean)
    return clean + np.roll(strength, (37, 53), (0, 1)) * np.random.default_rng(seed).normal(size=clean.shape)


MADE: dict[str, tuple[Degrade, int, Case]] = {
    "the camera itself": (camera, VARIANTS, Case(GOOD)),
    "a single variant": (camera, 1, Case(GOOD | {"random?": UNTOLD}, "single")),
    "collapsed": (
        collapsed,
        VARIANTS,
        Case(dict.fromkeys(("realistic?", "random?", "degraded?"), "no"), "collapsed"),
    ),
    "the same noise in all variants": (
        lambda photo, number, _: camera(photo, number, 0),
        VARIANTS,
        Case(GOOD | {"random?": "no", "diverse?": "no"}),
    ),
    "shifted colours": (
        lambda photo, number, variant: camera(photo, number, variant) + np.array([4, 0, -4], np.float32),
        VARIANTS,
        Case(GOOD | {"colour-true?": "no"}),
    ),
    "misaligned": (misaligned, VARIANTS, Case(GOOD | {"aligned?": "no"})),
    "a 2x2 grid in colours": (grid_of_colours, VARIANTS, Case({"realistic?": "no"}, "colour_grid")),
    "noise at the wrong places": (wrong_places, VARIANTS, Case({"realistic?": "no"}, "noise_on_")),
}


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="HR photographs.")
@click.option("--lr", type=click.Path(exists=True, path_type=Path), help="A camera's LR photographs.")
@click.option("--val-hr", type=click.Path(exists=True, path_type=Path), help="HR of aligned pairs.")
@click.option("--val-lr", type=click.Path(exists=True, path_type=Path), help="Real LR of the same scenes.")
@click.option("--model", "models", multiple=True, help="Trained models of that camera, of scale 2.")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Where the sets are made.")
@click.option("--patches", default=6, show_default=True, help="Of each photograph, of the simulated sets.")
@click.option("--classifier", default="none", type=click.Choice(["none", "quick", "thorough"]))
@click.option("--workers", default=1, show_default=True)
@json_option
def main(
    hr: Path,
    lr: Path | None,
    val_hr: Path | None,
    val_lr: Path | None,
    models: Sequence[str],
    work: Path,
    patches: int,
    classifier: str,
    workers: int,
) -> None:
    """Print what is said of each set, and whether it is what anyone would expect."""
    cases = simulated(hr, work, patches)
    if lr is not None:
        cases |= of_the_camera(hr, lr, val_hr, val_lr, models, work, workers)
    judged = {name: judge(work, name, case, classifier, workers) for name, case in cases.items()}
    print(f"| set | {' | '.join(QUESTIONS)} | score | --fail-under 50 | as expected |")
    print("|---" * (len(QUESTIONS) + 4) + "|")
    for name, found in judged.items():
        answers = [found["answers"][question] for question in QUESTIONS]
        gate = "closed" if found["gate"] else "open"
        cells = [*answers, f"{found['score']:.0f}", gate, "yes" if found["expected"] else "**no**"]
        print(f"| {name} | {' | '.join(cells)} |")
    for name, found in judged.items():
        print(f"\n{name}: {found['because']['realistic?']}")
    record(judged)


def simulated(hr: Path, work: Path, patches: int) -> dict[str, Case]:
    """The sets of the simulated camera, made where they are not."""
    names = find_pictures(hr)
    real = work / "photographs of the simulated camera"
    for number, name in enumerate(names[1::2]):
        path = real / f"{number:03d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(CAMERA(scene(hr / name), 10_000_000 + number)))
    for set_name, (degrade, variants, _) in MADE.items():
        if not (work / set_name / INFO).exists():
            write_set(work / set_name, [hr / name for name in names[::2]], degrade, variants, patches)
    return {name: replace(case, real=real) for name, (_, _, case) in MADE.items()}


def scene(path: Path) -> np.ndarray:
    """The middle square of a picture, of a side that whole blocks of patches fill."""
    picture = read_picture(path)
    unit = SIZE * SCALE
    side = min(picture.shape[:2]) // unit * unit
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def write_set(
    folder: Path, photographs: Sequence[Path], degrade: Degrade, variants: int, patches: int
) -> None:
    """A dataset with a shard for each photograph."""
    side = SIZE * SCALE
    metadata = {"scale": SCALE, "patch_size": side, "variants": variants, "model": folder.name, "seed": 0}
    for number, path in enumerate(photographs):
        photo = scene(path)
        pictures = [np.rint(degrade(photo, number, k)).clip(0, 255).astype(np.uint8) for k in range(variants)]
        shard = ShardWriter(side, SCALE, variants)
        places = [(top, left) for top in range(0, len(photo), side) for left in range(0, len(photo), side)]
        chosen = np.random.default_rng(number).permutation(len(places))[:patches]
        for top, left in (places[place] for place in sorted(chosen)):
            low = [picture[top // 2 :, left // 2 :][:SIZE, :SIZE] for picture in pictures]
            columns = {
                "sample_id": [f"{number}-{top}-{left}-{k}" for k in range(variants)],
                "source": path.name,
                "source_sha256": f"{number:064x}",
                "top": top,
                "left": left,
                "component": [-1] * variants,
            }
            shard.add(photo[top : top + side, left : left + side], np.stack(low), columns)
        written = shard_path(folder, number)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(shard.finish(metadata))
    finish_dataset(folder, len(photographs), metadata)


def of_the_camera(
    hr: Path,
    lr: Path,
    val_hr: Path | None,
    val_lr: Path | None,
    models: Sequence[str],
    work: Path,
    workers: int,
) -> dict[str, Case]:
    """Sets of the camera that took --lr, made by the command line where they are not."""
    bad = dict.fromkeys(("realistic?", "degraded?"), "no")
    sane = dict.fromkeys(("diverse?", "aligned?", "colour-true?", "degraded?"), "yes")
    cases = {"bicubic": Case(bad, real=lr), "classical": Case({"realistic?": "no"}, real=lr)}
    cases |= {Path(model).name: Case(sane, real=lr) for model in models}
    for model in ("bicubic", "classical", *models):
        sdflow(
            *("generate", "--model", model, "--scale", SCALE, "--hr", hr, "--out", work / Path(model).name),
            *("--variants", 2, "--patch-size", SIZE * SCALE, "--stride", 3 * SIZE * SCALE),
            *("--workers", workers),
        )
    if val_hr is not None and val_lr is not None:
        out = work / "real pairs"
        sdflow(
            *("import-pairs", "--hr", val_hr, "--lr", val_lr, "--out", out),
            *("--patch-size", SIZE * SCALE, "--workers", workers),
        )
        cases["real pairs"] = Case(
            {"realistic?": "yes", "random?": UNTOLD, "diverse?": "yes", "degraded?": "yes"}, real=lr
        )
        cases["real pairs, nothing to hold against"] = Case({"realistic?": UNTOLD, "random?": UNTOLD})
    cases["classical, nothing to hold against"] = Case({"realistic?": UNTOLD, "random?": UNTOLD})
    return cases


def judge(work: Path, name: str, case: Case, classifier: str, workers: int) -> dict[str, Any]:
    """What the command line says of a set, and whether it may."""
    said = work / f"{name}.json"
    said.unlink(missing_ok=True)
    arguments: list[Any] = ["inspect", work / name.split(",")[0], "--json", said, "--fail-under", 50]
    arguments += ["--workers", workers]
    if case.real is not None:
        arguments += ["--real", case.real, *_CLASSIFIERS[classifier]]
    gate = sdflow(*arguments, writes=said)
    found = json.loads(said.read_text(encoding="utf-8"))
    answers = {verdict["question"]: verdict["answer"] for verdict in found["verdicts"]}
    because = {verdict["question"]: verdict["because"] for verdict in found["verdicts"]}
    wrong = [question for question, answer in case.answers.items() if answers[question] != answer]
    all_yes = set(answers.values()) == {"yes"}
    named = case.named in " ".join(because.values())
    return {
        "answers": answers,
        "because": because,
        "score": found["score"],
        "gate": gate,
        "classifier": found["classifier_auc"],
        "expected": not wrong and named and (gate == 0) == all_yes,
    }


_CLASSIFIERS = {"none": ["--no-classifier"], "quick": [], "thorough": ["--thorough"]}


def sdflow(*arguments: Any, writes: Path | None = None) -> int:
    """The command line in a process of its own, and its exit status: 0, or 1 where it wrote the file."""
    call = [sys.executable, "-c", "from sdflow_cli.main import main; main()", *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode and not (done.returncode == 1 and writes is not None and writes.exists()):
        raise click.ClickException(f"{' '.join(call[3:])}: {done.stderr.strip()}")
    return done.returncode


if __name__ == "__main__":
    main()
