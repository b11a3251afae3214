"""A disk that is full from some moment on: the run stops in one line, what it has is readable, and it goes on later."""

import json
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_openai
import psutil
import pytest
from fake_openai import Asked, Server, slow
from project import Finished, Project, awaiting, end
from test_experiment import ALL_AFTER_BASELINE, ONE_BY_ONE, TEST, know_all, project_at

from bibleqa import cli, databases
from bibleqa.lm.answers import read_archive
from bibleqa.runs import read_lines

MOMENTS = {"baseline": 3, "optimizer": TEST + 2, "the last answer": TEST + ALL_AFTER_BASELINE.total()}
"""How many questions are asked before no file can grow any more."""


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(know_all) as server:
        server.faults = [slow(0.05)]
        yield server


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return project_at(tmp_path / "project", server)


def filled(server: Server, start: Callable[[], "subprocess.Popen[str]"], after: int) -> Finished:
    """How a run ends whose disk is full from that question on: the system then refuses every byte to every file."""
    process = start()

    def answer(asked: Asked) -> str:
        if len(server.questions) >= after:
            psutil.Process(process.pid).rlimit(resource.RLIMIT_FSIZE, (0, 0))
        return know_all(asked)

    server.answer = answer
    with awaiting(process):
        return end(process)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_stops_and_goes_on_when_there_is_room(project: Project, server: Server, moment: str) -> None:
    stopped = filled(server, lambda: project.start(*ONE_BY_ONE, "tracking=local"), MOMENTS[moment])

    assert stopped.code == 1
    assert stopped.complaint
    assert "Traceback" not in stopped.out
    folder = project.last
    kept = list(read_lines(folder.path / "predictions.jsonl"))
    assert all(one["score"] is not None for one in kept if one["phase"] == "optimized")
    for path in folder.path.glob("*.json"):
        json.loads(path.read_text())
    read_archive(folder.path / "answers.jsonl")
    assert [databases.damage(path) for path in project.root.glob("outputs/.cache/*/*/cache.db")] == [None]

    server.answer = know_all
    paid = len(server.questions)
    again = project.run(*ONE_BY_ONE, "tracking=local")

    assert again.code == 0, again.err
    assert project.last.summary["optimized"]["score"] == 1
    in_flight = 2  # the answer that found no room, and the next question, asked before the run has stopped
    assert len(server.questions) <= TEST + ALL_AFTER_BASELINE.total() + in_flight
    assert len(server.questions) > paid or moment == "the last answer"


@pytest.mark.slow
def test_a_tracker_whose_store_finds_no_room_costs_nothing_but_the_entry(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.under = ("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh")  # no file above 512 kB: MLflow needs one

    finished = project.run(*ONE_BY_ONE, "tracking=local", "optimizer=none")

    assert finished.code == 0, finished.err
    assert f"bibleqa track {project.last.path}" in finished.complaint
    assert not (project.root / "mlflow.db").exists(), "no store that nobody can use"
    monkeypatch.setenv("BIBLEQA_PROJECT", str(project.root))
    assert cli.main(["track", str(project.last.path)]) == 0
    assert project.last.summary["run_id"]
