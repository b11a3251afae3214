"""What the benchmarks share: whole runs of `run.py`, one after the other, and a table of them in the documents."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_KEPT = [
    *("status", "baseline", "optimized", "improvement", "val", "assertions", "attempts"),
    *("lm", "seconds", "optimizer_errors", "unchanged", "git"),
]

Row = dict[str, Any]
Rows = list[Row]


def main(script: str, runs: Mapping[str, Sequence[str]], table: Callable[[Rows], str]) -> None:
    """The command of a benchmark.

    Args:
        script: Its file, whose docstring is the help; what was found is kept beside it, as JSON lines.
        runs: The overrides of each run, by the name it has in the table.
        table: Makes Markdown of what was found. It takes the place between the two marks for the script.
    """
    path = Path(script)
    parser = argparse.ArgumentParser(prog=f"benchmarks/{path.name}")
    parser.add_argument("--only", nargs="*", default=list(runs), choices=runs, help="run no others")
    parser.add_argument("--again", nargs="*", default=[], choices=runs, help="run these anew")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    kept = path.with_suffix(".jsonl")
    found = {row["name"]: row for row in read(kept)}
    for name in [] if arguments.table else arguments.only:
        if name not in found or name in arguments.again:
            found[name] = {"name": name, **_run(path.stem, name, runs[name], again=name in found)}
            lines = [json.dumps(found[name]) for name in runs if name in found]
            kept.write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = table([found[name] for name in runs if name in found])
    print(made)
    put(made, f"benchmarks/{path.name}")


def read(path: Path) -> Rows:
    """What a benchmark has kept."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _run(benchmark: str, name: str, overrides: Sequence[str], again: bool) -> dict[str, Any]:
    """One run, in a project folder of the benchmark's own; what a table may need of its summary."""
    work = ROOT / "outputs" / "benchmarks" / benchmark
    runs = work / "outputs" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = runs / f"{len(list(runs.iterdir()))}"
    print(f"== {name}", flush=True)
    command = [sys.executable, str(ROOT / "run.py"), *overrides, f"hydra.run.dir={folder}", "tracking=none"]
    command += ["rerun=true"] if again else []
    subprocess.run(command, env=os.environ | {"BIBLEQA_PROJECT": str(work)}, check=False)
    if not (folder / "summary.json").exists():
        sys.exit(f"{name}: no result; see above")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    weights = folder / "adapter.json"
    tuning = json.loads(weights.read_text(encoding="utf-8"))["seconds"] if weights.exists() else 0
    return {key: summary[key] for key in _KEPT} | {"tuning_seconds": tuning}


def put(table: str, script: str) -> None:
    """Have a table in each page that has marks for its script, between them."""
    begin, end = f"<!-- {script} -->", "<!-- end -->"
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
        if mark:
            page.write_text(f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


@contextmanager
def running(script: str, *arguments: str) -> Iterator[str]:
    """The address that a script of the project serves at, as its first line says."""
    command = [sys.executable, str(ROOT / script), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
