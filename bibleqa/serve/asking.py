"""From a question over HTTP to its answer: admission, the conversation so far, and clients that go away."""

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from fastapi import Request

from bibleqa.data.item import Turn
from bibleqa.serve.admission import Admission
from bibleqa.serve.answer import Answered, Piece
from bibleqa.serve.messages import Ask, AskWithContext
from bibleqa.serve.monitoring import Monitoring
from bibleqa.serve.problems import Problem
from bibleqa.serve.readiness import Readiness
from bibleqa.serve.sessions import Kept, Sessions

T = TypeVar("T")
Reply = dict[str, Any]
Told = list[dict[str, Any]] | str | Reply
"""Of an answer as it comes, as JSON: its verses, some of its text, or the whole."""


@dataclass(frozen=True)
class Asked:
    """A question of a conversation."""

    question: str
    context: str | None
    session: str

    @classmethod
    def of(cls, ask: Ask) -> "Asked":
        """As it was sent."""
        context = ask.context if isinstance(ask, AskWithContext) else None
        return cls(ask.question, context, ask.session_id or secrets.token_urlsafe(16))


@dataclass(frozen=True)
class Asking:
    """Asks.

    Attributes:
        readiness: Has what answers.
        sessions: The conversations.
        admission: Lets in.
        monitoring: Counts.
        served: The name of the program.
        seconds: That an answer may take, waiting included.
    """

    readiness: Readiness
    sessions: Sessions
    admission: Admission
    monitoring: Monitoring
    served: str
    seconds: float

    async def answer(self, request: Request, asked: Asked) -> Reply:
        """The answer.

        Raises:
            Busy: Too many are asking.
            TimeoutError: It took too long.
            Problem: There is nothing loaded that could answer, or nobody who wants to know any more.
            EndpointUnusable: The model is not to be had.
        """
        answers = self.readiness.parts.answers
        gone = threading.Event()

        def work() -> Reply | None:
            history = history_of(self.sessions.turns(asked.session))
            with self.readiness.heeding():
                answered = answers.answer(asked.question, context=asked.context, history=history)
            return None if gone.is_set() else self._keep(asked, len(history), answered)

        future = self.admission.submit(work)
        try:
            reply = await self._unless_gone(request, asyncio.wrap_future(future), self.seconds)
            assert reply is not None
            return reply
        finally:
            gone.set()
            future.cancel()

    async def stream(self, request: Request, asked: Asked) -> AsyncIterator[Told]:
        """The verses, the answer's text as it comes, and the answer; raises as `answer` does."""
        answers = self.readiness.parts.answers
        gone = threading.Event()
        pieces: asyncio.Queue[Told | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds

        def work() -> None:
            history = history_of(self.sessions.turns(asked.session))
            stream = answers.stream(asked.question, context=asked.context, history=history)
            with self.readiness.heeding(), closing(stream):  # type: ignore[type-var]
                for piece in stream:
                    if gone.is_set():
                        return
                    loop.call_soon_threadsafe(pieces.put_nowait, self._told(asked, len(history), piece))

        future = self.admission.submit(work)
        ended = asyncio.wrap_future(future)
        ended.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await self._unless_gone(request, pieces.get(), until - loop.time())) is not None:
                yield piece
            await ended
        finally:
            gone.set()
            future.cancel()

    async def _unless_gone(self, request: Request, wanted: Awaitable[T], seconds: float) -> T:
        work, left = asyncio.ensure_future(wanted), asyncio.ensure_future(_left(request))
        try:
            done, _ = await asyncio.wait({work, left}, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                return work.result()
            if left in done:
                raise Problem(499, "gone", "the client has gone")
            raise TimeoutError
        finally:
            work.cancel()
            left.cancel()

    def _told(self, asked: Asked, history_length: int, piece: Piece) -> Told:
        if isinstance(piece, Answered):
            return self._keep(asked, history_length, piece)
        return piece if isinstance(piece, str) else [asdict(citation) for citation in piece]

    def _keep(self, asked: Asked, history_length: int, answered: Answered) -> Reply:
        # A model may write half of a surrogate pair, which is in no JSON and no database.
        content = json.loads(json.dumps(answered.to_dict(), ensure_ascii=False).encode(errors="replace"))
        self.monitoring.answer(answered.seconds)
        turn = self.sessions.append(asked.session, asked.question, {**content, "served": self.served})
        return {**content, "session_id": asked.session, "turn": turn, "history_length": history_length}


def history_of(turns: list[Kept]) -> list[Turn]:
    """What a program is told of a conversation."""
    return [turn for kept in turns if (turn := kept.turn)]


async def _left(request: Request) -> None:
    """Ends when the client goes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
