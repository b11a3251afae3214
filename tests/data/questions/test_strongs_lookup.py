import re
from collections import Counter
from collections.abc import Callable

from bibleqa.data.build import answer_stands
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import gives_itself_away

Asked = Callable[[str], dict[str, Item]]


def test_a_number_a_word_and_the_way_back(asked: Asked) -> None:
    items = asked("strongs_lookup")
    number = items["strongs_lookup:01025002:midian"]
    assert (number.answer, number.strongs_id, number.reference) == ("H4080", "H4080", "Genesis 25:2")
    assert number.question == "In Genesis 25:2, what is the Strong's number of “Midian”?"
    assert number.context.endswith("Midian: H4080 midyân; Ishbak: H3435 yishbâq; Shuah: H7744 shûach")
    word = items["strongs_lookup:28012003:womb"]
    assert (word.answer, set(word.variants)) == ("beţen", {"beten", "בּטן", "H990", "H0990"})
    back = items["strongs_lookup:28006007:transgressed"]
    assert (back.question, back.answer) == (
        "In Hosea 6:7, which English word stands for H5674?",
        "transgressed",
    )


def test_every_answer_stands_in_a_short_context_with_others_to_tell_it_from(asked: Asked) -> None:
    for item in asked("strongs_lookup").values():
        assert answer_stands(item), item
        assert not gives_itself_away(item), item
        verse, noted = item.context.split("\n")
        assert verse.startswith(f"[{item.reference}] ")
        numbers = re.findall(r"\b[HG]\d+\b", noted)
        assert numbers.count(item.strongs_id) == 1
        assert len(set(numbers)) >= 2
        assert len(item.context) < 900


def test_there_are_enough_and_no_number_dominates(asked: Asked) -> None:
    items = asked("strongs_lookup").values()
    assert len(items) >= 1500
    assert Counter(item.strongs_id for item in items).most_common(1)[0][1] <= 6
    assert Counter(item.answer for item in items).most_common(1)[0][1] <= 15
    kinds = Counter("number" if re.fullmatch(r"[HG]\d+", i.answer) else "other" for i in items)
    assert 400 <= kinds["number"] <= 600
    assert not [i for i in items if i.strongs_id in ("H853", "G3588", "G2532")]
