"""Worker processes on a Ray cluster. All nodes share the file system and have this package installed."""

import logging
from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import Any

from sdflow.errors import SDFlowError

from ..shard_maker import GenerationJob, ShardMaker, ShardTask
from . import ATTEMPTS, Made, worker_died


class RayEngine:
    """Runs tasks in Ray actors. An actor loads the degrader once.

    Args:
        address: the address of a running cluster for ``ray.init``; None starts one on this machine.
        workers: the number of actors, each with one core, and one GPU if the model runs on GPUs; None for as
            many as fit the cluster.

    Raises:
        SDFlowError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise SDFlowError(
                "expected the package ray for the Ray engine, found none; install it with `pip install ray`"
            ) from error
        self._ray, self._address, self._workers = ray, address, workers

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        """See `Engine.run`. It reports only whole shards."""
        ray = self._ray
        gpus = int(job.sampling.device == "cuda")
        actor_class = ray.remote(num_cpus=1, num_gpus=gpus)(_Actor)
        waiting, deaths = deque(tasks), Counter[int]()
        running: dict[Any, tuple[Any, ShardTask]] = {}  # actor and task, by the reference to the result

        def give(actor: Any) -> None:
            task = waiting.popleft()
            running[actor.make.remote(task)] = actor, task

        self._connect()
        try:
            room = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1))
            for _ in range(min(self._workers or room, len(tasks))):
                give(actor_class.remote(job))
            while running:
                [result], _ = ray.wait(list(running))
                actor, task = running.pop(result)
                try:
                    ray.get(result)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                    deaths[task.number] += 1
                    if deaths[task.number] == ATTEMPTS:
                        raise worker_died(task.number, type(error).__name__) from error
                    ray.kill(actor)  # it may only be unreachable, and must not continue
                    waiting.appendleft(task)
                    give(actor_class.remote(job))
                    continue
                if waiting:
                    give(actor)
                yield Made(task.number, whole=True)
        finally:
            for actor, _ in running.values():
                ray.kill(actor)
            ray.shutdown()

    def _connect(self) -> None:
        here: dict[str, Any] = {"num_cpus": self._workers, "include_dashboard": False}
        self._ray.init(
            address=self._address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if self._address else here),
        )


class _Actor:
    """An actor. It loads the degrader with its first task, so that a failure is reported for this task."""

    def __init__(self, job: GenerationJob) -> None:
        self._job = job
        self._maker: ShardMaker | None = None

    def make(self, task: ShardTask) -> None:
        if self._maker is None:
            self._maker = ShardMaker(self._job)
        self._maker.make(task)
