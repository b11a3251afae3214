"""Two runs side by side: where their configs, programs, scores and answers differ."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bibleqa import paths
from bibleqa.comparison import Difference, difference
from bibleqa.data.item import Item
from bibleqa.data.reader import read_items
from bibleqa.errors import ConfigError
from bibleqa.results import past
from bibleqa.results.figures import p_value, percent, span
from bibleqa.results.past import PastRun

RIGHT = 0.5
"""From this score on an answer counts as right."""

_SHOWN = 10
_DEMOS_SHOWN = 5
_LONGEST = 200
_ABSENT = "-"


@dataclass(frozen=True)
class Told:
    """A question that one run answered right and the other wrong."""

    id: str
    type: str
    item: Item | None
    """None where the dataset is not at hand as it was."""
    a: str
    b: str
    gap: float
    """The one score less the other."""


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not."""

    a: PastRun
    b: PastRun
    config: Mapping[str, tuple[str, str]]
    """By dotted key, the two values where they differ."""
    made_with: Mapping[str, tuple[str, str]]
    """Likewise, of dataset, code and packages."""
    difference: Difference
    """b's scores less a's."""
    by_type: Mapping[str, Difference]
    only_a: Sequence[Told]
    """What a answered right and b wrong, the widest gap first."""
    only_b: Sequence[Told]

    @property
    def same_questions(self) -> bool:
        """Whether both were asked the very same ones."""
        return self.difference.n == len(self.a.scores) == len(self.b.scores)


def compare(a: PastRun, b: PastRun) -> Comparison:
    """Compare two runs, b against a, on the questions that both answered."""
    asked, other = a.answers["optimized"], b.answers["optimized"]
    # An id is a question's in its dataset; in another context it is another question.
    common = [id for id in a.scores if id in b.scores and asked[id]["inputs"] == other[id]["inputs"]]
    types: dict[str, list[str]] = {}
    for id in common:
        types.setdefault(asked[id]["type"], []).append(id)

    def on(ids: Sequence[str]) -> Difference:
        return difference({id: b.scores[id] for id in ids}, {id: a.scores[id] for id in ids})

    apart = [id for id in common if (a.scores[id] >= RIGHT) != (b.scores[id] >= RIGHT)]
    items = _items({id: asked[id]["inputs"] for id in apart}, a)
    told = [
        Told(id, asked[id]["type"], items.get(id), _said(asked[id]), _said(other[id]), b.scores[id] - a.scores[id])
        for id in apart
    ]
    told.sort(key=lambda one: -abs(one.gap))
    return Comparison(
        a,
        b,
        config=_unlike(past.flat(a.config), past.flat(b.config)),
        made_with=_unlike(_made_with(a), _made_with(b)),
        difference=on(common),
        by_type={name: on(ids) for name, ids in sorted(types.items())},
        only_a=[one for one in told if one.gap < 0],
        only_b=[one for one in told if one.gap > 0],
    )


def _unlike(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    both = {key: (a.get(key, _ABSENT), b.get(key, _ABSENT)) for key in (*a, *(key for key in b if key not in a))}
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}


def _made_with(run: PastRun) -> dict[str, str]:
    kept = ("status", "dataset_digest", "program_digest", "weights", "git", "versions")
    return past.flat({key: run.summary[key] for key in kept if run.summary.get(key)})


def _said(line: Mapping[str, Any]) -> str:
    if line["prediction"] is not None:
        return str(line["prediction"])
    return f"(unreadable) {line['raw'] or ''}"


def _items(wanted: Mapping[str, str], run: PastRun) -> dict[str, Item]:
    """The questions of these ids, as far as they are at hand just as they were asked, by the digest of their inputs."""
    found: dict[str, Item] = {}
    dataset = run.config["dataset"]
    own = [paths.project() / dataset["test"]] if "test" in dataset else []
    built = (paths.project() / "data" / "processed").glob("*/*.jsonl")
    for path in own or sorted(file for file in built if file.stem in ("test", "anchors")):
        if len(found) == len(wanted):
            break
        try:
            items = list(read_items(path))
        except ConfigError:
            continue  # moved or changed since: ids and answers are shown all the same
        found |= {item.id: item for item in items if item.id in wanted and inputs_digest(item) == wanted[item.id]}
    return found


def inputs_digest(item: Item) -> str:
    """sha256 of what a program is told of a question, as predictions.jsonl has it (`evaluation` needs DSPy for it)."""
    history = [{"question": turn.question, "answer": turn.answer} for turn in item.history]
    inputs = {"context": item.context, "question": item.question, "history": f"messages={history!r}"}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Predictor:
    """A predictor of an optimized program."""

    instructions: str
    demos: Sequence[str]


def predictors(run: PastRun) -> dict[str, Predictor]:
    """The predictors of a run's program by their names, as DSPy's state has them."""
    state = run.program
    found = {"predict": state} if "signature" in state else {}
    found |= {name: child for name, child in state.items() if isinstance(child, dict) and "signature" in child}
    pool = state.get("nearest", {}).get("demos", [])
    return {
        name: Predictor(
            str(predictor["signature"].get("instructions", "")), [_demo(demo) for demo in predictor["demos"] or pool]
        )
        for name, predictor in found.items()
    }


def _demo(demo: Mapping[str, Any]) -> str:
    return f"{_line(demo.get('question', ''))} → {_line(demo.get('answer', ''))}"


def _line(text: Any) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def show(comparison: Comparison, out: Console, *, every: bool = False) -> None:
    """Print a comparison.

    Args:
        comparison: What to show.
        out: Where to.
        every: All examples, not the first alone.
    """
    a, b = comparison.a, comparison.b
    for name, run in (("A", a), ("B", b)):
        out.print(f"{name}  {run.place}  {run.fingerprint[:8]}", markup=False)
        if run.summary["status"] != "finished":
            out.print(f"   this run has failed: {_why(run)}", markup=False)
    out.print()
    _show_pairs("config", comparison.config, out, "the same")
    _show_pairs("made with", comparison.made_with, out, "the same")
    _show_programs(a, b, out)
    _show_scores(comparison, out)
    for name, other, told in (("A", "B", comparison.only_a), ("B", "A", comparison.only_b)):
        _show_told(f"right in {name}, wrong in {other}", told, out, None if every else _SHOWN)


def _why(run: PastRun) -> str:
    return run.summary.get("failure") or "; ".join(run.summary.get("optimizer_errors") or ["it does not say why"])


def _show_pairs(title: str, pairs: Mapping[str, tuple[str, str]], out: Console, none: str) -> None:
    if not pairs:
        out.print(f"[bold]{title}[/]: {none}\n")
        return
    table = _table(title, "", "A", "B")
    for key, (one, other) in pairs.items():
        table.add_row(escape(key), escape(_line(one)), escape(_line(other)))
    out.print(table)


def _show_programs(a: PastRun, b: PastRun, out: Console) -> None:
    one, other = predictors(a), predictors(b)
    if one == other:
        out.print("[bold]program[/]: the same instructions and demos\n")
        return
    table = _table("program", "", "A", "B", lines=True)
    none = Predictor("(there is none)", [])
    for name in (*one, *(name for name in other if name not in one)):
        first, second = one.get(name, none), other.get(name, none)
        if first.instructions == second.instructions:
            table.add_row(escape(f"{name}\ninstructions"), "the same", "the same")
        else:
            table.add_row(escape(f"{name}\ninstructions"), escape(first.instructions), escape(second.instructions))
        table.add_row(escape(f"{name}\ndemos"), *(escape(_demos(found)) for found in (first, second)))
    out.print(table)


def _demos(predictor: Predictor) -> str:
    lines = list(predictor.demos[:_DEMOS_SHOWN])
    if more := len(predictor.demos) - len(lines):
        lines.append(f"and {more} more")
    return "\n".join(lines) or "none"


def _show_scores(comparison: Comparison, out: Console) -> None:
    a, b, change = comparison.a, comparison.b, comparison.difference
    table = _table("scores", "", "A", "95 %", "n", "B", "95 %", "n")
    for phase in ("baseline", "optimized"):
        cells = [
            cell
            for found in (a.summary[phase], b.summary[phase])
            for cell in (percent(found["score"]), span(found["ci95"]), str(found["n"]))
        ]
        table.add_row(phase, *cells)
    out.print(table)
    if a.config["metric"] != b.config["metric"]:
        out.print("The metrics differ: the scores do not say the same.")
    if not change.n:
        out.print("The runs have no question in common: there is nothing to compare.\n")
        return
    if not comparison.same_questions:
        out.print(f"The runs were asked different questions; what follows is of the {change.n} that both have.")
    out.print(
        f"optimized, B less A: [bold]{percent(change.value, sign=True)}[/] "
        f"({span(change.ci95, sign=True)}), p {p_value(change.p)}, n {change.n}\n"
    )
    by_type = _table("by question type", "", "n", "A", "B", "B less A", "95 %")
    for name, found in comparison.by_type.items():
        ids = [id for id, line in a.answers["optimized"].items() if line["type"] == name and id in b.scores]
        means = [percent(_mean(run, ids)) for run in (a, b)]
        by_type.add_row(
            escape(name), str(found.n), *means, percent(found.value, sign=True), span(found.ci95, sign=True)
        )
    out.print(by_type)


def _mean(run: PastRun, ids: Sequence[str]) -> float | None:
    scores = [run.scores[id] for id in ids if id in run.scores]
    return sum(scores) / len(scores) if scores else None


def _show_told(title: str, told: Sequence[Told], out: Console, most: int | None) -> None:
    out.print(f"[bold]{title}[/]: {len(told)}")
    for one in told[:most]:
        for line in _lines(one):
            out.print(line, markup=False)
    if most is not None and len(told) > most:
        out.print(f"  and {len(told) - most} more; --all shows every one")
    out.print()


def _lines(told: Told) -> Iterator[str]:
    if told.item:
        yield f"  {told.item.reference or told.id}: {told.item.question}"
        yield f"    expected {told.item.answer!r}"
    else:
        yield f"  {told.id} ({told.type})"
    yield f"    A said {_line(told.a)!r}"
    yield f"    B said {_line(told.b)!r}"


def _table(title: str, *columns: str, lines: bool = False) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_lines=lines)
