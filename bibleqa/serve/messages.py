"""What goes over HTTP, with its bounds and examples: the OpenAPI document is made of it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

QUESTION_CHARACTERS = 2_000
CONTEXT_CHARACTERS = 20_000
VERSES = 200
"""Of one reply."""

# Something that can be seen, so that there is a question at all.
_VISIBLE = r"[^\s\u0000-\u0020\u007f-\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2060\u3000\ufeff]"

SessionId = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9_-]{1,64}$", description="Names a conversation.", examples=["genesis-study"]),
]
Strongs = Annotated[
    str,
    Field(pattern="^[HhGg]0{0,4}[1-9][0-9]{0,3}[A-Za-z]?$", description="A Strong's number.", examples=["H430", "g26"]),
]
ReferenceText = Annotated[
    str,
    Field(min_length=1, max_length=100, description="As people write it.", examples=["Genesis 1:1-3", "1 Jn 4:8"]),
]
Query = Annotated[
    str,
    Field(max_length=500, pattern=_VISIBLE, description="What is looked for.", examples=["the valley of dry bones"]),
]
Question = Annotated[
    str,
    Field(max_length=QUESTION_CHARACTERS, pattern=_VISIBLE, examples=["Who begat Enos?"]),
]


def _whole(value: object) -> object:
    """1.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _In(BaseModel):
    # A number is no text, and what is not known is refused: a misspelt key would be passed over.
    model_config = ConfigDict(extra="forbid", strict=True)


class Ask(_In):
    """A question."""

    question: Question
    session_id: Annotated[SessionId | None, Field(description="Of the conversation; without it, one begins.")] = None
    stream: Annotated[bool, Field(description="Whether the answer comes as server-sent events.")] = False


class AskWithContext(Ask):
    """A question, and the text that it is to be answered from."""

    context: Annotated[
        str,
        Field(
            max_length=CONTEXT_CHARACTERS,
            description="The text, or references of it; a line each, led by its reference in brackets.",
            examples=["[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:"],
        ),
    ]


class Feedback(_In):
    """What a user says of an answer."""

    session_id: SessionId
    turn: Annotated[
        int, Field(ge=1, le=2**53, description="As the answer had it.", examples=[1]), BeforeValidator(_whole)
    ]
    thumb: Literal["up", "down"]
    correction: Annotated[
        str | None, Field(max_length=QUESTION_CHARACTERS, description="The right answer.", examples=["Seth"])
    ] = None


class WordOut(BaseModel):
    """A word of the original languages behind an English one."""

    text: Annotated[str, Field(examples=["God"])]
    strongs: Annotated[str, Field(examples=["H430"])]
    lemma: str
    transliteration: str
    gloss: str


class CitationOut(BaseModel):
    """A verse that an answer rests on."""

    reference: Annotated[str, Field(examples=["Genesis 5:6"])]
    text: str
    found: Annotated[str, Field(description="How it came.", examples=["given"])]
    words: list[WordOut]


class AnswerOut(BaseModel):
    """An answer."""

    answer: Annotated[
        str | None, Field(description="Null where the model's reply could not be read.", examples=["Seth"])
    ]
    citations: list[CitationOut]
    by: Annotated[str, Field(description="Who says so: `model`, or what else knew it.")] = "model"
    checks: Annotated[dict[str, bool], Field(description="Whether each check of the answer passed.")]
    seconds: Annotated[
        dict[str, float],
        Field(description="What took how long.", examples=[{"retrieval": 0.01, "model": 0.4, "total": 0.41}]),
    ]
    context: Annotated[str, Field(description="What the program was given to answer from.")]
    attempts: Annotated[int, Field(description="Times that the model was asked.")]
    salvaged: Annotated[str | None, Field(description="How an answer in another format was read.")]
    ended: Annotated[str | None, Field(description="Why the model stopped, where it was cut off.")]
    session_id: SessionId
    turn: Annotated[int, Field(description="Its number in the conversation, from 1.")]
    history_length: Annotated[int, Field(description="Earlier turns that the program was told of.")]


class TurnOut(BaseModel):
    """A turn of a conversation: an answer with its question."""

    model_config = ConfigDict(extra="allow")

    turn: int
    question: str
    answer: str | None


class Conversation(BaseModel):
    """A conversation, of which the latest turns are kept."""

    session_id: SessionId
    turns: list[TurnOut]


class VerseOut(BaseModel):
    """A verse in the King James Version, and what the corpus store has beside."""

    reference: Annotated[str, Field(examples=["Genesis 1:1"])]
    text: str
    translations: Annotated[dict[str, str], Field(examples=[{"WEB": "In the beginning, God created …"}])]
    words: list[WordOut]


class Verses(BaseModel):
    """The verses of a reference."""

    reference: str
    total: Annotated[int, Field(description=f"How many it names; the first {VERSES} are here.")]
    verses: list[VerseOut]


class PassageOut(BaseModel):
    """A passage that was found."""

    reference: str
    text: str
    found: str


class SearchOut(BaseModel):
    """Passages, the best first."""

    query: str
    passages: list[PassageOut]


class EntryOut(BaseModel):
    """What a dictionary says of a Strong's number."""

    source: str
    strongs: str
    suffix: str
    lemma: str
    transliteration: str
    gloss: str
    definition: str
    kjv: Annotated[str, Field(description="How the King James Version renders it.")]
    morphology: str


class LexiconOut(BaseModel):
    """A Strong's number."""

    strongs: Annotated[str, Field(examples=["H430"])]
    entries: list[EntryOut]
    occurrences: Annotated[dict[str, int], Field(description="In each source.", examples=[{"kjv": 2604}])]


class TermOut(BaseModel):
    """How often a critical term stands in a source."""

    name: Annotated[str, Field(examples=["elohim"])]
    strongs: Annotated[str, Field(examples=["H430"])]
    source: Annotated[str, Field(examples=["kjv"])]
    count: Annotated[int, Field(examples=[2604])]
    minimum: Annotated[int | None, Field(description="Null where none is known.", examples=[2601])]
    missed: bool
    by_book: dict[str, int]


class Terms(BaseModel):
    """The theological terms report."""

    terms: list[TermOut]


class Run(BaseModel):
    """A finished run."""

    place: Annotated[int, Field(description="Among the runs with the same questions and metric.")]
    score: float | None
    ci95: list[float] | None
    n: int
    endpoint: str
    program: str
    optimizer: str
    metric: str
    dataset: str
    date: datetime
    fingerprint: str


class Runs(BaseModel):
    """The leaderboard, and what is served."""

    runs: list[Run]
    served: dict[str, Any]


class Live(BaseModel):
    """The process answers."""

    live: Literal[True] = True


class Ready(BaseModel):
    """The model answers."""

    ready: Literal[True] = True


class Health(BaseModel):
    """Both, and what is served."""

    live: bool
    ready: bool
    message: Annotated[str | None, Field(description="What it waits for.")]
    served: dict[str, Any]


class ErrorOut(BaseModel):
    """Why a request was not answered."""

    code: Annotated[str, Field(examples=["busy"])]
    message: Annotated[str, Field(examples=["too many questions at once; ask again in 2 s"])]


class Refusal(BaseModel):
    """The one shape of all errors."""

    error: ErrorOut
