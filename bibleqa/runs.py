"""Run folders: what a run leaves on disk, and how a finished one is found again."""

import contextlib
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from bibleqa import paths, secrets, syncing
from bibleqa.errors import ConfigError

SCHEMA = 1
"""Version of summary.json."""

_NOTHING_YET = {".hydra", "run.log", "screen.txt"}


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path):
        """Take a folder that exists."""
        self.path = path
        self._lines: dict[str, Lines] = {}

    def append(self, name: str, line: str) -> None:
        """Add a line to a file, whole or not at all. From any thread."""
        lines = self._lines.setdefault(name, Lines(self.path / name))
        lines.add(secrets.redacted(line))

    def write(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        write_atomically(self.path / name, text)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole or not at all."""
        self.write(name, json.dumps(content, ensure_ascii=False, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def read_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a JSON Lines file; what was cut off when the process died is left out."""
        return read_lines(self.path / name)

    def finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Write summary.json, which ends the run; a finished one is found by its fingerprint from now on.

        Not so one that asked nothing, or scored a program that was made before: it is in no way another run's equal.
        """
        sync_below(self.path)  # what ended is on disk before it is said to have
        self.write_json("summary.json", summary)
        told = summary.get("reproduction") or {}
        if summary["status"] == "finished" and told.get("mode", "rerun") == "rerun":
            pointer = _pointer(summary["fingerprint"])
            pointer.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(pointer, os.path.relpath(self.path, paths.project()))
        return summary


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the process dies or the power fails."""
    with replacing(path) as draft:
        if isinstance(content, bytes):
            draft.write_bytes(content)
        else:
            draft.write_text(secrets.redacted(content), encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a place to write a file to that appears under its name when it is whole, or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        put_in_place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def put_in_place(draft: Path, path: Path) -> None:
    """Rename a file, or a folder to where none is, with all that is in it on disk before it has its name."""
    if draft.is_dir():
        sync_below(draft)
    else:
        syncing.now(draft)
    draft.replace(path)
    syncing.now(path.parent)


def sync_below(folder: Path) -> None:
    """Have everything in a folder on disk."""
    for path in [*folder.rglob("*"), folder]:
        syncing.now(path)


class Lines:
    """A file that lines are added to, whole or not at all, from any thread; no other process writes to it.

    One of which a killed process wrote but the beginning is cut off first.
    """

    def __init__(self, path: Path):
        """Take a file; it comes with the first line."""
        self._path = path
        self._file: IO[bytes] | None = None
        self._whole = 0
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Add a line, given without its end; it outlives the process when this returns, and `syncing` does the rest."""
        rest = (line + "\n").encode()
        with self._lock:
            if self._file is None:
                self._file = self._path.open("ab+", buffering=0)
                weakref.finalize(self, self._file.close)
                self._whole = length_of_whole_lines(self._file)
                self._file.truncate(self._whole)
            size = len(rest)
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(self._whole)
                raise
            self._whole += size
        syncing.soon(self._path)


def length_of_whole_lines(file: IO[bytes]) -> int:
    """How many bytes of a file are whole lines: all of them, but where a process was killed as it wrote the last."""
    at = file.seek(0, os.SEEK_END)
    while at:
        begin = max(0, at - _BLOCK)
        file.seek(begin)
        if found := file.read(at - begin).rfind(b"\n") + 1:
            return begin + found
        at = begin
    return 0


_BLOCK = 1 << 16


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; what was cut off when the process died is left out.

    By bytes: half of a Hebrew letter is no text, and within an answer there may be what Unicode has for line ends.
    """
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def find_finished(fingerprint: str) -> RunFolder | None:
    """The folder of the latest finished run of that fingerprint, if it is still there."""
    try:
        folder = RunFolder(paths.project() / _pointer(fingerprint).read_text(encoding="utf-8"))
        summary = folder.read_json("summary.json")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None  # never run, or the user has removed or damaged it
    known = summary.get("schema") == SCHEMA and summary.get("fingerprint") == fingerprint
    return folder if known and summary["status"] == "finished" else None


def finished() -> Iterator[RunFolder]:
    """The folders of all finished runs that are still there, the latest of each fingerprint; the newest first."""
    pointers = _pointer("").glob("[!.]*")  # what is being written begins with a dot
    for pointer in sorted(pointers, key=lambda path: path.stat().st_mtime, reverse=True):
        if folder := find_finished(pointer.name):
            yield folder


def by_fingerprint(start: str) -> RunFolder:
    """The finished run whose fingerprint begins like that.

    Raises:
        ConfigError: There is none, or more than one.
    """
    known = sorted(path.name for path in _pointer(start).parent.glob(f"{start}*"))
    if len(known) > 1:
        raise ConfigError(
            f"{start}: the beginning of {len(known)} fingerprints, for instance {known[0]}; give more of it"
        )
    if not known or not (folder := find_finished(known[0])):
        raise ConfigError(f"{start}: no finished run of this project has that fingerprint")
    return folder


@contextlib.contextmanager
def alone(fingerprint: str, wait: Callable[[], None]) -> Iterator[None]:
    """Keep other processes from making the same run; while one is at it, it is waited for, and `wait` told so."""
    path = paths.project() / "outputs" / ".running" / fingerprint
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        wait()
        held = lock.acquire()
    with held:
        yield


def discard_unused(path: Path) -> None:
    """Remove the folder that Hydra made for a run that never began, and the day's if nothing else is in it."""
    if not path.is_dir() or not {entry.name for entry in path.iterdir()} <= _NOTHING_YET:
        return
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == path:
            root.removeHandler(handler)
            handler.close()  # Windows removes no file that is open
    with contextlib.suppress(OSError):  # a folder too many is no reason to hide what went wrong
        for file in [*path.glob(".hydra/*.yaml"), path / "run.log", path / "screen.txt"]:
            file.unlink(missing_ok=True)
        for folder in (path / ".hydra", path, path.parent):
            folder.rmdir()


def _pointer(fingerprint: str) -> Path:
    return paths.project() / "outputs" / ".finished" / fingerprint
