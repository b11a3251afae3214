"""How much of llama.cpp's speed a run gets out of the embedded models.

    python benchmarks/embedded.py

The questions of the default slice, without demos and with six of them in the prompt, are answered by the runner
(`Evaluator`, program, adapter and engine as a run has them, nothing kept). The requests that this makes of the model
are then made of llama.cpp alone: with the fastest of `SETTINGS`, and one by one without its prompt cache. A round
takes all of them, in another order than the one before; what counts is the median of the rounds' ratios. Before its
time is taken, each answers other questions: so it has the beginning of the prompts computed, as a run has after its
first calls, and no slot has a whole prompt of the round before. At last the runner answers once more, asked by eight
threads at once, which must not change an answer. What was found is kept in benchmarks/embedded.jsonl.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from runs import ROOT, Rows, put, read

# The engine sets the same, before the native library is loaded: the benchmark may load it first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

KEPT = Path(__file__).with_suffix(".jsonl")
ENDPOINTS = ("embedded", "embedded_tiny")
DEMOS = {"no demos": 0, "6 demos": 6}
ASKERS = 8
"""Threads that ask the runner at once, to see whether that changes an answer."""
SLOT_TOKENS, MAX_SLOTS = 4096, 4
ONE_SLOT = "1 slot"
SETTINGS: dict[str, dict[str, Any]] = {
    ONE_SLOT: {},
    "1 slot, n-gram speculation": {"speculative": True},
    "2 slots": {"n_parallel": 2},
    "4 slots": {"n_parallel": 4},
    "4 slots, one KV cache": {"n_parallel": 4, "kv_unified": True},
}
"""What llama.cpp alone may choose from."""

Body = dict[str, Any]
"""A request as llama.cpp takes it."""
Way = tuple[Callable[[], object], Callable[[], object]]
"""To answer other questions, and those whose time is taken."""


class Runner:
    """Questions answered as in a run."""

    def __init__(self, endpoint: str, demos: int):
        from bibleqa import config, jobs
        from bibleqa import program as programs
        from bibleqa.lm import endpoints

        job = jobs.identify(config.compose([f"endpoint={endpoint}", "optimizer=none", "tracking=none"]))
        self.config = job.config
        self.questions = [programs.example(item) for item in job.dataset.test]
        random.Random(0).shuffle(self.questions)
        self._program = programs.build(self.config.program)
        (predictor,) = self._program.predictors()
        shown = [programs.example(item) for item in job.dataset.train[:demos]]
        predictor.demos = [example.without("accepted", "id", "type") for example in shown]
        self._lm = endpoints.connect(self.config.endpoint, cache=False)
        begun = time.perf_counter()
        endpoints.probe(self.config.endpoint, self._lm)
        self.load_seconds = time.perf_counter() - begun

    def answers(self, questions: Sequence[Any], workers: int | None = None) -> list[Any]:
        """What the program answers, by an evaluator of so many workers; those of a run where nothing is said."""
        from bibleqa import adapters, evaluation, metrics
        from bibleqa.lm.meter import Meter

        workers = workers or self.config.endpoint.at_once
        settings = {"lm": self._lm, "adapter": adapters.build(self.config.adapter)}
        evaluator = evaluation.Evaluator(metrics.build(self.config), settings, Meter(), workers)
        outcomes = evaluator.evaluate(self._program, questions, "baseline", lambda outcome: None)
        return [(outcome.prediction, outcome.raw, outcome.tokens) for outcome in outcomes]

    def requests(self, questions: Sequence[Any]) -> tuple[list[Any], list[Body]]:
        """The answers, and all that the model was asked for them: also what was asked again in another format."""
        from bibleqa.lm import embedded

        engine = self._lm.engine
        with mock.patch.object(engine, "complete", wraps=engine.complete) as complete:
            answers = self.answers(questions)
        asked = [call.args[0] for call in complete.call_args_list]
        return answers, [{"messages": embedded._messages(one), **embedded._sampling(one)} for one in asked]


class Llama:
    """llama.cpp without anything of ours."""

    def __init__(self, endpoint: Any, *, cache_prompt: bool = True, **settings: Any):
        import xllamacpp

        from bibleqa import artifacts
        from bibleqa.lm.embedded import MODELS

        self._cache_prompt = cache_prompt
        self._slots = settings.get("n_parallel", 1)
        params = xllamacpp.CommonParams()
        params.model.path = str(artifacts.fetch(MODELS[endpoint.model]))
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = endpoint.threads
        params.n_ctx = SLOT_TOKENS * self._slots
        params.prefill_assistant = params.warmup = params.ui = False
        params.verbosity = params.cache_ram_mib = 0
        if settings.pop("speculative", False):
            params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
            params.speculative.ngram_simple.size_n, params.speculative.ngram_simple.size_m = 3, 8
        for name, value in settings.items():
            setattr(params, name, value)
        self._server = xllamacpp.Server(params)

    def answers(self, requests: Sequence[Body]) -> list[str]:
        """What the model says, asked by as many threads as there are slots."""
        with ThreadPoolExecutor(self._slots) as pool:
            return list(pool.map(self._answer, requests))

    def _answer(self, request: Body) -> str:
        reply = self._server.handle_chat_completions({**request, "cache_prompt": self._cache_prompt})
        return str(reply["choices"][0]["message"]["content"])


@dataclass(frozen=True)
class Took:
    """Seconds of a round, and of the processors while it went on."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """What it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def probed(endpoint: Any, before: Sequence[Body], requests: Sequence[Body]) -> dict[str, dict[str, Any]]:
    """Of llama.cpp alone with each of `SETTINGS`: calls a minute, and answers that differ from those of one slot."""
    found: dict[str, dict[str, Any]] = {}
    first: list[str] = []
    for name, settings in SETTINGS.items():
        llama = Llama(endpoint, **settings)
        llama.answers(before)
        begun = time.perf_counter()
        said = llama.answers(requests)
        calls = 60 * len(requests) / (time.perf_counter() - begun)
        first = first or said
        changed = sum(one != other for one, other in zip(first, said, strict=True))
        found[name] = {"calls_a_minute": round(calls, 1), "changed": changed}
        print(f"  llama.cpp, {name}: {calls:.1f} calls a minute, {changed} answers changed", flush=True)
    return found


def measured(name: str, demos: str, count: int, rounds: int) -> dict[str, Any]:
    """One row."""
    print(f"== {name}, {demos}", flush=True)
    runner = Runner(name, DEMOS[demos])
    endpoint = runner.config.endpoint
    questions = runner.questions[:count]
    others = runner.questions[count : count + MAX_SLOTS]
    _, before = runner.requests(others)
    alone, requests = runner.requests(questions)
    settings = probed(endpoint, before, requests)
    best = max(settings, key=lambda name: settings[name]["calls_a_minute"])
    raw, one_slot = Llama(endpoint, **SETTINGS[best]), Llama(endpoint)
    one_by_one = Llama(endpoint, cache_prompt=False)
    ways: dict[str, Way] = {
        "runner": (partial(runner.answers, others), partial(runner.answers, questions)),
        "raw": (partial(raw.answers, before), partial(raw.answers, requests)),
        "raw, one slot": (partial(one_slot.answers, before), partial(one_slot.answers, requests)),
        "one by one": (partial(one_by_one.answers, before[:1]), partial(one_by_one.answers, requests)),
    }
    took: dict[str, list[Took]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in random.Random(number).sample(list(ways), len(ways)):
            warm_up, answer = ways[way]
            warm_up()
            took[way].append(timed(answer))
        print(f"  round {number + 1}: {', '.join(f'{way} {took[way][-1].wall:.1f} s' for way in ways)}", flush=True)
    at_once = runner.answers(questions, ASKERS)
    calls = len(requests)
    return {
        "name": f"{name}, {demos}",
        "load_seconds": round(runner.load_seconds, 2),
        "questions": count,
        "calls": calls,
        "rounds": rounds,
        "calls_a_minute": {
            way: round(60 * calls / statistics.median(one.wall for one in took[way]), 1) for way in ways
        },
        "cpu_seconds_a_call": {way: round(statistics.median(one.cpu for one in took[way]) / calls, 3) for way in ways},
        "settings": settings,
        "raw_settings": best,
        "of_raw": _ratio(took["raw"], took["runner"]),
        "of_one_slot": _ratio(took["raw, one slot"], took["runner"]),
        "of_one_by_one": _ratio(took["one by one"], took["runner"]),
        "changed_by_concurrency": sum(one != other for one, other in zip(alone, at_once, strict=True)),
    }


def _ratio(theirs: Sequence[Took], ours: Sequence[Took]) -> float:
    """How many times as fast ours is: the median of the rounds."""
    return round(statistics.median(their.wall / our.wall for their, our in zip(theirs, ours, strict=True)), 3)


def table(rows: Rows) -> str:
    """Markdown."""
    lines = [
        "| model and prompt | runner, calls a minute | llama.cpp alone, its fastest settings | runner / that "
        "| runner / its one slot | runner / one by one, no prompt cache | answers changed by concurrency | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        calls, best = row["calls_a_minute"], row["raw_settings"]
        changed = row["settings"][best]["changed"]
        load = f"{row['load_seconds']} s" if row["load_seconds"] else ""  # loaded already
        lines.append(
            f"| {row['name']} | {calls['runner']} | {calls['raw']} ({best}: {changed} answers changed) "
            f"| {row['of_raw']:.2f} | {row['of_one_slot']:.2f} | {row['of_one_by_one']:.1f} "
            f"| {row['changed_by_concurrency']} of {row['questions']} | {load} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks/embedded.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--endpoints", nargs="*", default=ENDPOINTS, choices=ENDPOINTS)
    parser.add_argument("--demos", nargs="*", default=list(DEMOS), choices=DEMOS)
    parser.add_argument(
        "--questions", type=int, default=2 * MAX_SLOTS, help="in a round; a multiple of four leaves no slot idle"
    )
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["BIBLEQA_PROJECT"] = str(ROOT / "outputs" / "benchmarks" / "embedded")
    from bibleqa import provenance

    kept = {row["name"]: row for row in read(KEPT)}
    for endpoint in arguments.endpoints:
        for demos in arguments.demos:
            row = measured(endpoint, demos, arguments.questions, arguments.rounds)
            kept[row["name"]] = row | {"cpus": os.cpu_count(), "git": provenance.git_state()}
            KEPT.write_text("".join(json.dumps(one) + "\n" for one in kept.values()), encoding="utf-8")
    made = table(list(kept.values()))
    print(made)
    put(made, "benchmarks/embedded.py")


if __name__ == "__main__":
    main()
