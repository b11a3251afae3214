"""What each check lets pass and what not, and what it says."""

import re
from typing import Any

import dspy
import pytest
from dummies import FOLLOW_UP, example
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import checks
from bibleqa.checks import (
    Answers,
    Check,
    CitesReference,
    Grounded,
    Matches,
    MaxWords,
    NamesTerm,
    Own,
    ReferenceExists,
    StrongsExists,
)
from bibleqa.data.reference import BOOKS
from bibleqa.errors import ConfigError

OLD = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:"
NEW = "[John 3:16] For God so loved the world"


def inputs(context: str = "And Seth begat Enos.", question: str = "Who begat Enos?", **values: Any) -> dict[str, Any]:
    return {**example(1, context=context, **values).inputs(), "question": question}


def said(check: Check, answer: str, context: str = "", question: str = "Who?") -> str:
    """What a check says of an answer; nothing when it passes."""
    return check(inputs(context, question), answer) or ""


@pytest.mark.parametrize(
    ("answer", "foreign"),
    [
        ("Seth", None),
        ("SETH's", None),
        ("It was Seth", None),
        ("Adam begat Seth", "adam"),
        ("Methuselah", "methuselah"),
        ("", None),
        ("שת", "שת"),
    ],
)
def test_content_words_must_stand_in_the_context(answer: str, foreign: str | None) -> None:
    complaint = Grounded()(inputs(), answer)
    assert (complaint is None) == (foreign is None)
    assert foreign is None or foreign in (complaint or "")


def test_what_was_said_before_counts_as_context() -> None:
    assert Grounded()(inputs(history=FOLLOW_UP), "Adam") is None


def test_without_a_context_there_is_nothing_to_check() -> None:
    assert Grounded()(inputs(context=""), "Methuselah") is None


@pytest.mark.parametrize(("share", "passes"), [(1.0, False), (0.5, True), (0.51, False), (0.0, True)])
def test_the_share_of_words_that_must_stand_there(share: float, passes: bool) -> None:
    assert (Grounded(share)(inputs(), "Seth Methuselah") is None) == passes


@pytest.mark.parametrize(
    "answer",
    [
        *("", " \n", "...", "I don't know.", "I don’t know", "I do not know who he was."),
        *("As an AI language model, I have no beliefs.", "It is not mentioned in the context."),
        *("The context does not say.", "The passage doesn't mention a name", "SORRY, not enough information"),
    ],
)
def test_a_refusal_is_no_answer(answer: str) -> None:
    assert said(Answers(), answer, OLD)


def test_what_is_wrong_with_no_answer_is_told() -> None:
    assert said(Answers(), "...") == "Give an answer: it was empty."
    assert said(Answers(), "I dont know") == 'Answer the question instead of saying "I don\'t know".'


@pytest.mark.parametrize("answer", ["Seth", "none", "the unknown God", "I know not", "יהוה", "λόγος", "0", "Ai"])
def test_an_answer_is_no_refusal(answer: str) -> None:
    assert said(Answers(), answer, OLD) == ""


def test_what_the_context_says_is_a_quotation() -> None:
    answer = "I do not know the man"
    assert said(Answers(), answer, "[Matthew 26:72, WEB] Again he denied it with an oath, “I don’t know the man.”")
    assert said(Answers(), answer, "And he said, I do not know the man.") == ""


def test_the_phrases_of_a_refusal_can_be_named() -> None:
    assert said(Answers(["ask a rabbi"]), "Better ask a rabbi")
    assert said(Answers(["ask a rabbi"]), "I don't know") == ""


@pytest.mark.parametrize(
    ("answer", "most", "passes"),
    [
        ("the son of Nun", 3, True),
        ("the son of Nun", 2, False),
        ("", 1, True),
        ("אֱלֹהִים", 1, True),
        ("Genesis 5:6", 3, True),
    ],
)
def test_an_answer_may_have_so_many_words(answer: str, most: int, passes: bool) -> None:
    assert (said(MaxWords(most), answer) == "") == passes


def test_too_many_words_are_counted() -> None:
    assert said(MaxWords(2), "Adam Seth Enos") == "Be brief: 3 words are too many, 2 must do."


@given(st.text(max_size=60), st.integers(1, 20))
def test_a_longer_limit_never_refuses_more(answer: str, most: int) -> None:
    if said(MaxWords(most + 1), answer):
        assert said(MaxWords(most), answer)


def test_a_pattern_is_found_anywhere_unless_it_is_held_to_the_whole() -> None:
    assert said(Matches(r"\d+"), "he was 105 years old") == ""
    assert said(Matches(r"^\d+$"), "he was 105 years old") == r"The answer must match ^\d+$"
    assert said(Matches(r"^\d+$", "Give a number."), "many") == "Give a number."
    assert said(Matches("[א-ת]+"), "אלהים") == ""


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pattern=\(: not a regular expression: missing \)"):
        Matches("(")


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("In Genesis 1:1, which Hebrew word does “God” translate?", ["Elohim", "אֱלֹהִים", "H430", "430"], ["God", ""]),
        ("In Genesis 2:4, what is the Strong's number of “LORD”?", ["H3068", "H03068", "3068"], ["LORD", "H"]),
        ('Which Greek word stands behind "the Lord" in Acts 8:39?', ["κύριος", "kyrios (G2962)"], ["the Lord"]),
        ("In Deuteronomy 4:21, how does the KJV render YHWH?", ["LORD", "the LORD God"], ["Yahweh", "ruler"]),
        ("Which English word stands for Adonai?", ["Lord"], ["Adonai", "master"]),
        ("Which English word stands for H136?", ["Lord"], ["H136", "master"]),
        ("What is the name of God in Exodus 3:14?", ["I AM", "YHWH", "I AM THAT I AM"], ["Moses", "the bush"]),
        ("By which name had the patriarchs not known God?", ["JEHOVAH"], ["Abraham"]),
        ("By what name was the LORD known to Abram?", ["God Almighty"], ["Abraham"]),
        ("Which divine name is used here?", ["El Shaddai", "the Almighty"], ["Jacob"]),
    ],
)
def test_a_name_of_god_that_is_asked_for_is_named(question: str, right: list[str], wrong: list[str]) -> None:
    assert [answer for answer in right if said(NamesTerm(), answer, question=question)] == []
    assert [answer for answer in wrong if not said(NamesTerm(), answer, question=question)] == []


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Which Hebrew word does “God” translate?", "the word of the original language, or its Strong's number"),
        ("Which English word stands for Adonai?", "the name of God in English"),
        ("Which divine name is used here?", "a name of God"),
    ],
)
def test_the_name_that_is_asked_for_is_told(question: str, wanted: str) -> None:
    assert said(NamesTerm(), "Moses", question=question) == f"The question asks for {wanted}: name it."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who begat Enos?", "Seth"),
        ("Who called upon the name of the LORD?", "Abram"),
        ("What name did God give to Jacob?", "Israel"),
        ("By what name did God call Abram?", "Abraham"),
        ("What is the name of the man of God?", "Elijah"),
        ("What is the name of God's prophet?", "Elijah"),
        ("What was the name of the god of Ekron?", "Baalzebub"),
        ("What was the name of the lord of the house?", "Potiphar"),
        ("By what name was Abram known before God called him?", "Abram"),
        ("To which gods did they bow, the “gods” of Egypt in Hebrew?", "idols"),
        ("In Psalms 148:8, with which English word does the KJV render ruach (H7307)?", "wind"),
        ("In Exodus 21:6, how does the KJV translate Elohim (H430)?", "judges"),
        ("Which Hebrew word is behind “law”?", "torah"),
        ("Which Hebrew word is behind 'God's law'?", "torah"),
        ("What did “God” create on the first day?", "light"),
        ("", ""),
    ],
)
def test_no_name_of_god_is_wanted_where_none_is_asked_for(question: str, answer: str) -> None:
    assert said(NamesTerm(), answer, "[Genesis 1:1] In the beginning God created", question) == ""


def test_further_names_of_god_can_be_given() -> None:
    question = "Which divine name is used here?"
    assert said(NamesTerm(), "Jealous", question=question)
    assert said(NamesTerm(names=["Jealous"]), "Jealous", question=question) == ""
    assert said(NamesTerm(originals=["H1"]), "number 1", question=question) == ""


@pytest.mark.parametrize(
    "answer",
    [
        *("Genesis 5:6", "Seth (Gen 5:6)", "1 Jn 4:8", "II Kings 4:8", "Jude 3", "Psalm 23", "See Ps. 23:1-4."),
        *("Genesis chapter 36 verse 43", "Song of Solomon 2:1", "Rev 22:21 and Hezekiah 3:4", "Gn 5:6", "genesis 5:6"),
    ],
)
def test_a_reference_is_found(answer: str) -> None:
    assert said(CitesReference(), answer) == ""


@pytest.mark.parametrize(
    "answer",
    ["", "Seth", "Joel", "5:6", "Daniel 70 weeks", "Job, 12 sons", "Hezekiah 3:4", "Genesis 99:1", "בראשית", "λόγος"],
)
def test_a_reference_is_missed(answer: str) -> None:
    assert said(CitesReference(), answer) == "Add the reference of the verse, as in (Genesis 5:6)."


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("Genesis 5:6000", '"5:6000" is not a chapter and verse'),
        ("Gen 5:60", "Genesis 5 has 32 verses, there is no verse 60"),
        ("Seth (Genesis 51:1).", "Genesis has 50 chapters, there is no chapter 51"),
        ("Psalm 151", "there is no chapter 151"),
        ("Hezekiah 3:4", 'there is no book "Hezekiah"'),
        ("2 Hezekiah 3:4", 'there is no book "2 Hezekiah"'),
        ("1 Maccabees 2:3", 'there is no book "1 Maccabees"'),
        ("Genesis 5:6–40", "there is no verse 40"),
        ("Genesis 5:6—40", "there is no verse 40"),
        ("Genesis 5:6 and John 3:37", "John 3 has 36 verses"),
        ("Jude 26", "Jude 1 has 25 verses"),
        ("Genesis 5:6-4", "ends before it begins"),
    ],
)
def test_a_reference_to_nothing_is_named(answer: str, wrong: str) -> None:
    complaint = said(ReferenceExists(), answer)
    assert wrong in complaint
    assert "\n" not in complaint


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "",
            "Seth",
            "Genesis 5:6",
            "Psalms 51:title",
            "3 John 14",
            "Daniel 70 weeks",
            "Mark 30 pieces",
            "Job 99 times",
        ),
        *("Verse 3:99", "See 3:99", "In 3:99", "At 10:30", "About 10:30"),
        *("Chapter 3:99", "about 10:30", "Numbers 22000", "Genesis 5:5, 930 years", "930", "תהלים", "λόγος 3:99"),
    ],
)
def test_an_answer_without_a_false_reference_passes(answer: str) -> None:
    assert said(ReferenceExists(), answer) == ""


def test_each_reference_to_nothing_is_named() -> None:
    wrong = ["Genesis 5:60", "Hezekiah 3:4"]
    assert said(ReferenceExists(), " and ".join(wrong)) == " ".join(said(ReferenceExists(), one) for one in wrong)


def test_a_verse_of_another_numbering_exists_where_the_context_has_it() -> None:
    context = "English Psalm 51:19 = Hebrew Psalm 51:21"
    assert said(ReferenceExists(), "Psalms 51:21", context) == ""
    assert said(ReferenceExists(), "Psalms 51:22", context)


@given(st.sampled_from(BOOKS), st.data())
def test_every_verse_exists_and_none_after_the_last(book: Any, data: st.DataObject) -> None:
    chapter = data.draw(st.integers(1, book.chapters))
    last = book.verses[chapter - 1]
    verse = data.draw(st.integers(1, last))
    name = data.draw(st.sampled_from((book.name, book.osis, *book.abbreviations)))
    assert said(ReferenceExists(), f"It is {name} {chapter}:{verse}, they say") == ""
    assert said(CitesReference(), f"{name} {chapter}:{verse}") == ""
    assert f"no verse {last + 1}" in said(ReferenceExists(), f"({name} {chapter}:{last + 1})")


@pytest.mark.parametrize(
    "answer", ["", "Seth", "H430", "h0430", "H8674", "G5624", "G3202", "G3303", "G26 agape", "H2617a", "אלהים", "H"]
)
def test_a_number_of_strongs_passes(answer: str) -> None:
    assert said(StrongsExists(), answer) == ""


def test_a_letter_after_a_number_of_strongs_is_no_part_of_it() -> None:
    assert said(StrongsExists(), "H9003a") == "There is no Strong's number H9003."


@pytest.mark.parametrize("number", ["H8675", "G5625", "G2717", "G3203", "G3302", "H9003", "G99999"])
def test_a_number_that_strongs_does_not_have_is_named(number: str) -> None:
    complaint = f"There is no Strong's number {number}, H9999."
    assert said(StrongsExists(), f"It is {number} there, not H430, or H9999.") == complaint


@pytest.mark.parametrize(
    ("question", "context", "right", "wrong"),
    [
        ("What is the Strong's number of “begat” in Genesis 5:6?", "", "H3205", "G1080"),
        ("What is the Strong's number of “loved” in John 3:16?", "", "G25", "H157"),
        ("And its Strong's number?", OLD, "H3205", "G1080"),
        ("And its Strong's number?", NEW, "G25", "H157"),
        ("In John 3:16, which number has it?", OLD, "G25", "H157"),
        ("What is the number of the Hebrew word that John 19:17 has?", NEW, "H1538", "G1115"),
        ("What is the number of the Aramaic word that Mark 14:36 has?", NEW, "H2", "G5"),
        ("What is the number of the Chaldee word behind “Maranatha”?", NEW, "H4756", "G3134"),
    ],
)
def test_a_number_is_of_the_language_asked_about(question: str, context: str, right: str, wrong: str) -> None:
    assert said(StrongsExists(), right, context, question) == ""
    tongue, letter = ("Greek", "G") if wrong.startswith("H") else ("Hebrew", "H")
    complaint = f"The verse is in {tongue}, whose numbers begin with {letter}: {wrong}, {wrong} is not."
    assert said(StrongsExists(), f"{wrong}, {right}, {wrong}", context, question) == complaint


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ("What is the Strong's number?", ""),
        ("What is the Strong's number?", "G1040 býssos, from Hebrew H948"),
        ("Which number?", f"{OLD}\n{NEW}"),
        ("What is the number of the Hebrew word that the Greek Manassēs comes from?", NEW),
    ],
)
def test_where_nothing_tells_the_language_both_pass(question: str, context: str) -> None:
    assert said(StrongsExists(), "H4519 and G3128", context, question) == ""


def test_a_function_of_ones_own_gets_question_answer_and_parameters() -> None:
    def starts(given: Any, answer: str, letter: str) -> str | None:
        return None if answer.startswith(letter) else f"{given['question']} Begin with {letter}."

    check = Own(starts, {"letter": "S"})
    assert said(check, "Seth") == ""
    assert said(check, "Adam") == "Who? Begin with S."


def test_a_function_that_gives_no_text_is_named() -> None:
    with pytest.raises(TypeError, match=r"test_checks\..+ gave False; a check gives what is wrong as text, or None"):
        said(Own(lambda given, answer: False, {}), "Seth")


EVERY = [check() if check is not Matches else Matches("^x") for check in checks.CHECKS.values()]


@given(
    st.sampled_from(EVERY),
    *[st.text(st.sampled_from("HG1234567890:.-– ,JobnGeActs()אλ\n"), max_size=40) | st.text(max_size=40)] * 3,
)
@case(ReferenceExists(), "", "", "H0 I John 0:0 3 John 0 Jude 0-0 Ps 0")
@case(StrongsExists(), "", "", "H0 G00000 H00001x")
def test_no_text_breaks_a_check(check: Check, context: str, question: str, answer: str) -> None:
    complaint = check({"context": context, "question": question, "history": dspy.History(messages=[])}, answer)
    assert complaint is None or (complaint and isinstance(complaint, str))


def test_every_check_says_in_a_line_what_it_holds_an_answer_to() -> None:
    for check in checks.CHECKS.values():
        assert re.match(r"\w[^\n]{20,}\.", check.__doc__ or ""), check
