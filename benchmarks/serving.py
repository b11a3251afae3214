"""What `bibleqa serve` bears.

    python benchmarks/serving.py

asks it from 200 clients for 60 s with a context, and for 60 s without, so that verses are found; each goes on with its
conversation as soon as it is answered, the endpoint answers in 50 ms, and 10,000 conversations are kept already. Prints
of each throughput, latencies, statuses, and what memory and processor time the server took.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from figures import Figure, show
from runs import ROOT, running

sys.path.insert(0, str(ROOT / "tests"))
from fake_openai import MODEL

from bibleqa.serve.sessions import Sessions

SESSIONS = 10_000
QUESTIONS = {
    "with a context": ("/api/dspy/ask_with_context", {"context": "[Genesis 5:6] And Seth begat Enos:"}),
    "verses found": ("/api/dspy/ask", {}),
}
TURNS = 5
"""Of a conversation, after which a client begins another."""


@dataclass
class Seen:
    """What the clients have seen."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    busy: float = 0.0
    """Seconds of processor time that the server took."""


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--threads", type=int, default=16, help="questions that the endpoint is asked at once")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that it takes for each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with closing(Sessions(Path(folder) / "sessions.db")) as sessions:
            content = {"answer": "Seth", "context": "", "citations": [], "served": {}}
            for number in range(SESSIONS):
                sessions.append(f"kept-{number}", "Who begat Enos?", content)
        with (
            running("tests/fake_openai.py", "--fault", json.dumps({"seconds": arguments.latency})) as address,
            _server(Path(folder), address, arguments.threads) as (url, server),
        ):
            show(
                __file__,
                (
                    figure
                    for what in QUESTIONS
                    for figure in _figures(
                        what,
                        asyncio.run(_load(url, server, what, arguments.clients, arguments.seconds)),
                        arguments.seconds,
                    )
                ),
            )


@contextmanager
def _server(project: Path, address: str, threads: int) -> Iterator[tuple[httpx.URL, psutil.Process]]:
    command = [sys.executable, "-c", "import sys; from bibleqa.cli import main; sys.exit(main())", "serve", "--port=0"]
    command += ["endpoint=openai", f"endpoint.base_url={address}", f"endpoint.model={MODEL}"]
    command += [f"endpoint.threads={threads}", "tracking=none"]
    environment = {**os.environ, "BIBLEQA_PROJECT": str(project), "OPENAI_API_KEY": "none", "PYTHONUNBUFFERED": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    try:
        url = httpx.URL(process.stdout.readline().split()[0])
        while httpx.get(url.join("/health/ready")).status_code != httpx.codes.OK:
            time.sleep(0.05)
        print(f"ready {time.perf_counter() - begun:.1f} s after its start", flush=True)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


async def _load(url: httpx.URL, server: psutil.Process, what: str, clients: int, seconds: float) -> Seen:
    seen = Seen(busy=-_busy(server))
    end = time.monotonic() + seconds
    await asyncio.gather(_watch(server, seen, seconds), *(_client(url, what, n, end, seen) for n in range(clients)))
    seen.busy += _busy(server)
    return seen


def _busy(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


async def _watch(server: psutil.Process, seen: Seen, seconds: float) -> None:
    for _ in range(6):
        await asyncio.sleep(seconds / 6)
        seen.memory.append(server.memory_info().rss / 1e6)


async def _client(url: httpx.URL, what: str, number: int, end: float, seen: Seen) -> None:
    """Asks over one connection; by hand, since the client shall not be what limits."""
    path, given = QUESTIONS[what]
    reader, writer = await asyncio.open_connection(url.host, url.port)
    asked = 0
    while time.monotonic() < end:
        question = f"Who begat the son {asked} of the father {number}?"
        ask = {"question": question, "session_id": f"client-{len(given)}-{number}-{asked // TURNS}"}
        body = json.dumps({**ask, **given}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
        begun = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(int(headers["content-length"]))
        seen.statuses[status] += 1
        if status == httpx.codes.OK:
            seen.seconds.append(time.perf_counter() - begun)
            asked += 1
        else:
            await asyncio.sleep(float(headers.get("retry-after", "1")))
    writer.close()


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = raw.decode().strip().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


def _figures(what: str, seen: Seen, seconds: float) -> Iterator[Figure]:
    took = sorted(seen.seconds)
    shares = ", ".join(f"p{p} {took[min(len(took) - 1, len(took) * p // 100)]:.2f} s" for p in (50, 95, 99))
    statuses = ", ".join(f"{count:,} times {status}" for status, count in sorted(seen.statuses.items()))
    yield Figure(f"{what}: answers a second", len(took) / seconds, "", f"{shares}; {statuses}")
    yield Figure(f"{what}: processor time an answer", 1000 * seen.busy / len(took), "ms")
    sixths = ", ".join(f"{one:.0f}" for one in seen.memory)
    yield Figure(f"{what}: memory at the end", seen.memory[-1], "MB", f"at each sixth of the time {sixths}")


if __name__ == "__main__":
    main()
