"""The record of a run in MLflow, made from what the run folder holds.

MLflow is asked only after the run's own files are complete: a tracker that is down costs nothing but the entry,
and `bibleqa track <folder>` makes that up later.
"""

import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from filelock import FileLock

from bibleqa import paths, runs
from bibleqa.errors import BibleQAError, ConfigError
from bibleqa.runs import RunFolder
from bibleqa.schema import TrackingConfig

log = logging.getLogger(__name__)


class TrackerDown(BibleQAError):
    """MLflow could not be reached or refused the record."""


def uri(tracking: TrackingConfig) -> str | None:
    """The MLflow tracking URI, or None when nothing is tracked."""
    match tracking.name:
        case "none":
            return None
        case "local":
            return f"sqlite:///{local_store().as_posix()}"
    return tracking.uri


def local_store() -> Path:
    """The file of the project's own store."""
    return paths.project() / "mlflow.db"


def tracking_of(folder: RunFolder) -> TrackingConfig:
    """Where the run of a folder was to be tracked."""
    try:
        config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder.path}: not a run folder, it has no config.yaml") from None
    return TrackingConfig(**config["tracking"])


Summarise = Callable[[str | None], dict[str, Any]]
"""From the id of the MLflow run, or None, to what summary.json shall say."""


def record(folder: RunFolder, summarise: Summarise, tracking: TrackingConfig) -> dict[str, Any]:
    """End a run with its summary, and record it in MLflow; returns the summary, with the MLflow run's id.

    Args:
        folder: The run's folder, complete but for summary.json.
        summarise: Makes the summary.
        tracking: Where to.

    Raises:
        TrackerDown: MLflow did not take it. The folder is complete all the same; its summary has no `run_id`.
    """
    # On disk before MLflow is asked: whatever happens there, the run has its summary.
    summary = folder.finish(summarise(None))
    if uri(tracking) is None:
        return summary
    config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    name = " ".join(config[group]["name"] for group in ("endpoint", "program", "optimizer"))
    tags = {**_parent(folder), _PROCESS: _this_process()}
    try:
        with connected(tracking) as (client, experiment):
            run_id: str = client.create_run(experiment, run_name=name, tags=tags).info.run_id
            try:
                return _fill(client, run_id, folder, summarise, config)
            except BaseException:
                folder.finish(summarise(None))  # else `bibleqa track` would take it for recorded
                with suppress(*_down()):
                    client.delete_run(run_id)  # half a record would look like a run
                raise
    except TrackerDown:
        log.exception("not recorded")
        raise


def begin_sweep(tracking: TrackingConfig, name: str) -> str | None:
    """The id of an MLflow run that is the parent of a sweep's, or None when nothing is tracked.

    Raises:
        TrackerDown: MLflow cannot be reached.
    """
    if uri(tracking) is None:
        return None
    with connected(tracking) as (client, experiment):
        tags = {_PROCESS: _this_process()}
        return str(client.create_run(experiment, run_name=f"sweep {name}", tags=tags).info.run_id)


def end_sweep(
    tracking: TrackingConfig, parent: str, files: list[Path], run_ids: list[str | None], failed: bool
) -> None:
    """Complete the parent of a sweep: its files, and all runs that belong to it, those made before too.

    Raises:
        TrackerDown: MLflow cannot be reached.
    """
    with connected(tracking) as (client, _):
        for file in files:
            client.log_artifact(parent, str(file))
        for run_id in filter(None, run_ids):
            if _PARENT not in client.get_run(run_id).data.tags:
                client.set_tag(run_id, _PARENT, parent)
        client.set_terminated(parent, "FAILED" if failed else "FINISHED")


_PARENT = "mlflow.parentRunId"
_PROCESS = "process"
"""The tag of who records a run: machine, process id, and when that process began."""


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def _is_gone(process: str) -> bool:
    """Whether a process has ended for sure: nothing is known of another machine's."""
    machine, pid, begun = process.split()
    if machine != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != begun
    except psutil.NoSuchProcess:
        return True


def left_running() -> list[str]:
    """The runs of the project's own store that MLflow takes for running, though the process that made them is gone.

    Raises:
        TrackerDown: The store cannot be read.
    """
    if not local_store().is_file():
        return []
    with connected(TrackingConfig(name="local")) as (client, experiment):
        running = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
    return [run.info.run_id for run in running if _PROCESS in run.data.tags and _is_gone(run.data.tags[_PROCESS])]


def mark_killed(run_id: str) -> None:
    """Have MLflow say of a run of the project's own store that it was killed.

    Raises:
        TrackerDown: The store cannot be written.
    """
    with connected(TrackingConfig(name="local")) as (client, _):
        client.set_terminated(run_id, "KILLED")


def _parent(folder: RunFolder) -> dict[str, str]:
    """The tag that makes a run of a sweep a child of the sweep's."""
    try:
        parent = RunFolder(folder.path.parent).read_json("sweep.json")["parent"]
    except (FileNotFoundError, ValueError):
        return {}
    return {_PARENT: parent} if parent else {}


def _fill(
    client: Any, run_id: str, folder: RunFolder, summarise: Summarise, config: Mapping[str, Any]
) -> dict[str, Any]:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.time import get_current_time_millis

    draft = summarise(run_id)
    client.log_batch(
        run_id,
        params=[Param(key, str(value)[:6000]) for key, value in _flat(config)],
        tags=[RunTag(key, value) for key, value in _tags(draft).items()],
    )
    client.log_inputs(run_id, datasets=_datasets(config, draft))
    client.log_artifacts(run_id, str(folder.path))
    summary = folder.finish(summarise(run_id))
    now = get_current_time_millis()
    numbers = [(key, value) for key, value in _flat(summary) if isinstance(value, (int, float))]
    candidates = _candidates(folder)
    if candidates:
        columns = {key: [one[key] for one in candidates] for key in candidates[0]}
        client.log_table(run_id, columns, "candidates_table.json")
    trials = [
        Metric(f"candidate_{key}", float(one[key]), now, step)
        for step, one in enumerate(candidates)
        for key in ("score", "val")
        if one[key] is not None
    ]
    client.log_batch(run_id, metrics=[*(Metric(key, float(value), now, 0) for key, value in numbers), *trials])
    client.log_artifact(run_id, str(folder.path / "summary.json"))
    client.set_terminated(run_id, "FINISHED" if summary["status"] == "finished" else "FAILED")
    return summary


def _candidates(folder: RunFolder) -> list[dict[str, Any]]:
    """What the optimizer tried, as rows of a table: the program as text."""
    try:
        candidates = folder.read_json("candidates.json")
    except FileNotFoundError:
        return []  # the run failed before
    return [{**one, "program": json.dumps(one["program"], ensure_ascii=False)} for one in candidates]


def _down() -> tuple[type[Exception], ...]:
    """What MLflow raises when its store or server is out of reach (a lost connection is an OSError)."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, OSError


@contextmanager
def connected(tracking: TrackingConfig) -> Iterator[tuple[Any, str]]:
    """An MLflow client, and the experiment's id.

    Raises:
        TrackerDown: MLflow cannot be reached, or refuses what is done in here.
    """
    address = str(uri(tracking))
    try:
        yield _open(tracking, address)
    except _down() as error:
        raise TrackerDown(f"MLflow at {address} cannot be used: {' '.join(str(error).split())[:200]}") from error


def _open(tracking: TrackingConfig, address: str) -> tuple[Any, str]:
    """A client, and the experiment's id. The first client makes the store; two at once would break it: they queue."""
    # A tracker that is down should say so within seconds, not after minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    # Connections that are kept would go on in a file that was removed or put aside, as a damaged one is.
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # what it logs belongs into run.log
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    local = address.startswith("sqlite:")
    location = (paths.project() / "mlruns").as_uri() if local else None
    lock = paths.project() / "outputs" / ".mlflow.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock) if local else nullcontext():
        if local:
            _make_store(address)
        client = MlflowClient(tracking_uri=address)
        found = client.get_experiment_by_name(tracking.experiment)
        return client, str(found.experiment_id if found else client.create_experiment(tracking.experiment, location))


def _make_store(address: str) -> None:
    """Make an SQLite store that is not there, whole or not at all.

    MLflow makes it table by table, and takes no store that was left in the middle of it.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import make_url

    path = Path(str(make_url(address).database))
    if path.exists():
        return
    with runs.replacing(path) as draft:
        SqlAlchemyStore(f"sqlite:///{draft.as_posix()}", (paths.project() / "mlruns").as_uri())


def _tags(summary: Mapping[str, Any]) -> dict[str, str]:
    kept = ("fingerprint", "dataset_digest", "program_digest", "status", "reproduced_from")
    git = {f"git.{key}": value for key, value in summary["git"].items()}
    return {key: summary[key] for key in kept if summary.get(key)} | git


def _datasets(config: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=f"{config['dataset']['name']}-{split}",
                digest=summary["dataset_digest"][:36],  # MLflow's limit
                source_type="local",
                source=config["dataset"].get(split) or config["dataset"]["name"],
                profile=f'{{"num_rows": {rows}}}',
            ),
            tags=[InputTag("mlflow.data.context", split)],
        )
        for split, rows in summary["slice"].items()
        if split in ("train", "val", "test")
    ]


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        if isinstance(value, (Mapping, list)):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield re.sub(r"[^\w\-. :/]", "_", f"{prefix}{key}"), value  # what MLflow allows in a name


def count_runs(tracking: TrackingConfig) -> int | None:
    """How many runs the experiment holds (1,000 at the most), or None when nothing is tracked.

    Raises:
        TrackerDown: The tracker cannot be reached.
    """
    if uri(tracking) is None:
        return None
    with connected(tracking) as (client, experiment):
        return len(client.search_runs([experiment], max_results=1000))


def fetch(run_id: str) -> Path:
    """The run folder that MLflow keeps of a run, brought into the project: `outputs/fetched/<run id>`.

    It is asked where `MLFLOW_TRACKING_URI` says, else in the project's own store.

    Raises:
        ConfigError: MLflow has no such run.
        TrackerDown: MLflow cannot be reached.
    """
    tracking = TrackingConfig(name="server" if os.environ.get("MLFLOW_TRACKING_URI") else "local")
    tracking.uri = os.environ.get("MLFLOW_TRACKING_URI")
    folder = paths.project() / "outputs" / "fetched" / run_id
    if folder.is_dir():
        return folder
    with connected(tracking) as (client, _):
        if _status(client, run_id) is None:
            raise ConfigError(f"{run_id}: MLflow at {uri(tracking)} has no such run")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{run_id}.lock")):
            if not folder.is_dir():
                draft = folder.with_name(f".{run_id}.draft")
                shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
                draft.mkdir()
                client.download_artifacts(run_id, "", str(draft))
                runs.put_in_place(draft, folder)
    return folder


def _is_recorded(tracking: TrackingConfig, run_id: str) -> bool:
    """Whether MLflow has all of a run: one whose process was killed as it recorded is half there, and removed."""
    with connected(tracking) as (client, _):
        status = _status(client, run_id)
        if status not in (None, "FINISHED", "FAILED"):
            client.delete_run(run_id)
            return False
    return status is not None


def _status(client: Any, run_id: str) -> str | None:
    """What MLflow says of a run; None if it has none of that id."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.status)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def track(path: Path) -> dict[str, Any]:
    """Record a run folder that its tracker missed; returns its summary.

    Raises:
        ConfigError: The folder holds no ended run, or is recorded already.
        TrackerDown: The tracker still is.
    """
    folder = RunFolder(path)
    tracking = tracking_of(folder)
    try:
        summary = folder.read_json("summary.json")
    except FileNotFoundError:
        raise ConfigError(f"{path}: the run has not ended, there is no summary.json") from None
    if tracking.name == "none":
        tracking.name = "local"
    if summary["run_id"] and _is_recorded(tracking, summary["run_id"]):
        raise ConfigError(f"{path}: is recorded already, as MLflow run {summary['run_id']}")
    return record(folder, lambda run_id: {**summary, "run_id": run_id}, tracking)
