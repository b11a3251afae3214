"""What language models have answered: kept by endpoint for all runs of a project, and archived with each run.

Nothing is asked twice. While one thread or process asks, whoever wants the same answer waits for it.
"""

import hashlib
import json
import logging
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
from filelock import FileLock

from bibleqa import paths, provenance
from bibleqa.budget import Budget
from bibleqa.errors import BibleQAError, ConfigError, RunFailed
from bibleqa.lm import embedded
from bibleqa.lm.meter import Meter, Reply
from bibleqa.schema import EndpointConfig

log = logging.getLogger(__name__)

_DONE = "done"


class Archive:
    """The answers that one run has used, in a file of their own: enough to replay it without any model."""

    def __init__(self, path: Path):
        """Make an archive; the file comes with the first answer."""
        self._path = path
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def add(self, place: str, key: str, value: Any) -> None:
        """Write an answer down, once. From any thread."""
        with self._lock:
            if (place, key) in self._known:
                return
            self._known.add((place, key))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"from": place, "key": key, "answer": value}, ensure_ascii=False) + "\n")


def read_archive(path: Path) -> dict[tuple[str, str], Any]:
    """The answers of an archive by place and key.

    Raises:
        ConfigError: It is not there or is damaged.
    """
    found = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found[row["from"], row["key"]] = row["answer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: the recorded answers cannot be read ({' '.join(str(error).split())})") from None
    return found


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
    tell: Callable[[str], None] = log.debug
    """Called with a sentence when an endpoint keeps its callers waiting, which the log says in any case."""


SHARED = Source()
"""All that was ever answered in the project."""


class Answers(Cache):
    """The answers of one endpoint, in a folder of its own; programs are copied with it, and it is not."""

    def __init__(self, folder: Path):
        super().__init__(
            enable_disk_cache=True,
            enable_memory_cache=True,
            disk_cache_dir=str(folder),
            disk_size_limit_bytes=2**40,  # answers are never thrown away behind the user's back
            restrict_pickle=True,
        )
        self._folder = folder

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """As DSPy's; where there is none yet, the asker is alone with its question until it has ended."""
        found = super().get(request, ignored_args_for_cache_key)
        if found is None and (asking := _asking.get(None)):
            asking.enter_context(self._alone(self.cache_key(request, ignored_args_for_cache_key)))
            found = super().get(request, ignored_args_for_cache_key)
        return found

    def _alone(self, key: str) -> FileLock:
        # A file for each of 4,096 groups of questions: few files, and next to never a wait for another question.
        path = self._folder / "asking" / key[:3]
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)


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
        if found is not None:
            self._note(request, ignored_args_for_cache_key, found)
            if (meter := _meter()) and isinstance(found, dict):
                meter.add_cached_usage(found.get("usage") or {})
        elif self.budget:
            self.budget.before_call()
        return found

    def put(self, request: dict[str, Any], value: Any, ignored: list[str] | None = None, *rest: Any) -> None:
        """Keep an answer that was paid for."""
        if self.budget and isinstance(value, dict):
            self.budget.paid(self.endpoint, value.get("usage") or {})
        self.cache.put(request, value, ignored, *rest)
        self._note(request, ignored, value)

    def _note(self, request: dict[str, Any], ignored: list[str] | None, value: Any) -> None:
        if self.archive:
            self.archive.add(_place(self.endpoint), self.cache.cache_key(request, ignored), value)
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
        BibleQAError: They cannot be read or written.
        ConfigError: The recorded ones cannot be read.
    """
    if not isinstance(dspy.__dict__.get("cache"), _OfWhoIsAsked):
        dspy.cache = _OfWhoIsAsked()
    if source.recorded:
        recorded = read_archive(source.recorded / "answers.jsonl")
        known = {key: answer for (named, key), answer in recorded.items() if named == _place(endpoint)}
        return Kept(_Recorded(known, source.recorded), endpoint, source.archive)
    folder = _folder(endpoint, source.again)
    if source.again and (folder / _DONE).exists():
        shutil.rmtree(folder)
    try:
        kept = _open.get(folder) or Answers(folder)
    except sqlite3.Error as error:
        raise BibleQAError(f"the answers kept in {folder} cannot be used: {error}; is the disk full?") from error
    _open[folder] = kept
    return Kept(kept, endpoint, source.archive, source.budget)


def _place(endpoint: EndpointConfig) -> str:
    """What the endpoint is called in an archive."""
    return f"{endpoint.kind} {endpoint.base_url or ''}".strip()


def forget(endpoint: EndpointConfig, again: str) -> None:
    """Drop the answers that a run which asked all over again kept apart: it has all it wanted."""
    folder = _folder(endpoint, again)
    if not folder.exists():
        return  # they were another endpoint's too
    (folder / _DONE).touch()
    if kept := _open.pop(folder, None):
        kept.disk_cache.close()
    shutil.rmtree(folder, ignore_errors=True)  # what is still open stays on Windows, until the next one comes


def _folder(endpoint: EndpointConfig, again: str | None) -> Path:
    """One folder an endpoint: DSPy's cache key has the model and the prompt, but not where they were sent."""
    if endpoint.kind == "embedded":
        # Another build, another way of calling it or another number of threads may give other answers.
        place = f"{embedded.version()} {provenance.code_digest(['lm/embedded'])} {endpoint.threads}"
    else:
        place = endpoint.base_url or ""
    name = f"{endpoint.kind}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    return paths.project() / "outputs" / ".cache" / (f"{name}-again-{again[:12]}" if again else name)
