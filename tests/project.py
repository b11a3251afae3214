"""A project folder of its own, and runs in it as a user starts them: `python run.py …` against a scripted server."""

import io
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dspy
from fake_openai import MODEL

from bibleqa import formats
from bibleqa.lm import endpoints

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
        return self.start_bare(*self._with_endpoint(overrides))

    def _with_endpoint(self, overrides: Sequence[str]) -> list[str]:
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
        return [*([] if "reproduce" in chosen else common), *overrides]

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
        """What `start` starts, to its end."""
        return self.run_bare(*self._with_endpoint(overrides))

    def run_bare(self, *arguments: str) -> Finished:
        """What `start_bare` starts, to its end: in this process, which has imported already what a run needs.

        It has the variables of a process of its own, and none of what this process remembers of runs before. For what
        signals, limits and kills do to a run, `start` it; what stands `under` another command is started anyway.
        """
        if self.under:
            return end(self.start_bare(*arguments))
        formats._say.cache_clear()
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment(), clear=True),
            patch.object(sys, "argv", ["run.py", *arguments]),
            patch.object(dspy, "cache", dspy.cache),
            patch.object(endpoints, "_well", set()),
            chdir(self.root),
            _logging_as_it_was(),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                runpy.run_path(str(HOME / "run.py"), run_name="__main__")
            except SystemExit as ended:
                return Finished(int(ended.code or 0), out.getvalue(), err.getvalue())
        raise AssertionError("it has not ended as run.py does")

    @property
    def folders(self) -> list[Folder]:
        """The run folders, oldest first."""
        return [Folder(path.parent) for path in sorted(self.root.glob("outputs/2*/*/.hydra"))]

    @property
    def last(self) -> Folder:
        """The latest run folder."""
        return self.folders[-1]


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """Takes away what Hydra makes of logging, which for a sweep silences all loggers, and closes its files."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    heard = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    heard = [logger for logger in heard if not logger.disabled]
    with patch.object(logging, "raiseExceptions", logging.raiseExceptions):
        yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in heard:
        logger.disabled = False


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
