"""Generation of a dataset of LR/HR pairs from HR folders.

    scan -> plan.parquet -> shards -> manifest.parquet -> failures.csv -> dataset.json

After any interruption the same call continues from the last finished shard. A later call with more pictures
appends their samples. All randomness comes from the seed of the recipe and the identity of each sample.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.wording import counted

from ..dataset.manifest import INFO
from ..dataset.plan import Plan, locate, scan
from ..dataset.provenance import UNSAID, Provenance
from ..dataset.recipe import PatchGrid, Recipe, Sampling
from ..dataset.shards import ShardReader, is_whole, shard_path
from ..images.codec import CODEC_LIBRARY, parse_codec
from ..models.degraders import Degrader, component_weights, load_degrader
from ..models.registry import HAND_MADE, anywhere
from ..statistics import CHEAP_COLUMNS
from ..system.devices import choose_device, choose_precision
from ..system.folders import check_outside, resolved
from ..system.lock import OutputLock
from ..system.progress import progress
from .engines import Engine
from .folder import Outcome, check_claimable, failures_of_made, finish, store_plan
from .shard_maker import GenerationJob, ShardTask


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """The settings of a generation.

    Attributes:
        model: a checkpoint, a run of training, or the name of a built-in model.
        scale: the scale of the hand-made degraders, None for 4; a trained model has its own.
        patch_size: P, the side of an HR patch.
        stride: the distance between patches in HR pixels; None for P.
        variants: LR samples per patch.
        temperature: the temperature of the latent noise; 0 gives the mean.
        components: the mixture components to draw from; empty for all.
        weights: probabilities of the components in place of ``components``, with sum 1; see
            `likeness.likeness`.
        seed: the seed of the run.
        device, precision: device of the model and precision of its networks. "auto" chooses the best, or the
            setting of a dataset that is continued.
        codec: the compression of samples, see `codec.parse_codec`.
        ranges: strengths of the classical degrader, a `Ranges`; empty for the default.
        patches_per_shard: the most patches in a shard. A crash loses at most the current shard of each
            worker.
        provenance: licences and sources of the photographs. Missing statements are taken from a
            croissant.json beside them.
    """

    model: str
    scale: int | None = None
    patch_size: int = 256
    stride: int | None = None
    variants: int = 4
    temperature: float = 1.0
    components: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    codec: str = "camera"
    ranges: tuple[float, ...] = ()
    patches_per_shard: int = 128
    provenance: Provenance = UNSAID

    def recipe(self, begun: Recipe | None) -> Recipe:
        """The recipe of the request.

        Args:
            begun: the recipe of the dataset that is continued; None for a new dataset.

        Raises:
            SDFlowError: the model cannot be loaded, or a setting does not fit it.
        """
        sampling = None if begun is None else begun.sampling
        device = self._device(sampling)
        precision = self._precision(sampling, device)
        degrader = load_degrader(self.model, self.scale, device, precision, self.ranges)
        if self.patch_size % degrader.multiple or self.patch_size < 2 * degrader.multiple:
            raise ArgumentError(
                "patch_size",
                f"expected a multiple of {degrader.multiple} from {2 * degrader.multiple} up, "
                f"for {self.model} at scale {degrader.scale}, found {self.patch_size}",
            )
        component_weights(degrader, self.components)  # refuses unknown components
        if self.weights and (self.components or len(self.weights) != len(degrader.shares)):
            raise ValueError(
                f"weights: expected {len(degrader.shares)} alone, got {len(self.weights)} and components"
            )
        codec = self._codec_name(degrader)
        return Recipe(
            model=resolved(Path(self.model)).name,
            model_hash=degrader.fingerprint,
            grid=PatchGrid(
                scale=degrader.scale,
                patch_size=self.patch_size,
                stride=self.patch_size if self.stride is None else self.stride,
                variants=self.variants,
                patches_per_shard=self.patches_per_shard,
            ),
            sampling=Sampling(
                temperature=self.temperature,
                components=tuple(sorted(set(self.components))),
                weights=self.weights,
                seed=self.seed,
                device=device,
                precision=precision,
                codec=codec,
                codec_library="" if codec == "none" else CODEC_LIBRARY,
                ranges=self.ranges,
            ),
        )

    def _codec_name(self, degrader: Degrader) -> str:
        """The canonical name of the codec."""
        try:
            given = parse_codec(self.codec)
        except ValueError as error:
            raise ArgumentError("codec", str(error)) from error
        codecs = degrader.codecs if given is None else (given,)
        if all(codec.lossless for codec in codecs):
            return "none"
        return "camera" if given is None else str(given.entries[0][0])

    def _device(self, begun: Sampling | None) -> str:
        if self.model in HAND_MADE:
            return "cpu"
        return choose_device(begun.device if begun and self.device == "auto" else self.device)

    def _precision(self, begun: Sampling | None, device: str) -> str:
        if self.model in HAND_MADE:
            return "fp32"
        precision = begun.precision if begun and self.precision == "auto" else self.precision
        return choose_precision(precision, device)


def generate(
    request: GenerationRequest,
    hr_folders: Sequence[Path],
    out: Path,
    engine: Engine,
    shards: range | None = None,
) -> Outcome:
    """Make a dataset, or continue one.

    Args:
        request: the settings.
        hr_folders: folders of HR pictures.
        out: the folder of the dataset: new, empty, or begun with the same request.
        engine: runs the workers.
        shards: the shards to make; None for all. Calls on several machines can share one plan. The call that
            makes the last shard finishes the dataset.

    Raises:
        SDFlowError: a setting is wrong, no picture is usable, or the output folder has other contents or is
            in use. Finished shards stay, and the same call continues from there.
    """
    check_outside(out, hr_folders)
    provenance = request.provenance.or_else(Provenance.beside(hr_folders))
    begun = Plan.load(out)
    recipe, model = request.recipe(None if begun is None else begun.recipe), anywhere(request.model)
    with OutputLock(out, shards) as lock:
        with lock.plan():
            check_claimable(out)
            if begun is None and (now := Plan.load(out)) is not None:
                recipe = request.recipe(now.recipe)  # another call has begun it meanwhile and chosen "auto"
            was_whole = (out / INFO).exists()
            plan, paths = _plan(recipe, hr_folders, out, shards)
            if shards is not None and shards.start >= plan.shards:
                raise ArgumentError(
                    "shards", f"expected some of the plan's {plan.shards}, found {shards.start}:{shards.stop}"
                )
        # Only this call makes these shards, so this needs no lock.
        todo = _unfinished(plan, paths, out, shards, was_whole)
        if todo:
            with lock.plan():
                (out / INFO).unlink(missing_ok=True)
                (out / "shards").mkdir(exist_ok=True)
                for number in todo:  # so that no other call counts them as finished
                    shard_path(out, number).unlink(missing_ok=True)
            _make(engine, GenerationJob(out.absolute(), model, plan.recipe), plan, todo, paths)
        with lock.plan():
            info = _finish(plan, out, provenance, all_are_made=shards is None)
    if info is not None:
        return Outcome(info, plan.patches, info["counts"]["patches"], len(plan.skipped))
    numbers = _shard_numbers(plan, shards)
    planned = sum(len(cut) for number in numbers for cut in plan.shard(number))
    return Outcome(None, planned, sum(_patches(out, number) for number in numbers), len(plan.skipped))


def _plan(
    recipe: Recipe, folders: Sequence[Path], out: Path, shards: range | None
) -> tuple[Plan, dict[str, Path]]:
    """Update and store the plan; returns it, and the paths of its pictures by SHA-256."""
    begun = Plan.load(out)
    if begun is not None:
        begun.recipe.check_same(out, recipe)
        if shards is not None:
            needed = {cut.picture for number in _shard_numbers(begun, shards) for cut in begun.shard(number)}
            return begun, locate(sorted(needed), folders)
    found, failures = scan(folders)
    plan = (begun or Plan(recipe)).extended(found, failures)
    if not plan.pictures:
        first = plan.skipped[0]
        raise SDFlowError(
            f"{folders[0]}: expected usable pictures, found none in {counted(len(plan.skipped), 'file')}; "
            f"for instance {first.source}: {first.reason}"
        )
    store_plan(out, plan, begun)
    return plan, {picture.sha256: picture.path for picture in found}


def _unfinished(
    plan: Plan, paths: dict[str, Path], out: Path, shards: range | None, was_whole: bool
) -> list[int]:
    """The shards to make: missing ones, and those with failures that may succeed now.

    A shard with failures is remade only if all its pictures (``paths``) still exist. Otherwise its samples
    would be lost. Every byte of a shard is checked, unless the dataset ``was_whole`` before: its shards were
    checked then, and a quick check is enough.
    """

    def is_finished(number: int) -> bool:
        failures = failures_of_made(out, plan, number, CHEAP_COLUMNS, trusted=was_whole)
        return failures is not None and (
            not failures or any(cut.picture.sha256 not in paths for cut in plan.shard(number))
        )

    candidates = progress(_shard_numbers(plan, shards), "looking for finished shards", "shards")
    return [number for number in candidates if not is_finished(number)]


def _shard_numbers(plan: Plan, shards: range | None) -> range:
    """The shards that this call makes."""
    return range(plan.shards) if shards is None else range(shards.start, min(shards.stop, plan.shards))


def _patches(out: Path, number: int) -> int:
    with ShardReader(shard_path(out, number)) as shard:
        return len(shard)


def _make(
    engine: Engine, job: GenerationJob, plan: Plan, shards: Sequence[int], paths: dict[str, Path]
) -> None:
    """Make shards, with a progress bar."""
    tasks = []
    for number in shards:
        cuts = plan.shard(number)
        needed = paths.keys() & {cut.picture.sha256 for cut in cuts}
        tasks.append(ShardTask(number, cuts, {sha256: paths[sha256].absolute() for sha256 in needed}))
    left = {task.number: sum(map(len, task.cuts)) for task in tasks}
    bar = progress(sum(left.values()), "making pairs", "patches")
    with bar, closing(engine.run(job, tasks)) as run:
        for made in run:
            count = left[made.number] if made.whole else min(1, left[made.number])
            left[made.number] -= count  # a repeated task reports its patches again, but they count once
            bar.update(count)


def _finish(plan: Plan, out: Path, provenance: Provenance, all_are_made: bool) -> dict[str, Any] | None:
    """Finish the dataset if all shards exist; returns the contents of dataset.json, or None if not."""
    if not all_are_made and not (out / INFO).exists():
        paths = [shard_path(out, number) for number in range(plan.shards)]
        if not all(path.exists() for path in paths):
            return None
        for path in progress(paths, "checking all shards", "shards"):
            if not is_whole(path):
                raise SDFlowError(
                    f"{path}: expected a whole shard, found a damaged one; delete it and run its call again"
                )
    return finish(out, plan, provenance)
