"""What the server needs of the parts behind it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bibleqa.data.item import Turn
from bibleqa.serve.answer import Answered, Piece


class Answers(Protocol):
    """Answers questions; from any thread."""

    def answer(self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()) -> Answered:
        """The answer.

        Raises:
            ConfigError: The context names verses that do not exist, or all of it is too long.
            EndpointUnusable: The model is not to be had.
        """

    def stream(self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()) -> Iterator[Piece]:
        """The verses, the answer's text as it comes, and at last the answer; raises as `answer` does."""

    def glance(self) -> object:
        """See that the endpoint is there, at no cost.

        Raises:
            EndpointUnusable: It is not.
        """

    def probe(self) -> object:
        """See that the model answers.

        Raises:
            EndpointUnusable: It does not.
        """


class Found(Protocol):
    """A passage that was found."""

    @property
    def reference(self) -> str:
        """As people write it."""

    @property
    def text(self) -> str:
        """What stands there."""

    @property
    def found(self) -> str:
        """How it came."""


class Finds(Protocol):
    """Finds passages; from any thread."""

    def search(self, question: str, k: int, history: Sequence[Turn] = ()) -> Sequence[Found]:
        """The best `k` passages, the best first."""


class Keeps(Protocol):
    """Keeps what a user says of an answer."""

    def __call__(
        self,
        *,
        question: str,
        context: str,
        history: Sequence[Turn],
        answer: str,
        thumb: Literal["up", "down"],
        correction: str | None,
        reference: str,
        served: str,
    ) -> object:
        """Keep it; `served` is the name of the program that answered.

        Raises:
            ConfigError: It cannot be kept.
        """


@dataclass(frozen=True)
class Parts:
    """What stands behind the routes once it is loaded."""

    answers: Answers
    finds: Finds


@dataclass(frozen=True)
class Choice:
    """What is to be served.

    Attributes:
        card: Of the program: `name`, `optimized`, `score`, and whatever else is known.
        at_once: Questions that its endpoint is asked at once.
        terms: Strong's numbers of the critical terms, by name.
        load: Loads it, which may take a while.
        keep: Takes feedback.
    """

    card: Mapping[str, Any]
    at_once: int
    terms: Mapping[str, str]
    load: Callable[[], Parts]
    keep: Keeps
