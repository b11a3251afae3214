"""How figures are written for people."""

from collections.abc import Sequence

from bibleqa.results.past import PastRun

_LONGEST = 40


def short(text: str) -> str:
    """A value that does not burst a table."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def tokens(run: PastRun) -> str:
    """The tokens of a run, with a + where there were more."""
    return f"{run.tokens:,}{'' if run.knows_all_tokens else '+'}"


def percent(value: float | None, *, sign: bool = False) -> str:
    """A fraction as people read it."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.1%}"


def span(interval: Sequence[float] | None, *, sign: bool = False) -> str:
    """An interval of fractions as people read it."""
    return "" if not interval else " to ".join(f"{bound * 100:{'+' if sign else ''}.1f}" for bound in interval)


def p_value(p: float | None) -> str:
    """A p-value as people read it."""
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
