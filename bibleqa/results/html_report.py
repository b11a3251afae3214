"""A leaderboard as one HTML file: nothing is loaded from elsewhere, and it can be sent to anybody."""

from datetime import datetime
from pathlib import Path
from typing import Any

from bibleqa import runs
from bibleqa.results import charts, figures, standings
from bibleqa.results.leaderboard import Entry, Leaderboard, Standing


def write(board: Leaderboard, path: Path) -> None:
    """Write the report.

    Args:
        board: What to show.
        path: The file; one that is there is replaced.
    """
    runs.write_atomically(path, render(board))


def render(board: Leaderboard) -> str:
    """The report as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bibleqa.results", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": figures.percent,
        "span": figures.span,
        "p_value": figures.p_value,
        "short": figures.short,
    }
    return environment.get_template("leaderboard.html").render(
        board=board,
        standings=[_seen(number, standing) for number, standing in enumerate(board.standings)],
        source=f"sweep {board.sweep.name}" if board.sweep else "all finished runs",
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _seen(number: int, standing: Standing) -> dict[str, Any]:
    """What the template shows of a table."""
    return {
        "standing": standing,
        "verdict": verdict(standing),
        "notes": list(standings.notes(standing)),
        "tokens": figures.tokens,
        "scores": charts.scores(standing, f"scores{number}"),
        "cost": charts.cost(standing, f"cost{number}"),
        "trials": charts.trials(standing, f"trials{number}"),
        "types": _types(standing),
        "by_type": {entry.run.fingerprint: _by_type(entry) for entry in standing.entries},
    }


def verdict(standing: Standing) -> str:
    """The table in two sentences."""
    best, count = standing.best, len(standing.entries)
    optimized = best.run.summary["optimized"]
    said = (
        f"{best.combination}: {figures.percent(optimized['score'])} on {optimized['n']} questions "
        f"(95 % interval {figures.span(optimized['ci95'])})"
    )
    if count == 1:
        return f"{said}."
    alike = sum(not entry.differs for entry in standing.entries[1:])
    if not alike:
        return f"Best is {said}, told from every other run."
    return f"Best is {said}. {alike} of the {count - 1} others cannot be told from it by these questions."


def _types(standing: Standing) -> dict[str, int]:
    """The question types with their numbers."""
    by_type = standing.best.run.summary["optimized"]["by_type"]
    return {name: found["n"] for name, found in sorted(by_type.items())}


def _by_type(entry: Entry) -> dict[str, float]:
    by_type = entry.run.summary["optimized"]["by_type"]
    return {name: found["score"] for name, found in by_type.items() if found["score"] is not None}
