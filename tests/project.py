"""A project folder of its own, and runs in it as a user starts them: `python run.py …` against a scripted server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_openai import MODEL

HOME = Path(__file__).parent.parent
LONGEST = 60.0
"""Seconds that a run with a scripted server may take at the most."""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that it said on standard error."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Folder:
    """A run folder."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = self.json("summary.json")
        return content

    @property
    def predictions(self) -> list[dict[str, Any]]:
        lines = (self.path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def of(self, phase: str) -> list[dict[str, Any]]:
        """The predictions of a phase."""
        return [prediction for prediction in self.predictions if prediction["phase"] == phase]

    def answers(self) -> dict[tuple[str, str], Any]:
        """What was answered, without what it cost: two equal runs have it equal."""
        kept = ("inputs", "prediction", "raw", "score", "unreadable", "checks_first", "checks", "attempts")
        return {(p["phase"], p["id"]): tuple(str(p[name]) for name in kept) for p in self.predictions}


@dataclass
class Project:
    """A fresh project folder.

    Attributes:
        root: The folder.
        base_url: Of the endpoint that its runs ask.
        variables: What its runs have in their environment beside this process's own.
        under: The command that starts them, when it is not Python itself.
    """

    root: Path
    base_url: str
    variables: Mapping[str, str] = field(default_factory=lambda: {"OPENAI_API_KEY": "none-of-your-business"})
    under: tuple[str, ...] = ()

    def write(self, split: str, rows: list[dict[str, Any]]) -> None:
        """Write a dataset file."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.root / f"{split}.jsonl").write_text(text, encoding="utf-8")

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        """Start `python run.py` with the endpoint and dataset of this project, and the overrides."""
        given = {
            "endpoint": "openai",
            "endpoint.base_url": self.base_url,
            "endpoint.model": MODEL,
            "dataset": "jsonl",
            "tracking": "none",
            **{f"dataset.{split}": f"{split}.jsonl" for split in ("train", "val", "test")},
        }
        chosen = {override.partition("=")[0] for override in overrides}
        common = [f"{key}={value}" for key, value in given.items() if key not in chosen]
        return self.start_bare(*([] if "reproduce" in chosen else common), *overrides)

    def start_bare(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `python run.py` with these arguments alone."""
        return subprocess.Popen(
            [*self.under, sys.executable, str(HOME / "run.py"), *arguments],
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def bibleqa(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command `bibleqa`."""
        return subprocess.Popen(
            [sys.executable, "-c", "import sys; from bibleqa.cli import main; sys.exit(main())", *arguments],
            cwd=self.root,
            env={**self.environment(), "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """What a run has in its environment."""
        unwanted = ("OPENAI_", "LM_STUDIO_", "MLFLOW_", "HYDRA_", "BIBLEQA_PROJECT", "BIBLEQA_TOKEN", "COLUMNS")
        own = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return {**own, "BIBLEQA_PROJECT": str(self.root), "PYTHONIOENCODING": "utf-8", **self.variables}

    def run(self, *overrides: str) -> Finished:
        """`start`, and wait for its end."""
        return end(self.start(*overrides))

    @property
    def folders(self) -> list[Folder]:
        """The run folders, oldest first."""
        return [Folder(path.parent) for path in sorted(self.root.glob("outputs/2*/*/.hydra"))]

    @property
    def last(self) -> Folder:
        """The latest run folder."""
        return self.folders[-1]


def end(process: subprocess.Popen[str], within: float = LONGEST) -> Finished:
    """How a process ended; it is killed when it takes more seconds."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {within} s\n{out}\n{err}") from None
    return Finished(process.returncode, out, err)


def stop_when(process: subprocess.Popen[str], reached: Callable[[], bool], by: signal.Signals) -> Finished:
    """How a process ended that got a signal as soon as something was reached."""
    with awaiting(process):
        deadline = time.monotonic() + LONGEST
        while not reached():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "not reached"
            time.sleep(0.01)
        process.send_signal(by)
        return end(process)


@contextmanager
def awaiting(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leaves no process behind."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
