"""The pictures of a leaderboard, as SVG that takes its colours and letters from the page it stands in."""

import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from bibleqa.results.figures import percent
from bibleqa.results.leaderboard import Entry, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"
"""Stands for the colour of the page's text, which is not the same by day and by night."""
_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "axes.linewidth": 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "bibleqa",
}
_BLUE, _ORANGE = "#3f83d6", "#d98324"
_WIDTH = 6.0
_NAME = 54
_MOST = 30
_MOST_NAMED = 16
_MOST_TRIALS = 12


def _svg(draw: Callable[[Standing], "Figure | None"]) -> Callable[[Standing, str], str | None]:
    """Make a picture's drawing give its SVG; what is named within starts with a prefix, unlike other pictures'."""

    @wraps(draw)
    def drawn(standing: Standing, prefix: str) -> str | None:
        import matplotlib

        file = io.StringIO()
        with matplotlib.rc_context(_STYLE):
            figure = draw(standing)
            if figure is None:
                return None
            figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        text = file.getvalue()
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text[text.index("<svg") :])
        return text.replace(_INK, "currentColor")

    return drawn


@_svg
def scores(standing: Standing) -> "Figure":
    """Score and baseline of each run, the score with its interval."""
    from matplotlib.figure import Figure

    entries = standing.entries[:_MOST]
    figure = Figure(figsize=(_WIDTH, 0.7 + 0.42 * len(entries)), layout="constrained")
    axes = figure.add_subplot()
    for row, entry in enumerate(entries):
        score, baseline = entry.run.score or 0.0, entry.run.summary["baseline"]["score"]
        low, high = entry.run.summary["optimized"]["ci95"] or (score, score)
        axes.plot((low, high), (row, row), color=_BLUE, linewidth=2.5, alpha=0.5, solid_capstyle="round")
        axes.plot(score, row, "o", color=_BLUE, label="optimized, 95 % interval" if not row else None)
        if baseline is not None:
            axes.plot(baseline, row, "|", color=_INK, markersize=11, label="" if row else "baseline")
        axes.text(0, row - 0.36, _name(entry), fontsize=9, va="center")
        axes.text(min(high, 0.93) + 0.015, row, percent(score), fontsize=9, va="center")
    axes.set(xlim=(0, 1.02), ylim=(len(entries) - 0.4, -0.8), yticks=[])
    _in_percent(axes.xaxis)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    _legend(figure, axes)
    return figure


@_svg
def cost(standing: Standing) -> "Figure":
    """Score against cost, and the front that no run is beyond."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    points = defaultdict(list)
    for entry in standing.entries:
        points[standing.cost_of(entry.run), entry.run.score or 0.0].append(entry)
    front = sorted(point for point, entries in points.items() if entries[0].pareto)
    rest = [point for point in points if point not in front]
    if rest:
        axes.plot(*zip(*rest, strict=True), "o", color=_INK, alpha=0.55, fillstyle="none", label="beaten")
    axes.step(*zip(*front, strict=True), where="post", color=_ORANGE, linewidth=1, linestyle="--", zorder=1)
    axes.plot(*zip(*front, strict=True), "D", color=_ORANGE, label="front: no run scored more for less")
    costs = [cost for cost, _ in points]
    if min(costs) > 0 and max(costs) > 20 * min(costs):
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, max(costs) * 1.12 or 1)
        axes.xaxis.set_major_locator(_few_ticks())
    axes.xaxis.set_major_formatter(_thousands())
    axes.margins(x=0.12)
    axes.set(ylim=(0, 1.08), xlabel=f"{standing.cost} of the whole run")
    _in_percent(axes.yaxis)
    axes.grid()
    _legend(figure, axes)
    named = {point: entries for point, entries in points.items() if len(points) <= _MOST_NAMED or point in front}
    _label(figure, axes, {point: _names(entries) for point, entries in named.items()})
    return figure


@_svg
def trials(standing: Standing) -> "Figure | None":
    """What each optimizer tried, in its order: its own score, and what val said of those compared in the end."""
    from matplotlib.figure import Figure

    curved = [entry for entry in standing.entries if len(entry.run.candidates) > 1][:_MOST_TRIALS]
    if not curved:
        return None
    columns = min(2, len(curved))
    rows = math.ceil(len(curved) / columns)
    figure = Figure(figsize=(_WIDTH, 0.6 + 1.7 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, entry in zip(panels, curved, strict=False):
        axes.set_axis_on()
        _trial_curve(axes, entry)
    handles = {label: one for axes in panels for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def _trial_curve(axes: "Axes", entry: Entry) -> None:
    candidates = entry.run.candidates
    own = [(i, one["score"]) for i, one in enumerate(candidates) if one["score"] is not None]
    compared = [(i, one["val"]) for i, one in enumerate(candidates) if one["val"] is not None]
    if compared:
        axes.axhline(compared[0][1], color=_INK, linestyle=":", linewidth=1, label="baseline on val")
    if own:
        axes.plot(*zip(*own, strict=True), "o-", color=_BLUE, markersize=4, linewidth=1, label="its own score")
    if compared:
        axes.plot(*zip(*compared, strict=True), "D", color=_ORANGE, markersize=5, label="compared on val", alpha=0.85)
    axes.set_title(_cut(f"#{entry.rank} {entry.combination}", 34), fontsize=9, loc="left")
    axes.set(ylim=(-0.04, 1.04), xlim=(-0.5, len(candidates) - 0.5))
    axes.xaxis.set_major_locator(_few_ticks())
    axes.tick_params(labelsize=8)
    _in_percent(axes.yaxis)
    axes.grid(axis="y")


def _label(figure: "Figure", axes: "Axes", labels: Mapping[tuple[float, float], str]) -> None:
    """Write a label over each point, one higher where it would cover another."""
    figure.draw_without_rendering()  # from now on it is known what is where
    taken: list[Any] = []
    for point, text in sorted(labels.items()):
        written = axes.annotate(text, point, xytext=(0, 6), textcoords="offset points", fontsize=8, ha="center")
        for offset in range(6, 100, 10):
            written.set_position((0, offset))
            box = written.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _names(entries: Sequence[Entry]) -> str:
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    return _short_name(entries[0]) + more


def _name(entry: Entry) -> str:
    return _cut(f"#{entry.rank} {entry.combination}", _NAME)


def _short_name(entry: Entry) -> str:
    return _cut(" ".join(value for value in entry.settings.values()), 22)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles: Sequence[Any]
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=9)


def _in_percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, integer=True)


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.0f}")
