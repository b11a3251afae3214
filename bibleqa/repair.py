"""What an unclean death has left in a project: found for `bibleqa doctor`, repaired by `bibleqa doctor --fix`.

Nothing that a living process uses is touched: drafts bear the id of their process or lie beside a lock, and what a
run may be at is left alone while one is at work. Locks themselves need no repair: the system frees those of a process
that has ended, and a lock file that nobody holds says nothing.

A run folder without a summary is none of it: the same command goes on with that run, and makes a folder of its own.
"""

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import yaml
from filelock import FileLock, Timeout

from bibleqa import artifacts, databases, paths, runs, tracking
from bibleqa.data import sources
from bibleqa.errors import ConfigError
from bibleqa.lm import answers
from bibleqa.results import leaderboard
from bibleqa.runs import RunFolder

_OF_A_PROCESS = re.compile(r"\..+\.(?P<pid>\d+)")
_UNDER_A_LOCK = re.compile(r"\.(?P<name>.+)\.draft(-\w+)?")
_DAMAGED = ".damaged"
_ASIDE = ("summary.json", "sweep.json", "program.json", "candidates.json", "adapter.json")

Repair = Callable[[], str]
"""Repairs something; returns what was done."""


@dataclass(frozen=True)
class Damage:
    """Something that an unclean death left."""

    text: str
    repair: Repair


def at_work() -> bool:
    """Whether a run of the project is under way."""
    return any(_is_held(path) for path in _outputs(".running").glob("*"))


def find(at_work: bool = False) -> Iterator[Damage]:
    """All of it, in an order in which it can be repaired: what the repair of one brings about is found after it.

    Args:
        at_work: Whether a run is under way: then what it may be using is not looked at.
    """
    yield from _drafts()
    yield from _needless_downloads()
    yield from _datasets()
    if not at_work:
        yield from _databases()
        yield from _half_lines()
        yield from _unparsable()
        yield from _done_with()
        yield from _pointers()
        yield from _in_mlflow()


def killed() -> int:
    """How many run folders have no summary: their runs were killed, or are under way."""
    return sum(not (path.parent / "summary.json").exists() for path in _run_files("config.yaml"))


def _outputs(name: str) -> Path:
    return paths.project() / "outputs" / name


def _run_files(name: str) -> Iterator[Path]:
    """The files of that name in the folders of runs and sweeps."""
    for path in sorted(paths.project().glob(f"outputs/[!.]*/**/{name}")):
        if ".hydra" not in path.parts:
            yield path


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _drafts() -> Iterator[Damage]:
    for place in (_outputs(""), paths.project() / "data", artifacts.cache_folder()):
        for path in sorted(place.rglob(".*")):
            if (of := _OF_A_PROCESS.fullmatch(path.name)) and _has_ended(int(of["pid"]), path):
                yield Damage(f"{paths.short(path)} was being written when its process died", partial(_remove, path))
            elif under := _UNDER_A_LOCK.fullmatch(path.name):
                lock = path.with_name(f".{under['name']}.lock")
                if not _is_held(lock):
                    yield Damage(f"{paths.short(path)} was being made when its process died", _locked(lock, path))


def _has_ended(pid: int, draft: Path) -> bool:
    """Whether the process that began a draft has; another one may have its number by now."""
    try:
        return psutil.Process(pid).create_time() > draft.stat().st_mtime + 1
    except psutil.NoSuchProcess:
        return True
    except OSError:
        return False  # it is complete, and has its name


def _locked(lock: Path, path: Path) -> Repair:
    def repair() -> str:
        with FileLock(lock):
            return _remove(path)

    return repair


def _remove(path: Path) -> str:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return f"removed {paths.short(path)}"


def _needless_downloads() -> Iterator[Damage]:
    """What is left of a download that is complete; of one that is not, the next one goes on from it."""
    for path in sorted((artifacts.cache_folder() / "models").glob("*")):
        whole = path.with_suffix("")
        if path.suffix in (".part", ".wheels") and whole.is_file():
            lock = whole.with_name(f"{whole.name}.lock")
            if not _is_held(lock):
                yield Damage(f"{path} is left of a download that is complete", _locked(lock, path))


def _datasets() -> Iterator[Damage]:
    for manifest in sorted((paths.project() / "data" / "processed").glob("[!.]*/manifest.json")):
        folder = manifest.parent
        lock = folder.with_name(f".{folder.name}.lock")
        if not _is_held(lock) and (wrong := _other_than(manifest)):
            text = f"{paths.short(folder)}: {wrong} is not what was built"
            yield Damage(text, partial(_built_again, lock, manifest))


def _other_than(manifest: Path) -> str | None:
    """The first file that is not what its manifest says."""
    try:
        for name, digest in json.loads(manifest.read_text(encoding="utf-8"))["sha256"].items():
            if hashlib.sha256((manifest.parent / name).read_bytes()).hexdigest() != digest:
                return str(name)
    except FileNotFoundError as error:
        return Path(error.filename).name
    except (ValueError, KeyError, TypeError):
        return manifest.name
    return None


def _built_again(lock: Path, manifest: Path) -> str:
    with FileLock(lock):
        manifest.unlink()
    return f"{paths.short(manifest.parent)} is built again when it is wanted"


def _databases() -> Iterator[Damage]:
    shards = sorted(paths.project().glob("outputs/.cache/*/*/cache.db"))
    repairs: dict[Path, Repair] = {shard: partial(_answers_saved, shard) for shard in shards}
    repairs[tracking.local_store()] = partial(_tracker_anew, tracking.local_store())
    repairs[sources.store_path()] = partial(_store_anew, sources.store_path())
    for path, repair in repairs.items():
        if path.is_file() and (wrong := databases.damage(path)):
            yield Damage(f"{paths.short(path)} is damaged ({wrong})", repair)
        elif path == tracking.local_store() and path.is_file() and not any(databases.rows(path, "experiments", "1")):
            # MLflow writes down its first experiment when all else is there.
            yield Damage(f"{paths.short(path)} was being made when its process died", repair)


def _tracker_anew(store: Path) -> str:
    return f"{_set_aside(store)}; the next run makes a new one, and bibleqa track <folder> records a run in it"


def _store_anew(store: Path) -> str:
    return f"{_set_aside(store)}; it is built again when it is wanted"


def _set_aside(path: Path) -> str:
    return f"{paths.short(path)} is now {_aside(path).name}"


def _aside(path: Path) -> Path:
    """Rename a file, with the journals of a database, so that there is none under its name; returns where it is."""
    number, target = 1, path.with_name(path.name + _DAMAGED)
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{_DAMAGED}-{number}")
    for journal in ("-wal", "-shm", "-journal"):
        if (beside := path.with_name(path.name + journal)).exists():
            beside.rename(target.with_name(target.name + journal))
    return path.rename(target)


def _answers_saved(shard: Path) -> str:
    """Put the answers that can be read into a new file."""
    from diskcache import Cache

    columns = "key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"
    damaged = _aside(shard)
    Cache(str(shard.parent)).close()
    saved = 0
    with closing(sqlite3.connect(shard)) as connection, connection:
        for row in databases.rows(damaged, "Cache", columns):
            connection.execute(f"INSERT OR IGNORE INTO Cache ({columns}) VALUES ({', '.join('?' * len(row))})", row)
            saved += 1
    return f"{paths.short(shard)} is now {damaged.name}; {saved} of the answers in it could be saved"


def _half_lines() -> Iterator[Damage]:
    for path in [*_run_files("predictions.jsonl"), *_run_files("answers.jsonl")]:
        with path.open("rb") as file:
            whole = runs.length_of_whole_lines(file)
        if rest := path.stat().st_size - whole:
            yield Damage(f"{paths.short(path)} ends in half a line", partial(_cut, path, whole, rest))


def _cut(path: Path, whole: int, rest: int) -> str:
    with path.open("rb+") as file:
        file.truncate(whole)
    return f"cut {rest} bytes off {paths.short(path)}: the beginning of an answer, which the cache has whole"


def _unparsable() -> Iterator[Damage]:
    for name in _ASIDE:
        for path in _run_files(name):
            if not _is_json(path):
                yield Damage(f"{paths.short(path)} is damaged", partial(_set_aside, path))
    for path in sorted(_outputs(".composed").glob("[!.]*")):
        if not _is_json(path):
            yield Damage(f"{paths.short(path)} is damaged", partial(_remove, path))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _done_with() -> Iterator[Damage]:
    for mark in sorted(_outputs(".cache").glob(f"*-again-*/{answers.DONE}")):
        if answers.is_done_with(folder := mark.parent):
            yield Damage(f"{paths.short(folder)} is done with", partial(_dropped, folder))


def _dropped(folder: Path) -> str:
    answers.drop(folder)
    return f"removed {paths.short(folder)}"


def _pointers() -> Iterator[Damage]:
    for pointer in sorted(_outputs(".finished").glob("[!.]*")):
        if not runs.find_finished(pointer.name):
            yield Damage(f"{paths.short(pointer)} points to a run that is gone or damaged", partial(_remove, pointer))
    for pointer in sorted(_outputs(".sweeps").glob("[!.]*")):
        if not (paths.project() / pointer.read_text(encoding="utf-8") / leaderboard.SWEEP).is_file():
            yield Damage(f"{paths.short(pointer)} points to a sweep that is gone or damaged", partial(_remove, pointer))


def _in_mlflow() -> Iterator[Damage]:
    try:
        half = tracking.left_running()
    except tracking.TrackerDown:
        return  # as doctor says of tracking
    yield from _unrecorded(half)
    for run_id in tracking.left_running():
        yield Damage(f"MLflow takes run {run_id} for running, whose process died", partial(_marked, run_id))


def _unrecorded(half: Sequence[str]) -> Iterator[Damage]:
    """Runs that ended and were killed before MLflow had them, or whose tracker was down."""
    for path in _run_files("summary.json"):
        folder = RunFolder(path.parent)
        try:
            run_id = folder.read_json("summary.json")["run_id"]
            missing = (run_id is None or run_id in half) and tracking.tracking_of(folder).name != "none"
        except (ValueError, KeyError, TypeError, yaml.YAMLError, ConfigError):
            continue  # no run's, or damaged
        if missing:
            yield Damage(
                f"{paths.short(folder.path)} has ended, and MLflow does not know it", partial(_record, folder.path)
            )


def _record(folder: Path) -> str:
    return f"recorded {paths.short(folder)} as MLflow run {tracking.track(folder)['run_id']}"


def _marked(run_id: str) -> str:
    tracking.mark_killed(run_id)
    return f"MLflow run {run_id} is marked as killed"
