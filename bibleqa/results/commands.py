"""`bibleqa leaderboard` and `bibleqa compare`: looking at the runs that there are."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bibleqa.errors import ConfigError

if TYPE_CHECKING:
    from bibleqa.results.leaderboard import Leaderboard

# What the commands do is imported where it is done: `--help` shall be quick.


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `leaderboard` and `compare`."""
    board = commands.add_parser("leaderboard", help="which combination did best, and what each option is worth")
    board.add_argument(
        "--sweep", metavar="FOLDER", help="the runs of a sweep: its folder, or latest (default: all finished runs)"
    )
    board.add_argument(
        "--by", default="", metavar="KEY,…", help="a table for each of these, for instance endpoint,optimizer.seed"
    )
    board.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default: table")
    board.add_argument("--html", type=Path, metavar="FILE", help="write a report with pictures, too")
    board.add_argument("--all", action="store_true", help="every run (default: the best 20 of each table)")
    board.set_defaults(run=_leaderboard)

    compare = commands.add_parser("compare", help="where two runs differ: config, program, scores, answers")
    for name in ("a", "b"):
        compare.add_argument(name, metavar=name.upper(), help="a run folder, or 8 digits or more of a fingerprint")
    compare.add_argument("--all", action="store_true", help="every example (default: at most 10 each way)")
    compare.set_defaults(run=_compare)


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        ConfigError: What was asked for is no run, no sweep, or no key.
    """
    code: int = arguments.run(arguments, out)
    return code


def _leaderboard(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.results import leaderboard, standings

    if arguments.html and not arguments.html.absolute().parent.is_dir():
        raise ConfigError(f"--html {arguments.html}: there is no folder {arguments.html.parent}")
    if arguments.html and arguments.html.is_dir():
        raise ConfigError(f"--html {arguments.html}: that is a folder; name a file in it")
    by = [key.strip() for key in arguments.by.split(",") if key.strip()]
    if arguments.sweep is None:
        board = leaderboard.of_project(by)
    else:
        latest = arguments.sweep == "latest"
        board = leaderboard.of_sweep(leaderboard.latest_sweep() if latest else Path(arguments.sweep), by)
    if arguments.format == "json":
        print(json.dumps(board.to_dict(), ensure_ascii=False, indent=2))
    elif arguments.format == "csv":
        _write_csv(board)
        if board.missing:
            print(f"bibleqa: {board.missing}", file=sys.stderr)
    else:
        if not board.standings and board.jobs is None:
            out.print("no finished runs yet; python run.py makes one")
        standings.show(board, out, every=arguments.all)
    if arguments.html and (board.standings or board.jobs is not None):
        from bibleqa.results import html_report

        html_report.write(board, arguments.html)
        if arguments.format == "table":
            out.print(f"report: {arguments.html}", markup=False)
    return 0


def _write_csv(board: "Leaderboard") -> None:
    rows: list[dict[str, Any]] = [
        {**standing.shared, **_flat(entry.to_dict())} for standing in board.standings for entry in standing.entries
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    if columns:
        writer.writeheader()
    writer.writerows(rows)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A run on one line: intervals as low and high."""
    best = row["to_best"] or {"value": None, "ci95": None, "p": None, "p_holm": None}
    estimates = {
        "score": (row["score"], row["ci95"]),
        "improvement": (row["improvement"]["value"], row["improvement"]["ci95"]),
        "to_best": (best["value"], best["ci95"]),
    }
    flat = {key: row[key] for key in ("rank", "combination", "fingerprint", "folder", "n", "baseline")}
    for name, (value, ci95) in estimates.items():
        low, high = ci95 or (None, None)
        flat |= {name: value, f"{name}_low": low, f"{name}_high": high}
    kept = ("lm_calls", "tokens", "knows_all_tokens", "seconds", "errors", "unreadable", "pareto")
    return flat | {"p": best["p"], "p_holm": best["p_holm"]} | {key: row[key] for key in kept}


def _compare(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.results import compare, past

    a, b = past.find(arguments.a), past.find(arguments.b)
    compare.show(compare.compare(a, b), out, every=arguments.all)
    return 0
