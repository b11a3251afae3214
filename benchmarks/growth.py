"""What grows with the number of questions and of runs, and how fast: time, memory, and what is on disk.

    python benchmarks/growth.py

Questions are asked of the scripted server of the tests, which answers at once, eight at a time; runs are folders as
finished runs leave them, recorded in MLflow. `× a decade` is how many times more ten times as many take: 10 is
linear, and what begins with a fixed cost stays below it.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from figures import Figure, show, spent
from runs import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import fake_openai
import past_runs
from project import Project
from test_experiment import know_all, row

from bibleqa import runs, tracking
from bibleqa.runs import RunFolder
from bibleqa.schema import TrackingConfig

QUESTIONS = (100, 1_000, 10_000)
ROWS = (1_000, 10_000, 100_000)
"""Of a dataset of which a run takes twenty questions."""
RUNS = (10, 100, 1_000)
MOST = 12.0
"""Times a decade that may be: linear, and what machines vary."""
RUN = [sys.executable, str(ROOT / "run.py")]
CLI = [sys.executable, "-c", "import sys; from bibleqa.cli import main; sys.exit(main())"]


def main() -> None:
    """All of it."""
    with fake_openai.running(know_all) as server:
        parts = (with_rows, with_runs, with_questions)
        show(__file__, (figure for part in parts for figure in part(server.base_url)))


Sizes = Mapping[int, float]
"""What something took, by how many there were."""


def growth(name: str, unit: str, sizes: Sizes) -> Figure:
    """How many times more the last decade takes."""
    took = ", ".join(f"{count:,}: {size:,.{2 if size < 100 else 0}f} {unit}" for count, size in sizes.items())
    *_, before, last = sizes.values()
    return Figure(name, last / before, "× a decade", took, MOST)


def with_questions(base_url: str) -> list[Figure]:
    """A run over more and more test questions, without an optimizer."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for count in QUESTIONS:
        with project(base_url, test=count) as one:
            # The store is made by a first run, which asks nothing that the second asks.
            spent([*RUN, *given(one), "dataset.max_test=1", "tracking=local"], one.environment())
            before = size(one.root / "mlflow.db")
            took = spent([*RUN, *given(one), "tracking=local"], one.environment())
            for key, value in {
                ("time of a run", "s"): took.seconds,
                ("processor of a run", "s"): took.cpu,
                ("memory of a run", "MB"): took.memory,
                ("its run folder", "MB"): size(one.last.path),
                ("its part of mlflow.db", "MB"): size(one.root / "mlflow.db") - before,
                ("the cache of answers", "MB"): size(one.root / "outputs" / ".cache"),
            }.items():
                found.setdefault(key, {})[count] = value
    return [growth(f"{name}, by test questions", unit, sizes) for (name, unit), sizes in found.items()]


def with_rows(base_url: str) -> list[Figure]:
    """Finding twenty questions each in larger and larger files."""
    seconds, memory = {}, {}
    for count in ROWS:
        with project(base_url, train=count, test=count) as one:
            limits = [f"dataset.max_{split}=20" for split in ("train", "val", "test")]
            took = spent([*RUN, *given(one), *limits, "plan=true"], one.environment())
            seconds[count], memory[count] = took.cpu, took.memory
    return [
        growth("processor of a plan, by rows of train and of test", "s", seconds),
        growth("memory of a plan, by rows of train and of test", "MB", memory),
    ]


def with_runs(base_url: str) -> list[Figure]:
    """What looks at all runs, or for one among them."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    with project(base_url) as one:
        os.environ["BIBLEQA_PROJECT"] = str(one.root)
        made: list[Path] = []
        for count in RUNS:
            begun, before = time.perf_counter(), len(made)
            while len(made) < count:
                made.append(recorded(one.root, len(made)))
            each = (time.perf_counter() - begun) / (count - before) * count
            for key, value in {
                ("to record them", "s"): each,
                ("mlflow.db", "MB"): size(one.root / "mlflow.db"),
                ("`find_finished` of all", "s"): seconds(lambda: [runs.find_finished(p.name) for p in pointers(one)]),
                **commands(one, made),
            }.items():
                found.setdefault(key, {})[count] = value
    return [growth(f"{name}, by runs", unit, sizes) for (name, unit), sizes in found.items()]


def commands(one: Project, made: list[Path]) -> dict[tuple[str, str], float]:
    """Seconds of processor of what people ask of their runs, and the memory of the leaderboard."""
    asked = {
        "`leaderboard`": [*CLI, "leaderboard"],
        "`compare`": [*CLI, "compare", str(made[0]), str(made[-1])],
        "`plan=true`": [*RUN, *given(one), "plan=true"],
        "`doctor`": [*CLI, "doctor", *given(one)],
    }
    took = {name: spent(command, one.environment()) for name, command in asked.items()}
    return {(name, "s"): one.cpu for name, one in took.items()} | {
        ("memory of `leaderboard`", "MB"): took["`leaderboard`"].memory
    }


class project:
    """A project folder with questions, as long as it is needed."""

    def __init__(self, base_url: str, train: int = 20, test: int = 20):
        self._folder = Path(tempfile.mkdtemp())
        self._project = Project(self._folder, base_url)
        for split, count in (("train", train), ("val", 20), ("test", test)):
            self._project.write(split, [row(split, number) for number in range(count)])

    def __enter__(self) -> Project:
        return self._project

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)


def given(one: Project) -> list[str]:
    """The overrides of a run without an optimizer."""
    files = [f"dataset.{split}={one.root / split}.jsonl" for split in ("train", "val", "test")]
    model = [f"endpoint.base_url={one.base_url}", f"endpoint.model={fake_openai.MODEL}"]
    return ["endpoint=openai", *model, "dataset=jsonl", *files, "optimizer=none"]


def recorded(root: Path, number: int) -> Path:
    """A finished run with twenty questions, in its folder and in MLflow."""
    scores = [float((number * 7 + question) % 3 == 0) for question in range(20)]
    config = [f"optimizer.seed={number}", f"optimizer=o{number % 5}"]
    run = past_runs.make(root, *config, scores=scores, folder=f"r{number}", git={"commit": "c"}, slice={"test": 20})
    tracking.record(RunFolder(run.path), lambda run_id: run.summary | {"run_id": run_id}, TrackingConfig(name="local"))
    return run.path


def pointers(one: Project) -> list[Path]:
    """The files by which finished runs are found."""
    return list((one.root / "outputs" / ".finished").iterdir())


def seconds(work: Callable[[], object]) -> float:
    """By the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def size(path: Path) -> float:
    """MB of a file, or of all in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
