"""An OpenAI-compatible server on this machine: it answers by a script, and misbehaves on command.

In a test:

    with fake_openai.running(answers={"Who begat Enos?": "Seth"}) as server:
        server.faults = [status(500, asked="Enos"), reset(spares=3, times=1)]
        ...  # server.base_url
        assert len(server.chats) == 4

As a process of its own, which prints its address:

    python tests/fake_openai.py --answers answers.json --fault '{"status": 500, "spares": 3}'
"""

import argparse
import json
import random
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "fake-model"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
HANDSHAKE = "a TLS handshake"


@dataclass(frozen=True)
class Asked:
    """A chat request, as an answer is made from it."""

    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])

    @property
    def question(self) -> str:
        """The question in the last message, in whatever markup; all of the message where there is none."""
        found = re.search(r"\[\[ ## question ## \]\]\n(.*?)\n\n|<question>\n(.*?)\n</question>", self.text, re.DOTALL)
        return (found[1] or found[2]).strip() if found else self.text

    @property
    def demos(self) -> int:
        """How many answers of an assistant the prompt shows."""
        return sum(message["role"] == "assistant" for message in self.body["messages"])

    @property
    def fields(self) -> list[str]:
        """The output fields asked for; none when no adapter asked."""
        wish = self.text.rpartition("Respond with")[2] if "Respond with" in self.text else ""
        names = re.findall(r"\[\[ ## (\w+) ## \]\]|`(\w+)`|`<(\w+)>`", wish)
        return [name for groups in names for name in groups if name and name != "completed"]

    @property
    def markup(self) -> str:
        """`json`, `chat`, `xml`, or `plain` when no adapter asked."""
        if self.body.get("response_format") or "Respond with a JSON object" in self.text:
            return "json"
        if not self.fields:
            return "plain"
        return "xml" if "XML tags" in self.text else "chat"


class Verbatim(str):
    """An answer that is sent as it is, in no markup."""


Answer = Callable[[Asked], str]


def written(asked: Asked, answer: str) -> str:
    """The answer in the markup that was asked for; fields beside `answer` say something as well."""
    values = {name: answer if name == "answer" else f"The {name}." for name in asked.fields}
    if isinstance(answer, Verbatim) or not values:
        return answer
    match asked.markup:
        case "json":
            return json.dumps(values)
        case "xml":
            return "\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in values.items())
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()) + "\n\n[[ ## completed ## ]]"


@dataclass
class Fault:
    """Something else than a good answer, and when: it strikes requests to `path` that ask for `asked`.

    Attributes:
        status: Sent with `body`.
        body: Sent instead of an answer; with status 200 and no body the answer itself is sent.
        kind: Content type of the body.
        seconds: Waited before anything is sent.
        headers: Sent beside.
        resets: Whether the connection is reset instead.
        leaves: Seconds for which nobody listens on the port then; the connection is reset.
        model: Answers in this model's name.
        message: Takes the place of what is in the answer's message, for instance `{"content": None}`.
        finish_reason: Why the answer ended.
        cuts: Events of a streamed answer after which the connection is closed.
        words: From what was asked and the answer, in no markup yet, to what is written instead of the markup asked for.
        asked: Stands in the last message of the requests that are struck.
        path: Where they go.
        spares: How many of them are spared first.
        times: How many are struck then; all when None.
        rate: Which share of these is struck, at random.
    """

    status: int = 200
    body: str | None = None
    kind: str = "application/json"
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    resets: bool = False
    leaves: float = 0.0
    model: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    cuts: int | None = None
    words: Callable[[Asked, str], str] | None = None
    asked: str = ""
    path: str = CHAT
    spares: int = 0
    times: int | None = None
    rate: float = 1.0
    _met: int = field(default=0, repr=False)
    _chance: random.Random = field(default_factory=lambda: random.Random(0), repr=False)

    def strikes(self, path: str, text: str) -> bool:
        """Whether it strikes this request, which is counted."""
        if path != self.path or self.asked not in text:
            return False
        self._met += 1
        struck = self.spares < self._met <= self.spares + (sys.maxsize if self.times is None else self.times)
        return struck and self._chance.random() < self.rate


def status(code: int, **when: Any) -> Fault:
    """An error as OpenAI words it."""
    error = {"error": {"message": f"scripted {code}", "type": "scripted", "code": str(code)}}
    return Fault(status=code, body=json.dumps(error), **when)


html = partial(Fault, body="<html><body>Please log in</body></html>", kind="text/html")
garbage = partial(Fault, body='{"choices": [{"mess')
reset = partial(Fault, resets=True)
hang = partial(Fault, seconds=600.0)
wrong_model = partial(Fault, model="another-model")
cut_off = partial(Fault, finish_reason="length")
refused = partial(Fault, message={"content": None, "refusal": "I cannot help with that."})
empty = partial(Fault, message={"content": None})


def slow(seconds: float, **when: Any) -> Fault:
    """A good answer that takes its time."""
    return Fault(seconds=seconds, **when)


@dataclass(frozen=True)
class Request:
    """A request that arrived.

    Attributes:
        path: Where it went.
        headers: By their names in lower case.
        body: The JSON object sent.
        struck: Whether a fault has struck it.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    struck: bool = False

    @property
    def asked(self) -> Asked:
        """Of a chat request, what is asked."""
        return Asked(self.body)


def letters(text: str) -> list[float]:
    """An embedding: how often each letter stands in a text."""
    return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]


class Server:
    """The server's script, and what it was asked so far. All of it may be changed while it runs.

    Attributes:
        answer: From a chat request to the answer.
        vector: From a text to its embedding.
        faults: The first that strikes a request decides.
        key: When set, requests without it get 401.
        models: What it offers; another model gets 404.
        requests: Every request, in the order of arrival.
        before_event: Called with its number before an event of a streamed answer is sent.
        away: Seconds for which nobody listens, or is about not to.
    """

    def __init__(self, port: int, answer: Answer, models: Sequence[str] = (MODEL,)):
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.answer = answer
        self.models = list(models)
        self.vector: Callable[[str], list[float]] = letters
        self.faults: list[Fault] = []
        self.key: str | None = None
        self.requests: list[Request] = []
        self.closed = threading.Event()
        self.before_event: Callable[[int], object] = lambda number: None
        self.away = 0.0
        self._lock = threading.Lock()

    @property
    def chats(self) -> list[Request]:
        """The chat requests."""
        return [request for request in self.requests if request.path == CHAT]

    @property
    def embedded(self) -> list[list[str]]:
        """The texts of each request for embeddings."""
        return [request.body["input"] for request in self.requests if request.path == EMBEDDINGS]

    @property
    def questions(self) -> list[str]:
        """What they asked, those of a program alone: not the probe's."""
        return [request.asked.question for request in self.chats if request.asked.markup != "plain"]

    def took(self, request: Request) -> Fault:
        """Note a request; returns what strikes it."""
        text = request.asked.text if request.path == CHAT else ""
        with self._lock:
            fault = next((fault for fault in self.faults if fault.strikes(request.path, text)), None)
            self.requests.append(replace(request, struck=fault is not None or self.away > 0))
            if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
                return status(401, path=request.path)
            return fault or Fault()

    def reply(self, request: Request, fault: Fault) -> tuple[int, str, str]:
        """Status, content type and body of what is sent."""
        if fault.body is not None:
            return fault.status, fault.kind, fault.body
        if request.path == MODELS:
            content: Any = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        elif request.path == EMBEDDINGS and request.body["model"] in self.models:
            content = self._embeddings(request.body)
        elif request.path != CHAT or request.body["model"] not in self.models:
            return 404, fault.kind, json.dumps({"error": {"message": f"no such model or path: {request.path}"}})
        else:
            content = self._completion(request.asked, fault)
            (choice,) = content["choices"]
            choice["message"] |= fault.message
            choice["finish_reason"] = fault.finish_reason
        return fault.status, fault.kind, json.dumps(content)

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows = [{"object": "embedding", "index": n, "embedding": self.vector(text)} for n, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        # Nothing says that they come in order.
        return {"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage}

    def _completion(self, asked: Asked, fault: Fault) -> dict[str, Any]:
        answer = self.answer(asked)
        text = fault.words(asked, answer) if fault.words else written(asked, answer)
        before = sum(len(str(message["content"]).split()) for message in asked.body["messages"])
        after = len(text.split())
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 0,
            "model": fault.model or asked.body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": before, "completion_tokens": after, "total_tokens": before + after},
        }


def events(completion: dict[str, Any]) -> list[str]:
    """A completion as it is streamed: a few letters at a time, then how it ended, what it cost, and the end."""
    (choice,) = completion["choices"]
    shared = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    text = choice["message"]["content"] or ""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": text[at : at + 5]}, None) for at in range(0, len(text), 5)]
    deltas.append(({}, choice["finish_reason"]))
    chunks = [{**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": ended}]} for delta, ended in deltas]
    return [json.dumps(chunk) for chunk in (*chunks, {**shared, "choices": [], "usage": completion["usage"]})] + [
        "[DONE]"
    ]


@contextmanager
def running(
    answer: Answer | None = None,
    *,
    answers: Mapping[str, str] | None = None,
    port: int = 0,
    kind: type[Server] = Server,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    """A server until the block ends.

    Args:
        answer: From a chat request to the answer.
        answers: Instead of it, answers by question; the rest is answered "unknown".
        port: 0 takes a free one.
        kind: How it behaves.
        tls: Speaks HTTPS by it, each request over a connection of its own; faults strike the path `HANDSHAKE` too.
    """
    known = dict(answers or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            if tls:
                if script.took(Request(HANDSHAKE, {}, {})).status != 200:
                    self.request.sendall(b"no such protocol here")
                    raise ConnectionError
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, body: dict[str, Any]) -> None:
            request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            fault = script.took(request)
            if fault.leaves:
                script.away = fault.leaves
                threading.Thread(target=listener.shutdown).start()
            if script.closed.wait(fault.seconds) or fault.resets or script.away:
                # No waiting for what is unsent: the client sees a reset instead of an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            code, kind, content = script.reply(request, fault)
            if request.body.get("stream") and code == 200 and fault.body is None:
                self._stream(events(json.loads(content)), fault)
                return
            raw = content.encode()
            with suppress(ConnectionError):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                for name, value in {**fault.headers, **({"Connection": "close"} if tls else {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

        def _stream(self, sent: list[str], fault: Fault) -> None:
            """An event after the other, and no length said before."""
            with suppress(ConnectionError):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for number, event in enumerate(sent[: fault.cuts]):
                    script.before_event(number)
                    self.wfile.write(f"data: {event}\n\n".encode())
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass  # a client that was killed in the middle

    listener = Listener(("127.0.0.1", port), Handler)
    script = kind(listener.server_port, answer or (lambda asked: known.get(asked.question, "unknown")))
    if tls:
        script.base_url = script.base_url.replace("http://127.0.0.1", "https://localhost")

    def serve() -> None:
        while True:
            listener.serve_forever(poll_interval=0.02)
            listener.socket.close()
            if script.closed.wait(script.away):
                return
            listener.socket = socket.socket(listener.address_family, listener.socket_type)
            listener.server_bind()
            listener.server_activate()
            script.away = 0.0

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield script
    finally:
        script.closed.set()
        listener.shutdown()
        listener.server_close()
        thread.join(5)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--answers", type=Path, help='JSON file: {"question": "answer"}')
    parser.add_argument("--fault", action="append", default=[], help="JSON object of a fault's attributes; repeatable")
    parser.add_argument("--key", help="refuse requests without this key")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    answers = json.loads(arguments.answers.read_text(encoding="utf-8")) if arguments.answers else {}
    with running(answers=answers, port=arguments.port) as server, suppress(KeyboardInterrupt):
        server.faults = [Fault(**json.loads(text)) for text in arguments.fault]
        server.key = arguments.key
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
