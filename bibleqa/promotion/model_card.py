"""The card of a promoted program: where it came from and how well it answers, for programs and for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bibleqa import program_state
from bibleqa.results.figures import percent, span
from bibleqa.results.past import PastRun

SCHEMA = 1
"""Version of card.json."""

_MEASURED = ("score", "ci95", "n", "errors", "unreadable", "by_type")
_ENDPOINT = ("name", "kind", "model", "base_url")


def of(run: PastRun, config: Mapping[str, Any], name: str, files: Mapping[str, str], today: str) -> dict[str, Any]:
    """The card as plain data.

    Args:
        run: What is promoted.
        config: Its config as it is served by.
        name: Under which it is kept.
        files: sha256 of what is kept, by file.
        today: When it was promoted.
    """
    summary = run.summary
    return {
        "schema": SCHEMA,
        "name": name,
        "promoted": today,
        "run": {
            "folder": run.place,
            "fingerprint": run.fingerprint,
            "run_id": summary.get("run_id"),
            "status": summary["status"],
            "optimizer_errors": summary["optimizer_errors"],
        },
        "score": {key: summary["optimized"][key] for key in _MEASURED},
        "baseline": {key: summary["baseline"][key] for key in _MEASURED},
        "improvement": summary["improvement"],
        "unchanged": bool(summary.get("unchanged")),
        "dataset": {
            "name": config["dataset"]["name"],
            "digest": summary["dataset_digest"],
            "slice": summary.get("slice", {}),
        },
        "endpoint": {key: config["endpoint"].get(key) for key in _ENDPOINT},
        **{group: config[group]["name"] for group in ("program", "adapter", "optimizer", "metric", "assertions")},
        "weights": summary.get("weights"),
        "versions": summary.get("versions", {}),
        "git": summary.get("git", {}),
        "files": dict(files),
    }


def remarks(card: Mapping[str, Any]) -> Iterator[str]:
    """What whoever serves the program has to know."""
    if card["unchanged"]:
        yield "its program is the unoptimized one: the optimizer made none, or none that was better"
    elif (change := card["improvement"]["ci95"]) is None:
        yield "its run measured no baseline, so nobody knows what the optimizer was worth"
    elif change[1] < 0:
        yield "it answers worse than its own baseline"
    elif change[0] <= 0:
        yield "on these questions it is not told from its own baseline"
    if errors := card["run"]["optimizer_errors"]:
        yield f"its optimizer failed inside: {'; '.join(errors)}"


def page(card: Mapping[str, Any], program: Path) -> str:
    """The card in Markdown.

    Args:
        card: As `of` makes it.
        program: The program.json.
    """
    endpoint, dataset, run = card["endpoint"], card["dataset"], card["run"]
    rows = [
        ("optimized", *_scores(card["score"])),
        ("baseline", *_scores(card["baseline"])),
        ("difference", percent(card["improvement"]["value"], sign=True), span(card["improvement"]["ci95"], sign=True)),
    ]
    slices = ", ".join(f"{count} {split}" for split, count in dataset["slice"].items())
    made = [
        ("endpoint", f"{endpoint['name']} ({endpoint['base_url'] or 'in the process'})"),
        ("model", endpoint["model"]),
        ("weights", f"tuned, sha256 {card['weights']}" if card["weights"] else "as they came"),
        *((key, card[key]) for key in ("program", "adapter", "optimizer", "metric", "assertions")),
        ("dataset", f"{dataset['name']}: {slices}; sha256 {dataset['digest']}"),
        ("run", f"{run['folder']}, fingerprint {run['fingerprint']}"),
        ("MLflow run", run["run_id"] or "none"),
        ("promoted", card["promoted"]),
        *card["versions"].items(),
        *((f"git {key}", value) for key, value in card["git"].items()),
    ]
    by_type = [(name, percent(one["score"]), str(one["n"])) for name, one in card["score"]["by_type"].items()]
    sections = [
        f"# {card['name']}",
        *(f"Note: {remark}." for remark in remarks(card)),
        "## Scores",
        _table(("", "score", "95 % interval", "n", "unreadable", "errors"), rows),
        _table(("question type", "score", "n"), by_type),
        "## What it is made of",
        _table(("", ""), made),
        *_prompt(program),
        "## Files",
        _table(("file", "sha256"), list(card["files"].items())),
    ]
    return "\n\n".join(sections) + "\n"


def _scores(scores: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(scores[key]) for key in ("n", "unreadable", "errors"))
    return percent(scores["score"]), span(scores["ci95"]), *counts


def _prompt(program: Path) -> Iterator[str]:
    state = program_state.read(program)
    predictors = {"program": state} if "signature" in state else state
    for name, predictor in predictors.items():
        if name == "nearest":
            yield f"## {len(predictor['demos'])} demos, of which the nearest {predictor['k']} are shown"
        else:
            yield f"## Prompt of {name}"
            yield _verbatim(predictor["signature"]["instructions"])
            yield f"{len(predictor['demos'])} demos"
        yield from (_verbatim(json.dumps(demo, ensure_ascii=False, indent=1)) for demo in predictor["demos"])


def _verbatim(text: str) -> str:
    """A text of anybody's, which stays one whatever is in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    width = len(head)
    lines = [head, ["---"] * width, *([*row, *[""] * (width - len(row))] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_cell, cells))} |" for cells in lines)


def _cell(value: Any) -> str:
    """A value that stays in its cell and is nothing but text."""
    text = " ".join(str(value).split())
    for mark in "\\`|<[*_#":
        text = text.replace(mark, f"\\{mark}")
    return text
