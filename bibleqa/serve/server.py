"""The server as a process: its address, its token, its beginning and its end."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from ipaddress import ip_address

from rich.console import Console

from bibleqa import paths, secrets
from bibleqa.errors import BibleQAError, ConfigError
from bibleqa.serve import loading
from bibleqa.serve.gate import TOKEN

_SHORTEST_TOKEN = 16
_MOST_CONNECTIONS = 1000
_END_SECONDS = 10
_BACKLOG = 512


def serve(host: str, port: int, model: str | None, overrides: Sequence[str], out: Console) -> int:
    """Serve until interrupted; returns the exit code.

    Args:
        host: Where to listen; anywhere but on this machine's own addresses a token is wanted.
        port: 0 takes a free one.
        model: The name of a promoted program; None takes the one that the overrides make.
        overrides: As for run.py.
        out: Where to say what is served.

    Raises:
        ConfigError: There is no such program, or no token.
        BibleQAError: The port is taken, or what is served cannot be loaded.
    """
    choice = loading.choose(model, overrides)
    token = _token(host)
    listener = _listen(host, port)

    import uvicorn

    from bibleqa.serve.api import Api
    from bibleqa.serve.sessions import Sessions

    with listener, closing(Sessions(paths.project() / "sessions.db")) as sessions:
        api = Api(choice, sessions, token=token, on_failure=lambda: setattr(server, "should_exit", True))
        server = uvicorn.Server(
            uvicorn.Config(
                api.app,
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_END_SECONDS,
            )
        )
        secrets.keep_out_of_logs()
        shown = f"[{host}]" if ":" in host else host
        out.print(f"http://{shown}:{listener.getsockname()[1]}/ask answers, /openapi.json says how", markup=False)
        out.print(f"served: {choice.card['name']}", markup=False)
        out.print(f"{'callers show the token of ' + TOKEN if token else 'this machine alone may ask'}; Ctrl-C ends it")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.run([listener])
        except KeyboardInterrupt:  # how it is meant to end
            out.print("ended")
        if api.readiness.failure:
            raise api.readiness.failure
    if api.admission.under_way:
        # What the model is still being asked nobody waits for, and its threads would be waited for.
        sys.stdout.flush()
        os._exit(0)
    return 0


def _token(host: str) -> str | None:
    token = os.environ.get(TOKEN) or None
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise ConfigError(f"{TOKEN}: a token of {_SHORTEST_TOKEN} characters or more is wanted")
    if token is None and not _is_loopback(host):
        raise ConfigError(
            f"--host {host}: others could ask as well; set {TOKEN} in the environment or .env to a token that they "
            "must show (python -c 'import secrets; print(secrets.token_urlsafe())' makes one)"
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BibleQAError(
            f"--host {host} --port {port}: {error.strerror or error}; --port 0 takes a free one"
        ) from None
