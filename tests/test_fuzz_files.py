"""Damaged and hostile datasets, checkpoints and runs: nothing hangs, crashes, exceeds its memory or is a bug.

Seeded mutations of every file that is read, of its bytes and of the values in it: ROUNDS of each of
17 files, 680 by default. Each is read by all that reads such a file. What is refused is refused in
a line; what the readers of a dataset take is what `verify` takes, or it says what is wrong.
"""

import hashlib
import json
import multiprocessing
import queue
import resource
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from calls import PATIENCE, at_most
from factory import QUICK, make, write_picture
from fuzzing import rounds
from laws import SMALLEST, randomise
from small_training import ARCHITECTURE, CONFIG, batch

from sdflow.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow.model import SDFlow
from sdflow.training import Trainer
from sdflow_data.dataset.manifest import read_dataset, read_failures
from sdflow_data.dataset.plan import Plan
from sdflow_data.dataset.reading import PairedShards
from sdflow_data.dataset.verify import verify
from sdflow_data.models.cameras import cameras_of
from sdflow_data.system.processes import worker_context
from sdflow_data.training.metrics_log import MetricsLog
from sdflow_data.training.run_folder import RunFolder, RunState

ROUNDS = rounds(40)
SECONDS, GIBIBYTES = 20, 8  # for one file; torch and its libraries alone map 4

NASTY: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 10**12, 2**63, 10**30, 0.5, 1e308, "", "x", "\0", "a" * 10_000, [], {}),
    *([[]], {"a": None}, "../../etc/passwd", "é\udcff", -0.0, "1", "nan"),
]


WORDS = [0, 1, 2**31, 2**40, 2**63, 2**64 - 1]


def of_bytes(path: Path, random: np.random.Generator) -> None:
    file = bytearray(path.read_bytes())
    for _ in range(int(random.integers(1, 5))):
        place = int(random.integers(max(len(file), 1)))
        kind = int(random.integers(5))
        if kind == 0 and file:
            file[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            file[place : place + 8] = struct.pack("<Q", WORDS[int(random.integers(len(WORDS)))])
        elif kind == 2:
            file[place : place + 8] = random.bytes(8)
        elif kind == 3:
            del file[place : place + int(random.integers(1, 9))]
        elif kind == 4 and random.integers(4) == 0:
            del file[place:]
    path.write_bytes(file)


def edited(values: Any, random: np.random.Generator) -> Any:
    """JSON with one value, somewhere in it, replaced, removed or added."""
    if isinstance(values, (dict, list)) and values and random.integers(8):
        keys = list(values) if isinstance(values, dict) else list(range(len(values)))
        key = keys[int(random.integers(len(keys)))]
        if random.integers(6) == 0:
            del values[key]
        else:
            values[key] = edited(values[key], random)
        return values
    return NASTY[int(random.integers(len(NASTY)))]


def of_json(path: Path, random: np.random.Generator) -> None:
    path.write_text(json.dumps(edited(json.loads(path.read_text()), random)))


def of_table(path: Path, random: np.random.Generator) -> None:
    """A column of a Parquet file: its values, its type, its name; or its rows."""
    metadata = pq.read_schema(path).metadata
    table = pd.read_parquet(path)
    name = table.columns[int(random.integers(len(table.columns)))]
    column = table[name].astype(object)
    kind = int(random.integers(5))
    if kind == 0:
        table = table.rename(columns={name: "x"}) if random.integers(2) else table.drop(columns=name)
    elif kind == 1:
        table = table.sample(frac=1.5, replace=True, random_state=int(random.integers(2**31)))
    else:
        value: Any = [None, -1, 10**9, 2**62, 0.5, "x", "a" * 300, float("nan")][int(random.integers(8))]
        rows = slice(None) if kind == 2 else [int(random.integers(len(column)))]
        column.iloc[rows] = value
        kinds = {type(each) for each in column}
        table[name] = column if len(kinds - {type(None)}) == 1 else column.astype(str)
    table.to_parquet(path, index=False)
    if metadata and b"recipe" in metadata:  # of a plan
        written = pq.read_table(path)
        recipe = json.loads(metadata[b"recipe"])
        recipe = edited(recipe, random) if kind == 4 else recipe
        pq.write_table(written.replace_schema_metadata({"recipe": json.dumps(recipe)}), path)


def sealed_anew(mutate: Callable[[Path, np.random.Generator], None]) -> Any:
    """The mutation behind the seal of a shard, which is made to fit."""
    return partial(_seal_anew, mutate)


def _seal_anew(mutate: Callable[..., None], path: Path, random: np.random.Generator) -> None:
    mutate(path, random)
    content = path.read_bytes()[512:]
    digest = hashlib.sha256(content).hexdigest()
    seal = f"SDFlow shard, HDF5 from byte 512 of {len(content) + 512}; sha256 of those bytes: {digest}\n"
    path.write_bytes(seal.encode().ljust(512, b"\n") + content)


def of_header(path: Path, random: np.random.Generator) -> None:
    """The JSON that a safetensors file begins with."""
    file = path.read_bytes()
    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    if "__metadata__" in header and random.integers(2):
        run = edited(json.loads(header["__metadata__"]["run"]), random)
        header["__metadata__"]["run"] = json.dumps(run)
    else:
        header = edited(header, random)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + file[8 + size :])


@dataclass(frozen=True)
class Target:
    """A file of a folder, how it is mutated, and what reads it."""

    folder: str
    file: str
    mutate: Callable[[Path, np.random.Generator], None]
    read: Callable[[Path], str]

    def __str__(self) -> str:
        return f"{self.file}-{getattr(self.mutate, '__name__', 'sealed_anew')}"


def read_as_dataset(folder: Path) -> str:
    uses: list[Callable[[], object]] = [
        lambda: list(read_dataset(folder).patches()),
        lambda: [PairedShards(folder)[index] for index in (0, -1)],
        lambda: read_failures(folder),
        lambda: Plan.load(folder),
    ]
    refused = [problem for use in uses if (problem := refusal(use))]
    problems: list[str] = []
    if said := refusal(lambda: problems.extend(verify(folder))):
        problems = [said]
    if any("\n" in problem for problem in problems):
        return f"more than one line: {problems}"
    if refused and not problems:
        return f"refused, but verified: {refused}"
    return "refused" if problems else "taken"


def refusal(use: Callable[[], object]) -> str:
    try:
        use()
    except (SDFlowError, OSError) as error:
        text = str(error)
        assert text and "\n" not in text, text
        return text
    return ""


def read_checkpoint(folder: Path) -> str:
    uses = (load_checkpoint, fingerprint, cameras_of)
    refused = [refusal(partial(use, folder)) for use in uses]
    return "refused" if any(refused) else "taken"


@cache
def a_trainer() -> Trainer:
    """The same for all runs: what one loads is the whole state."""
    return Trainer(ARCHITECTURE, CONFIG)


def read_run(folder: Path) -> str:
    run, trainer = RunFolder(folder), a_trainer()
    uses: list[Callable[[], object]] = [
        lambda: run.check(IDENTITY, resume=True),
        lambda: run.load(trainer.load_state_dict),
        lambda: MetricsLog(folder / "metrics.csv", folder / "tensorboard", 3).write(),
    ]
    refused = [refusal(use) for use in uses]
    if refused[1] or trainer.step(*batch(0), 0.5) is not None:
        return "refused" if any(refused) else "taken"
    return "taken"  # huge weights: steps that are not finite change nothing


IDENTITY = {"batch_size": 8, "training": {"seed": 0, "rate": 0.5, "terms": {"cycle": 1.0}}}

TARGETS = [
    *(Target("dataset", "dataset.json", mutate, read_as_dataset) for mutate in (of_bytes, of_json)),
    *(Target("dataset", "manifest.parquet", mutate, read_as_dataset) for mutate in (of_bytes, of_table)),
    *(Target("dataset", "plan.parquet", mutate, read_as_dataset) for mutate in (of_bytes, of_table)),
    Target("dataset", "failures.csv", of_bytes, read_as_dataset),
    Target("dataset", "shards/000001.h5", of_bytes, read_as_dataset),
    Target("dataset", "shards/000001.h5", sealed_anew(of_bytes), read_as_dataset),
    *(Target("checkpoint", "model.json", mutate, read_checkpoint) for mutate in (of_bytes, of_json)),
    *(Target("checkpoint", "model.safetensors", mutate, read_checkpoint) for mutate in (of_bytes, of_header)),
    *(Target("run", "run.json", mutate, read_run) for mutate in (of_bytes, of_json)),
    *(Target("run", "state.safetensors", mutate, read_run) for mutate in (of_bytes, of_header)),
    Target("run", "metrics.csv", of_bytes, read_run),
]


def write_originals(root: Path) -> None:
    for seed in range(2):
        write_picture(root / "hr" / f"{seed}.png", seed, height=16)
    make(root / "hr", root / "dataset", replace(QUICK, patches_per_shard=3))
    save_checkpoint(root / "checkpoint", randomise(SDFlow(SMALLEST), 1), {"steps": 3, "codec": None})
    run = RunFolder(root / "run")
    run.path.mkdir()
    run.claim(IDENTITY)
    trainer = Trainer(ARCHITECTURE, CONFIG)
    trainer.step(*batch(0), 0.0)
    run.save(RunState(step=1, seconds=2.5), trainer, {})
    (run.path / "metrics.csv").write_text("step,seconds,cycle\n1,0.5,0.25\n2,1,\n3,1.5,0.125\n")


def fuzz(originals: Path, work: Path, seeds: range, results: "multiprocessing.Queue[str]") -> None:
    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES << 30, GIBIBYTES << 30))

    for seed in seeds:
        target = TARGETS[seed // ROUNDS]
        folder = work / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(originals / target.folder, folder)
        target.mutate(folder / target.file, np.random.default_rng(seed))
        if (info := folder / "dataset.json").exists() and target.file != "dataset.json":
            values = json.loads(info.read_text())  # checksums that fit
            values["files"] |= {name: sha256_file(folder / name) for name in values["files"]}
            info.write_text(json.dumps(values))
        try:
            with at_most(SECONDS):
                result = target.read(folder)
        except BaseException as error:
            result = f"raised {error!r:.500}"
        results.put(result)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of all targets, as they are before any mutation; all that reads them takes them."""
    root = tmp_path_factory.mktemp("originals")
    write_originals(root)
    for target in {target.folder: target for target in TARGETS}.values():
        assert target.read(root / target.folder) == "taken"
    return root


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(TARGETS)), ids=map(str, TARGETS))
def test_no_mutation_hangs_crashes_or_is_a_bug(number: int, originals: Path, tmp_path: Path) -> None:
    context = worker_context()
    counts, wrong = Counter[str](), []
    seeds = range(number * ROUNDS, (number + 1) * ROUNDS)
    while seeds:
        results = context.Queue()
        process = context.Process(target=fuzz, args=(originals, tmp_path, seeds, results))
        process.start()
        died = False
        while seeds and not died:
            try:
                result = results.get(timeout=1 if process.exitcode else PATIENCE)
            except queue.Empty:
                died, result = True, f"the process ended with {process.exitcode}"
            counts[f"{result:.20}"] += 1
            if result not in ("taken", "refused"):
                wrong.append((seeds[0], result))
            seeds = seeds[1:]
        process.kill() if died else process.join()
    print(counts)
    assert wrong == []
