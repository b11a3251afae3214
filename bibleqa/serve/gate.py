"""Who may ask, from where, how fast, and what a browser may do with a reply."""

import asyncio
import hmac
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bibleqa.serve.monitoring import Monitoring
from bibleqa.serve.problems import Problem

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN = "BIBLEQA_TOKEN"
"""The environment variable of the token."""

BODY_BYTES = 256 * 1024
"""Of a request at the most: a context of the longest, written in JSON's longest way."""

_BODY_SECONDS = 30
_SAFE = ("GET", "HEAD", "OPTIONS")
# The page has nothing of its own to hide, and asks for the token; who watches the process has no token.
_OPEN = ("/", "/ask", "/runs", "/health/live", "/health/ready")
_OPEN_FOLDER = "/page/"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Stands before the whole application, so that no reply goes past it."""

    def __init__(self, app: ASGIApp, token: str | None, monitoring: Monitoring):
        """Stand before an application.

        Args:
            app: The application.
            token: What callers must show. Without one, only those on this machine are let in, by one of its names: a
                page from elsewhere that has itself resolved to 127.0.0.1 comes with its own.
            monitoring: Counts.
        """
        self._app = app
        self._token = token
        self._monitoring = monitoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, status = time.perf_counter(), 500

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            if refusal := self._refusal(scope):
                await refusal.to_response()(scope, receive, guarded_send)
            else:
                await self._app(scope, _bounded(receive), guarded_send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._monitoring.request(route, scope["method"], status, time.perf_counter() - begun)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host, path = headers.get("host", ""), scope["path"]
        origin = headers.get("origin")
        if scope["method"] not in _SAFE and origin is not None and urlsplit(origin).netloc != host:
            return Problem(403, "other_origin", "a page of another site may not ask")
        if self._token is None:
            if _name(host) not in LOOPBACK:
                return Problem(403, "other_host", f"without {TOKEN} only 127.0.0.1 and localhost are answered")
        elif not (path in _OPEN or path.startswith(_OPEN_FOLDER) or self._shown(headers)):
            return Problem(401, "token", f"a token is wanted: Authorization: Bearer <what {TOKEN} holds>")
        return None

    def _shown(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token.encode())


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _bounded(receive: Receive) -> Receive:
    """Gives up on a body that is too long, or does not come."""
    until: float | None = asyncio.get_running_loop().time() + _BODY_SECONDS
    size = 0

    async def received() -> Message:
        nonlocal until, size
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            raise HTTPException(413)
        if not message.get("more_body"):
            until = None  # from now on it waits for the client to go
        return message

    return received
