import pytest
from plain_words import modern

WORDS = ["thee", "thou", "hath"]


@pytest.mark.parametrize("answer", ["the LORD has spoken", "", "Thousand"])
def test_todays_english_passes(answer: str) -> None:
    assert modern({"question": "Who has spoken?"}, answer, WORDS) is None


def test_old_words_are_named() -> None:
    said = modern({"question": "Who has spoken?"}, "The LORD hath spoken to thee.", WORDS)
    assert said == "Say it in today's English, without hath, thee."


def test_a_word_of_the_question_may_stand_in_the_answer() -> None:
    assert modern({"question": "Who said: thou shalt not steal"}, "thou", WORDS) is None
