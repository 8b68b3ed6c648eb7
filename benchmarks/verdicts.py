"""The verdicts of ``sdflow inspect`` on datasets that are known to be good, or bad in one way.

    python benchmarks/verdicts.py --hr train_hr --work runs/verdicts
    python benchmarks/verdicts.py --hr train_hr --lr train_lr --val-hr val_hr --val-lr val_lr \
        --model city100-nikon-x2 --work runs/verdicts

Half of the photographs in --hr become HR. The others become real photographs, by a simulated camera whose
noise grows with brightness. With --lr, real photographs of a camera, there are more datasets: bicubic,
classical, those of models, and with --val-hr and --val-lr real pairs. Datasets that exist in --work are kept.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from results import json_option, record  # type: ignore[import-not-found]
from sdflow_cli.main import main as command_line  # type: ignore[import-not-found, unused-ignore]

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
UNANSWERED = "cannot be told"

Degrade = Callable[[np.ndarray, int, int], np.ndarray]
"""A photograph, its number and the number of the variant to LR, grey levels."""


@dataclass(frozen=True)
class Expected:
    """The expected verdicts on a dataset.

    Attributes:
        answers: the answers by question. Other questions may have any answer.
        named: a text that the evidence must contain.
        real: the photographs to compare with; None for none.
    """

    answers: Mapping[str, str]
    named: str = ""
    real: Path | None = None


def camera(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """The simulated camera."""
    return CAMERA(photo, 1000 * number + variant).astype(np.float32)


def collapsed(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """Bicubic LR with almost no noise."""
    low = bicubic_patches(photo[None], len(photo) // SCALE)[0]
    return low + np.random.default_rng([number, variant]).normal(0, 0.2, low.shape)


def misaligned(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """The camera, shifted by half an LR pixel to the right."""
    return camera(np.roll(photo, 1, axis=1), number, variant)


def grid_of_colours(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """The camera, with colour differences that correlate on even rows and anticorrelate on odd rows."""
    low = camera(photo, number, variant)
    first = np.random.default_rng([number, variant]).normal(0, 3, (*low.shape[:2], 1))
    sign = np.where(np.arange(len(low)) % 2 == 0, 1, -1)[:, None, None]
    return low + first * [1, 0, -1] + sign * first * [0.5, -1, 0.5]


def wrong_places(photo: np.ndarray, number: int, variant: int) -> np.ndarray:
    """Noise like the camera's, but with the strength of another place in the picture."""
    clean, seed = CAMERA.noise_free(photo).astype(np.float32), 1000 * number + variant
    strength = CAMERA.strength_of(seed) * CAMERA.noise_std(clean)
    return clean + np.roll(strength, (37, 53), (0, 1)) * np.random.default_rng(seed).normal(size=clean.shape)


MADE: dict[str, tuple[Degrade, int, Expected]] = {
    "the camera itself": (camera, VARIANTS, Expected(GOOD)),
    "a single variant": (camera, 1, Expected(GOOD | {"random?": UNANSWERED}, "single")),
    "collapsed": (
        collapsed,
        VARIANTS,
        Expected(dict.fromkeys(("realistic?", "random?", "degraded?"), "no"), "collapsed"),
    ),
    "the same noise in all variants": (
        lambda photo, number, _: camera(photo, number, 0),
        VARIANTS,
        Expected(GOOD | {"random?": "no", "diverse?": "no"}),
    ),
    "shifted colours": (
        lambda photo, number, variant: camera(photo, number, variant) + np.array([4, 0, -4], np.float32),
        VARIANTS,
        Expected(GOOD | {"colour-true?": "no"}),
    ),
    "misaligned": (misaligned, VARIANTS, Expected(GOOD | {"aligned?": "no"})),
    "a 2x2 grid in colours": (grid_of_colours, VARIANTS, Expected({"realistic?": "no"}, "colour_grid")),
    "noise at the wrong places": (wrong_places, VARIANTS, Expected({"realistic?": "no"}, "noise_on_")),
}


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="HR photographs.")
@click.option("--lr", type=click.Path(exists=True, path_type=Path), help="A camera's LR photographs.")
@click.option("--val-hr", type=click.Path(exists=True, path_type=Path), help="HR of aligned pairs.")
@click.option("--val-lr", type=click.Path(exists=True, path_type=Path), help="Real LR of the same scenes.")
@click.option("--model", "models", multiple=True, help="Trained models of that camera, of scale 2.")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="The folder of the datasets.")
@click.option(
    "--patches", default=6, show_default=True, help="Patches of each photograph, in the simulated datasets."
)
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
    """Print the verdicts on each dataset, and whether they are as expected."""
    cases = simulated(hr, work, patches)
    if lr is not None:
        cases |= of_the_camera(hr, lr, val_hr, val_lr, models, work, workers)
    print(f"| set | {' | '.join(QUESTIONS)} | score | --fail-under 50 | as expected |")
    print("|---" * (len(QUESTIONS) + 4) + "|", flush=True)
    found_for = {}
    for name, case in cases.items():
        found = found_for[name] = inspected(work, name, case, classifier, workers)
        answers = [found["answers"][question] for question in QUESTIONS]
        gate = "closed" if found["gate"] else "open"
        cells = [*answers, f"{found['score']:.0f}", gate, "yes" if found["expected"] else "**no**"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for name, found in found_for.items():
        print(f"\n{name}: {found['because']['realistic?']}")
    record(found_for)


def simulated(hr: Path, work: Path, patches: int) -> dict[str, Expected]:
    """The datasets of the simulated camera. Missing ones are made."""
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
    """The largest centre square of a picture whose side is a multiple of the patch size."""
    picture = read_picture(path)
    unit = SIZE * SCALE
    side = min(picture.shape[:2]) // unit * unit
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def write_set(
    folder: Path, photographs: Sequence[Path], degrade: Degrade, variants: int, patches: int
) -> None:
    """Write a dataset with one shard per photograph."""
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
) -> dict[str, Expected]:
    """The datasets for the camera of --lr. Missing ones are made by the command line."""
    bad = dict.fromkeys(("realistic?", "degraded?"), "no")
    sane = dict.fromkeys(("diverse?", "aligned?", "colour-true?", "degraded?"), "yes")
    cases = {"bicubic": Expected(bad, real=lr), "classical": Expected({"realistic?": "no"}, real=lr)}
    cases |= {Path(model).name: Expected(sane, real=lr) for model in models}
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
        cases["real pairs"] = Expected(
            {"realistic?": "yes", "random?": UNANSWERED, "diverse?": "yes", "degraded?": "yes"}, real=lr
        )
        cases["real pairs, nothing to hold against"] = Expected(
            {"realistic?": UNANSWERED, "random?": UNANSWERED}
        )
    cases["classical, nothing to hold against"] = Expected({"realistic?": UNANSWERED, "random?": UNANSWERED})
    return cases


def inspected(work: Path, name: str, case: Expected, classifier: str, workers: int) -> dict[str, Any]:
    """The verdicts of the command line on a dataset, and whether they are as expected."""
    path = work / f"{name}.json"
    path.unlink(missing_ok=True)
    arguments: list[Any] = ["inspect", work / name.split(",")[0], "--json", path, "--fail-under", 50]
    arguments += ["--workers", workers]
    if case.real is not None:
        arguments += ["--real", case.real, *_CLASSIFIERS[classifier]]
    gate = sdflow(*arguments, writes=path)
    found = json.loads(path.read_text(encoding="utf-8"))
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
    """Run the command line. Its exit status must be 0, or 1 if it has written the file."""
    words, errors = list(map(str, arguments)), io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            command_line(words)
    except SystemExit as ended:
        if ended.code == 0:
            return 0
        if ended.code == 1 and writes is not None and writes.exists():
            return 1
    raise click.ClickException(f"{' '.join(words)}: {errors.getvalue().strip()}")


if __name__ == "__main__":
    main()
