"""A server of the page that answers by a script over real HTTP, and misbehaves on command.

with page_server.running() as server:
    server.breaks("the endpoint is away")
    ...  # server.base_url
    server.mends()
"""

import json
import mimetypes
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bibleqa.serve import answer

PAGE = Path(answer.__file__).parent / "page"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
GENESIS = answer.Citation(
    "Genesis 1:1",
    "In the beginning God created the heaven and the earth.",
    "retriever",
    (
        answer.Word("beginning", "H7225", "רֵאשִׁית", "rêʼshîyth", "the first, in place, time, order or rank"),
        answer.Word("God", "H430", "אֱלֹהִים", "ʼĕlôhîym", "gods; the supreme God; magistrates"),
        answer.Word("created", "H1254", "בָּרָא", "bârâʼ", "to create; to cut down (a wood), select"),
        answer.Word("heaven", "H8064", "שָׁמַיִם", "shâmayim", "the sky, as aloft"),
        answer.Word("earth", "H776", "אֶרֶץ", "ʼerets", "the earth, at large or partitively a land"),
    ),
)
JOHN = answer.Citation(
    "John 1:1",
    "In the beginning was the Word, and the Word was with God, and the Word was God.",
    "given",
    (answer.Word("Word", "G3056", "λόγος", "lógos", "something said, including the thought"),),
)
CREATED = "Who created the heavens and the earth?"
MEANS = "What does 'God' mean here?"
WORD_WAS = "Who was the Word?"
UNREADABLE = "What can nobody read?"
HOSTILE = "What is <b>bold</b>?"
MARKUP = "<img src=x onerror=alert(1)>"
RUN = {
    "place": 1, "score": 0.8125, "n": 80, "ci95": [0.7125, 0.8875], "endpoint": "embedded qwen2.5-coder-0.5b",
    "program": "predict", "optimizer": "mipro", "metric": "contains", "dataset": "kjv", "date": "2026-11-20T08:15:00Z",
    "fingerprint": "5f0c2a9e0d1b4c6f",
}  # fmt: skip
SERVED = {
    "name": "embedded-mipro",
    "score": {
        "score": 0.8125, "ci95": [0.7125, 0.8875], "n": 80,
        "by_type": {"fill_in": {"score": 0.9, "n": 40}, "strongs": {"score": 0.725, "n": 40}},
    },
    "improvement": {"value": 0.125, "ci95": [0.05, 0.2]}, "weights": None, "dataset": "kjv",
    "endpoint": "embedded qwen2.5-coder-0.5b", "optimizer": "mipro",
    "instructions": {"answer": "Answer the question from the verses.\nUse their own words, as few as do."},
    "demos": 4, "versions": {"bibleqa": "0.1.0", "dspy": "3.4.1"},
}  # fmt: skip


@dataclass
class Conversations:
    """What the server knows, and what is the matter with it.

    Attributes:
        base_url: Where it is.
        trouble: Why it cannot answer; None while it can.
        notices: Whether it says so before it is asked.
        token: What it wants to see, if anything.
        limited: Requests that are still refused as too many.
        fails: What a streamed answer ends with instead; None while it does not.
        cuts: Whether a streamed answer just ends.
        pause: Seconds between two words of an answer.
        turns: What was answered, by conversation.
        feedback: What readers said.
        runs: As /api/runs has them.
    """

    base_url: str = ""
    trouble: str | None = None
    notices: bool = True
    token: str | None = None
    limited: int = 0
    fails: str | None = None
    cuts: bool = False
    pause: float = 0.01
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=lambda: [RUN])

    @property
    def noticed(self) -> str | None:
        """The trouble, where the server says so before it is asked."""
        return self.trouble if self.notices else None

    def breaks(self, trouble: str = "The endpoint does not answer.") -> None:
        self.trouble = trouble

    def mends(self) -> None:
        self.trouble = None

    def answered(self, question: str, context: str, session: str) -> dict[str, Any]:
        """The answer, of which the follow-up's is in the history alone."""
        history = self.turns.setdefault(session, [])
        known = any(turn["question"] == CREATED for turn in history)
        reply: str | None = {
            CREATED: "God",
            MEANS: "Elohim (H430)" if known else "I do not know which verse you mean.",
            WORD_WAS: "God" if context else "I have no verse.",
            UNREADABLE: None,
            HOSTILE: MARKUP,
        }.get(question, "I do not know.")
        made = answer.Answered(
            reply,
            context=context or GENESIS.text,
            citations=(JOHN if context else GENESIS,),
            checks={"not_empty": True, "names_a_verse": reply is not None and "H" in reply},
            ended="length" if reply is None else None,
            seconds={"retrieval": 0.02, "model": 1.41, "total": 1.44},
        )
        turn = {**made.to_dict(), "session_id": session, "turn": len(history) + 1, "history_length": len(history)}
        history.append({"question": question, **turn})
        return turn


class Handler(BaseHTTPRequestHandler):
    server_version = "page_server"
    known: Conversations

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        match address.path:
            case "/health/ready":
                self._ready()
            case "/ask" | "/runs":
                self._file(f"{address.path[1:]}.html")
            case path if found := re.fullmatch(r"/page/([\w.]+)", path):
                self._file(found[1])
            case _ if not self._refused():
                self._read(address.path, parse_qs(address.query))

    def do_DELETE(self) -> None:
        if self._refused():
            return
        session = parse_qs(urlsplit(self.path).query)["session_id"][0]
        self.known.turns.pop(session, None)
        self._send(204, "application/json", b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if self.path == "/api/feedback":
            self.known.feedback.append(body)
            self._send(204, "application/json", b"")
        elif self.known.limited:
            self.known.limited -= 1
            self._error(429, "too_many_requests", "Too many questions in a minute.", {"Retry-After": "1"})
        elif self.known.trouble:
            self._error(503, "endpoint_unusable", self.known.trouble, {"Retry-After": "1"})
        elif len(body["question"]) > 2000:
            self._error(422, "invalid", "question: at most 2000 characters")
        else:
            self._stream(body["question"], body.get("context", ""), body["session_id"])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""

    def _refused(self) -> bool:
        if self.known.token is None or self.headers.get("Authorization") == f"Bearer {self.known.token}":
            return False
        self._error(401, "unauthorized", "This server wants a token.")
        return True

    def _read(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/health":
            trouble = self.known.noticed
            served = {**SERVED, "optimized": True}
            self._json({"live": True, "ready": trouble is None, "message": trouble, "served": served})
        elif path == "/api/runs":
            self._json({"runs": self.known.runs, "served": SERVED if self.known.runs else None})
        elif path == "/api/dspy/conversation":
            session = query["session_id"][0]
            if turns := self.known.turns.get(session):
                self._json({"session_id": session, "turns": turns})
            else:
                self._error(404, "no_such_session", "there is no such conversation")
        else:
            self._error(404, "not_found", f"there is no {path}")

    def _ready(self) -> None:
        if self.known.noticed:
            self._error(503, "not_ready", self.known.noticed, {"Retry-After": "5"})
        else:
            self._json({"ready": True})

    def _file(self, name: str) -> None:
        self._send(200, mimetypes.guess_type(name)[0] or "", (PAGE / name).read_bytes())

    def _stream(self, question: str, context: str, session: str) -> None:
        answered = self.known.answered(question, context, session)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event("citations", answered["citations"])
        for word in re.findall(r"\S+\s*", answered["answer"] or ""):
            time.sleep(self.known.pause)
            self._event("token", {"text": word})
        if self.known.fails:
            self._event("error", {"error": {"code": "failed", "message": self.known.fails}})
        elif not self.known.cuts:
            self._event("answer", answered)

    def _event(self, name: str, content: Any) -> None:
        self.wfile.write(f"event: {name}\r\ndata: {json.dumps(content)}\r\n\r\n".encode())
        self.wfile.flush()

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._json({"error": {"code": code, "message": message}}, status, headers)

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(content).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Security-Policy": POLICY, "Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running() -> Iterator[Conversations]:
    known = Conversations()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Known", (Handler,), {"known": known}))
    server.daemon_threads = True
    known.base_url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
