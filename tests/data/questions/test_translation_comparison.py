from collections import Counter
from collections.abc import Callable

import pytest

from bibleqa.data.build import answer_stands
from bibleqa.data.contexts import widen
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.translation_comparison import difference
from bibleqa.text import contains

Asked = Callable[[str], dict[str, Item]]


@pytest.mark.parametrize(
    ("verse", "one", "other", "words"),
    [
        (46011033, "KJV", "ASV", ("tarry", "wait")),
        (20031001, "KJV", "ASV", ("prophecy", "oracle")),
        (10013021, "KJV", "WEB", ("wroth", "angry")),
        (63001013, "KJV", "WEB", ("elect", "chosen")),
        (17009032, "KJV", "WEB", ("decree", "commandment")),
    ],
)
def test_one_word_that_differs_is_found(
    corpus: Corpus, verse: int, one: str, other: str, words: tuple[str, str]
) -> None:
    found = difference(one, corpus.text(one, verse) or "", other, corpus.text(other, verse) or "")
    if verse == 17009032:
        assert found is None  # "And" is left out too
    else:
        assert found
        assert (found.word, found.instead) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("He seeketh his brother in the field of his father.", "He seeks his brother in the field of his father."),
        ("And thou shalt love the honour of thy king in it.", "And you shall love the honor of your king in it."),
        ("And he that cometh unto the city goeth out again.", "And he who comes to the city goes out again."),
        (
            "And Arphaxad went down into the land of his father.",
            "And Arpachshad went down into the land of his father.",
        ),
        ("And he put the ark down in the land of his father.", "And he set the ark down in the land of his father."),
        ("The king shall see a sword, and a sword is sent.", "The king shall see a sword, and a spear is sent."),
        ("He tarried in the city and was wroth with him.", "He waited in the city and was angry with him."),
    ],
)
def test_grammar_spelling_names_and_small_words_are_no_difference(one: str, other: str) -> None:
    assert difference("KJV", one, "WEB", other) is None


def test_every_item_has_the_three_texts_and_the_word_that_is_asked_about(corpus: Corpus, asked: Asked) -> None:
    for item in asked("translation_comparison").values():
        lines = dict(line.removeprefix(f"[{item.reference}, ").split("] ", 1) for line in item.context.split("\n"))
        (verse,) = corpus.bible.cited(item.context)
        assert lines == {name: corpus.text(name, verse.id) for name in ("KJV", "WEB", "ASV")}
        word = item.question.split("“")[1].split("”")[0]
        assert any(contains(text, word) for text in lines.values()), item
        if item.answer in lines:
            assert [name for name, text in lines.items() if contains(text, word)] == [item.answer], item
        else:
            assert any(contains(text, item.answer) and name in item.question for name, text in lines.items()), item


def test_a_translation_named_only_by_its_label_is_an_answer_and_a_reference_is_not() -> None:
    item = Item("a", "[John 3:16, KJV] For God so loved the world", "Which?", "KJV")
    assert answer_stands(item)
    assert not answer_stands(Item("a", item.context, "Which?", "John"))
    assert not answer_stands(Item("a", "[John 3:16, note] God", "Which?", "note"))


def test_more_context_is_put_around_the_three(corpus: Corpus, asked: Asked) -> None:
    item = asked("translation_comparison")["translation_comparison:46011033"]
    wider = widen(item, "passage", corpus.bible, None)
    assert [v.verse for v in corpus.bible.cited(wider.context)] == [31, 32, 33, 34]
    assert item.context in wider.context


def test_there_are_enough_and_no_pair_of_words_is_all(asked: Asked) -> None:
    items = asked("translation_comparison").values()
    assert len(items) >= 1400
    most = Counter(item.answer.lower() for item in items).most_common(1)[0][1]
    assert most <= 0.03 * len(items)
    assert max(len(item.context) for item in items) < 900
