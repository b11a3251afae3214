"""Nothing that comes from a file is ever unpickled: a run, its cached repetition and its replay do without."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fake_openai
import pytest
from fake_openai import Server
from project import HOME
from test_experiment import know_all, project_at

WITHOUT = """
import io, pickle, sys, runpy

class Refusing(pickle.Unpickler):
    def __init__(self, *args, **kwargs):
        raise AssertionError("something is unpickled")

def refuse(*args, **kwargs):
    raise AssertionError("something is unpickled")

pickle.load = pickle.loads = refuse
pickle.Unpickler = pickle._Unpickler = Refusing
runpy.run_path({run!r}, run_name="__main__")
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(know_all) as server:
        yield server


@pytest.mark.slow
def test_a_run_a_repetition_and_a_replay_unpickle_nothing(tmp_path: Path, server: Server) -> None:
    project = project_at(tmp_path / "project", server)
    asked = []
    given = ["endpoint=openai", f"endpoint.base_url={server.base_url}", f"endpoint.model={fake_openai.MODEL}"]
    given += [
        "tracking=none",
        "dataset=jsonl",
        *(f"dataset.{split}={split}.jsonl" for split in ("train", "val", "test")),
    ]
    for arguments in (
        [*given, "optimizer=labeled"],
        [*given, "optimizer=labeled", "optimizer.k=1"],  # the baseline's answers come from the cache
        ["reproduce=FIRST", "reproduce.mode=replay"],
        ["reproduce=FIRST", "reproduce.mode=evaluate"],
    ):
        first = str(project.folders[0].path) if project.folders else ""
        command = [sys.executable, "-c", WITHOUT.format(run=str(HOME / "run.py"))]
        command += [argument.replace("FIRST", first) for argument in arguments]
        environment = {**project.environment(), "PYTHONPATH": str(HOME)}
        done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        asked.append(len(server.requests))
    assert (asked[1] - asked[0]) < asked[0]
    assert asked[2] == asked[1]
