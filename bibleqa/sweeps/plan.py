"""What a run or a sweep would do and may cost, before anything is spent: the table of `plan=true`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import psutil
from rich.markup import escape
from rich.table import Table

from bibleqa import formats, jobs, optimizer_limits, runs, schema
from bibleqa.console import out
from bibleqa.errors import ConfigError
from bibleqa.jobs import Job
from bibleqa.lm import embedded
from bibleqa.results.past import PastRun
from bibleqa.schema import Config

_RUNS_ASKED = 100
"""Past runs that an expectation rests on."""


def baseline_key(job: Job) -> str:
    """The same for jobs that differ in their optimizer alone: they have one baseline, and share its answers."""
    return repr({**asdict(job.config), "optimizer": None, "teacher": None})


@dataclass(frozen=True)
class Rate:
    """What an LM call cost in past runs of a model, on the average."""

    tokens: float
    seconds: float


def rates() -> dict[str, Rate]:
    """By model, out of the latest finished runs."""
    by_model: dict[str, list[tuple[float, float]]] = {}
    for run in map(PastRun, (folder.path for folder in islice(runs.finished(), _RUNS_ASKED))):
        lm, seconds = run.summary["lm"], run.summary["seconds"]
        if paid := lm["calls"] - lm["cached_calls"]:
            asking = seconds["baseline"] + seconds["optimize"] + seconds["evaluate"]
            tokens = (lm["input_tokens"] + lm["output_tokens"]) / paid
            by_model.setdefault(run.config["endpoint"]["model"], []).append((tokens, asking / paid))
    return {
        model: Rate(*(statistics.median(values) for values in zip(*found, strict=True)))
        for model, found in by_model.items()
    }


def show(rows: Sequence[tuple[str, str, Job]], n_jobs: int) -> None:
    """The table.

    Args:
        rows: Of each job its state (`finished` is not run again), what it is called, and what it is.
        n_jobs: How many are run at once.
    """
    known = rates()
    table = Table("", "", "LM calls", "tokens", "time", title_justify="left")
    measured: set[str] = set()
    total_calls, total_tokens, total_seconds = 0, 0.0, 0.0
    unknown: set[str] = set()
    for state, name, job in rows:
        if state == "finished":
            table.add_row(state, name, "", "", "")
            continue
        data = job.dataset
        asked = optimizer_limits.calls(job.config, len(data.train), len(data.val), len(data.test))
        baseline = baseline_key(job)
        count = asked.total - (asked.baseline if baseline in measured else 0)
        measured.add(baseline)
        rate = known.get(job.config.endpoint.model)
        cells = ("?", "?")
        if rate:
            cells = (f"{count * rate.tokens:,.0f}", _time(count * rate.seconds))
            total_tokens += count * rate.tokens
            total_seconds += count * rate.seconds
        else:
            unknown.add(job.config.endpoint.model)
        total_calls += count
        table.add_row(state, escape(name), f"{count:,}", *cells)
    new = sum(state != "finished" for state, _, _ in rows)
    table.add_section()
    costs = ("?", "?") if unknown else (f"{total_tokens:,.0f}", _time(total_seconds / n_jobs))
    table.add_row("", f"{new} of {len(rows)} to run", f"{total_calls:,}", *costs)
    out.print(table)
    out.print(
        "LM calls are the most there can be, but for further attempts where checks fail; tokens and time are what past "
        "runs of the model took a call, the tuning of weights apart."
    )
    for model in sorted(unknown):
        out.print(f"{model}: no finished run yet that would tell tokens and time", markup=False)
    _show_memory([job for state, _, job in rows if state != "finished"], n_jobs)


def show_one(config: Config) -> None:
    """The plan of a single run."""
    job = jobs.identify(formats.settled(config, ask=False))
    state = "finished" if runs.find_finished(job.fingerprint) and not config.rerun else "new"
    name = " ".join(getattr(config, group).name for group in ("endpoint", "program", "optimizer", "metric", "dataset"))
    show([(state, name, job)], n_jobs=1)


def check_memory(planned: Sequence[Job], n_jobs: int) -> None:
    """See that the embedded models fit into memory as often as they are loaded at once.

    Raises:
        ConfigError: They do not; the message says how many jobs would.
    """
    need, free = _memory(planned), psutil.virtual_memory().available
    if n_jobs > 1 and need * n_jobs > free:
        most = max(1, int(free // need))
        raise ConfigError(
            f"hydra.launcher.n_jobs={n_jobs}: each process loads its embedded models, {need * n_jobs / 1e9:.1f} GB "
            f"in all, and {free / 1e9:.1f} GB are free; n_jobs={most} at the most"
        )


def _show_memory(planned: Sequence[Job], n_jobs: int) -> None:
    if need := _memory(planned):
        out.print(
            f"memory: {n_jobs} at a time, {need * n_jobs / 1e9:.1f} GB of embedded models; "
            f"{psutil.virtual_memory().available / 1e9:.1f} GB are free"
        )


def _memory(planned: Sequence[Job]) -> float:
    """Bytes of the embedded models that the most demanding job holds."""
    return max((_of_models(schema.endpoints(job.config)) for job in planned), default=0.0)


def _of_models(endpoints: Mapping[str, Any]) -> float:
    return sum(embedded.MEMORY[endpoint.model] for endpoint in endpoints.values() if endpoint.kind == "embedded")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
