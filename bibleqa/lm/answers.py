"""What language models have answered: kept by endpoint for all runs of a project, and archived with each run.

Nothing is asked twice. While one thread or process asks, whoever wants the same answer waits for it.
"""

import hashlib
import json
import logging
import os
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

import dspy
from dspy.clients.cache import Cache
from dspy.clients.disk_serialization import DeserializationError, restricted_disk

from bibleqa import databases, paths, provenance, runs, secrets
from bibleqa.budget import Budget
from bibleqa.errors import ConfigError, RunFailed, Stopped
from bibleqa.lm import embedded
from bibleqa.lm.meter import Meter, Reply
from bibleqa.lm.shards import Shards
from bibleqa.lm.turns import Turns
from bibleqa.schema import EndpointConfig

log = logging.getLogger(__name__)

DONE = "done"
"""The file by which a folder of answers says which run was the last to want them."""


class Archive:
    """The answers that one run has used, in a file of their own: enough to replay it without any model."""

    def __init__(self, path: Path):
        """Make an archive; the file comes with the first answer."""
        self._path = path
        self._lines = runs.Lines(path)
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def add(self, place: str, key: str, answer: str) -> None:
        """Write an answer, in JSON, down, once. From any thread.

        Raises:
            Stopped: It cannot be written.
        """
        with self._lock:
            if (place, key) in self._known:
                return
            self._known.add((place, key))
        about = json.dumps({"from": place, "key": key}, ensure_ascii=False)
        try:
            self._lines.add(f'{about[:-1]}, "answer": {answer}}}')
        except OSError as error:
            raise Stopped(RunFailed(f"{self._path} cannot be written: {error.strerror or error}")) from error


def read_archive(path: Path) -> dict[tuple[str, str], Any]:
    """The answers of an archive by place and key; what was cut off when the process died is left out.

    Raises:
        ConfigError: It is not there or is damaged.
    """
    try:
        return {(row["from"], row["key"]): row["answer"] for row in runs.read_lines(path)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: the recorded answers cannot be read ({' '.join(str(error).split())})") from None


@dataclass(frozen=True)
class Source:
    """Where a run has its answers from."""

    again: str | None = None
    """The fingerprint of a run that asks all over again. Its answers are kept apart, so that it can go on where it
    was interrupted, until `forget`."""
    recorded: Path | None = None
    """The folder of a run whose answers are given again; no model is asked."""
    archive: Archive | None = None
    """Where the answers that are used are written down."""
    budget: Budget | None = None
    """What may be spent on those that are asked."""
    passing: bool = False
    """Whether they are a conversation's: the latest are known for a while, and none are written down. What people ask
    must not fill memory and disk for ever, and is theirs to delete."""
    tell: Callable[[str], None] = log.debug
    """Called with a sentence when an endpoint keeps its callers waiting, which the log says in any case."""


SHARED = Source()
"""All that was ever answered in the project."""


class Answers(Cache):
    """The answers of one endpoint, in a folder of its own; programs are copied with it, and it is not."""

    def __init__(self, folder: Path):
        super().__init__(enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None)
        self._shards = Shards(folder, restricted_disk(frozenset()))
        self._folder = folder
        self._turns = Turns(folder / "turns")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """As DSPy's; where there is none yet, the asker is alone with its question until it has ended.

        Raises:
            Stopped: The answers on disk cannot be read; DSPy's would ask, and pay, again.
        """
        key = self.cache_key(request, ignored_args_for_cache_key)
        if key not in self.memory_cache and (asking := _asking.get(None)):
            asking.enter_context(self._turns.alone(key))
        found = self._known(key)
        return None if found is None else self._prepare_cached_response(found)

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,
    ) -> None:
        """Keep an answer: it outlives the process when this returns.

        Raises:
            Stopped: It does not, and the next run would pay for it again; DSPy's own says nothing then.
        """
        key = self.cache_key(request, ignored_args_for_cache_key)
        if enable_memory_cache:
            with self._lock:
                self.memory_cache[key] = value
        try:
            self._shards.put(key, value)
        except (OSError, sqlite3.Error) as error:
            raise Stopped(_unusable(self._folder, error)) from error

    def close(self) -> None:
        """Let go of the files."""
        self._turns.close()
        self._shards.close()

    def _known(self, key: str) -> Any:
        with self._lock:
            found = self.memory_cache.get(key)
        if found is None:
            try:
                found = self._shards.get(key)
            except DeserializationError:
                return None  # of another version of DSPy, or half a file: asked again, and written over
            except (OSError, sqlite3.Error) as error:
                raise Stopped(_unusable(self._folder, error)) from error
            if found is not None:
                with self._lock:
                    self.memory_cache[key] = found
        return found


def _unusable(folder: Path, why: object) -> RunFailed:
    """What is said of answers that cannot be read or written: which file it is, and what to do."""
    if damaged := next((file for file in sorted(folder.glob("*/cache.db")) if databases.damage(file)), None):
        return RunFailed(f"{damaged} is damaged: bibleqa doctor --fix saves what can be read of the answers in it")
    return RunFailed(f"the answers kept in {folder} cannot be used: {why}; is the disk full?")


class _Recorded(Cache):
    """The answers of a recorded run, and no others."""

    def __init__(self, answers: dict[str, Any], folder: Path):
        super().__init__(enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None)
        self._answers = answers
        self._folder = folder

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        try:
            return self._prepare_cached_response(self._answers[self.cache_key(request, ignored_args_for_cache_key)])
        except KeyError:
            raise NotRecorded(
                f"{self._folder}: this run asks what the recorded one never asked; reproduce.mode=rerun asks the model"
            ) from None


class NotRecorded(RunFailed):
    """A replayed run wants an answer that the recorded one did not have."""


@dataclass(frozen=True)
class Kept:
    """The answers of an endpoint as one run uses them."""

    cache: Cache
    endpoint: EndpointConfig
    archive: Archive | None = None
    budget: Budget | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """The answer to a request, or None where it must be asked."""
        found = self.cache.get(request, ignored_args_for_cache_key)
        if found is None:
            if self.budget:
                self.budget.before_call()
            return None
        if isinstance(found, str):
            text, found = found, json.loads(found)
        else:
            text = json.dumps(found, ensure_ascii=False)
        self._note(request, ignored_args_for_cache_key, found, text)
        if (meter := _meter()) and isinstance(found, dict):
            meter.add_cached_usage(found.get("usage") or {})
        return found

    def put(self, request: dict[str, Any], value: Any, ignored: list[str] | None = None, *rest: Any) -> None:
        """Keep an answer that was paid for, without a key that the server may have sent back in it."""
        if self.budget and isinstance(value, dict):
            self.budget.paid(self.endpoint, value.get("usage") or {})
        # As text: what is no text, DSPy's cache keeps as a pickle.
        sent = json.dumps(value, ensure_ascii=False)
        text = secrets.redacted(sent)
        self.cache.put(request, text, ignored, *rest)
        self._note(request, ignored, value if text == sent else json.loads(text), text)

    def _note(self, request: dict[str, Any], ignored: list[str] | None, value: Any, text: str) -> None:
        if self.archive:
            self.archive.add(_place(self.endpoint), self.cache.cache_key(request, ignored), text)
        if (meter := _meter()) and (reply := _reply(value)):
            meter.last = reply


def _meter() -> Meter | None:
    meter = dspy.settings.get("usage_tracker")
    return meter if isinstance(meter, Meter) else None


def _reply(value: Any) -> Reply | None:
    """What a stored answer says, and how it ended; None for what is no answer in words, as a vector."""
    if not isinstance(value, dict) or not value.get("responses"):
        return None
    response = value["responses"][-1]
    texts: dict[str, str] = defaultdict(str)
    for part in response["message"]["parts"]:
        texts[part["type"]] += part.get("text") or ""
    text, refusal = texts["text"], texts["refusal"]
    if refusal or response["finish_reason"] == "content_filter":
        return Reply(text or refusal, "refused")
    if response["finish_reason"] == "length":
        return Reply(text, "length")
    return Reply(text, None if text.strip() else "empty")


_open: WeakValueDictionary[Path, Answers] = WeakValueDictionary()
_asked: ContextVar[Kept] = ContextVar("asked")
"""The answers of the endpoint that is being asked."""
_asking: ContextVar[ExitStack] = ContextVar("asking")
"""What is given free when the call that is under way has ended."""


@contextmanager
def in_use(kept: Kept) -> Iterator[None]:
    """DSPy asks these answers in here, for one call of a language model."""
    asked = _asked.set(kept)
    with ExitStack() as stack:
        asking = _asking.set(stack)
        try:
            yield
        finally:
            _asking.reset(asking)
            _asked.reset(asked)


class _OfWhoIsAsked(Cache):
    """DSPy's one cache for all: stands for that of the endpoint which is being asked, else keeps in memory."""

    def __init__(self) -> None:
        super().__init__(enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        kept = _asked.get(None)
        return kept.get(*args, **kwargs) if kept is not None else super().get(*args, **kwargs)

    def put(self, *args: Any, **kwargs: Any) -> None:
        kept = _asked.get(None)
        (kept.put if kept is not None else super().put)(*args, **kwargs)


def of(endpoint: EndpointConfig, source: Source) -> Kept:
    """The answers of an endpoint, which its language model is connected with.

    Raises:
        RunFailed: They cannot be read or written.
        ConfigError: The recorded ones cannot be read.
    """
    if not isinstance(dspy.__dict__.get("cache"), _OfWhoIsAsked):
        dspy.cache = _OfWhoIsAsked()
    if source.passing:
        return Kept(_in_memory(_LATEST), endpoint)
    if source.recorded:
        recorded = read_archive(source.recorded / "answers.jsonl")
        known = {key: answer for (named, key), answer in recorded.items() if named == _place(endpoint)}
        return Kept(_Recorded(known, source.recorded), endpoint, source.archive)
    folder = _folder(endpoint, source.again)
    if source.again and is_done_with(folder):
        drop(folder)
    try:
        kept = _open.get(folder) or Answers(folder)
    except sqlite3.Error as error:
        raise _unusable(folder, error) from error
    _open[folder] = kept
    return Kept(kept, endpoint, source.archive, source.budget)


def unkept(endpoint: EndpointConfig) -> Kept:
    """Answers that the asker keeps itself: those about the whole text are too many to stand beside the others."""
    return Kept(_in_memory(0), endpoint)


_LATEST = 1000
"""Answers that are known while conversations pass; some 3 MB."""


def _in_memory(most: int) -> Cache:
    return Cache(
        enable_disk_cache=False, enable_memory_cache=most > 0, disk_cache_dir=None, memory_max_entries=most or 1
    )


def _place(endpoint: EndpointConfig) -> str:
    """What the endpoint is called in an archive."""
    return f"{endpoint.kind} {endpoint.base_url or ''}".strip()


def ending(endpoint: EndpointConfig, again: str, run: Path) -> None:
    """Mark the answers that a run which asked all over again kept apart: with its summary it will have all it wanted.

    Before that they are still what the same command goes on with, and after it nobody uses them: not even where the
    process is killed before `forget`.
    """
    folder = _folder(endpoint, again)
    if folder.exists():
        runs.write_atomically(folder / DONE, os.path.relpath(run, paths.project()))


def forget(endpoint: EndpointConfig, again: str) -> None:
    """Drop the answers that a run which asked all over again kept apart, and which has ended."""
    folder = _folder(endpoint, again)
    if not folder.exists():
        return  # they were another endpoint's too
    if kept := _open.pop(folder, None):
        kept.close()
    drop(folder)


def is_done_with(folder: Path) -> bool:
    """Whether the run has ended that kept these answers apart, or has been removed since."""
    try:
        run = paths.project() / (folder / DONE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return (run / "summary.json").exists() or not run.exists()


def drop(folder: Path) -> None:
    """Remove answers that are done with, the mark that says so last: a process killed here leaves none to be used."""
    for entry in folder.iterdir():
        if entry.name != DONE:
            shutil.rmtree(entry, ignore_errors=True)  # what is still open stays on Windows, until the next one comes
    shutil.rmtree(folder, ignore_errors=True)


def _folder(endpoint: EndpointConfig, again: str | None) -> Path:
    """One folder an endpoint: DSPy's cache key has the model and the prompt, but not where they were sent."""
    if endpoint.kind == "embedded":
        # Another build, another way of calling it or another number of threads may give other answers.
        place = f"{embedded.version()} {provenance.code_digest(['lm/embedded'])} {endpoint.threads}"
    else:
        place = endpoint.base_url or ""
    name = f"{endpoint.kind}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    return paths.project() / "outputs" / ".cache" / (f"{name}-again-{again[:12]}" if again else name)
