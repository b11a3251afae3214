"""The server as a process: its address, its token, clients that go away, and its end."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_openai
import httpx
import pytest
from fake_openai import MODEL, Server
from project import Finished, Project, awaiting, end
from served import Scripted, events, listening

from bibleqa.errors import ConfigError
from bibleqa.serve import server
from bibleqa.serve.answer import Answered

ASK = "/api/dspy/ask"
QUICK = 10.0
"""Seconds within which the server must answer after its start."""


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.01)


def command(root: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    project = Project(root, base_url="", variables={"OPENAI_API_KEY": "none-at-all", **variables})
    return project.bibleqa("serve", *arguments, "tracking=none")


@contextmanager
def started(root: Path, endpoint: Server, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`bibleqa serve` on a free port, and its address."""
    where = ("endpoint=openai", f"endpoint.base_url={endpoint.base_url}", f"endpoint.model={MODEL}")
    process = command(root, "--port=0", *where, *arguments)
    with awaiting(process):
        assert process.stdout
        yield process, process.stdout.readline().split("/ask")[0]


def ready(address: str) -> bool:
    return httpx.get(f"{address}/health/ready").status_code == 200


@pytest.mark.slow
def test_the_command_answers_and_ends_by_ctrl_c(project: Path) -> None:
    with fake_openai.running(answers={"Who begat Enos?": "Seth"}) as endpoint:
        begun = time.monotonic()
        with started(project, endpoint) as (process, address):
            assert httpx.get(f"{address}/health/live").json() == {"live": True}
            assert time.monotonic() - begun < QUICK
            until(lambda: ready(address))
            reply = httpx.post(f"{address}{ASK}", json={"question": "Who begat Enos?"}, timeout=20)
            assert reply.json()["answer"] == "Seth"
            process.send_signal(signal.SIGINT)
            finished = end(process)
    assert (finished.code, finished.err) == (0, "")
    assert "fake-model" in finished.out
    assert "Ctrl-C ends it" in finished.out


@pytest.mark.slow
def test_what_is_under_way_is_finished_before_the_end_and_a_stuck_model_does_not_hold_it(project: Path) -> None:
    with (
        fake_openai.running(answers={"Who begat Enos?": "Seth"}) as endpoint,
        started(project, endpoint) as (process, address),
        ThreadPoolExecutor() as pool,
    ):
        until(lambda: ready(address))
        endpoint.faults = [fake_openai.slow(1.0, asked="Enos"), fake_openai.hang(asked="stuck")]
        slow = pool.submit(httpx.post, f"{address}{ASK}", json={"question": "Who begat Enos?"}, timeout=20)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}{ASK}", json={"question": "stuck?"}, timeout=0.3)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        finished = end(process)
    assert (finished.code, slow.result().json()["answer"]) == (0, "Seth")
    assert time.monotonic() - begun < 15


@pytest.mark.slow
def test_an_endpoint_that_is_not_there_yet_is_waited_for(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    absent = Server(port, lambda _: "Seth")
    with started(project, absent, "endpoint.retries=0") as (_, address):
        until(lambda: "nothing answers" in httpx.get(f"{address}/health/ready").text)
        reply = httpx.post(f"{address}{ASK}", json={"question": "Who?"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_ready")
        with fake_openai.running(lambda _: "Seth", port=port):
            until(lambda: ready(address))
            assert httpx.post(f"{address}{ASK}", json={"question": "Who?"}, timeout=20).json()["answer"] == "Seth"


def refused(project: Path, *arguments: str, **variables: str) -> Finished:
    where = ("endpoint=openai", "endpoint.model=m", "endpoint.base_url=http://127.0.0.1:1/v1")
    return end(command(project, *arguments, *where, **variables))


def test_a_port_that_is_taken_is_one_line(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = refused(project, f"--port={port}")
    assert finished.code == 1
    assert f"--port {port}: Address already in use" in finished.complaint


def test_others_are_served_with_a_token_alone(project: Path) -> None:
    finished = refused(project, "--host=0.0.0.0", "--port=0", BIBLEQA_TOKEN="short")
    assert finished.code == 2
    assert "BIBLEQA_TOKEN" in finished.complaint


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_no_token(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    monkeypatch.delenv("BIBLEQA_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("BIBLEQA_TOKEN", token)
    with pytest.raises(ConfigError, match="BIBLEQA_TOKEN"):
        server._token("0.0.0.0")


def test_a_stream_comes_while_it_is_made(project: Path) -> None:
    more = threading.Event()

    def slowly(question: str, **_: Any) -> Iterator[str | Answered]:
        yield "In "
        assert more.wait(20)
        yield Answered("In the beginning")

    scripted = Scripted()
    scripted.stream = slowly  # type: ignore[method-assign]
    with (
        listening(project, scripted) as (address, _),
        httpx.stream("POST", f"{address}{ASK}", json={"question": "When?", "stream": True}) as reply,
    ):
        text = reply.iter_text()
        first = next(text)
        more.set()
        assert events(first) == [("token", json.dumps({"text": "In "}))]
        assert [name for name, _ in events("".join(text))] == ["answer"]


def test_a_client_that_leaves_a_stream_ends_it(project: Path) -> None:
    ended = threading.Event()

    def endless(question: str, **_: Any) -> Iterator[str]:
        try:
            while True:
                yield "and "
                time.sleep(0.01)
        finally:
            ended.set()

    scripted = Scripted()
    scripted.stream = endless  # type: ignore[method-assign]
    with listening(project, scripted) as (address, api):
        for _ in range(api.admission.at_once + 1):
            ended.clear()
            with httpx.stream("POST", f"{address}{ASK}", json={"question": "?", "stream": True}) as reply:
                assert next(reply.iter_text())
            assert ended.wait(20)
        until(lambda: api.admission.under_way == api.admission.waiting == 0)


def test_a_stream_that_takes_too_long_is_ended_with_an_error(project: Path) -> None:
    def endless(question: str, **_: Any) -> Iterator[str]:
        while True:
            yield "and "
            time.sleep(0.01)

    scripted = Scripted()
    scripted.stream = endless  # type: ignore[method-assign]
    with listening(project, scripted, seconds=0.3) as (address, api):
        reply = httpx.post(f"{address}{ASK}", json={"question": "?", "stream": True}, timeout=20)
        name, data = events(reply.text)[-1]
        assert (name, json.loads(data)["error"]["code"]) == ("error", "timeout")
        until(lambda: api.admission.under_way == 0)


@pytest.mark.parametrize("stream", [True, False])
def test_clients_that_leave_the_queue_give_their_places_back(project: Path, stream: bool) -> None:
    scripted = Scripted()
    scripted.hold.clear()
    with listening(project, scripted, at_once=1, waiting=2) as (address, api):
        for question in ("first", "second", "third"):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{address}{ASK}", json={"question": question, "stream": stream}, timeout=0.2)
        until(lambda: (api.admission.under_way, api.admission.waiting) == (1, 0))
        scripted.hold.set()
        until(lambda: api.admission.under_way == 0)
        reply = httpx.post(f"{address}{ASK}", json={"question": "fourth", "session_id": "a"}, timeout=20)
        assert reply.json()["answer"] == "You ask: fourth"
    assert [question for question, _, _ in scripted.asked] == ["first", "fourth"]


def test_a_body_that_is_promised_and_does_not_come_holds_nobody_up(project: Path) -> None:
    with listening(project) as (address, _):
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port or 0)) as half:
            half.sendall(b"POST /api/dspy/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
            assert httpx.post(f"{address}{ASK}", json={"question": "Who?"}, timeout=20).status_code == 200
