"""Every optimizer on the default dataset, for real: the table in the README.

    python benchmarks/optimizers.py                    # what is missing, then the table
    python benchmarks/optimizers.py --again gepa       # one of them anew
    python benchmarks/optimizers.py --table            # the table alone

Each is a whole run of its own, one after the other, on the embedded model; BetterTogether on the tiny one, too. The
runs and the answers they paid for are kept in outputs/benchmarks/, what they found in benchmarks/optimizers.jsonl.
All share one measurement of the baseline, which the first one pays for.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORK = ROOT / "outputs" / "benchmarks" / "optimizers"
FOUND = Path(__file__).with_suffix(".jsonl")
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks/optimizers.py -->", "<!-- end -->"

RUNS = {
    "none": ["optimizer=none"],
    "labeled": ["optimizer=labeled"],
    "knn": ["optimizer=knn"],
    "bootstrap": ["optimizer=bootstrap"],
    "bootstrap_random_search": ["optimizer=bootstrap_random_search"],
    "ensemble": ["optimizer=ensemble"],
    "infer_rules": ["optimizer=infer_rules"],
    "copro": ["optimizer=copro"],
    "mipro": ["optimizer=mipro"],
    "gepa": ["optimizer=gepa"],
    "simba": ["optimizer=simba"],
    "finetune": ["optimizer=finetune"],
    "better_together": ["optimizer=better_together"],
    "better_together, tiny model": ["optimizer=better_together", "endpoint=embedded_tiny"],
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", nargs="*", default=[], choices=RUNS, help="run these anew")
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=RUNS, help="run no others")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    found = {row["name"]: row for row in _read()}
    for name in [] if arguments.table else arguments.only:
        if name not in found or name in arguments.again:
            found[name] = {"name": name, **_run(name, again=name in arguments.again)}
            FOUND.write_text("".join(json.dumps(row) + "\n" for row in _in_order(found)), encoding="utf-8")
    _write(_table(_in_order(found)))


def _read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FOUND.read_text(encoding="utf-8").splitlines()] if FOUND.exists() else []


def _in_order(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [found[name] for name in RUNS if name in found]


def _run(name: str, again: bool) -> dict[str, Any]:
    """One run; what the table needs of its summary."""
    WORK.mkdir(parents=True, exist_ok=True)
    folder = WORK / "outputs" / name.replace(", ", "_").replace(" ", "_")
    number = sum(1 for _ in folder.parent.glob(f"{folder.name}*"))
    folder = folder.with_name(f"{folder.name}_{number}")
    print(f"== {name}", flush=True)
    command = [sys.executable, str(ROOT / "run.py"), *RUNS[name], f"hydra.run.dir={folder}", "tracking=none"]
    command += ["rerun=true"] if again else []
    subprocess.run(command, env=os.environ | {"BIBLEQA_PROJECT": str(WORK)}, check=False)
    if not (folder / "summary.json").exists():
        sys.exit(f"{name}: no result; see above")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    weights = folder / "adapter.json"
    tuning = json.loads(weights.read_text(encoding="utf-8"))["seconds"] if weights.exists() else 0
    kept = ("status", "baseline", "optimized", "improvement", "val", "lm", "seconds", "optimizer_errors", "unchanged")
    return {key: summary[key] for key in kept} | {"tuning_seconds": tuning, "git": summary["git"]}


def _table(rows: Iterable[dict[str, Any]]) -> str:
    lines = [
        "| optimizer | baseline | optimized | difference, 95 % interval | on val | LM calls | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for row in rows:
        before, after, change, val = row["baseline"], row["optimized"], row["improvement"], row["val"]
        # Weights that were tuned by an earlier run are not tuned again: their time counts here all the same.
        seconds = row["seconds"]["total"] + max(0, row["tuning_seconds"] - row["seconds"]["optimize"])
        low, high = change["ci95"]
        on_val = f"{val['baseline']:.1%} → {val['optimized']:.1%}" if val else ""
        mark = ""
        if row["optimizer_errors"]:
            mark = "¹²³⁴⁵⁶⁷⁸⁹"[len(notes)]
            notes.append(f"{mark} {'; '.join(row['optimizer_errors'])}.")
        lines.append(
            f"| {row['name']}{mark} | {before['score']:.1%} | {after['score']:.1%} "
            f"| {change['value']:+.1%} ({low:+.1%} to {high:+.1%}) "
            f"| {on_val} "
            f"| {row['lm']['calls']:,} | {seconds / 60:.1f} |"
        )
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def _write(table: str) -> None:
    print(table)
    text = README.read_text(encoding="utf-8")
    if BEGIN in text:
        before, rest = text.split(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
