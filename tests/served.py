"""An application to ask, and what stands behind it in tests."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from bibleqa.data.item import Turn
from bibleqa.data.kjv import kjv
from bibleqa.retrieval import Passage
from bibleqa.serve.answer import Answered, Citation, Piece
from bibleqa.serve.api import Api
from bibleqa.serve.ports import Choice, Parts
from bibleqa.serve.sessions import Bounds, Sessions

HERE = "http://127.0.0.1:5001"


@dataclass
class Scripted:
    """Answers with the question; more by what a test sets.

    Attributes:
        say: From a question to its answer.
        asked: Every question with its context and history.
        error: Raised instead of an answer.
        hold: What an answer waits for, once it is clear.
        looks: How it was looked at, `glance` or `probe`, each time.
    """

    say: Callable[[str], str | None] = lambda question: f"You ask: {question}"
    asked: list[tuple[str, str | None, list[Turn]]] = field(default_factory=list)
    error: Exception | None = None
    hold: threading.Event = field(default_factory=threading.Event)
    looks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hold.set()

    def answer(self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()) -> Answered:
        self.asked.append((question, context, list(history)))
        assert self.hold.wait(20)
        if self.error:
            raise self.error
        cited = tuple(Citation(verse.reference, verse.text) for verse in kjv().cited(context or ""))
        return Answered(self.say(question), context or "", cited, checks={"not_empty": True}, seconds={"total": 0.01})

    def stream(self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()) -> Iterator[Piece]:
        answered = self.answer(question, context=context, history=history)
        yield answered.citations
        for word in (answered.answer or "").split():
            yield f"{word} "
        yield answered

    def glance(self) -> None:
        self._look("glance")

    def probe(self) -> None:
        self._look("probe")

    def _look(self, how: str) -> None:
        self.looks.append(how)
        if self.error:
            raise self.error

    def search(self, question: str, k: int, history: Sequence[Turn] = ()) -> list[Passage]:
        return [Passage(verse.reference, verse.text, "scripted") for verse in kjv().verses[:k]]


@dataclass
class Kept:
    """The feedback that was kept."""

    said: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, **said: Any) -> None:
        self.said.append(said)


def choice_of(scripted: Scripted, keep: Callable[..., None], **other: Any) -> Choice:
    card: Mapping[str, Any] = {"name": "scripted", "optimized": True, "score": 0.5, "fingerprint": "f" * 64}
    given = {"card": card, "at_once": 2, "terms": {"elohim": "H430"}, "load": lambda: Parts(scripted, scripted)}
    return Choice(**{**given, "keep": keep, **other})


@contextmanager
def application(
    project: Path, scripted: Scripted | None = None, keep: Callable[..., None] | None = None, **other: Any
) -> Iterator[Api]:
    """The application, not begun yet.

    Args:
        project: Its folder.
        scripted: What answers.
        keep: What takes feedback.
        other: Fields of `Choice`, arguments of `Api`, and `bounds` of the sessions.
    """
    scripted = scripted or Scripted()
    fields = {name: other.pop(name) for name in tuple(other) if name in Choice.__dataclass_fields__}
    page = project / "page"
    page.mkdir(exist_ok=True)
    for name in ("ask.html", "runs.html", "ask.js"):
        (page / name).write_text(name, encoding="utf-8")
    (project / "secret.txt").write_text("not for the web", encoding="utf-8")
    sessions = Sessions(project / "sessions.db", other.pop("bounds", Bounds()))
    with closing(sessions):
        yield Api(choice_of(scripted, keep or Kept(), **fields), sessions, **{"page": page, **other})


@contextmanager
def serving(project: Path, *parts: Any, **other: Any) -> Iterator[TestClient]:
    """A client of the `application`; it is ready, where the test does not itself load what answers."""
    with (
        application(project, *parts, **other) as api,
        TestClient(api.app, HERE, raise_server_exceptions=False) as client,
    ):
        while "load" not in other and not api.readiness.is_loaded:
            time.sleep(0.001)
        yield client


@contextmanager
def listening(project: Path, *parts: Any, **other: Any) -> Iterator[tuple[str, Api]]:
    """The address of the `application` in a real server, and the application."""
    with application(project, *parts, **other) as api, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(api.app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while "load" not in other and not api.readiness.is_loaded:
                time.sleep(0.001)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", api
        finally:
            server.should_exit = True
            thread.join(20)


def events(text: str) -> list[tuple[str, str]]:
    """The events of a stream, each a name and its data."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [(name.removeprefix("event: "), data.removeprefix("data: ")) for name, data in blocks]
