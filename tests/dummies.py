"""Questions, and a language model that answers them by a script, in whatever markup it is asked for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from bibleqa import program as programs
from bibleqa.data.item import Item, Turn
from bibleqa.schema import ProgramConfig


def item(number: int, **values: Any) -> Item:
    """A question about father `Number<n>`, whose answer is `Son<n>`."""
    given = {"context": f"And Father{number} begat Son{number}.", "answer": f"Son{number}", "type": "kinship"}
    return Item(id=f"i{number}", question=f"Whom did Father{number} beget?", **{**given, **values})


def example(number: int, **values: Any) -> dspy.Example:
    """The same as DSPy has it."""
    return programs.example(item(number, **values))


def built(name: str = "predict", demos: list[Any] | None = None) -> dspy.Module:
    """A program with demos."""
    program = programs.build(ProgramConfig(name))
    program.predictors()[0].demos = demos or []
    return program


ECHO = "[[ ## question ## ]]\nWho begat whom?"
"""What no adapter can read: the prompt over again."""
FOLLOW_UP = (Turn("Who begat Enos?", "Seth"), Turn("Who begat Seth?", "Adam"))


class Script:
    """A DSPy engine that answers by a function of the last message; an exception that it gives is raised."""

    supports_response_schema = True
    supported_params = frozenset({"temperature", "max_tokens", "seed", "response_format"})

    def __init__(self, answer: Callable[[str], str | Exception]):
        self.answer = answer
        self.asked: list[Request] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def say(self, request: Request) -> str | Exception:
        return self.answer(request.messages[-1].text or "")

    def complete(self, request: Request) -> Response:
        self.asked.append(request)
        said = self.say(request)
        if isinstance(said, Exception):
            raise said
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(said)]),
            finish_reason="stop",
            usage=Usage(input_tokens=5, output_tokens=2, total_tokens=7),
        )


def model(answer: Callable[[str], str | Exception]) -> dspy.LM:
    """A language model that answers by a script; nothing is cached."""
    return dspy.LM("script/ed", engine=Script(answer), cache=False, num_retries=0)


@dataclass(frozen=True)
class Asked:
    """A whole request, taken apart."""

    system: str
    shown: str
    """The messages before the last one: demos and history."""
    last: str
    seed: int | None
    temperature: float | None

    @property
    def wanted(self) -> list[str]:
        """The fields that the adapter asks for."""
        respond = self.last.rpartition("Respond with")[2]
        return re.findall(r"`(\w+)`", respond) if self.in_json else re.findall(r"\[\[ ## (\w+) ## \]\]", respond)[:-1]

    @property
    def in_json(self) -> bool:
        return self.last.rpartition("Respond with")[2].startswith(" a JSON object")


class Reader(Script):
    """A script that goes by the whole request."""

    def __init__(self, reply: Callable[[Asked], str | Exception]):
        super().__init__(lambda last: "")
        self.reply = reply

    def say(self, request: Request) -> str | Exception:
        return self.reply(taken_apart(request))


def taken_apart(request: Request) -> Asked:
    *shown, last = (message.text or "" for message in request.messages)
    config = request.config
    return Asked(str(request.system or ""), "\n".join(shown), last, config.seed, config.temperature)


def reader(reply: Callable[[Asked], str | Exception], name: str = "script/ed", **settings: Any) -> dspy.LM:
    """A language model that reads the whole request."""
    return dspy.LM(name, engine=Reader(reply), cache=False, num_retries=0, **settings)


def chat(answer: str) -> str:
    """An answer in the markup of the chat adapter."""
    return f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"


def son(message: str) -> str:
    """The right answer to the last question of a message."""
    return "Son" + re.findall(r"Whom did Father(\d+) beget", message)[-1]
