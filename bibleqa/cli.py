"""The `bibleqa` command: what is done around runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bibleqa import console, garbage
from bibleqa.data import commands as data
from bibleqa.lm import export_command as export
from bibleqa.promotion import commands as promotion_commands
from bibleqa.results import commands as past_commands
from bibleqa.serve import serve_command as serve
from bibleqa.serve import terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    garbage.collect_seldom()
    return console.guarded(lambda: _dispatch(sys.argv[1:] if argv is None else argv))


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    made = argparse.ArgumentParser(prog="bibleqa", description="What is done around runs; `python run.py` makes them.")
    commands = made.add_subparsers(dest="command", required=True, metavar="command")

    doctor = commands.add_parser("doctor", help="check that everything a run needs is there")
    doctor.add_argument("--fix", action="store_true", help="repair what a process that was killed has left")
    doctor.add_argument(
        "overrides", nargs="*", metavar="key=value", help="as for run.py, for instance endpoint=lm_studio"
    )

    track = commands.add_parser("track", help="record in MLflow a run that its tracker missed")
    track.add_argument("folder", type=Path, help="the run folder")

    data.add_to(commands)
    export.add_to(commands)
    past_commands.add_to(commands)
    promotion_commands.add_to(commands)
    terminal.add_to(commands)
    serve.add_to(commands)
    return made


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line taken apart; ends the process where it cannot be."""
    understood = parser()
    arguments, further = understood.parse_known_args(argv)
    if further and "overrides" in arguments and not any(one.startswith("-") for one in further):
        arguments.overrides += further  # argparse takes positional arguments from one place only
    elif further:
        understood.error(f"unrecognized arguments: {' '.join(further)}")
    return arguments


def _dispatch(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    if arguments.command == "data":
        return data.run(arguments, console.out)
    if arguments.command == "export":
        return export.run(arguments, console.out)
    if arguments.command == "serve":
        return serve.run(arguments, console.out)
    if arguments.command in ("leaderboard", "compare"):
        return past_commands.run(arguments, console.out)
    if arguments.command in ("promote", "models", "rollback"):
        return promotion_commands.run(arguments, console.out)
    if arguments.command in ("ask", "chat"):
        return terminal.run(arguments, console.out)
    if arguments.command == "doctor":
        from bibleqa import doctor as checks

        return checks.main(arguments.overrides, arguments.fix)
    from bibleqa import config, tracking

    config.prepare()  # a tracking server's credentials may be in .env
    console.out.print(f"recorded as MLflow run {tracking.track(arguments.folder)['run_id']}")
    return 0
