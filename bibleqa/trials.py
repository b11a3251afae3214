"""The picture of what an optimizer tried: score over trial."""

import io
from collections.abc import Sequence
from pathlib import Path

from bibleqa import runs
from bibleqa.optimizers import Candidate


def draw(candidates: Sequence[Candidate], path: Path) -> None:
    """Write a PNG: the score that the optimizer took of each candidate, and what val said of those compared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    order = range(len(candidates))
    kinds = sorted({one.scored_on for one in candidates if one.scored_on})
    for kind in kinds:
        scored = [(i, one.score) for i, one in zip(order, candidates, strict=True) if one.scored_on == kind]
        axes.plot(*zip(*scored, strict=True), "o", label=f"its own score, on {kind}")
    compared = [(i, one.val) for i, one in zip(order, candidates, strict=True) if one.val is not None]
    axes.plot(*zip(*compared, strict=True), "D", fillstyle="none", color="black", label="compared on val")
    axes.axhline(compared[0][1] or 0.0, linestyle=":", color="grey", label="baseline on val")
    axes.set(ylim=(-0.03, 1.03), ylabel="score", xticks=list(order))
    axes.set_xticklabels([one.name for one in candidates], rotation=60, ha="right", fontsize=7)
    axes.legend(fontsize=8)
    png = io.BytesIO()
    figure.savefig(png, dpi=120)
    runs.write_atomically(path, png.getvalue())
