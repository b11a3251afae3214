"""`hydra/launcher=ray`: the jobs of a sweep as tasks of Ray, for sweeps that outgrow one machine.

    python run.py -m optimizer=none,bootstrap hydra/launcher=ray
    python run.py -m … hydra/launcher=ray hydra.launcher.address=auto hydra.launcher.env=[OPENAI_API_KEY]

A sweep is started on a node of the cluster, and every node has bibleqa installed, with the same versions. A run folder
is written by the node that does the run, under the path that it has where the sweep was started: share the project
folder among the nodes, or collect the runs on a tracking server (tracking=server). What a config takes from the
environment it takes where the sweep was started; keys travel by the names in `hydra.launcher.env`, or stand in the
.env of a shared project folder. A cluster that asks for a token: RAY_AUTH_MODE=token, as anywhere with Ray.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from bibleqa import paths
from bibleqa.errors import ConfigError
from bibleqa.sweeps import worker

_GLANCE = 2.0
"""Seconds between two looks at the cluster while jobs run."""
_LAST_WORDS = 30.0
"""Seconds that interrupted runs have to write down what they have."""
_STORE = 100_000_000
"""Bytes that jobs share: no more than configs pass through it, and Ray would take a third of the memory."""
_PROBE = """
import sys, ray
try:
    ray.init(sys.argv[1], logging_level="ERROR", log_to_driver=False)
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""


@dataclass
class RayConf:
    """Keys of `hydra.launcher`."""

    _target_: str = "hydra_plugins.bibleqa.ray.RayLauncher"
    address: str | None = None
    """Of a cluster: `auto` for the one that this machine is a node of, or host:port of its head; None: a Ray of the
    sweep's own on this machine."""
    num_cpus: float = 1.0
    """That a job takes; 0.25 suits jobs that wait for a remote model."""
    num_gpus: float = 0.0
    """That a job takes; without, it sees none."""
    env: list[str] = field(default_factory=list)
    """Names of environment variables whose values the jobs get."""
    connect_seconds: int = 30
    """How long to wait for a cluster that does not answer or has no node for the jobs."""


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConf, provider="bibleqa")


class RayLauncher(Launcher):
    """Runs each job as one task: Ray says where and when, and a job whose node dies is reported, not run again."""

    def __init__(self, address: str | None, num_cpus: float, num_gpus: float, env: Sequence[str], connect_seconds: int):
        self._address = address
        self._num_cpus = num_cpus
        self._num_gpus = num_gpus
        self._env = env
        self._patience = connect_seconds

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra: what is to be run."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def check(self) -> None:
        """See that jobs could be run, before a sweep begins.

        Raises:
            ConfigError: There is no Ray or no cluster, or a variable of `env` is not set.
        """
        self._variables()
        try:
            import ray  # noqa: F401
        except ImportError:
            raise ConfigError('hydra/launcher=ray needs Ray: pip install -c constraints.txt -e ".[ray]"') from None
        if self._address:
            self._probe(self._address)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra: run these jobs; what became of each, in their order."""
        setup_globals()
        OmegaConf.select(self._config, "hydra.sweep.dir")  # so that ${now:} is the same for all jobs
        carried = (self._context, self._task, Singleton.get_state(), os.getcwd(), self._variables())
        jobs = [self._compose(overrides, index) for index, overrides in enumerate(job_overrides, initial_job_idx)]
        self._connect()
        import ray

        try:
            try:
                task = ray.remote(num_cpus=self._num_cpus, num_gpus=self._num_gpus, max_retries=0)(_run)
            except ValueError as error:
                raise ConfigError(f"hydra.launcher: {error}") from None
            shared = ray.put(carried)
            return self._wait([task.remote(shared, job) for job in jobs])
        finally:
            ray.shutdown()

    def _variables(self) -> dict[str, str]:
        if unset := [name for name in self._env if name not in os.environ]:
            raise ConfigError(f"hydra.launcher.env: {', '.join(unset)} is not set here")
        named = {name: os.environ[name] for name in self._env}
        return {**named, "BIBLEQA_PROJECT": str(paths.project()), "HYDRA_FULL_ERROR": "1"}

    def _compose(self, overrides: Sequence[str], index: int) -> DictConfig:
        """A job's config, in which nothing is left that another machine would understand in another way."""
        job = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = index
            job.hydra.sweep.dir = str(Path(job.hydra.sweep.dir).absolute())
            HydraConfig.instance().set_config(job)
            hydra = job.pop("hydra")  # depends on the job's number and folder, which it gets there
            OmegaConf.resolve(job)
            job.hydra = hydra
        return job

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self._address is None:
            ray.init("local", include_dashboard=False, object_store_memory=_STORE, **quiet)
        else:
            ray.init(self._address, **quiet)

    def _probe(self, address: str) -> None:
        """See in a process of its own that there is a cluster: Ray tries for minutes, and then ends the process."""
        try:
            subprocess.run(
                [sys.executable, "-c", _PROBE, address], capture_output=True, check=True, timeout=self._patience
            )
        except subprocess.TimeoutExpired:
            why = f"no Ray has answered in {self._patience} s. Start one with `ray start`, or wait longer with "
            why += "hydra.launcher.connect_seconds. If it asks for a token, set RAY_AUTH_MODE=token"
        except subprocess.CalledProcessError as error:
            why = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        else:
            return
        raise ConfigError(f"hydra.launcher.address={address}: {why}")

    def _wait(self, tasks: list[Any]) -> list[JobReturn]:
        """What became of the tasks; those left when the cluster has gone are given up."""
        import ray

        returned: dict[Any, JobReturn] = {}
        left, well = tasks, time.monotonic()
        try:
            while left:
                done, left = ray.wait(left, timeout=_GLANCE)
                returned |= {task: _returned(task) for task in done}
                trouble = None if done else self._trouble()
                if trouble is None:
                    well = time.monotonic()
                elif time.monotonic() - well > self._patience:
                    returned |= {task: worker.failed(f"was given up: {trouble}") for task in left}
                    break
        except KeyboardInterrupt:
            for task in left:
                ray.cancel(task, force=False)
            ray.wait(left, num_returns=len(left), timeout=_LAST_WORDS)
            raise
        return [returned[task] for task in tasks]

    def _trouble(self) -> str | None:
        """Why nothing is to be expected from the cluster, or None when all is well."""
        import ray

        head, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((head.strip("[]"), int(port)), timeout=_GLANCE).close()
        except OSError:
            return f"Ray's head at {head}:{port} is gone"
        wanted = {"CPU": self._num_cpus, "GPU": self._num_gpus}
        for node in ray.nodes():
            if node["Alive"] and all(node["Resources"].get(name, 0.0) >= value for name, value in wanted.items()):
                return None
        return f"no node has num_cpus={self._num_cpus:g}, num_gpus={self._num_gpus:g}"


def _returned(task: Any) -> JobReturn:
    import ray

    try:
        returned: JobReturn = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return worker.failed(f"{type(error.cause).__name__}: {error.cause}")
    except ray.exceptions.RayError as error:
        return worker.failed(f"was killed: the node or its worker died ({type(error).__name__})")
    return returned


def _run(carried: tuple[HydraContext, TaskFunction, Any, str, dict[str, str]], job: DictConfig) -> JobReturn:
    """On a node: one job."""
    context, task, singletons, folder, variables = carried
    os.environ.update(variables)
    with contextlib.suppress(OSError):  # not shared: then no relative path of the config is there either
        os.chdir(folder)
    from bibleqa import config

    setup_globals()
    Singleton.set_state(singletons)
    config.prepare()
    return worker.run_composed(context, task, job)
