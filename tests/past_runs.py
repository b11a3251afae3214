"""Run folders as finished runs leave them, of which a test says only what it is about."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bibleqa import evaluation
from bibleqa.data.item import Item
from bibleqa.evaluation import Outcome
from bibleqa.results import compare
from bibleqa.results.past import PastRun
from bibleqa.runs import RunFolder

CONFIG = {
    "endpoint": {"name": "embedded", "kind": "embedded", "model": "tiny", "adapter": None, "timeout": 120.0},
    "program": {"name": "predict"},
    "adapter": {"name": "chat"},
    "optimizer": {"name": "none"},
    "metric": {"name": "contains", "slack_words": 6},
    "dataset": {"name": "kjv", "max_test": 80, "seed": 0},
    "assertions": {"name": "none", "checks": {}},
    "tracking": {"name": "none", "uri": None, "experiment": "bibleqa"},
    "judge": None,
    "target_accuracy": 0.95,
}
LM = {"calls": 100, "cached_calls": 0, "input_tokens": 1000, "output_tokens": 200}


def question(number: int) -> Item:
    """A question, and half of them of another type."""
    return Item(f"q{number}", "a verse", f"Question {number}?", f"answer {number}", type=f"type{number % 2}")


def with_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The config with `group=option` and `group.key=value` in it."""
    config: dict[str, Any] = json.loads(json.dumps(CONFIG))
    for override in overrides:
        key, _, text = override.partition("=")
        group, _, name = key.partition(".")
        if name:
            config[group][name] = yaml.safe_load(text)
        else:
            config[group] = {**(config[group] or {}), "name": text}
    return config


def make(
    project: Path,
    *overrides: str,
    scores: Sequence[float | None] = (1.0, 0.0, 1.0, 0.0),
    baseline: Sequence[float | None] | None = None,
    lm: Mapping[str, int] = LM,
    seconds: float = 60.0,
    questions: Sequence[Item] | None = None,
    candidates: Sequence[Mapping[str, Any]] = (),
    program: Mapping[str, Any] | None = None,
    folder: str | None = None,
    **summary: Any,
) -> PastRun:
    """A finished run of that config, one that `runs.find_finished` knows.

    Args:
        project: Where.
        overrides: What its config has that `CONFIG` has not.
        scores: Of the optimized program, question by question.
        baseline: Of the baseline, by default all wrong.
        lm: What it cost.
        seconds: How long it took.
        questions: What was asked.
        candidates: What the optimizer tried.
        program: What it made.
        folder: The name of its folder.
        summary: What the summary has otherwise.
    """
    questions = questions or [question(number) for number in range(len(scores))]
    name = folder or f"r{len(list(project.glob('outputs/runs/*')))}"
    path = project / "outputs" / "runs" / name
    path.mkdir(parents=True)
    run = RunFolder(path)
    run.write("config.yaml", yaml.safe_dump(with_overrides(overrides), sort_keys=False))
    phases = {"baseline": baseline or [0.0] * len(scores), "optimized": scores}
    outcomes = {
        phase: [
            Outcome(
                item.id,
                item.type,
                phase,
                compare.inputs_digest(item),
                item.answer if score else f"wrong {item.id}",
                score,
                "",
            )
            for item, score in zip(questions, values, strict=True)
        ]
        for phase, values in phases.items()
    }
    for outcome in [one for several in outcomes.values() for one in several]:
        run.append("predictions.jsonl", outcome.to_json())
    run.write_json("candidates.json", list(candidates))
    if program is not None:
        run.write_json("program.json", program)
    run.finish(
        {
            "schema": 1,
            "status": "finished",
            "run_id": None,
            "fingerprint": hashlib.sha256(f"{name} {overrides}".encode()).hexdigest(),
            "dataset_digest": "d" * 64,
            **{phase: evaluation.scores(several) for phase, several in outcomes.items()},
            "improvement": evaluation.improvement(outcomes["baseline"], outcomes["optimized"]),
            "lm": dict(lm),
            "seconds": {"baseline": seconds, "optimize": 0.0, "evaluate": 0.0, "total": seconds},
            "optimizer_errors": [],
            **summary,
        }
    )
    return PastRun(path)


def make_sweep(project: Path, jobs: Sequence[tuple[Sequence[str], str | None]], name: str = "12-00-00") -> Path:
    """The folder of a sweep of these jobs: their overrides and fingerprints."""
    folder = project / "outputs" / "multirun" / "2026-11-22" / name
    folder.mkdir(parents=True)
    rows = [{"overrides": list(overrides), "fingerprint": fingerprint} for overrides, fingerprint in jobs]
    RunFolder(folder).write_json("sweep.json", {"schema": 1, "jobs": rows})
    return folder
