"""Sweeps over a real Ray of two nodes, of which one dies, or the head, or the user has had enough."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fake_openai
import psutil
import pytest
from fake_openai import Server, slow
from project import Project, awaiting, end

LONG_ENOUGH = 150.0
"""Seconds; on an idle machine it takes a quarter of that."""
JOBS = 6


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(lambda asked: asked.question.rpartition(" ")[2].rstrip("?")) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: Server) -> Project:
    made = Project(tmp_path, server.base_url)
    for split in ("train", "val", "test"):
        made.write(
            split,
            [
                {
                    "id": f"{split}{number}",
                    "context": "[Genesis 5:3] And Adam begat Seth.",
                    "question": f"Who begat {split}-{number}?",
                    "answer": f"{split}-{number}",
                    "history": [],
                    "metadata": {"type": "kinship", "reference": "Genesis 5:3"},
                }
                for number in range(2)
            ],
        )
    return made


@dataclass(frozen=True)
class Nodes:
    """A Ray cluster of a head and one more node, with room for one job each."""

    address: str
    second: list[int]
    head: list[int]
    variables: dict[str, str]
    """That those who use it have in their environment."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One for all tests, since it takes its time to start; so their order matters: the head dies last."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    variables = {
        # A token of its own: Ray would leave one in the user's home, or take the one that is there.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_nodes.py"))],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        yield Nodes(**json.loads(process.stdout.readline()), variables=variables)
        process.stdin.close()


def kill(pids: list[int]) -> None:
    """As when a machine goes: what Ray has started on it goes too."""
    for pid in pids:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            process.kill()


SIX_JOBS = ("-m", "hydra/launcher=ray", "program=predict,chain_of_thought", "adapter=chat,json,xml", "optimizer=none")


def sweep(home: Project, *overrides: str) -> subprocess.Popen[str]:
    """Start a sweep of six jobs."""
    return home.start(*SIX_JOBS, *overrides)


def begun(home: Project) -> list[Path]:
    return list(home.root.glob("outputs/multirun/*/*/*/config.yaml"))


def statuses(home: Project) -> list[str]:
    summaries = home.root.glob("outputs/multirun/*/*/*/summary.json")
    return [json.loads(path.read_text(encoding="utf-8"))["status"] for path in summaries]


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_ENOUGH
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.05)


def test_without_ray_says_how_to_get_it(home: Project) -> None:
    (home.root / "ray.py").write_text("raise ImportError")
    home.variables = {**home.variables, "PYTHONPATH": str(home.root)}
    ended = end(sweep(home))
    assert (ended.code, ended.complaint) == (
        2,
        'bibleqa: hydra/launcher=ray needs Ray: pip install -c constraints.txt -e ".[ray]"',
    )
    assert not begun(home)


def test_a_variable_that_is_not_set(home: Project) -> None:
    ended = home.run(*SIX_JOBS, "hydra.launcher.env=[OPENAI_API_KEY,NO_SUCH_KEY]")
    assert (ended.code, ended.complaint) == (2, "bibleqa: hydra.launcher.env: NO_SUCH_KEY is not set here")


@pytest.mark.slow
def test_a_cluster_that_is_not_there(home: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        ended = end(sweep(home, f"hydra.launcher.address={address}", "hydra.launcher.connect_seconds=1"))
    assert ended.code == 2
    assert ended.complaint.startswith(f"bibleqa: hydra.launcher.address={address}: no Ray has answered in 1 s")
    assert not begun(home)


def sweep_on(nodes: Nodes, home: Project, *overrides: str) -> subprocess.Popen[str]:
    home.variables = {**home.variables, **nodes.variables}
    on_nodes = (f"hydra.launcher.address={nodes.address}", "hydra.launcher.env=[OPENAI_API_KEY]")
    return sweep(home, *on_nodes, "hydra.launcher.connect_seconds=30", *overrides)


@pytest.mark.slow
def test_ctrl_c_lets_runs_write_down_what_they_have(home: Project, server: Server, nodes: Nodes) -> None:
    server.faults = [slow(5.0)]
    process = sweep_on(nodes, home)
    with awaiting(process):
        wait_for(process, lambda: len(begun(home)) == 2)
        process.send_signal(signal.SIGINT)
        ended = end(process, LONG_ENOUGH)
    assert (ended.code, ended.complaint) == (130, "bibleqa: interrupted")
    assert statuses(home) == ["failed", "failed"]


@pytest.mark.slow
def test_a_node_that_dies_takes_one_job_with_it(home: Project, server: Server, nodes: Nodes) -> None:
    server.faults = [slow(5.0)]
    process = sweep_on(nodes, home)
    with awaiting(process):
        wait_for(process, lambda: len(begun(home)) == 2)
        kill(nodes.second)
        server.faults = []
        ended = end(process, LONG_ENOUGH)
    assert ended.code == 1
    assert "1 of 6 jobs failed" in ended.complaint
    assert "was killed: the node or its worker died" in ended.out
    assert statuses(home) == ["finished"] * (JOBS - 1)

    again = end(sweep_on(nodes, home), LONG_ENOUGH)
    assert again.code == 0, again.err
    assert statuses(home) == ["finished"] * JOBS


@pytest.mark.slow
def test_a_head_that_dies_ends_the_sweep(home: Project, server: Server, nodes: Nodes) -> None:
    server.faults = [slow(300.0, spares=1)]  # the probe
    process = sweep_on(nodes, home)
    with awaiting(process):
        wait_for(process, lambda: bool(begun(home)))
        kill(nodes.head)
        ended = end(process, LONG_ENOUGH)
    assert ended.code == 1
    assert "6 of 6 jobs failed" in ended.complaint
    assert "was killed" in ended.out or "was given up" in ended.out
