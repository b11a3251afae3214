"""Sweeps: many combinations, of which only what is missing is run, and which survive what becomes of single jobs.

A sweep is known by the fingerprints of its jobs. Its folder has `sweep.json` and a folder for each run that was begun
in it; the same command again goes on in the same folder.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bibleqa import formats, jobs, paths, report, runs, tracking
from bibleqa.console import out
from bibleqa.data import slices
from bibleqa.errors import BibleQAError, ConfigError, RunFailed
from bibleqa.jobs import Job
from bibleqa.reproduce import quoted
from bibleqa.results import leaderboard, standings
from bibleqa.results.html_report import write as write_html
from bibleqa.runs import RunFolder
from bibleqa.schema import TrackingConfig
from bibleqa.sweeps import plan
from bibleqa.sweeps.composing import Compose, Composer

log = logging.getLogger(__name__)

Launch = Callable[[Sequence[Sequence[str]]], Sequence[JobReturn]]
"""Runs jobs, each known by its overrides."""


@dataclass(frozen=True)
class Planned:
    """A job of a sweep."""

    job: Job
    overrides: list[str]
    name: str
    """What tells it from the other jobs."""

    @property
    def short(self) -> str:
        """The beginning of the name of its folders."""
        return self.job.fingerprint[:12]


def run(
    combinations: Sequence[Sequence[str]],
    compose: Compose,
    launch: Launch,
    composed: DictConfig,
    check: Callable[[], None],
) -> None:
    """Run a sweep to its end, whatever becomes of its jobs, and show which combination is the best.

    Args:
        combinations: The overrides of each job.
        compose: Hydra's composing.
        launch: Runs jobs.
        composed: The composed config with Hydra's own part.
        check: Raises a ConfigError where the launcher could run nothing.

    Raises:
        ConfigError: A job's config is wrong; nothing was started.
        RunFailed: Jobs failed; the others have finished.
    """
    folders = [Path(source.path) for source in composed.hydra.runtime.config_sources if source.schema == "file"]
    planned = _planned(combinations, Composer(compose, folders), ask=not composed.plan)
    n_jobs = composed.hydra.launcher.get("n_jobs") or 1
    folder = _folder(planned, Path(composed.hydra.sweep.dir))
    states = {one.short: _state(one, folder, composed.rerun) for one in planned}
    plan_rows = [(states[one.short], one.name, one.job) for one in planned]
    out.print(f"[bold]{len(planned)} jobs[/], {sum(state == 'finished' for state in states.values())} finished before")
    plan.show(plan_rows, n_jobs)
    missing = [one for one in planned if states[one.short] != "finished"]
    left_out = [one for one in missing if states[one.short] == "failed" and not composed.retry_failed]
    to_run = _baselines_first([one for one in missing if one not in left_out])
    if composed.plan:
        return
    plan.check_memory([one.job for one in to_run], n_jobs)
    check()
    sweep = _begin(planned, folder)
    out.print(f"sweep folder {report.short(folder)}\n", markup=False)
    causes: dict[str, str] = {}
    if to_run:
        places = {one.short: _next_place(folder, one.short) for one in to_run}
        with _watching(to_run, places, n_jobs):
            returned = _launched(launch, [_with_place(one.overrides, places[one.short]) for one in to_run])
        causes = {one.short: _cause(one, back) for one, back in zip(to_run, returned, strict=True)}
    causes |= {one.short: _failure(folder, one.short) or "failed before" for one in left_out}
    failed = {short: cause for short, cause in causes.items() if cause}
    _end(sweep, folder, planned[0].job.config.tracking, failed=bool(failed))
    if failed:
        _show_failures([one for one in planned if one.short in failed], failed, folder)
        raise RunFailed(
            f"{len(failed)} of {len(planned)} jobs failed; the same command again runs them alone"
            + ("" if composed.retry_failed else ", with retry_failed=true")
        )


def _planned(combinations: Sequence[Sequence[str]], composer: Composer, ask: bool) -> list[Planned]:
    """The jobs, equal ones once; where a format is yet to be picked, the model is asked if it may be."""
    if not combinations:
        raise ConfigError("the sweep has no job: a list of values is empty")
    same = set.intersection(*(set(overrides) for overrides in combinations)) if len(combinations) > 1 else set()
    datasets: dict[str, Any] = {}

    def load(*asked: Any) -> Any:
        key = repr(asked)
        if key not in datasets:
            datasets[key] = slices.load(*asked)
        return datasets[key]

    found: dict[str, Planned] = {}
    with _bar() as bar:
        for overrides in bar.track(combinations, description="composing"):
            name = " ".join(override for override in overrides if override not in same) or "one job"
            config = composer(overrides)
            try:
                job = jobs.identify(formats.settled(config, ask=ask), load)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
            found.setdefault(job.fingerprint, Planned(job, list(overrides), name))
    if ask:
        from bibleqa.lm import endpoints

        endpoints.unload_others(())  # the jobs load their own
    return list(found.values())


def _folder(planned: Sequence[Planned], new: Path) -> Path:
    """Where the sweep was begun, or where Hydra would begin it."""
    try:
        folder = paths.project() / _pointer(planned).read_text(encoding="utf-8")
    except FileNotFoundError:
        return new.absolute()
    return folder if (folder / leaderboard.SWEEP).is_file() else new.absolute()


def _pointer(planned: Sequence[Planned]) -> Path:
    fingerprints = sorted(one.job.fingerprint for one in planned)
    return paths.project() / "outputs" / ".sweeps" / hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()


def _begin(planned: Sequence[Planned], folder: Path) -> dict[str, Any]:
    """Write sweep.json, where it is not there from before."""
    try:
        found: dict[str, Any] = RunFolder(folder).read_json(leaderboard.SWEEP)
        return found
    except FileNotFoundError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    sweep: dict[str, Any] = {
        "schema": leaderboard.SCHEMA,
        "jobs": [{"overrides": one.overrides, "fingerprint": one.job.fingerprint} for one in planned],
    }
    config = planned[0].job.config.tracking
    try:
        sweep["parent"] = tracking.begin_sweep(config, folder.name)
    except tracking.TrackerDown as error:
        out.print(f"{error}; the jobs will have no parent there", markup=False)
        sweep["parent"] = None
    RunFolder(folder).write_json(leaderboard.SWEEP, sweep)
    pointer = _pointer(planned)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    runs.write_atomically(pointer, os.path.relpath(folder, paths.project()))
    return sweep


def _state(one: Planned, folder: Path, rerun: bool) -> str:
    """`finished`, `failed`, `begun` (it was interrupted) or `new`."""
    if not rerun and runs.find_finished(one.job.fingerprint):
        return "finished"
    if _failure(folder, one.short):
        return "failed"
    return "begun" if any(folder.glob(f"{one.short}*")) else "new"


def _failure(folder: Path, short: str) -> str | None:
    """Why the latest run of a job in the sweep failed, if it did."""
    for place in sorted(folder.glob(f"{short}*"), key=_attempt, reverse=True):
        try:
            summary = RunFolder(place).read_json("summary.json")
        except (FileNotFoundError, ValueError):
            return None
        if summary["status"] == "finished" or summary["failure"] == "KeyboardInterrupt":
            return None
        return str(summary["failure"] or "; ".join(summary["optimizer_errors"]))
    return None


def _next_place(folder: Path, short: str) -> Path:
    """A folder of its own for each time a job is run."""
    tried = [_attempt(place) for place in folder.glob(f"{short}*")]
    return folder / (f"{short}-{max(tried) + 1}" if tried else short)


def _attempt(place: Path) -> int:
    return int(place.name.partition("-")[2] or 1)


def _with_place(overrides: Sequence[str], place: Path) -> list[str]:
    return [*overrides, f"hydra.sweep.dir={quoted(str(place.parent))}", f"hydra.sweep.subdir={quoted(place.name)}"]


def _baselines_first(planned: Sequence[Planned]) -> list[Planned]:
    """An order in which jobs that share a baseline do not begin together: one measures it, the others find it."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, int, Planned]] = []
    for number, one in enumerate(planned):
        key = plan.baseline_key(one.job)
        seen[key] = seen.get(key, 0) + 1
        turns.append((seen[key], number, one))
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def _launched(launch: Launch, overrides: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
    """What became of the jobs; of a launcher that fails at one of them, that of all of them is not known."""
    try:
        return launch(overrides)
    except KeyboardInterrupt:
        out.print("Not finished; the same command goes on from there: answers that came are not paid for again.")
        raise
    except BibleQAError:
        raise
    except Exception as error:  # a launcher from elsewhere may raise anything
        log.exception("the launcher failed")
        return [JobReturn(status=JobStatus.FAILED, _return_value=error) for _ in overrides]


def _cause(one: Planned, returned: JobReturn) -> str:
    """What a job failed with, or nothing."""
    if runs.find_finished(one.job.fingerprint) or returned.status == JobStatus.COMPLETED:
        return ""
    error = returned._return_value
    return str(error) if isinstance(error, BibleQAError) else f"{type(error).__name__}: {error}"


@contextmanager
def _watching(planned: Sequence[Planned], places: dict[str, Path], n_jobs: int) -> Iterator[None]:
    """Show how jobs go, wherever they run, by what they leave in their folders."""
    over = Event()
    with _bar() as bar:
        task = bar.add_task("jobs", total=len(planned))
        begun = time.monotonic()

        def look() -> None:
            waiting = {one.short: one for one in planned}
            while True:
                last = over.is_set()
                for short, one in list(waiting.items()):
                    if ended := _ended(places[short]):
                        bar.console.print(f"{ended} {one.name}", markup=False)
                        bar.advance(task)
                        del waiting[short]
                running = [_progress(one, places[short]) for short, one in waiting.items() if places[short].exists()]
                bar.update(task, description="; ".join(filter(None, running[:n_jobs])) or "jobs")
                if last:
                    return
                over.wait(1.0)

        watcher = Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            bar.update(task, description="jobs")
    out.print(f"{time.monotonic() - begun:.0f} s\n")


def _ended(place: Path) -> str | None:
    try:
        summary = RunFolder(place).read_json("summary.json")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    before, after = summary["baseline"]["score"], summary["optimized"]["score"]
    scores = " → ".join("-" if score is None else f"{score:.1%}" for score in (before, after))
    return f"{summary['status']:<9} {scores:<15} {summary['seconds']['total']:>6.0f} s "


def _progress(one: Planned, place: Path) -> str:
    try:
        answered = (place / "predictions.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return f"{one.name}: beginning"
    test = len(one.job.dataset.test)
    if answered < test:
        return f"{one.name}: baseline {answered}/{test}"
    return f"{one.name}: optimizing" if answered == test else f"{one.name}: optimized {answered - test}/{test}"


def _end(sweep: dict[str, Any], folder: Path, config: TrackingConfig, failed: bool) -> None:
    """Show what the sweep has found, and keep it as a page in its folder and in MLflow."""
    board = leaderboard.of_sweep(folder)
    standings.show(board, out)
    page = folder / "report.html"
    write_html(board, page)
    out.print(f"\nreport        {report.short(page)}", markup=False)
    if sweep["parent"]:
        fingerprints = [one["fingerprint"] for one in sweep["jobs"]]
        ids = [run.read_json("summary.json")["run_id"] for run in map(runs.find_finished, fingerprints) if run]
        try:
            tracking.end_sweep(config, sweep["parent"], [page, folder / leaderboard.SWEEP], ids, failed)
        except tracking.TrackerDown as error:
            out.print(str(error), markup=False)


def _show_failures(planned: Sequence[Planned], causes: dict[str, str], folder: Path) -> None:
    out.print()
    for one in planned:
        out.print(f"failed        {one.name}", markup=False)
        out.print(f"  cause       {' '.join(causes[one.short].split())[:300]}", markup=False)
        if places := sorted(folder.glob(f"{one.short}*"), key=_attempt):
            out.print(f"  log         {report.short(places[-1] / 'run.log')}", markup=False)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)
