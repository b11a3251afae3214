"""What a sweep costs beside its language model.

    python benchmarks/sweeps.py

prints the seconds of a job all of whose answers are known, out of a sweep of 50 on the local launcher, MLflow
included; and the milliseconds that it takes to find out that a job is finished, among 1,000 finished runs.
"""

import sys
import tempfile
import time
from pathlib import Path

from runs import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import fake_openai
from project import Project
from test_experiment import know_all, project_at

JOBS = 50
FINISHED = 1000


def main() -> None:
    """Both figures."""
    with tempfile.TemporaryDirectory() as folder, fake_openai.running(know_all) as server:
        project = project_at(Path(folder) / "project", server)
        first = sweep(project, 0, "tracking=local")
        seconds = sweep(project, JOBS, "tracking=local") - first
        print(f"{JOBS} jobs without an LM call: {seconds / JOBS:.2f} s each; the first one, {first:.1f} s", flush=True)
        print(f"{FINISHED} runs: {sweep(project, FINISHED):.0f} s", flush=True)
        nothing = sweep(project, 0, "plan=true")
        milliseconds = (sweep(project, FINISHED, "plan=true") - nothing) * 1000
        print(f"to find {FINISHED} jobs finished: {milliseconds / FINISHED:.1f} ms each", flush=True)


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
