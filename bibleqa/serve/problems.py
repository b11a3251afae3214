"""What went wrong, in the one shape that every refusal and failure has."""

import logging
import sqlite3
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from bibleqa import secrets
from bibleqa.errors import BibleQAError, ConfigError, EndpointUnusable
from bibleqa.serve.admission import Busy

_log = logging.getLogger(__name__)
_SOON = 5
_MOST_COMPLAINTS = 5
_UNREADABLE = "json_invalid"


class Problem(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after

    def to_dict(self) -> dict[str, dict[str, str]]:
        """As JSON has it."""
        return {"error": {"code": self.code, "message": secrets.redacted(str(self))}}

    def to_response(self) -> JSONResponse:
        """As HTTP has it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.to_dict(), self.status, headers)


def problem_of(error: BaseException) -> Problem:
    """What is said of an error; what it holds beside is for the log alone."""
    match error:
        case Problem():
            return error
        case Busy():
            return Problem(429, "busy", str(error), error.retry_after)
        case EndpointUnusable():
            return Problem(503, "endpoint_unusable", str(error), _SOON)
        case TimeoutError():
            return Problem(503, "timeout", "the model took too long; ask again later", _SOON)
        case sqlite3.OperationalError():
            _log.error("sessions cannot be written", exc_info=error)
            return Problem(503, "storage", f"conversations cannot be kept: {error}", _SOON)
        case ConfigError():
            return Problem(409, "unanswerable", str(error))
        case BibleQAError():
            return Problem(500, "failed", str(error))
    return Problem(500, "internal", "a defect of the server; its log says more")


def install(app: FastAPI) -> None:
    """Give every error of an application that shape."""
    for kind in (Problem, Busy, TimeoutError, sqlite3.OperationalError, BibleQAError, Exception):
        app.add_exception_handler(kind, _any)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _any(_: Request, error: Exception) -> JSONResponse:
    return problem_of(error).to_response()


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = "not UTF-8, or not JSON" if status == HTTPStatus.BAD_REQUEST else status.description or status.phrase
    response = Problem(status, status.name.lower(), message).to_response()
    response.headers.update(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # the error knows of one route, and there may be one for each method
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """What may be done at the path of a request."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return {
        method for route in routes if route.matches(request.scope)[0] != Match.NONE for method in route.methods or ()
    }


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without the input itself, which may be large, or of characters that no JSON holds.
    said = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    if any(one["type"] == _UNREADABLE for one in error.errors()):
        return Problem(400, "bad_request", f"not JSON ({said[0]})").to_response()
    more = f"; and {len(said) - _MOST_COMPLAINTS} more" if len(said) > _MOST_COMPLAINTS else ""
    message = "; ".join(said[:_MOST_COMPLAINTS]) + more
    return Problem(422, "invalid", message.encode(errors="replace").decode()).to_response()
