"""The routes."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.sse import format_sse_event
from fastapi.staticfiles import StaticFiles

from bibleqa.data import sources
from bibleqa.serve import messages, problems
from bibleqa.serve.admission import Admission
from bibleqa.serve.asking import Asked, Asking, Told, history_of
from bibleqa.serve.board import Board
from bibleqa.serve.gate import Gate
from bibleqa.serve.lookup import Lookup
from bibleqa.serve.messages import SessionId
from bibleqa.serve.monitoring import Monitoring
from bibleqa.serve.ports import Choice
from bibleqa.serve.problems import Problem, problem_of
from bibleqa.serve.readiness import Readiness, not_ready
from bibleqa.serve.sessions import Sessions

PAGE = Path(__file__).parent / "page"

_log = logging.getLogger(__name__)
_STREAM = "text/event-stream"
_WAITING = 256
_SECONDS = 120.0
_REFUSED = {
    400: "Not UTF-8, or not JSON.",
    401: "A token is wanted.",
    403: "Asked by a page of another site, or under another name than this machine's.",
    408: "The request did not come to its end.",
    500: "A defect; the server's log says more.",
}
_ASKED = {
    409: "Within its bounds, and still of no use: a context of verses that do not exist, a correction without a word.",
    413: "The body is too large.",
    429: "Too many questions at once; Retry-After says when to ask again.",
    503: "The model is loading, not to be had or too slow; the message says what to do, Retry-After when to ask again.",
}
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["citations", "token", "answer", "error"]},
        "data": {"type": "string", "description": "JSON."},
    },
    "required": ["event", "data"],
}
_EVENTS = (
    "An answer; with `stream` or `Accept: text/event-stream`, events: `citations` as soon as the verses are there, "
    "`token` (`{text}`) as the model writes, and `answer` (as in JSON, which is what stands), or `error` (as of every "
    "refusal)."
)


def _responses(*also: int, **described: str) -> dict[int | str, dict[str, Any]]:
    texts = {**_REFUSED, **{status: _ASKED.get(status, described.get("missing", "")) for status in also}}
    texts[422] = "What was sent is not within its bounds."
    return {status: {"model": messages.Refusal, "description": text} for status, text in texts.items()}


class Api:
    """The application, and what it is made of.

    Attributes:
        app: What a server runs.
        readiness: Whether questions can be answered.
        admission: Who is inside.
    """

    def __init__(
        self,
        choice: Choice,
        sessions: Sessions,
        *,
        token: str | None = None,
        page: Path = PAGE,
        waiting: int = _WAITING,
        seconds: float = _SECONDS,
        on_failure: Callable[[], None] = lambda: None,
    ):
        """Put it together; loading begins when the application is started.

        Args:
            choice: What is served.
            sessions: The conversations.
            token: What callers must show; without one, only those on this machine are answered.
            page: Folder of the page's files.
            waiting: Questions that may wait for their turn.
            seconds: That an answer may take.
            on_failure: Called when what is to be served cannot be loaded.
        """
        self.readiness = Readiness(choice.load)
        self.admission = Admission(choice.at_once, waiting, longest_wait=seconds / 2)
        self._choice = choice
        self._sessions = sessions
        self._on_failure = on_failure
        self._lookup = Lookup(sources.store_path(), choice.terms)
        self._board = Board()
        self._monitoring = Monitoring(
            {
                "answers_under_way": ("Answers that are being made.", lambda: self.admission.under_way),
                "answers_waiting": ("Questions in the queue.", lambda: self.admission.waiting),
                "sessions": ("Conversations that are kept.", lambda: len(sessions)),
                "ready": ("Whether questions can be answered.", lambda: self.readiness.now() is None),
            }
        )
        self._asking = Asking(self.readiness, sessions, self.admission, self._monitoring, choice.card["name"], seconds)
        app = FastAPI(
            title="bibleqa",
            version="1",
            summary="Questions about the Bible, answered by the program that was measured to answer best.",
            docs_url=None,  # it would load scripts from elsewhere
            redoc_url=None,
            lifespan=self._lifespan,
            responses=_responses(),
        )
        problems.install(app)
        self._add_questions(app)
        self._add_scripture(app)
        self._add_state(app)
        _add_page(app, page)
        self.app = Gate(app, token, self._monitoring)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.readiness.begin(self._on_failure)
        try:
            yield
        finally:
            self.readiness.end()
            self.admission.close()

    def _add_questions(self, app: FastAPI) -> None:
        answer: dict[int | str, dict[str, Any]] = {
            200: {"description": _EVENTS, "content": {_STREAM: {"schema": _EVENT}}},
            **_responses(409, 413, 429, 503),
        }

        @app.post("/api/dspy/ask", response_model=messages.AnswerOut, responses=answer)
        async def ask(request: Request, body: messages.Ask) -> Response:
            """Answer a question from the verses that are found for it."""
            return await self._reply(request, body)

        @app.post("/api/dspy/ask_with_context", response_model=messages.AnswerOut, responses=answer)
        async def ask_with_context(request: Request, body: messages.AskWithContext) -> Response:
            """Answer a question from a context."""
            return await self._reply(request, body)

        @app.get("/api/dspy/conversation", responses=_responses(404, missing="There is no such conversation."))
        def conversation(session_id: SessionId) -> messages.Conversation:
            """The turns of a conversation that are kept, oldest first."""
            turns = self._sessions.turns(session_id)
            if not turns:
                raise Problem(404, "no_such_session", "there is no such conversation, or it was too long ago")
            shown = [
                messages.TurnOut.model_validate({**kept.content, "turn": kept.number, "question": kept.question})
                for kept in turns
            ]
            return messages.Conversation(session_id=session_id, turns=shown)

        @app.delete(
            "/api/dspy/conversation",
            status_code=204,
            responses=_responses(404, missing="There is no such conversation."),
        )
        def forget(session_id: SessionId) -> None:
            """Forget a conversation."""
            if not self._sessions.delete(session_id):
                raise Problem(404, "no_such_session", "there is no such conversation")

        @app.post(
            "/api/feedback", status_code=204, responses=_responses(404, 409, 413, missing="There is no such turn.")
        )
        def feedback(body: messages.Feedback) -> None:
            """Say whether an answer was right."""
            turns = self._sessions.turns(body.session_id)
            kept = next((kept for kept in turns if kept.number == body.turn), None)
            if kept is None:
                raise Problem(404, "no_such_turn", "that turn is not kept any more, or never was")
            citations = kept.content["citations"]
            self._choice.keep(
                question=kept.question,
                context=kept.content["context"],
                history=history_of([earlier for earlier in turns if earlier.number < body.turn]),
                answer=kept.content["answer"] or "",
                thumb=body.thumb,
                correction=body.correction,
                reference=citations[0]["reference"] if citations else "",
                served=kept.content["served"],
            )

    def _add_scripture(self, app: FastAPI) -> None:
        @app.get("/api/verses/{reference}", responses=_responses(404, missing="It is no passage, or does not exist."))
        def verses(reference: messages.ReferenceText) -> messages.Verses:
            """The verses of a reference."""
            return self._lookup.verses(reference)

        @app.get("/api/search", responses=_responses(503))
        def search(
            q: messages.Query, k: Annotated[int, Query(ge=1, le=50, description="How many.")] = 10
        ) -> messages.SearchOut:
            """The passages that fit best."""
            found = self.readiness.parts.finds.search(q, k)
            passages = [messages.PassageOut(reference=p.reference, text=p.text, found=p.found) for p in found]
            return messages.SearchOut(query=q, passages=passages)

        @app.get("/api/lexicon/{strongs}", responses=_responses(404, 503, missing="No dictionary has it."))
        def lexicon(strongs: messages.Strongs) -> messages.LexiconOut:
            """What the dictionaries say of a Strong's number."""
            return self._lookup.entry(strongs)

        @app.get("/api/theological_terms_report", responses=_responses(503))
        def theological_terms_report() -> messages.Terms:
            """How often each critical term stands in each source, against what is known."""
            return self._lookup.terms()

    def _add_state(self, app: FastAPI) -> None:
        @app.get("/api/runs")
        def runs() -> messages.Runs:
            """The finished runs, and what is served."""
            return messages.Runs(runs=self._board.runs(), served=dict(self._choice.card))

        @app.get("/health/live")
        async def live() -> messages.Live:
            """Whether the process answers."""
            return messages.Live()

        @app.get("/health/ready", responses=_responses(503))
        def ready() -> messages.Ready:
            """Whether questions can be answered."""
            if message := self.readiness.now():
                raise not_ready(message)
            return messages.Ready()

        @app.get("/health")
        def health() -> messages.Health:
            """Both, and what is served."""
            message = self.readiness.now()
            return messages.Health(live=True, ready=message is None, message=message, served=dict(self._choice.card))

        @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
        def metrics() -> Response:
            """For Prometheus."""
            return Response(self._monitoring.text(), media_type="text/plain; version=0.0.4")

    async def _reply(self, request: Request, body: messages.Ask) -> Response:
        asked = Asked.of(body)
        if not (body.stream or _STREAM in request.headers.get("accept", "")):
            return JSONResponse(await self._asking.answer(request, asked))
        pieces = self._asking.stream(request, asked)
        first = await anext(pieces)  # what goes wrong until then has a status of its own
        return StreamingResponse(_events(first, pieces), media_type=_STREAM)


async def _events(first: Told, rest: AsyncIterator[Told]) -> AsyncIterator[bytes]:
    async with aclosing(rest):  # type: ignore[type-var]
        try:
            yield _of(first)
            async for piece in rest:
                yield _of(piece)
        except Exception as error:  # noqa: BLE001  # the status is sent: only an event can say it
            problem = problem_of(error)
            if problem.status == 500:
                _log.error("a stream broke off", exc_info=error)
            yield _event("error", problem.to_dict())


def _of(piece: Told) -> bytes:
    match piece:
        case str():
            return _event("token", {"text": piece})
        case list():
            return _event("citations", piece)
    return _event("answer", piece)


def _event(name: str, data: Any) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data))


def _add_page(app: FastAPI, folder: Path) -> None:
    @app.get("/", include_in_schema=False)
    async def begin() -> Response:
        return RedirectResponse("/ask")

    @app.get("/ask", include_in_schema=False)
    async def ask() -> Response:
        return FileResponse(folder / "ask.html")

    @app.get("/runs", include_in_schema=False)
    async def runs() -> Response:
        return FileResponse(folder / "runs.html")

    app.mount("/page", StaticFiles(directory=folder, check_dir=False), "page")
