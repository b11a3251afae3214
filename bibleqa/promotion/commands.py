"""`bibleqa promote`, `bibleqa models` and `bibleqa rollback`: which program is served."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

# What the commands do is imported where it is done: `--help` shall be quick.

_PROMOTE = """examples:
  bibleqa promote outputs/2026-11-22/10-00-00-000000
  bibleqa promote 3f9a2c71 --name best-so-far
  bibleqa promote best-so-far                 a program that is kept, once more; registers it where MLflow was down
  bibleqa promote 3f9a2c71 endpoint.base_url=http://127.0.0.1:8000/v1"""
_MODELS = """example:
  bibleqa models
Kept in models/<name>/; read card.md there. Remove a folder to forget a program that is not served."""
_ROLLBACK = """example:
  bibleqa rollback"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `promote`, `models` and `rollback`."""
    shown = argparse.RawDescriptionHelpFormatter
    promote = commands.add_parser("promote", help="serve a run's program", epilog=_PROMOTE, formatter_class=shown)
    promote.add_argument(
        "run", help="a run folder, 8 digits or more of a fingerprint, an MLflow run id, or a name that `models` shows"
    )
    promote.add_argument("--name", help="under which it is kept (default: program, optimizer and fingerprint)")
    promote.add_argument("--anyway", action="store_true", help="also where the optimizer failed inside")
    promote.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="another endpoint.base_url, endpoint.api_key_env, tracking.uri",
    )
    promote.set_defaults(run_command=_promote)
    models = commands.add_parser(
        "models", help="the programs that were promoted", epilog=_MODELS, formatter_class=shown
    )
    models.set_defaults(run_command=_models)
    rollback = commands.add_parser(
        "rollback", help="serve the program that was served before", epilog=_ROLLBACK, formatter_class=shown
    )
    rollback.set_defaults(run_command=_rollback)


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        ConfigError: There is no such run, its program cannot be served, or there is none to return to.
    """
    code: int = arguments.run_command(arguments, out)
    return code


def _promote(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa import config, promotion

    config.prepare(arguments.overrides)
    with promotion.alone():
        path = promotion.promote(arguments.run, arguments.name, arguments.overrides, anyway=arguments.anyway)
        _tell(path, out)
    return 0


def _rollback(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa import config, promotion

    config.prepare()
    with promotion.alone():
        _tell(promotion.rollback(), out)
    return 0


def _tell(path: Path, out: Console) -> None:
    """Say what is served now, and have MLflow say so too."""
    from bibleqa import promotion, tracking
    from bibleqa.promotion import model_card, registry
    from bibleqa.results.figures import percent, span
    from bibleqa.runs import RunFolder

    card = promotion.card_of(path)
    score = card["score"]
    interval = f" ({span(score['ci95'])})" if score["ci95"] else ""
    out.print(f"served now: {path.name}, {percent(score['score'])}{interval} of {score['n']} questions", markup=False)
    for remark in model_card.remarks(card):
        out.print(f"note: {remark}", markup=False)
    try:
        version = registry.register(path, card, tracking.tracking_of(RunFolder(path)))
    except tracking.TrackerDown as error:
        print(
            f"bibleqa: {error}. It is served all the same; register it later: bibleqa promote {path.name}",
            file=sys.stderr,
        )
        return
    if version:
        out.print(f"MLflow: models:/{registry.NAME}@{registry.ALIAS} is version {version}", markup=False)
    else:
        out.print("MLflow: not registered, its run was made with tracking=none")


def _models(arguments: argparse.Namespace, out: Console) -> int:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bibleqa import promotion
    from bibleqa.results.figures import percent, span

    models = promotion.models()
    if not models:
        out.print("no program was promoted yet, so the unoptimized one is served; bibleqa promote <run> promotes one")
        return 0
    table = Table("name", "served", "score", "95 %", "n", "endpoint", "dataset", "promoted", box=box.SIMPLE_HEAD)
    for model in models:
        cells = ["damaged", "", "", "", "", ""]
        if card := model.card:
            score, endpoint = card["score"], card["endpoint"]
            cells = [percent(score["score"]), span(score["ci95"]), str(score["n"])]
            cells += [f"{endpoint['name']} {endpoint['model']}", card["dataset"]["name"], card["promoted"][:10]]
        table.add_row(escape(model.path.name), "yes" if model.served else "", *map(escape, cells))
    if not out.is_terminal:
        table.width = 160  # a file has no width
    out.print(table)
    problems = [model.problem for model in models if model.problem]
    for problem in problems:
        print(f"bibleqa: {problem}", file=sys.stderr)
    return int(bool(problems))
