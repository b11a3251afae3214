import dspy
import pytest
from spelling import score

KING = dspy.Example(accepted=("Nebuchadnezzar", "the king"))


@pytest.mark.parametrize(("answer", "worth"), [("Nebuchadnezzar", 1.0), ("THE KING", 1.0), ("Daniel", 0.0), ("", 0.0)])
def test_an_accepted_answer_is_worth_1_and_another_word_nothing(answer: str, worth: float) -> None:
    assert score(KING, answer, least=0.8)[0] == worth


def test_another_spelling_is_worth_a_little_less() -> None:
    value, why = score(KING, "Nebuchadrezzar", least=0.8)
    assert 0.9 < value < 1
    assert why == "Spelled 93% like 'Nebuchadnezzar'."
