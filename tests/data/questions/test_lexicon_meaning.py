from collections import Counter
from collections.abc import Callable

from bibleqa.data.build import answer_stands
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import gives_itself_away
from bibleqa.text import contains

Asked = Callable[[str], dict[str, Item]]


def test_meaning_word_and_number(asked: Asked) -> None:
    items = asked("lexicon_meaning")
    meaning = items["lexicon_meaning:H2220"]
    assert (meaning.question, meaning.answer) == ("What is the meaning of H2220?", "arm")
    assert set(meaning.variants) == {"power", "shoulder"}  # and not `strength`, which is near another's
    assert "H2220 zerôa‛: arm; KJV: power, shoulder, strength" in meaning.context.split("\n")
    number = items["lexicon_meaning:G1428"]
    assert (number.answer, number.reference) == ("G1428", "")
    assert "twelfth" in number.question


def test_names_and_words_that_stand_for_themselves_are_not_asked_about(asked: Asked) -> None:
    items = asked("lexicon_meaning")
    assert not {"lexicon_meaning:H4872", "lexicon_meaning:G5008", "lexicon_meaning:G2424"} & items.keys()


def test_a_literal_compound_that_the_kjv_does_not_have_is_not_asked_about(asked: Asked) -> None:
    assert "lexicon_meaning:G5219" not in asked("lexicon_meaning")  # hypakouo, to obey: `hear under`


def test_the_context_is_a_few_entries_no_verses_and_no_two_share_one(asked: Asked) -> None:
    lines: Counter[str] = Counter()
    for item in asked("lexicon_meaning").values():
        assert answer_stands(item), item
        assert not gives_itself_away(item), item
        own = item.context.split("\n")
        assert len(own) == 4
        assert not [line for line in own if line.startswith("[")]
        assert sum(line.startswith(f"{item.strongs_id} ") for line in own) == 1
        lines.update(own)
    assert max(lines.values()) == 1


def test_no_other_entry_holds_a_right_answer(asked: Asked) -> None:
    for item in asked("lexicon_meaning").values():
        others = "\n".join(n for n in item.context.split("\n") if not n.startswith(f"{item.strongs_id} "))
        assert not contains(others, item.answer), item


def test_there_are_enough(asked: Asked) -> None:
    assert len(asked("lexicon_meaning")) >= 900
