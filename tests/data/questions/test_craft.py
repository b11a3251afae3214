from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.item import Item, Turn
from bibleqa.data.questions.craft import choose, gives_itself_away, select


def item(number: int, answer: str, question: str = "Who?", **rest: object) -> Item:
    return Item(id=f"{number}", context="", question=question, answer=answer, **rest)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["Seth", "Enos", "the LORD", "LORD", "Noah"]), max_size=60), st.integers(1, 40))
def test_no_answer_takes_more_than_its_share(answers: list[str], limit: int) -> None:
    items = [item(n, answer) for n, answer in enumerate(answers)]
    kept = select(items, 0.5, limit)
    assert len(kept) <= limit
    assert kept == sorted(kept, key=lambda i: int(i.id))
    count = Counter(i.answer.removeprefix("the ") for i in kept)
    assert all(n <= max(1, 0.5 * len(kept)) for n in count.values())


def test_an_item_that_gives_itself_away_is_not_selected() -> None:
    told = item(1, "Seth", question="Was it Seth's son?")
    by_variant = item(2, "an hundred", question="In Psalms 100:1, how many?", variants=("100",))
    in_a_turn = item(3, "Seth", history=(Turn("Who?", "Seth"),))
    assert all(gives_itself_away(i) for i in (told, by_variant, in_a_turn))
    assert select([told, item(4, "Seth"), by_variant, in_a_turn], 1.0, 10) == [item(4, "Seth")]


def test_a_choice_depends_on_the_key_alone() -> None:
    assert [choose(f"key{n}", "abc") for n in range(8)] == list("bccbbbaa")
