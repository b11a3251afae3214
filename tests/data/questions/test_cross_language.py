from collections import Counter
from collections.abc import Callable

import pytest

from bibleqa.data.build import answer_stands
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import gives_itself_away
from bibleqa.data.questions.cross_language import pairs

Asked = Callable[[str], dict[str, Item]]


@pytest.mark.parametrize(
    ("greek", "hebrew"),
    [
        ("G2424", "H3091"),  # Jesus, Joshua
        ("G3323", "H4899"),  # Messias
        ("G281", "H543"),  # amen
        ("G5", "H2"),  # Abba, from Aramaic
    ],
)
def test_pairs_are_those_that_the_dictionary_gives(corpus: Corpus, greek: str, hebrew: str) -> None:
    assert {p.greek.strongs: p.hebrew.strongs for p in pairs(corpus)}[greek] == hebrew


@pytest.mark.parametrize(
    "greek",
    [
        "G5547",  # Christos is from a Greek verb
        "G965",  # a misprint: Bethlehem from Beth-leaphrah
        "G4539",  # probably of Hebrew origin
        "G912",  # two numbers: Barabbas
        "G5328",  # of foreign origin: Pharaoh
    ],
)
def test_what_the_dictionary_is_not_sure_of_is_left_out(corpus: Corpus, greek: str) -> None:
    assert greek not in {p.greek.strongs for p in pairs(corpus)}


def test_origin_number_and_names(asked: Asked) -> None:
    items = asked("cross_language")
    origin = items["cross_language:G2424:origin"]
    assert origin.question == "From which Hebrew word does the Greek Iēsoûs (G2424) come?"
    assert (origin.answer, "H3091" in origin.variants) == ("yehôshûa‛", True)
    assert items["cross_language:G5:number"].answer == "H2"
    assert "Aramaic" in items["cross_language:G5:number"].question
    assert items["cross_language:G1003:old-name"].answer == "Boaz"
    assert items["cross_language:G1003:new-name"].answer == "Booz"


def test_a_hebrew_word_with_two_greek_ones_is_not_asked_for_the_greek(asked: Asked) -> None:
    items = asked("cross_language")  # Annas and Ananias
    assert "cross_language:G452:origin" in items
    assert not {"cross_language:G452:derived", "cross_language:G367:new-name"} & items.keys()


def test_every_answer_stands_beside_two_other_pairs(asked: Asked) -> None:
    for item in asked("cross_language").values():
        assert answer_stands(item), item
        assert not gives_itself_away(item), item
        assert not item.reference
        own = [line[0] for line in item.context.split("\n")]
        assert Counter(own)["G"] == 3
        assert 2 <= Counter(own)["H"] <= 3
        assert "".join(own) == "".join(sorted(own))


def test_there_are_enough(asked: Asked) -> None:
    assert len(asked("cross_language")) >= 600
