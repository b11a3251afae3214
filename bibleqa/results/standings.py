"""The leaderboard's tables in a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bibleqa.results.figures import p_value, percent, short, span, tokens
from bibleqa.results.leaderboard import LIKELY_CHANCE, Entry, Leaderboard, Standing

_SHOWN = 20
_WIDE = 130


def show(board: Leaderboard, out: Console, *, every: bool = False) -> None:
    """Print the tables.

    Args:
        board: What to show.
        out: Where to.
        every: Every run of a table, not the best alone.
    """
    for standing in board.standings:
        _show(standing, out, standing.entries if every else standing.entries[:_SHOWN])
    if board.missing:
        out.print(board.missing, markup=False)


def _show(standing: Standing, out: Console, entries: Sequence[Entry]) -> None:
    out.print(standing.name, style="bold", markup=False)
    columns = {
        "combination": [f"{escape(entry.combination)}\n[dim]{entry.run.fingerprint[:8]}[/]" for entry in entries],
        "score": [_estimate(e.run.score, e.run.summary["optimized"]["ci95"]) for e in entries],
        "n": [str(entry.run.summary["optimized"]["n"]) for entry in entries],
        "to its baseline": [
            _estimate(change["value"], change["ci95"], sign=True)
            for change in (entry.run.summary["improvement"] for entry in entries)
        ],
        "to the best": [
            _estimate(entry.to_best.value, entry.to_best.ci95, sign=True) if entry.to_best else "" for entry in entries
        ],
        "p": [f"{p_value(entry.p)}{'*' if entry.differs else ''}" for entry in entries],
    }
    costs = {
        "": ["◆" if entry.pareto else "" for entry in entries],
        "LM calls": [f"{entry.run.calls:,}" for entry in entries],
        "tokens": [tokens(entry.run) for entry in entries],
        "seconds": [f"{entry.run.seconds:,.0f}" for entry in entries],
        "unread-\nable": [str(entry.run.summary["optimized"]["unreadable"]) for entry in entries],
        "errors": [str(entry.run.summary["optimized"]["errors"]) for entry in entries],
    }
    if not out.is_terminal or out.width >= _WIDE:
        _print_table(out, entries, columns | costs)
    else:
        _print_table(out, entries, columns)
        _print_table(out, entries, costs)
    for note in notes(standing):
        out.print(note, markup=False)
    if len(entries) < len(standing.entries):
        out.print(f"the best {len(entries)} of {len(standing.entries)} runs; --all shows every one")
    out.print()
    if standing.contributions:
        _show_contributions(standing, out)
        out.print()


def _print_table(out: Console, entries: Sequence[Entry], columns: Mapping[str, Sequence[str]]) -> None:
    table = Table("#", *columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        if column.header != "combination":
            column.justify = "right"
            column.no_wrap = True
    for entry, *cells in zip(entries, *columns.values(), strict=True):
        table.add_row(str(entry.rank), *cells)
    if not out.is_terminal:  # nor has a file a width
        table.width = Measurement.get(out, out.options.update(max_width=1000), table).maximum
    out.print(table)


def _show_contributions(standing: Standing, out: Console) -> None:
    table = Table("group", "option", title="what each option is worth", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("effect", "95 % interval", "runs", "contexts"):
        table.add_column(column, justify="right")
    for one in standing.contributions:
        table.add_row(
            escape(one.group),
            escape(short(one.option)),
            percent(one.value, sign=True),
            span(one.ci95, sign=True),
            str(one.runs),
            str(one.contexts),
        )
    out.print(table)
    out.print("effect: the mean score less that of all options of the group, in contexts where each of them was run")


def notes(standing: Standing) -> Iterator[str]:
    """What a reader of the table has to know."""
    if others := len(standing.entries) - 1:
        apart = sum(entry.differs for entry in standing.entries)
        yield (
            f"p: of the difference to the best, paired by question, corrected for {others} "
            f"comparison{'s' * (others > 1)} (Holm); * below {LIKELY_CHANCE:g}: {apart} of {others} "
            f"{'is' if apart == 1 else 'are'} told from the best"
        )
        yield f"◆ no run scored more for fewer {standing.cost}"
    if any(entry.run.summary["lm"]["cached_calls"] for entry in standing.entries):
        yield "seconds: what the run itself took; answers that an earlier one had paid for took none"
    if not all(entry.run.knows_all_tokens for entry in standing.entries):
        yield "tokens+: those of calls answered from the cache are not known, so costs are counted in LM calls"


def _estimate(value: float | None, interval: Sequence[float] | None, *, sign: bool = False) -> str:
    return f"[bold]{percent(value, sign=sign)}[/]\n{span(interval, sign=sign)}"
