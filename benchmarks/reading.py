"""What reading more than the asked format is worth on the embedded models: readable answers, and the score.

    python benchmarks/reading.py

Each model answers the test questions of the default slice, without an optimizer, in the chat format. DSPy's own
adapters and ours read the same replies: an answer that was once given is kept. What was found is kept in
benchmarks/reading.jsonl; a model that is in it is not asked again, unless with --again.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runs import ROOT, Rows

KEPT = Path(__file__).with_suffix(".jsonl")
MODELS = {"embedded_tiny": 80, "embedded": 40}
"""By endpoint, how many questions it is asked."""


def measured(endpoint: str, questions: int) -> dict[str, Any]:
    """Both readings of one model's replies."""
    import dspy

    from bibleqa import adapters, config, evaluation, jobs, metrics, salvage
    from bibleqa import program as programs
    from bibleqa.comparison import difference
    from bibleqa.lm import endpoints
    from bibleqa.lm.meter import Meter

    class Json(adapters.DemosAsAsked, dspy.JSONAdapter):
        """Asks as ours does, and reads as DSPy does."""

    class Chat(adapters.DemosAsAsked, dspy.ChatAdapter):
        """Likewise."""

        def _make_json_adapter_fallback(self) -> dspy.Adapter:
            return Json()

    overrides = [f"endpoint={endpoint}", f"dataset.max_test={questions}", "optimizer=none", "tracking=none"]
    job = jobs.identify(config.compose(overrides))
    lm = endpoints.connect(job.config.endpoint)
    examples = [programs.example(item) for item in job.dataset.test]
    program = programs.build(job.config.program)
    hasty = adapters.build(job.config.adapter)
    hasty.at_once = tuple(salvage.WAYS)
    readers = {"DSPy": Chat(), "ours": adapters.build(job.config.adapter), "ours, bare answers at once": hasty}
    found: dict[str, Any] = {"name": endpoint}
    scores: dict[str, Mapping[str, float]] = {}
    for reading, adapter in readers.items():
        meter = Meter()
        evaluator = evaluation.Evaluator(metrics.build(job.config), {"lm": lm, "adapter": adapter}, meter, 1)
        outcomes = evaluator.evaluate(program, examples, "baseline", lambda outcome: print(".", end="", flush=True))
        scores[reading] = {outcome.id: outcome.score for outcome in outcomes if outcome.score is not None}
        found[reading] = evaluation.scores(outcomes) | {"calls": meter.usage.calls}
        found[reading]["difference"] = asdict(difference(scores[reading], scores["DSPy"]))
    print()
    return found


def table(rows: Rows) -> str:
    """Markdown."""
    lines = [
        "| model | read by | readable | of them salvaged | LM calls | score | more than DSPy's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for reading, one in row.items():
            if reading == "name":
                continue
            low, high = one["difference"]["ci95"]
            lines.append(
                f"| {row['name']} | {reading} | {one['n'] - one['unreadable']} of {one['n']} "
                f"| {sum(one['salvaged'].values())} | {one['calls']} | {one['score']:.1%} "
                f"| {one['difference']['value']:+.1%} ({low:+.1%} to {high:+.1%}) |"
            )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks/reading.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=MODELS, help="ask no others")
    parser.add_argument("--again", nargs="*", default=[], choices=MODELS, help="measure these anew")
    arguments = parser.parse_args()
    os.environ["BIBLEQA_PROJECT"] = str(ROOT / "outputs" / "benchmarks" / "reading")
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    found = {row["name"]: row for row in map(json.loads, lines)}
    for name in arguments.only:
        if name not in found or name in arguments.again:
            found[name] = measured(name, MODELS[name])
            KEPT.write_text("".join(json.dumps(row) + "\n" for row in found.values()), encoding="utf-8")
    print(table(list(found.values())))


if __name__ == "__main__":
    main()
