"""The figures of a dataset: families by splits, answers, duplicates, and what the splits have in common."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bibleqa.data import leakage
from bibleqa.data.item import Item
from bibleqa.data.kjv import kjv
from bibleqa.data.leakage import Leakage

_TOP = 3
_TESTED = frozenset({"test", "anchors"})


@dataclass(frozen=True)
class Family:
    """The figures of a question family.

    Attributes:
        name: Its type.
        counts: Questions by split.
        open_book: Share of them whose answer follows from the context, 0 to 1.
        median_words: Of the answers' lengths.
        longest_words: Of the longest answer.
        answers: How many different ones there are.
        top_answers: The most frequent, with their counts.
    """

    name: str
    counts: dict[str, int]
    open_book: float
    median_words: float
    longest_words: int
    answers: int
    top_answers: list[tuple[str, int]]


@dataclass(frozen=True)
class Stats:
    """The figures of a dataset.

    Attributes:
        counts: Questions by split.
        families: By name.
        duplicates: Questions that stand before with the same context and history, in whatever split.
        leakage: What any two splits have in common, but for test and anchors, which are both tested on.
    """

    counts: dict[str, int]
    families: list[Family]
    duplicates: int
    leakage: list[Leakage]


def measure(splits: Mapping[str, Sequence[Item]]) -> Stats:
    """The figures of a dataset, by its splits."""
    by_type: dict[str, dict[str, list[Item]]] = {}
    for name, items in splits.items():
        for item in items:
            by_type.setdefault(item.type, {split: [] for split in splits})[name].append(item)
    questions = Counter(leakage.asked(item) for items in splits.values() for item in items)
    contents = {name: leakage.content_of(items, kjv()) for name, items in splits.items()}
    return Stats(
        counts={name: len(items) for name, items in splits.items()},
        families=[_family(name, by_split) for name, by_split in sorted(by_type.items())],
        duplicates=questions.total() - len(questions),
        leakage=[
            leakage.between(one, contents[one], other, contents[other])
            for one, other in combinations(splits, 2)
            if not {one, other} <= _TESTED
        ],
    )


def _family(name: str, by_split: Mapping[str, Sequence[Item]]) -> Family:
    items = [item for members in by_split.values() for item in members]
    lengths = [len(item.answer.split()) for item in items]
    answers = Counter(item.answer for item in items)
    return Family(
        name,
        counts={split: len(members) for split, members in by_split.items()},
        open_book=sum(item.open_book for item in items) / len(items),
        median_words=median(lengths),
        longest_words=max(lengths),
        answers=len(answers),
        top_answers=answers.most_common(_TOP),
    )


def show(stats: Stats, out: Console) -> None:
    """Print the figures as tables."""
    families = Table("family", title="questions", title_justify="left", show_footer=True)
    families.columns[0].footer = "all"
    for split, count in stats.counts.items():
        families.add_column(split, f"{count:,}", justify="right")
    families.add_column("open-book", justify="right")
    answers = Table("family", title="answers", title_justify="left")
    for column in ("median words", "longest", "different"):
        answers.add_column(column, justify="right")
    answers.add_column("most frequent")
    for family in stats.families:
        families.add_row(escape(family.name), *(f"{n:,}" for n in family.counts.values()), f"{family.open_book:.1%}")
        top = ", ".join(f"{_short(answer)} ({count})" for answer, count in family.top_answers)
        figures = (f"{family.median_words:g}", str(family.longest_words), f"{family.answers:,}")
        answers.add_row(escape(family.name), *figures, escape(top))
    shared = Table("in common", title="leakage", title_justify="left")
    for column in ("questions", "verses", "chapters", "10-grams", "answers told"):
        shared.add_column(column, justify="right")
    for pair in stats.leakage:
        counts = (pair.questions, pair.verses, pair.chapters, pair.shingles, pair.told)
        shared.add_row(f"{pair.one}, {pair.other}", *(f"{n:,}" for n in counts))
    for table in (families, answers, shared):
        out.print(table)
    out.print(f"questions that stand there once more: {stats.duplicates:,}")


def _short(answer: str) -> str:
    return answer if len(answer) <= 30 else f"{answer[:29]}…"


def picture(stats: Stats, title: str, path: Path) -> None:
    """Draw families by splits: a panel a split, each on its own scale, for train is many times the others."""
    from matplotlib.figure import Figure

    names = [family.name for family in stats.families]
    figure = Figure(figsize=(2 + 2.4 * len(stats.counts), 1.4 + 0.34 * len(names)), layout="constrained")
    figure.suptitle(f"{title}: {sum(stats.counts.values()):,} questions, each split on its own scale")
    panels = figure.subplots(1, len(stats.counts), sharey=True, squeeze=False)[0]
    for panel, (split, total) in zip(panels, stats.counts.items(), strict=True):
        bars = panel.barh(names, [family.counts[split] for family in stats.families], color="#4472a8")
        panel.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=9)
        panel.set_title(f"{split}: {total:,}", fontsize=10)
        panel.margins(x=0.3)
        panel.xaxis.set_visible(False)
        panel.tick_params(left=False)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.savefig(path, format="png", dpi=150)
