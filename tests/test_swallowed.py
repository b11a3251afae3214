"""What optimizers print and log comes to light, once and in short."""

import logging
import sys

import pytest
from rich.console import Console

from bibleqa.optimizers.swallowed import Swallowed, listening

UNREADABLE = (
    "Strategy failed with error: LM response cannot be serialized to a JSON object.\n\nAdapter JSONAdapter failed to "
    "parse the LM response. \n\nLM Response: no format at all \n\nExpected to find output fields in the LM response: "
    "[{}]"
)


def heard(*messages: str, level: int = logging.ERROR, logger: str = "dspy.teleprompt.some") -> list[str]:
    swallowed = Swallowed()
    with listening(swallowed):
        for message in messages:
            logging.getLogger(logger).log(level, message)
    return swallowed.sentences()


@pytest.mark.parametrize("logger", ["dspy.teleprompt.bootstrap", "gepa.core"])
def test_errors_that_are_logged_are_kept_and_like_ones_counted(logger: str) -> None:
    assert heard("a", "b", "a", logger=logger) == ["a (2 times)", "b"]


def test_what_is_no_error_is_not_kept() -> None:
    assert heard("Bootstrapped 2 full traces", level=logging.WARNING) == []
    assert heard("elsewhere", logger="mlflow") == []


def test_what_gepa_says_softly_is_heard() -> None:
    logging.getLogger("dspy").setLevel(logging.INFO)
    said = "Per-task reflection failed: upstream broke"
    assert heard(said, "Iteration 1: Selected program 0", level=logging.INFO) == [said]


def test_the_cause_stands_beside_the_message() -> None:
    swallowed = Swallowed()
    with listening(swallowed):
        try:
            raise ValueError("upstream broke")
        except ValueError:
            logging.getLogger("dspy").exception("a step failed")
    assert swallowed.sentences() == ["a step failed: upstream broke"]


def test_the_example_and_colours_are_left_out_and_the_rest_is_short() -> None:
    (said,) = heard("\x1b[31mFailed to run or to evaluate example Example({'question': 'Who?'}) due to " + "x" * 500)
    assert said == "x" * 200


def test_an_answer_that_cannot_be_read_is_no_failure() -> None:
    assert heard(UNREADABLE.format("answer"), UNREADABLE.format("reasoning, answer")) == []


@pytest.mark.parametrize(("fields", "count"), [("answer", 0), ("reasoning, answer", 0), ("new_instruction", 1)])
def test_what_was_written_for_an_optimizer_and_cannot_be_read_is_counted(fields: str, count: int) -> None:
    swallowed = Swallowed()
    swallowed.overhear(UNREADABLE.format(fields))
    assert (swallowed.unreadable, swallowed.sentences()) == (count, [])


def test_a_failure_that_is_known_is_not_told_again_unless_somebody_said_where() -> None:
    swallowed = Swallowed()
    swallowed.overhear("Strategy failed with error: upstream broke")
    swallowed.overhear("another")
    swallowed.add("step p failed: upstream broke")
    assert swallowed.sentences(known=["upstream broke"]) == ["another", "step p failed: upstream broke"]


def test_a_fallback_that_is_printed_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    swallowed = Swallowed()
    with listening(swallowed):
        print("Error getting data summary: no.\n\nRunning without data aware proposer.")
    assert swallowed.sentences() == ["Running without data aware proposer."]
    assert capfd.readouterr() == ("", "")


def test_what_is_printed_goes_to_the_log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), listening(Swallowed()):
        print("from\rDSPy")
        print("a bar", file=sys.stderr)
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == ["from", "DSPy", "a bar"]


def test_the_progress_bar_draws_on_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Swallowed()):
        print("from DSPy")
        Console().print("from the bar")
    assert capsys.readouterr().out == "from the bar\n"


def test_nothing_listens_any_more_in_the_end() -> None:
    before = {name: list(logging.getLogger(name).handlers) for name in ("dspy", "gepa")}
    heard("a")
    assert {name: list(logging.getLogger(name).handlers) for name in before} == before
