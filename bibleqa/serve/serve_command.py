"""`bibleqa serve`: the served program over HTTP, and the page."""

import argparse

from rich.console import Console

from bibleqa.errors import ConfigError

# What serves is imported where it is done: `--help` shall be quick.

_PORT = 5001
_HIGHEST_PORT = 65535


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`."""
    serve = commands.add_parser("serve", help="answer over HTTP, and on a page in the browser")
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen; elsewhere than on this machine (127.0.0.1, the default) "
        "BIBLEQA_TOKEN must hold a token that callers show",
    )
    serve.add_argument("--port", type=int, default=_PORT, help=f"default: {_PORT}; 0 takes a free one")
    serve.add_argument("--model", metavar="NAME", help="the promoted program (default: as the overrides have it)")
    serve.add_argument(
        "overrides", nargs="*", metavar="key=value", help="as for run.py, for instance endpoint=lm_studio"
    )


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        ConfigError: There is no such program or port, or no token.
        BibleQAError: The port is taken, or what is served cannot be loaded.
    """
    from bibleqa.serve import server

    if not 0 <= arguments.port <= _HIGHEST_PORT:
        raise ConfigError(f"--port {arguments.port}: a port is a number from 0 to {_HIGHEST_PORT}")
    return server.serve(arguments.host, arguments.port, arguments.model, arguments.overrides, out)
