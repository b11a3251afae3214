"""Whole runs that tune the weights of the real SmolLM2: what they leave, and how they go on after their end."""

import hashlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import dummies
import psutil
import pytest
from project import Finished, Folder, Project, awaiting, end

from bibleqa import adapters, cli
from bibleqa import program as programs
from bibleqa.errors import BibleQAError
from bibleqa.optimizers import weights
from bibleqa.schema import AdapterConfig, ProgramConfig

NAMES = (
    "Jared Enoch Lamech Peleg Nahor Serug Reu Eber Salah Elam Asshur Lud Aram Uz Hul Gether Mash Joktan Hadoram Uzal"
)
COMMAND = (
    "endpoint=embedded_tiny",
    "endpoint.threads=1",  # tests run side by side, a process for each core
    "adapter=json",  # in which the base model finds its way: there is something to bootstrap
    "metric=contains",
    "tracking=none",
    "dataset=jsonl",
    *(f"dataset.{split}={split}.jsonl" for split in ("train", "val", "test")),
    *("dataset.max_train=8", "dataset.max_val=4", "dataset.max_test=6"),
)
TUNED = (
    *COMMAND,
    "optimizer=better_together",
    "optimizer.steps.w.max_examples=24",
    "optimizer.steps.w.learning_rate=0.003",
)
LONGEST = 400.0


def row(split: str, number: int) -> dict[str, Any]:
    names = NAMES.split()
    offset = {"train": 0, "val": 3, "test": 7}[split]
    father, son = names[number % len(names)], names[(number + offset + number // len(names) + 1) % len(names)]
    return {
        "id": f"{split}{number}",
        "context": f"[Genesis 5:{number + 1}] And {father} lived an hundred years, and begat {son}:",
        "question": f"Whom did {father} beget?",
        "answer": son,
        "metadata": {"type": "kinship", "reference": f"Genesis 5:{number + 1}"},
    }


def project_at(root: Path) -> Project:
    project = Project(root, base_url="", variables={})
    for split, count in (("train", 24), ("val", 4), ("test", 6)):
        project.write(split, [row(split, number) for number in range(count)])
    return project


def run(project: Project, *arguments: str) -> Folder:
    """A run that finishes; gives its folder."""
    finished = end(project.start_bare(*arguments), within=LONGEST)
    assert finished.code == 0, finished.err
    return project.last


def tuner(process: subprocess.Popen[str]) -> psutil.Process:
    """The process that tunes, once it is at it."""
    deadline = time.monotonic() + LONGEST
    while True:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "not reached"
        for child in psutil.Process(process.pid).children(recursive=True):
            # Its processor time grows when it has loaded the model and computes.
            if "bibleqa.lm.lora" in child.cmdline() and child.cpu_times().user > 5:
                return child
        time.sleep(0.05)


def new_calls(folder: Folder) -> int:
    usage = folder.summary["lm"]
    count: int = usage["calls"] - usage["cached_calls"]
    return count


def answers(folder: Folder, phase: str) -> dict[str, Any]:
    return {p["id"]: (p["prediction"], p["raw"], p["score"]) for p in folder.of(phase)}


@dataclass(frozen=True)
class Stopped:
    """How runs ended that were stopped while weights were tuned, and the one that finished."""

    interrupted: Finished
    seconds: float
    """That it took from the interrupt to the end."""
    left: list[psutil.Process]
    """What was still running after the interrupt."""
    last: Folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A run that nothing stopped."""
    return run(project_at(tmp_path_factory.mktemp("whole")), *TUNED)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """The same in another project: interrupted, then killed, then left alone."""
    project = project_at(tmp_path_factory.mktemp("stopped"))
    process = project.start_bare(*TUNED)
    with awaiting(process):
        child = tuner(process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        interrupted = end(process)
        seconds = time.monotonic() - begun
        _, left = psutil.wait_procs([child], timeout=10)
    process = project.start_bare(*TUNED)
    with awaiting(process):
        child = tuner(process)
        for one in (child, process):
            one.kill()
        process.communicate()
    return Stopped(interrupted, seconds, left, run(project, *TUNED))


@pytest.mark.slow
def test_prompts_and_weights_are_tuned_and_the_answers_get_better(whole: Folder) -> None:
    summary = whole.summary

    assert summary["status"] == "finished"
    assert summary["optimizer_errors"] == []
    assert not summary["unchanged"]
    assert summary["optimized"]["score"] > summary["baseline"]["score"]
    assert {"adapter.gguf", "adapter.json", "program.json", "candidates.json", "candidates.png"} <= {
        file.name for file in whole.path.iterdir()
    }
    manifest = whole.json("adapter.json")
    assert hashlib.sha256((whole.path / "adapter.gguf").read_bytes()).hexdigest() == manifest["sha256"]
    assert summary["weights"] == manifest["sha256"]
    assert manifest["conversations"] == 24, "all of train, not its slice alone"
    assert [candidate["name"] for candidate in whole.json("candidates.json")][-3:] == ["given", "p", "p -> w"]


@pytest.mark.slow
def test_an_interrupt_ends_the_run_at_once_and_what_tunes_with_it(stopped: Stopped) -> None:
    assert stopped.interrupted.code == 130
    assert stopped.interrupted.complaint == "bibleqa: interrupted"
    assert stopped.seconds < 20
    assert stopped.left == []


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_and_ends_as_if_nothing_had_been(whole: Folder, stopped: Stopped) -> None:
    ours, theirs = whole.summary, stopped.last.summary

    assert theirs["program_digest"] == ours["program_digest"]
    assert theirs["weights"] == ours["weights"]
    assert answers(stopped.last, "optimized") == answers(whole, "optimized")
    # Of the steps before the weights nothing is asked again: val and test remain, of the tuned model.
    assert new_calls(stopped.last) <= 4 + 6 < new_calls(whole)


@pytest.mark.slow
def test_the_weights_of_a_run_serve_another_one(whole: Folder) -> None:
    project = Project(whole.path.parents[2], base_url="", variables={})

    again = run(project, *COMMAND, "optimizer=none", f"endpoint.adapter={whole.path / 'adapter.gguf'}")

    assert answers(again, "baseline") == answers(whole, "optimized")


@pytest.mark.slow
def test_a_run_is_exported_as_one_model(
    whole: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIBLEQA_PROJECT", str(whole.path.parents[2]))

    assert cli.main(["export", str(whole.path)]) == 0

    assert (whole.path / "model.gguf").stat().st_size > 90_000_000
    assert "model.gguf" in capsys.readouterr().out


@pytest.mark.parametrize("adapter", ["chat", "json", "xml"])
def test_an_answer_is_learned_as_the_adapter_will_read_it(adapter: str) -> None:
    formats = adapters.build(AdapterConfig(adapter))
    student = programs.build(ProgramConfig("predict"))
    student.set_lm(dummies.model(dummies.son))
    step = weights._Finetune([dummies.example(3)], exclude_demos=True)
    step._student = student

    with dspy.context(adapter=formats):
        ((row,), kind) = step._prepare_finetune_data([], student.get_lm())

    (predictor,) = student.predictors()
    *prompt, answer = row["messages"]
    assert kind == "chat"
    assert prompt == formats.format(predictor.signature, [], dict(dummies.example(3).inputs()))
    assert answer["role"] == "assistant"
    assert formats.parse(predictor.signature, answer["content"]) == {"answer": "Son3"}


def test_a_teacher_that_knows_nothing_is_no_teacher() -> None:
    step = weights._Finetune([], exclude_demos=True)
    step._student = programs.build(ProgramConfig("predict"))
    wrong = {"score": 0.0, "trace": [(None, {}, {})]}

    with pytest.raises(BibleQAError, match=r"none of 2 questions.*source=labels"):
        step._prepare_finetune_data([wrong, wrong], None)


def test_the_weights_behind_a_server_are_refused_before_it_is_asked(tmp_path: Path) -> None:
    project = project_at(tmp_path)
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        asked.listen()
        asked.setblocking(False)
        address = f"http://127.0.0.1:{asked.getsockname()[1]}/v1"
        chosen = [f"endpoint.base_url={address}", *COMMAND[2:], "optimizer=finetune"]

        finished = project.run_bare("endpoint=lm_studio", *chosen)

        with pytest.raises(BlockingIOError):
            asked.accept()
    assert finished.code == 2
    assert "cannot be tuned" in finished.complaint
    assert "endpoint=embedded" in finished.complaint
    assert project.folders == []
