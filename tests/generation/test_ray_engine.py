"""The Ray engine on a real cluster of this machine: several worker processes, one of which is killed."""

import os
import signal
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from factory import QUICK, files_of, make, write_pictures

from sdflow.errors import SDFlowError
from sdflow_data.generation.engines import Made
from sdflow_data.generation.engines.ray import RayEngine
from sdflow_data.generation.run import generate
from sdflow_data.generation.shard_maker import GenerationJob, ShardTask

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


def actors() -> list[int]:
    """The process numbers of the actors below this process."""
    parents, names = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            parents[int(status.parent.name)] = int(fields["PPid"])
            names[int(status.parent.name)] = (status.parent / "cmdline").read_text()
        except (OSError, KeyError):  # it has just ended
            continue

    def is_ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return [process for process, name in names.items() if name.startswith("ray::_Actor") and is_ours(process)]


class KillingOne(RayEngine):
    """Kills one of its workers when the first shard is made."""

    killed = 0

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        for made in super().run(job, tasks):
            if not self.killed:
                self.killed = actors()[0]
                os.kill(self.killed, signal.SIGKILL)
            yield made


class LosingTheModel(RayEngine):
    """Asks for a model that no worker finds."""

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        yield from super().run(GenerationJob(job.folder, "lost", job.recipe), tasks)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds its workers in Linux's /proc")
def test_the_dataset_is_that_of_the_other_engines_though_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hr = write_pictures(tmp_path / "hr", range(6))
    make(hr, tmp_path / "expected")
    monkeypatch.chdir(tmp_path)  # workers do not share the working directory
    engine = KillingOne(workers=2)
    generate(QUICK, [Path("hr")], Path("out"), engine)
    assert engine.killed
    assert files_of(tmp_path / "out") == files_of(tmp_path / "expected")


@pytest.mark.slow
def test_an_error_in_a_worker_ends_the_run_by_its_own_name(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr", range(1))
    with pytest.raises(SDFlowError, match=r"model: expected a checkpoint.* found lost"):
        generate(QUICK, [hr], tmp_path / "out", LosingTheModel(workers=1))
    assert not ray.is_initialized()
