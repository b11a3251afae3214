"""What is spent beside language models: until a plan is there, in a finished run, for a job that is finished already.

    python benchmarks/overhead.py

Commands are the best of three. Runs ask the scripted server of the tests, which answers at once: what they take beside
it is all this project's, Python's and its packages'. Seconds of processor stand beside those of the clock: they say
more on a machine that has other work.
"""

import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from figures import Figure, Spent, best, show, spent
from runs import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import fake_openai
import past_runs
from project import Project
from test_experiment import know_all, project_at, row

RUN = str(ROOT / "run.py")
SECOND = 1.0
JOBS = 50
"""Of a sweep."""
AMONG = 1000
"""Runs that there are when finished jobs are looked for."""
MANY = 1000
"""Test questions of a long run."""


def main() -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder, fake_openai.running(know_all) as server:
        fresh, project = Project(Path(folder), ""), project_at(Path(folder) / "project", server)
        parts = (partial(until_a_plan, fresh), partial(whole_runs, project), partial(sweeps, project))
        show(__file__, (one for part in parts for one in part()))


def until_a_plan(project: Project) -> list[Figure]:
    """The commands that spend nothing."""
    bare = best([sys.executable, "-c", "pass"])
    spent([sys.executable, RUN, "plan=true"], project.environment())  # builds the dataset
    commands = {
        "`--help`": ["--help"],
        "a config error": ["endpoint.temperature=9"],
        "`plan=true`": ["plan=true"],
        "`plan=true` of a sweep of 8": ["experiment=first_sweep", "plan=true"],
    }
    found = {name: best([sys.executable, RUN, *given], project.environment()) for name, given in commands.items()}
    return [figure(name, took, f"Python alone {bare.seconds:.2f} s", SECOND) for name, took in found.items()]


def figure(name: str, took: Spent, beside: str, aim: float | None = None) -> Figure:
    """Seconds by the clock, with those of the processor beside."""
    return Figure(name, took.seconds, "s", f"{took.cpu:.2f} s of processor; {beside}", aim)


def whole_runs(project: Project) -> list[Figure]:
    """A run from the command to the prompt, without the seconds in which questions were asked."""
    packages = best([sys.executable, "-c", "import dspy, mlflow.store.tracking.sqlalchemy_store"])
    imports = f"the import of DSPy and MLflow alone {packages.seconds:.2f} s, {packages.cpu:.2f} s of processor"
    first = beside_questions(project, "tracking=local")
    tracked = min((beside_questions(project, "tracking=local") for _ in range(3)), key=lambda one: one.seconds)
    untracked = min((beside_questions(project, "tracking=none") for _ in range(3)), key=lambda one: one.seconds)
    few = recording(project)
    project.write("test", [row("test", number) for number in range(MANY)])
    many = recording(project)
    each = (many - few) / MANY * 1000
    return [
        figure("a run beside its questions, MLflow included", tracked, imports, 3.0),
        figure("the same without MLflow", untracked, imports, 3.0),
        figure("the first run of a project, which makes MLflow's store", first, imports),
        Figure("MLflow, an example", each, "ms", f"{few:.2f} s with few examples, {many:.2f} s with {MANY:,}", 1.0),
    ]


def beside_questions(project: Project, tracking: str) -> Spent:
    """What a whole run takes but for baseline and evaluation."""
    took = spent([sys.executable, RUN, *given(project), tracking, "rerun=true"], project.environment())
    seconds = project.last.summary["seconds"]
    return replace(took, seconds=took.seconds - seconds["baseline"] - seconds["evaluate"])


def given(project: Project) -> list[str]:
    """The overrides of a run without an optimizer."""
    files = [f"dataset.{split}={project.root / split}.jsonl" for split in ("train", "val", "test")]
    model = [f"endpoint.base_url={project.base_url}", f"endpoint.model={fake_openai.MODEL}"]
    return ["endpoint=openai", *model, "dataset=jsonl", *files, "optimizer=none"]


def recording(project: Project) -> float:
    """Seconds of processor that MLflow adds to a run."""
    took = [beside_questions(project, f"tracking={where}").cpu for where in ("local", "none", "local", "none")]
    return min(took[::2]) - min(took[1::2])


def sweeps(project: Project) -> list[Figure]:
    """Jobs beside their language model, and finished ones among many runs."""
    project.write("test", [row("test", number) for number in range(8)])
    first = sweep(project, 0, "tracking=local")
    job = (sweep(project, JOBS, "tracking=local") - first) / JOBS
    for _ in range(AMONG - JOBS):
        past_runs.make(project.root)
    nothing = min(sweep(project, 0, "plan=true") for _ in range(3))
    found = (min(sweep(project, JOBS, "plan=true") for _ in range(3)) - nothing) / JOBS
    return [
        Figure("a job of a sweep beside its model, MLflow included", job, "s", f"the first one {first:.1f} s"),
        Figure(f"a finished job, among {AMONG:,} runs", found * 1000, "ms", f"to run it {job * 1000:.0f} ms", 50.0),
    ]


def sweep(project: Project, most: int, *overrides: str) -> float:
    """Seconds of a sweep whose jobs have the same questions, each in an order of its own."""
    begun = time.perf_counter()
    process = project.start("-m", f"dataset.seed=range(0,{most + 1})", "optimizer=none", *overrides)
    out, err = process.communicate()
    if process.returncode:
        sys.exit(out + err)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
