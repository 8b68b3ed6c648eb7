"""The local engine: real worker processes, which may die, and which never show in a sample."""

import multiprocessing
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from factory import QUICK, files_of, make, write_pictures

from sdflow.errors import SDFlowError
from sdflow.files import WriteError
from sdflow_data.generation.engines import Made
from sdflow_data.generation.engines.local import LocalEngine
from sdflow_data.generation.run import generate
from sdflow_data.generation.shard_maker import GenerationJob, ShardTask


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


@pytest.fixture
def expected(hr: Path, tmp_path: Path) -> dict[str, bytes]:
    make(hr, tmp_path / "expected")
    return files_of(tmp_path / "expected")


class Killing(LocalEngine):
    """Kills a worker whenever something was made, ``kills`` times in all."""

    def __init__(self, workers: int, kills: int) -> None:
        super().__init__(workers)
        self.kills = kills

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        for made in super().run(job, tasks):
            if self.kills and not made.whole:
                self.kills -= 1
                multiprocessing.active_children()[0].kill()
            yield made


def test_two_workers_make_the_same_dataset_as_none(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    generate(QUICK, [hr], tmp_path / "out", LocalEngine(2))
    assert files_of(tmp_path / "out") == expected


def test_a_trained_model_gives_the_same_dataset_with_any_number_of_workers(
    hr: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    request = replace(QUICK, model=str(tiny_checkpoint), scale=None, device="cpu", precision="fp32")
    make(hr, tmp_path / "expected", request)
    generate(request, [hr], tmp_path / "out", LocalEngine(2))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "expected")


def test_the_shard_of_a_killed_worker_is_made_by_another(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    engine = Killing(workers=1, kills=1)
    generate(QUICK, [hr], tmp_path / "out", engine)
    assert engine.kills == 0
    assert files_of(tmp_path / "out") == expected


def test_workers_that_keep_dying_end_the_run_and_finished_shards_stay(hr: Path, tmp_path: Path) -> None:
    make(hr, tmp_path / "out", shards=range(0, 2))
    finished = files_of(tmp_path / "out")
    with pytest.raises(SDFlowError, match=r"2 workers died over shard 2 \(exit status -9"):
        generate(QUICK, [hr], tmp_path / "out", Killing(workers=1, kills=99))
    assert files_of(tmp_path / "out").items() >= finished.items()


def test_an_error_in_a_worker_ends_the_run_by_its_own_name_and_stops_the_workers(
    hr: Path, tmp_path: Path
) -> None:
    class Breaking(LocalEngine):
        def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
            (job.folder / "shards").rmdir()
            (job.folder / "shards").write_text("in the way")
            yield from super().run(job, tasks)

    with pytest.raises(WriteError, match="Not a directory"):
        generate(QUICK, [hr], tmp_path / "out", Breaking(1))
    assert multiprocessing.active_children() == []


def test_a_model_that_cannot_be_loaded_by_a_worker_ends_the_run(hr: Path, tmp_path: Path) -> None:
    class Losing(LocalEngine):
        def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
            yield from super().run(replace(job, model="lost"), tasks)

    with pytest.raises(SDFlowError, match=r"model: expected a checkpoint.* found lost"):
        generate(QUICK, [hr], tmp_path / "out", Losing(1))


def test_closing_a_run_stops_its_workers_at_once(hr: Path, tmp_path: Path) -> None:
    class Interrupted(LocalEngine):
        def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
            for made in super().run(job, tasks):
                yield made
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(QUICK, [hr], tmp_path / "out", Interrupted(2))
    start = time.monotonic()
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 1


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(SDFlowError, match="workers: expected at least 1, found 0"):
        LocalEngine(0)
