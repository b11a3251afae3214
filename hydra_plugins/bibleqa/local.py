"""`hydra/launcher=local`: the jobs of a sweep in processes of this machine, so many at a time.

A process that dies takes its own job with it and no other: the next job gets a new one.
"""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from threading import Event, Lock

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bibleqa.sweeps import worker

_Job = tuple[int, Sequence[str]]
"""Number and overrides."""


@dataclass
class LocalConf:
    """Keys of `hydra.launcher`."""

    _target_: str = "hydra_plugins.bibleqa.local.LocalLauncher"
    n_jobs: int = 1
    """Processes, each with one job at a time and models of its own."""


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalConf, provider="bibleqa")


class LocalLauncher(Launcher):
    """Runs jobs in processes that live for many jobs: DSPy, MLflow and an embedded model are loaded once in each."""

    def __init__(self, n_jobs: int):
        self._n_jobs = n_jobs
        self._stopping = Event()
        self._workers: set[int] = set()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra: what is to be run."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra: run these jobs; what became of each, in their order."""
        import cloudpickle

        setup_globals()
        # The task function is one of __main__, which a new process has under another name.
        carried = cloudpickle.dumps((self._context, self._task, self._config, Singleton.get_state()))
        returned: dict[int, JobReturn] = {}
        waiting = iter(enumerate(job_overrides, initial_job_idx))
        lock = Lock()

        def next_job() -> _Job | None:
            with lock:
                return None if self._stopping.is_set() else next(waiting, None)

        slots = min(self._n_jobs, len(job_overrides))
        with ThreadPoolExecutor(slots or 1) as threads:
            at_work = [threads.submit(self._slot, next_job, carried, returned) for _ in range(slots)]
            try:
                wait(at_work)
            except KeyboardInterrupt:
                self._stop(signal.SIGINT)  # each run writes down what it has
                try:
                    wait(at_work)
                except KeyboardInterrupt:
                    self._stop(signal.SIGTERM)
                raise
        for slot in at_work:
            slot.result()
        return [returned[index] for index in range(initial_job_idx, initial_job_idx + len(job_overrides))]

    def _slot(self, next_job: Callable[[], _Job | None], carried: bytes, returned: dict[int, JobReturn]) -> None:
        """One process after the other, as long as there are jobs."""
        while job := next_job():
            with ProcessPoolExecutor(1, get_context("spawn"), worker.begin, (carried,)) as process:
                pid, index = 0, job[0]
                try:
                    pid = process.submit(os.getpid).result()
                    self._workers.add(pid)
                    while job:
                        index, overrides = job
                        returned[index] = process.submit(worker.run, index, list(overrides)).result()
                        job = next_job()
                except BrokenProcessPool:
                    returned[index] = worker.failed(
                        "its process was killed; if nobody did it, memory ran out: a lower n_jobs may help"
                    )
                except KeyboardInterrupt:
                    returned[index] = worker.failed("interrupted")
                finally:
                    self._workers.discard(pid)

    def _stop(self, how: signal.Signals) -> None:
        self._stopping.set()
        if os.name != "nt":  # there Ctrl-C has reached them all
            for pid in list(self._workers):
                os.kill(pid, how)
