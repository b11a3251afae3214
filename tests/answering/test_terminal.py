"""`bibleqa ask` and `bibleqa chat` as a person uses them."""

import io
import json
import sys
from collections.abc import Callable, Iterator

import pytest
from fake_openai import Server, cut_off, status

from bibleqa import cli
from bibleqa.console import _Plain
from bibleqa.serve import terminal
from bibleqa.serve.answer import Answered, Citation, Piece

CREATED = "Who created the heavens and the earth?"

Say = Callable[..., str]


@pytest.fixture
def chat(endpoint: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What `bibleqa chat` says to lines that are piped in."""

    def say(*lines: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert cli.main(["chat", *endpoint]) == 0
        return capsys.readouterr().out

    return say


def test_a_question_is_answered_with_its_verse_and_words(
    endpoint: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ask", CREATED, "--context", "Genesis 1:1", *endpoint]) == 0

    said = capsys.readouterr().out
    assert said.startswith("the unoptimized program: nothing is promoted yet; bibleqa promote <run>")
    assert "\nGod\n  [Genesis 1:1] In the beginning God created the heaven and the earth. (looked up)\n" in said
    assert "    God: H430 Elohim אלהים “God”\n" in said


def test_as_json_it_is_what_http_has_and_nothing_else(endpoint: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", CREATED, "--context", "Genesis 1:1", "--json", *endpoint]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == "God"
    assert said["citations"][0]["words"][0]["strongs"] == "H430"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--context", "Genesis 1:99"], 2, "Genesis 1 has 31 verses"),
        (["--model", "nowhere"], 2, "--model nowhere"),
        (["endpoint.base_url=http://127.0.0.1:9/v1"], 3, "nothing answers at http://127.0.0.1:9/v1"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_exit_code(
    endpoint: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, complaint: str
) -> None:
    given = [key for key in endpoint if key.partition("=")[0] != arguments[-1].partition("=")[0]]

    assert cli.main(["ask", CREATED, *given, *arguments]) == code

    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_the_seeds_conversation(chat: Say) -> None:
    said = chat("/context Genesis 1:1", CREATED, "What does 'God' mean here?", "/history")

    assert "\nElohim (H430)\nlooked up in the lexicon; no model was asked\n" in said
    assert f"> {CREATED}\nGod\n> What does 'God' mean here?\nElohim (H430)\n" in said


def test_a_follow_up_knows_the_turns_before_until_a_new_conversation(chat: Say) -> None:
    said = chat(CREATED, "And what else?", "/new", "And what else?", "/history")

    assert said.index("\nthe earth\n") < said.index("a new conversation") < said.index("\nof what?\n")
    assert f"> {CREATED}" not in said


def test_why_shows_prompt_reply_checks_and_attempts(chat: Say) -> None:
    said = chat("/why", CREATED, "/why")

    assert "nothing was answered yet" in said
    assert f"[[ ## question ## ]]\n{CREATED}" in said
    assert "--- reply\n[[ ## answer ## ]]\nGod" in said
    assert "by the model; attempts: 1; checks: none" in said


def test_the_context_is_said_and_left_again(chat: Say, server: Server) -> None:
    said = chat("/context John 11:35", "Who wept?", "/context", "Who wept, then?")

    assert said.index("[John 11:35] Jesus wept. (looked up)") < said.index("verses are looked for")
    assert "(fts)" in said[said.index("verses are looked for") :]


def test_help_names_every_command(chat: Say) -> None:
    said = chat("/help", "/nonsense", "", "/quit", CREATED)

    assert all(f"/{name}" in said for name in ("context", "history", "new", "why", "help", "quit"))
    assert "no such command" in said
    assert "\nGod\n" not in said


def test_an_endpoint_that_breaks_is_said_and_the_conversation_goes_on(chat: Say, server: Server) -> None:
    server.faults = [status(500, asked="wept")]

    said = chat(CREATED, "Who wept?", "And what else?", "/history")

    assert "bibleqa: fake-model at http://127.0.0.1:" in said
    assert "does not answer" in said
    assert said.endswith(f"> {CREATED}\nGod\n> And what else?\nthe earth\n")


def test_a_reply_that_was_cut_off_is_said_once(chat: Say, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.faults = [cut_off(asked="heavens")]

    assert chat(CREATED).count("the reply is not whole (length)") == 1
    assert [record for record in caplog.records if record.name.startswith("dspy")] == []


HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold]God[/bold] :smile:\rGod"


def test_a_hostile_answer_does_nothing_to_the_terminal(chat: Say, server: Server) -> None:
    server.answer = lambda asked: HOSTILE

    said = chat(CREATED, "/why", "/history")

    assert not set(said) & set("\x1b\x07\r")
    assert "\\x1b[2J\\x1b]0;owned\\x07[bold]God[/bold] :smile:\\rGod" in said


class Scripted:
    """Answers with what it is told to."""

    def __init__(self, *parts: Piece | BaseException):
        self.parts = parts

    def stream(self, question: str, **_: object) -> Iterator[Piece]:
        for part in self.parts:
            if isinstance(part, BaseException):
                raise part
            yield part


def shown(line: str, *parts: Piece | BaseException) -> str:
    """What the terminal shows of an answer."""
    out = _Plain(file=io.StringIO(), soft_wrap=True, highlight=False, width=80)
    terminal.Chat(Scripted(*parts), out).say(line)  # type: ignore[arg-type]
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_an_interrupted_answer_is_cancelled() -> None:
    assert shown(CREATED, "Go", KeyboardInterrupt()) == "Go\ncancelled\n"


def test_pieces_that_do_not_stand_are_corrected() -> None:
    said = shown(CREATED, "Ze", "us", Answered("God", attempts=2, checks={"grounded": False}))

    assert said.startswith("Zeus\nthat does not stand; asked again, the answer is: God\n")
    assert "fails the check grounded" in said


def test_the_verses_are_shown_once_below_the_answer() -> None:
    verse = Citation("John 11:35", "Jesus wept.")

    said = shown(CREATED, (verse,), "Jesus", Answered("Jesus", citations=(verse,)))
    assert said == "Jesus\n  [John 11:35] Jesus wept. (given)\n"


def test_what_cannot_be_read_is_said() -> None:
    assert "cannot be read as an answer: ???" in shown(CREATED, Answered(None, raw="???"))


def test_hostile_verses_are_shown_as_they_are() -> None:
    hostile = Citation(HOSTILE, HOSTILE, HOSTILE)

    assert not set(shown(CREATED, "God", Answered("God", citations=(hostile,)))) & set("\x1b\x07\r")
