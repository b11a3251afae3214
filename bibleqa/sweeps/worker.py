"""A process in which the local launcher runs jobs, one after the other."""

import _thread
import os
import signal
import time
from multiprocessing import parent_process
from threading import Event, Thread
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from bibleqa import config
from bibleqa.errors import BibleQAError, RunFailed

_carried: Any = None
_busy = Event()


def begin(carried: bytes) -> None:
    """Ready a new process; `carried` holds Hydra's context, the task function, the config and Hydra's singletons."""
    global _carried
    if os.name != "nt":
        os.setpgid(0, 0)  # Ctrl-C reaches the launcher alone, which passes it on once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    config.prepare()
    _carried = cloudpickle.loads(carried)


def _end_with_parent() -> None:
    """A job whose launcher was killed ends as by Ctrl-C."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    _thread.interrupt_main()
    for _ in range(100):
        if not _busy.is_set():
            break
        time.sleep(0.1)
    os._exit(1)


def run(index: int, overrides: list[str]) -> JobReturn:
    """Run the job of that number; called in the process."""
    context, task, config, singletons = _carried
    setup_globals()
    Singleton.set_state(singletons)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = composed.hydra.job.num = index
    _busy.set()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run_composed(context, task, composed)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _busy.clear()


def run_composed(context: HydraContext, task: TaskFunction, composed: DictConfig) -> JobReturn:
    """Run a job of a sweep; what it gives back can be sent to another process, as not every exception can."""
    done = run_job(
        hydra_context=context,
        task_function=task,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    done.cfg = done.hydra_cfg = None  # nobody asks for them, and they are large
    error = done._return_value
    return failed(f"{type(error).__name__}: {error}") if error and not isinstance(error, BibleQAError) else done


def failed(why: str) -> JobReturn:
    """What a job that did not come back is said to have returned."""
    job = JobReturn()
    job.status = JobStatus.FAILED
    job.return_value = RunFailed(why)
    return job
