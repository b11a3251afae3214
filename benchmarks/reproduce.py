"""Whether a run of every optimizer comes back, in all three ways, on the tiny embedded model.

    python benchmarks/reproduce.py                 # or only some: … gepa finetune

makes a short run of each; replays it in an empty project without any model file; asks the model all over again; and
scores the program alone. Prints the verdict of each.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from runs import ROOT

_WRITER = "endpoint@teacher=embedded"
"""Writes instructions: the tiny model writes none that can be read."""
_FEW = ["dataset.max_train=6", "dataset.max_val=2", "dataset.max_test=2"]
"""Questions, for those that ask each of them many times."""
OPTIMIZERS: dict[str, list[str]] = {
    **{name: [] for name in ("none", "labeled", "knn", "bootstrap", "bootstrap_random_search")},
    "copro": ["optimizer.depth=1", _WRITER],
    "gepa": ["optimizer.max_metric_calls=40", _WRITER],
    "infer_rules": ["optimizer.num_candidates=2", "optimizer.num_rules=2", _WRITER, *_FEW],
    "mipro": ["optimizer.budget=null", "optimizer.num_candidates=2", "optimizer.num_trials=2", _WRITER, *_FEW],
    "simba": ["optimizer.bsize=4", "optimizer.max_steps=1", *_FEW],
    "ensemble": _FEW,
    **{name: [] for name in ("finetune", "better_together")},
}


def main() -> None:
    """A line an optimizer."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or OPTIMIZERS:
            made, original = run(Path(folder) / "here", f"optimizer={name}", *OPTIMIZERS[name])
            verdicts = []
            for mode in ("replay", "rerun", "evaluate"):
                project = Path(folder) / ("elsewhere" if mode == "replay" else "here")
                nothing = {"BIBLEQA_CACHE": str(project / "no-models")} if mode == "replay" else {}
                code, path = run(project, f"reproduce={original}", f"reproduce.mode={mode}", **nothing)
                summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
                verdict = "identical" if summary["reproduction"]["identical"] else f"differs ({code})"
                if mode == "replay":
                    same = (path / "program.json").read_bytes() == (original / "program.json").read_bytes()
                    verdict += ", program.json byte for byte" if same else ", program.json differs"
                verdicts.append(f"{mode} {verdict}")
            print(f"{name:<24} {'' if made == 0 else f'exit {made}, '}{'; '.join(verdicts)}", flush=True)


def run(project: Path, *overrides: str, **variables: str) -> tuple[int, Path]:
    """The exit code and the folder of a run."""
    number = len(list(project.glob("runs/*")))
    folder = project / "runs" / str(number)
    given = (
        []
        if any(o.startswith("reproduce=") for o in overrides)
        else ["endpoint=embedded_tiny", "adapter=json", "fast=true"]
    )
    command = [sys.executable, str(ROOT / "run.py"), *overrides, *given, "tracking=none", f"hydra.run.dir={folder}"]
    environment = os.environ | {"BIBLEQA_PROJECT": str(project)} | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not (folder / "summary.json").exists():
        sys.exit(f"{' '.join(overrides)}\n{done.stdout}{done.stderr}")
    return done.returncode, folder


if __name__ == "__main__":
    main()
