"""A question as a line of a dataset file."""

import json
from typing import Any

import pytest

from bibleqa.data.item import Item, Turn
from bibleqa.errors import ConfigError

FULL = Item(
    id="i1",
    context="[Genesis 1:1] In the beginning",
    question="Who?",
    answer="God",
    history=(Turn("What?", "Heaven"), Turn("And?", "Earth")),
    type="divine_name",
    reference="Genesis 1:1",
    strongs_id="H430",
    open_book=False,
    variants=("Elohim", "אֱלֹהִים"),
)
LEAST = {"id": "i1", "question": "Who?", "answer": "God"}


def read(**values: Any) -> Item:
    return Item.from_json(json.dumps({**LEAST, **values}))


def test_everything_is_written_as_documented_and_read_back() -> None:
    row = json.loads(FULL.to_json())
    assert list(row) == ["id", "context", "question", "answer", "history", "metadata"]
    assert list(row["metadata"]) == ["type", "reference", "strongs_id", "open_book", "variants"]
    assert row["history"][0] == {"question": "What?", "answer": "Heaven"}
    assert "אֱלֹהִים" in FULL.to_json()
    assert Item.from_json(FULL.to_json()) == FULL


def test_id_question_and_answer_are_enough() -> None:
    item = read()
    assert (item.context, item.history, item.type, item.open_book, item.variants) == ("", (), "unknown", True, ())


def test_the_reference_answer_is_the_first_accepted_one() -> None:
    assert FULL.accepted == ("God", "Elohim", "אֱלֹהִים")
    assert read().accepted == ("God",)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"id": ""}, '"id" is missing or empty'),
        ({"question": " \n"}, '"question" is missing or empty'),
        ({"answer": None}, '"answer" must be str, found NoneType'),
        ({"answer": 930}, '"answer" must be str, found int'),
        ({"context": ["a"]}, '"context" must be str, found list'),
        ({"history": "a"}, '"history" must be list, found str'),
        ({"history": ["a"]}, '"history" is a list of {"question", "answer"}'),
        ({"history": [{"question": "Who?"}]}, '"answer" is missing or empty'),
        ({"metadata": []}, '"metadata" must be dict, found list'),
        ({"metadata": {"open_book": "yes"}}, '"open_book" must be bool, found str'),
        ({"metadata": {"variants": ["a", ""]}}, '"metadata.variants" is a list of answers'),
        ({"metadata": {"variants": [1]}}, '"metadata.variants" is a list of answers'),
        ({"metadata": {"kind": "a"}}, 'unknown key "metadata.kind" (known: open_book'),
        ({"answers": ["a"]}, 'unknown key "answers" (known: answer'),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**values)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize("line", ["", "null", "[]", '"a"', "{", '{"id": "a"} {}', "NaN"])
def test_what_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"not JSON|expected an object"):
        Item.from_json(line)
