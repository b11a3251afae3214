"""`bibleqa ask` and `bibleqa chat`: questions answered at the terminal."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from bibleqa.console import visible
from bibleqa.data.item import Turn
from bibleqa.errors import BibleQAError
from bibleqa.serve.answer import Answered, Citation

if TYPE_CHECKING:
    from bibleqa.serve.answerer import Answerer

# What answers is imported where it does: `--help` shall be quick.


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ask` and `chat`."""
    ask = commands.add_parser("ask", help="answer a question")
    ask.add_argument("question", help='for instance "Who created the heavens and the earth?"')
    ask.add_argument("--context", metavar="TEXT|REFERENCE", help="answer from these verses, for instance 'Genesis 1:1'")
    ask.add_argument("--json", action="store_true", help="as HTTP has it")
    ask.set_defaults(run=_ask)
    chat = commands.add_parser("chat", help="answer one question after the other; /help says what else it understands")
    chat.set_defaults(run=_chat)
    for command in (ask, chat):
        command.add_argument(
            "--model", metavar="NAME|RUN", help="a program in models/ or of a run (default: the promoted one)"
        )
        command.add_argument(
            "overrides", nargs="*", metavar="key=value", help="as for run.py, for instance endpoint=lm_studio"
        )


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        BibleQAError: There is no such program, or the question cannot be answered.
    """
    code: int = arguments.run(arguments, out)
    return code


def _ask(arguments: argparse.Namespace, out: Console) -> int:
    if arguments.json:
        answerer = _open(arguments, Console(stderr=True, highlight=False))
        answered = answerer.answer(arguments.question, context=arguments.context)
        print(json.dumps(answered.to_dict(), ensure_ascii=False, indent=2))
        return 0
    answerer = _open(arguments, out)
    _show_answer(answerer, arguments.question, arguments.context, (), out)
    return 0


def _open(arguments: argparse.Namespace, out: Console) -> "Answerer":
    """What answers, with its model loaded, and said which it is."""
    logging.getLogger("dspy").setLevel(logging.ERROR)  # what it warns of is said below the answer
    with out.status("loading") if out.is_terminal else nullcontext():
        from bibleqa.serve import models
        from bibleqa.serve.answerer import Answerer

        answerer = Answerer(models.find(arguments.model), arguments.overrides)
        answerer.probe()
    _line(out, answerer.about, "dim")
    return answerer


def _show_answer(
    answerer: "Answerer", question: str, context: str | None, history: Sequence[Turn], out: Console
) -> Answered:
    """Print an answer as it comes, then what it rests on."""
    told = ""
    for part in answerer.stream(question, context=context, history=history):
        if isinstance(part, Answered):
            out.print()
            if part.answer is None:
                _line(out, "the model's reply cannot be read as an answer" + (f": {part.raw}" if part.raw else ""))
            elif part.answer != told:
                _line(out, f"that does not stand; asked again, the answer is: {part.answer}")
            _show_grounds(part, out)
            return part
        if not isinstance(part, str):
            continue  # the verses: they are shown below the answer, with the words behind it
        told += part
        out.print(Text(visible(part), style="bold"), end="")
    raise AssertionError("an answer ends with the whole of it")


def _show_grounds(answered: Answered, out: Console) -> None:
    if answered.by == "lexicon":
        _line(out, "looked up in the lexicon; no model was asked", "dim")
    elif not answered.citations:
        _line(out, "from the context given" if answered.context else "from no verse: the model's own memory", "dim")
    if answered.ended:
        _line(out, f"the reply is not whole ({answered.ended})", "yellow")
    for name, passed in answered.checks.items():
        if not passed:
            _line(out, f"fails the check {name}", "yellow")
    for citation in answered.citations:
        _show_citation(citation, out)


def _show_citation(citation: Citation, out: Console) -> None:
    _line(out, f"  [{citation.reference}] {citation.text} ({citation.found})", "dim")
    for word in citation.words:
        parts = (word.strongs, word.transliteration, word.lemma, f"“{word.gloss}”" if word.gloss else "")
        _line(out, f"    {word.text}: {' '.join(filter(None, parts))}", "dim")


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(Text(visible(text), style=style))


@dataclass
class Chat:
    """A conversation at the terminal.

    Attributes:
        answerer: What answers.
        out: Where.
        context: What every question is answered from; None: verses are looked for.
        history: The turns so far, oldest first.
        last: The latest answer.
    """

    answerer: "Answerer"
    out: Console
    context: str | None = None
    history: list[Turn] = field(default_factory=list)
    last: Answered | None = None

    def say(self, line: str) -> bool:
        """Answer a line, be it a question or a command; returns whether the conversation goes on."""
        if not line.strip():
            return True
        if line.strip() == "/quit":
            return False
        try:
            if line.startswith("/"):
                name, _, rest = line[1:].strip().partition(" ")
                _COMMANDS.get(name, Chat._unknown)(self, rest.strip())
            else:
                self._ask(line.strip())
        except KeyboardInterrupt:
            _line(self.out, "\ncancelled", "yellow")
        except BibleQAError as error:
            _line(self.out, f"bibleqa: {error}", "red")
        return True

    def _ask(self, question: str) -> None:
        self.last = _show_answer(self.answerer, question, self.context, self.history, self.out)
        if self.last.answer is not None:
            self.history.append(Turn(question, self.last.answer))

    def _context(self, given: str) -> None:
        """Answer from these verses from now on: a text or a reference; without one, look for verses again."""
        self.context = given or None
        _line(self.out, f"answering from: {given}" if given else "verses are looked for", "dim")

    def _history(self, _: str) -> None:
        """Show the turns so far."""
        for turn in self.history:
            _line(self.out, f"> {turn.question}\n{turn.answer}")

    def _new(self, _: str) -> None:
        """Begin another conversation, without context and history."""
        self.context, self.history, self.last = None, [], None
        _line(self.out, "a new conversation", "dim")

    def _why(self, _: str) -> None:
        """Show how the last answer came about: prompt, reply, checks, attempts."""
        if self.last is None:
            _line(self.out, "nothing was answered yet")
            return
        for message in self.last.prompt:
            _line(self.out, f"--- {message['role']}", "dim")
            _line(self.out, message["content"])
        if self.last.raw is not None:
            _line(self.out, "--- reply", "dim")
            _line(self.out, self.last.raw)
        checks = ", ".join(f"{name} {'passed' if passed else 'failed'}" for name, passed in self.last.checks.items())
        seconds = ", ".join(f"{what} {taken:.2f} s" for what, taken in self.last.seconds.items())
        read = f"; salvaged: {self.last.salvaged}" if self.last.salvaged else ""
        ended = f"; ended: {self.last.ended}" if self.last.ended else ""
        _line(self.out, "---", "dim")
        _line(
            self.out, f"by the {self.last.by}; attempts: {self.last.attempts}; checks: {checks or 'none'}{read}{ended}"
        )
        _line(self.out, seconds)

    def _help(self, _: str) -> None:
        """Show this."""
        for name, command in _COMMANDS.items():
            _line(self.out, f"/{name:<9}{command.__doc__}")
        _line(self.out, "/quit     Leave; so does Ctrl-D. Ctrl-C cancels an answer.")

    def _unknown(self, _: str) -> None:
        _line(self.out, "no such command; /help says which there are")


_COMMANDS: dict[str, Callable[[Chat, str], None]] = {
    "context": Chat._context,
    "history": Chat._history,
    "new": Chat._new,
    "why": Chat._why,
    "help": Chat._help,
}


def _chat(arguments: argparse.Namespace, out: Console) -> int:
    with suppress(ImportError):  # not on Windows
        import readline  # noqa: F401  input() then edits lines and remembers them
    chat = Chat(_open(arguments, out), out)
    prompt = "> " if sys.stdin.isatty() else ""
    if prompt:
        _line(out, "/help says what can be done", "dim")
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return 0
        except KeyboardInterrupt:
            out.print()
            continue
        if not chat.say(line):
            return 0
