"""What a run says on the screen: what it will do, how it goes, and how it ended."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bibleqa import optimizer_limits, paths, tracking
from bibleqa.config import parts
from bibleqa.console import out
from bibleqa.data.item import Item
from bibleqa.data.slices import Dataset
from bibleqa.results.figures import percent
from bibleqa.results.past import PastRun
from bibleqa.runs import RunFolder
from bibleqa.schema import HELPERS, Config, FinetuneConfig

if TYPE_CHECKING:
    from bibleqa.evaluation import Outcome
    from bibleqa.lm.meter import Meter

_SAMPLES = 3


def plan(config: Config, dataset: Dataset, folder: Path) -> None:
    """Say what a run is about to do and what it may cost."""
    test, train, val = len(dataset.test), len(dataset.train), len(dataset.val)
    calls = optimizer_limits.calls(config, train, val, test)
    helpers = {role: getattr(config, role) for role in HELPERS if getattr(config, role)}
    where = config.endpoint.base_url or "in this process"
    asked = f"{escape(config.endpoint.model)}[/] {escape(where)}"
    out.print(f"[bold]{asked}, {config.program.name}, {config.adapter.name} adapter")
    out.print(
        f"{config.dataset.name}: {train} train, {val} val, {test} test"
        + (f" ({dataset.anchors} hand-written, {test - dataset.anchors} generated)" if dataset.anchors else ""),
        markup=False,
    )
    attempts = config.assertions.attempts if config.assertions.checks else 1
    out.print(
        f"{config.metric.name} metric, {config.optimizer.name} optimizer, {config.assertions.name} assertions; "
        f"about {calls.total} LM calls: {calls.baseline} baseline, up to {calls.optimizer} optimizer, "
        f"{calls.optimized} optimized"
        + (f"; up to {attempts} times as many where checks fail" if attempts > 1 else ""),
        markup=False,
    )
    if config.program.retrieves:
        model = f", {config.retriever.model}" if config.retriever.model else ""
        out.print(f"{config.retriever.name} retriever{model}: {config.retriever.k} verses a question", markup=False)
    for role, endpoint in helpers.items():
        out.print(f"{role}: {endpoint.model} {endpoint.base_url or 'in this process'}", markup=False)
    for part in parts.parts_of(config.optimizer).values():
        if isinstance(part, FinetuneConfig):
            out.print(
                f"weights: LoRA of rank {part.rank} on up to {part.max_examples or 'all'} train questions, "
                f"{part.epochs:g} epochs, from {part.source}"
            )
    out.print(f"run folder {short(folder)}\n", markup=False)


@contextmanager
def progress(phase: str, questions: int) -> "Iterator[Callable[[Outcome], None]]":
    """Show how a phase goes; gives what to call with each outcome."""
    tally = _Tally()
    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task(phase, total=questions, note="")

        def show(outcome: "Outcome") -> None:
            tally.add(outcome)
            bar.update(task, advance=1, note=str(tally))

        yield show


@contextmanager
def working(phase: str, meter: "Meter") -> Iterator[Callable[[str], None]]:
    """Show how an optimizer goes; gives what to call with what it is doing."""
    begun = meter.usage.calls
    with _bar(_Live(lambda: f"{meter.usage.calls - begun} LM calls")) as bar:
        task = bar.add_task(phase, total=None, note="")
        yield lambda note: bar.update(task, note=note)
        bar.update(task, total=1, completed=1, note="")


def _bar(count: TextColumn | MofNCompleteColumn) -> Progress:
    note = TextColumn("{task.fields[note]}", markup=False)
    columns = (SpinnerColumn(), TextColumn("{task.description:<10}"), BarColumn(), count, note, TimeElapsedColumn())
    return Progress(*columns, console=out)


class _Live(TextColumn):
    """A column that asks for its text each time it is drawn."""

    def __init__(self, text: Callable[[], str]):
        super().__init__("")
        self._text = text

    def render(self, task: Any) -> Any:
        from rich.text import Text

        return Text(self._text())


class _Tally:
    """The running score."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._scored = 0
        self._errors = 0

    def add(self, outcome: "Outcome") -> None:
        if outcome.score is None:
            self._errors += 1
        else:
            self._scored += 1
            self._sum += outcome.score

    def __str__(self) -> str:
        score = f"{self._sum / self._scored:.1%}" if self._scored else ""
        return f"{score} {self._errors} errors" if self._errors else score


def result(
    folder: RunFolder, summary: Mapping[str, Any], config: Config, optimized: "Sequence[Outcome]", dataset: Dataset
) -> None:
    """Show a run's result, a sample of wrong answers, and how to look closer."""
    if summary["unchanged"] and config.optimizer.name != "none":
        out.print("Nothing that the optimizer tried beat the baseline on val: the program is the baseline.")
        if config.endpoint.kind == "embedded" and not optimizer_limits.tunes_weights(config.optimizer):
            out.print("Small models learn by their weights rather than by prompts: optimizer=finetune tunes them.")
    _show(folder, summary)
    if summary["reproduction"]:
        _verdict(summary["reproduction"])
    _wrong_answers(optimized, {item.id: item for item in dataset.test})
    _look_closer(folder, summary)


def waiting() -> None:
    """Say that another process is making the very run that was asked for."""
    out.print("Another process is making this very run; waiting for it.")


def earlier(folder: RunFolder) -> None:
    """Show the finished run that is equal to the one asked for."""
    out.print("This run was made before; nothing was spent. rerun=true makes it again.\n")
    summary = folder.read_json("summary.json")
    _show(folder, summary)
    _look_closer(folder, summary)
    if not summary["run_id"]:
        out.print(f"{'not in MLflow':<13} bibleqa track {short(folder.path)}", markup=False)


def failed(folder: RunFolder, summary: Mapping[str, Any], dataset: Dataset) -> None:
    """Say what a run that could not finish has kept."""
    asked = len(dataset.test)
    done = [f"{phase} {summary[phase]['n']} of {asked}" for phase in ("baseline", "optimized") if summary[phase]["n"]]
    out.print(f"Not finished; kept in {short(folder.path)}: {', '.join(done) or 'no answers yet'}.", markup=False)
    out.print("The same command goes on from there: answers that came are not paid for again.")


def warn(message: str) -> None:
    """Say that something beside the run went wrong."""
    print(f"bibleqa: {message}", file=sys.stderr)


def waiting_for_endpoint(message: str) -> None:
    """Say that an endpoint keeps the run waiting, or does so no longer."""
    out.print(message, style="yellow", markup=False)


def _show(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    before, after, change = summary["baseline"], summary["optimized"], summary["improvement"]
    table = Table("", "score", "95 % interval", "n", "unreadable", "errors", title_justify="left")
    for name, phase in (("baseline", before), ("optimized", after)):
        table.add_row(
            name,
            percent(phase["score"]),
            _range(phase["ci95"]),
            *(str(phase[k]) for k in ("n", "unreadable", "errors")),
        )
    table.add_row("difference", percent(change["value"], sign=True), _range(change["ci95"], sign=True), "", "", "")
    out.print(table)
    _how_read(folder, summary)
    for name, rates in summary["assertions"].items():
        passed = f"passed {rates['pass_rate_first']:.0%} at first, {rates['pass_rate_final']:.0%} in the end"
        out.print(f"{name}: {passed}", markup=False)
    if summary["assertions"]:
        extra = {phase: counts["extra_calls"] for phase, counts in summary["attempts"].items()}
        out.print(f"asked again because a check failed: {extra['baseline']} times before, {extra['optimized']} after")
    for phase, found in summary.get("agreement", {}).items():
        out.print(f"{phase}: judge and theological agree on {percent(found['agreement'])} of {found['n']} anchors")
    if (found := summary.get("retrieval")) and found["n"]:
        out.print(f"recall@{found['k']} of the retriever: {percent(found['recall'])} of {found['n']} questions")
    if val := summary["val"]:
        out.print(f"on val: baseline {percent(val['baseline'])}, chosen {percent(val['optimized'])}")
    target, lm, seconds = summary["target"], summary["lm"], summary["seconds"]
    cost = f", cost {lm['cost']:.4g}" if lm.get("cost") else ""  # runs of before have none
    out.print(f"target {target['score']:.0%}: {'reached' if target['reached'] else 'not reached'}")
    out.print(
        f"{lm['calls']} LM calls ({lm['cached_calls']} from the cache), {lm['input_tokens']:,} tokens in, "
        f"{lm['output_tokens']:,} out{cost}; {seconds['total']:.0f} s "
        f"(baseline {seconds['baseline']:.0f}, optimizing {seconds['optimize']:.0f}, "
        f"optimized {seconds['evaluate']:.0f})"
    )


def _how_read(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """Say which answers did not come as asked, and what to do about those that were cut off."""

    def told(words: str, count: Callable[[Mapping[str, Any]], int], hint: str = "") -> None:
        before, after = count(summary["baseline"]), count(summary["optimized"])
        if before or after:
            out.print(f"{words}: {before} baseline, {after} optimized{hint}")

    # Runs that were made before these were counted have none.
    told("read though not in the format asked for", lambda phase: sum(phase.get("salvaged", {}).values()))
    told("refused", lambda phase: phase.get("ended", {}).get("refused", 0))
    told("empty", lambda phase: phase.get("ended", {}).get("empty", 0))
    longest = PastRun(folder.path).config["endpoint"]["max_tokens"]
    told(
        f"cut off at {longest} tokens",
        lambda phase: phase.get("ended", {}).get("length", 0),
        f"; endpoint.max_tokens={2 * longest} gives them room",
    )


def _verdict(told: Mapping[str, Any]) -> None:
    what = {"rerun": "asked again", "replay": "replayed", "evaluate": "its program scored"}[told["mode"]]
    out.print(f"\n{told['of']}, {what}:", markup=False)
    for name, (then, now) in told["overrides"].items():
        out.print(f"  override {name}: {then} then, {now} now", markup=False)
    if told["identical"]:
        out.print(f"[bold]identical[/]: the same program, {told['compared']} answers the same")
        return
    program = "the same program" if told["same_program"] else "another program"
    out.print(f"[bold]not identical[/]: {program}, {told['compared']} answers compared")
    if differing := told["differing"]:
        rest = f" and {len(differing) - 10} more" if len(differing) > 10 else ""
        out.print(f"  other answers or scores: {', '.join(differing[:10])}{rest}", markup=False)
    for name, (then, now) in told["changed"].items():
        out.print(f"  changed since: {name} {_brief(then)} then, {_brief(now)} now", markup=False)
    if not told["changed"] and not told["overrides"]:
        out.print("  nothing that is recorded has changed: the endpoint answered otherwise")


def _brief(value: Any) -> str:
    return str(value)[:12] if isinstance(value, str) and len(value) > 30 else str(value)


def _wrong_answers(outcomes: "Sequence[Outcome]", items: Mapping[str, Item]) -> None:
    wrong = [outcome for outcome in outcomes if outcome.score is not None and outcome.score < 1]
    if wrong:
        out.print(f"\n{len(wrong)} answers are not right, for instance:")
    step = max(1, len(wrong) // _SAMPLES)
    for outcome in wrong[::step][:_SAMPLES]:
        item = items[outcome.id]
        said = outcome.raw if outcome.prediction is None else outcome.prediction
        out.print(f"  {item.reference}: {item.question}", markup=False)
        out.print(f"    said {' '.join((said or '').split())[:120]!r}, expected {item.answer!r}", markup=False)


def _look_closer(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    place = short(folder.path)
    rows = [("run folder", place), ("every answer", f"{place}/predictions.jsonl")]
    if summary["run_id"]:
        rows.append(("MLflow run", summary["run_id"]))
        address = tracking.uri(tracking.tracking_of(folder)) or ""
        if address.startswith("sqlite:"):
            rows.append(("look at it", f"mlflow ui --backend-store-uri {_short_uri(address)}"))
        else:
            rows.append(("look at it", address))
    rows.append(("again", f"python run.py reproduce={place}"))
    rows.append(("ask it", f"bibleqa promote {place}, then bibleqa chat"))
    out.print()
    for name, text in rows:
        out.print(f"{name:<13} {text}", markup=False)


def short(path: Path) -> str:
    """A path as one would write it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _short_uri(address: str) -> str:
    return address if Path.cwd() != paths.project() else "sqlite:///mlflow.db"


def _range(interval: Sequence[float] | None, *, sign: bool = False) -> str:
    return "-" if interval is None else " to ".join(percent(bound, sign=sign) for bound in interval)
