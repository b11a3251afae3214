from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.item import Item, Turn
from bibleqa.data.splits import SHARES, assign, chapter_groups, shingles, shingles_of, split_items

sizes = st.dictionaries(
    st.integers(1, 66_999).map(str),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9), min_size=1),
    max_size=80,
)


@given(sizes, st.integers(0, 99))
def test_every_group_goes_to_one_split_whatever_the_order(sizes: dict[str, dict[str, int]], seed: int) -> None:
    split = assign(sizes, seed)
    assert split.keys() == sizes.keys()
    assert set(split.values()) <= set(SHARES)
    assert assign(dict(reversed(sizes.items())), seed) == split


@given(st.integers(0, 99))
def test_the_shares_are_met_in_every_family(seed: int) -> None:
    sizes = {str(group): {"many": 1 + group % 7, "few": group % 2} for group in range(400)}
    got: dict[str, Counter[str]] = {name: Counter() for name in SHARES}
    for group, name in assign(sizes, seed).items():
        got[name].update(sizes[group])
    for kind in ("many", "few"):
        total = sum(count[kind] for count in got.values())
        for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
            assert abs(got[name][kind] / total - share) < 0.05


def test_another_seed_gives_another_split() -> None:
    sizes = {str(group): {"a": 1} for group in range(100)}
    assert assign(sizes, 1) != assign(sizes, 2)


def test_the_split_is_the_same_in_every_version() -> None:
    split = assign({str(group): {"a": 1} for group in range(20)}, 7)
    assert [group for group, name in split.items() if name == "test"] == ["5", "0"]


def test_shingles_are_the_same_numbers_everywhere() -> None:
    assert shingles("one two three four five six seven eight nine ten") == {7332559904820403198}
    assert shingles("one two three four five six seven eight nine") == set()


def test_chapters_that_share_text_are_one_group_also_over_a_third() -> None:
    first = " ".join(f"a{i}" for i in range(30))
    second = " ".join(f"b{i}" for i in range(30))
    apart = " ".join(f"c{i}" for i in range(30))
    groups = chapter_groups({1: [first], 2: [f"{first} {second}"], 3: [second], 4: [apart, *first.split()[:12]]})
    assert groups[1] == groups[2] == groups[3] == 1
    assert groups[4] == 4


@pytest.mark.parametrize(("common", "joined"), [(18, False), (19, True)])
def test_ten_shingles_in_common_join_two_chapters_however_their_verses_are_cut(common: int, joined: bool) -> None:
    row = [f"w{i}" for i in range(common)]
    chapters = {2: [" ".join(row), "two"], 1: [*row, "one"]}
    assert chapter_groups(chapters) == {1: 1, 2: 1 if joined else 2}


def item(number: int, text: str) -> Item:
    return Item(id=f"{number}", context=text, question="Who?", answer="x", type="a")


def test_a_conversation_is_seen_with_its_turns_and_without_them() -> None:
    asked = Item(id="1", context="a b c d e", question="k l m n o", answer="x", history=(Turn("f g h i j", "x"),))
    assert shingles_of(asked) == shingles("a b c d e f g h i j k l m n o") | shingles("a b c d e k l m n o")


def test_the_items_of_a_group_are_counted_and_go_together() -> None:
    sizes = {str(group): {"a": 1 + group % 7} for group in range(60)}
    items = [item(int(group), f"only {n}") for group, size in sizes.items() for n in range(size["a"])]
    splits = split_items(items, lambda i: i.id, 7, lambda i: False)
    assert {i.id: name for name, kept in splits.items.items() for i in kept} == assign(sizes, 7)
    assert sum(len(kept) for kept in splits.items.values()) == len(items)


def test_what_shares_ten_words_with_another_split_is_dropped_and_counted() -> None:
    rows = [" ".join(f"{letter}{i}" for i in range(10)) for letter in "vw"]
    items = [item(n, f"{rows[n % 3]} {n}" if n % 3 < 2 else f"only {n}") for n in range(200)]
    splits = split_items(items, lambda i: i.id, 7, lambda i: False)
    for row in rows:
        assert [name for name, kept in splits.items.items() if any(row in i.context for i in kept)] == ["train"]
    assert sum(len(kept) for kept in splits.items.values()) + sum(splits.dropped.values()) == 200


def test_what_is_reserved_for_the_anchors_is_only_ever_tested_on() -> None:
    items = [item(n, f"only {n}") for n in range(200)]
    free = split_items(items, lambda i: i.id, 7, lambda i: False)
    splits = split_items(items, lambda i: i.id, 7, lambda i: int(i.id) % 2 == 0)
    for name, kept in free.items.items():
        assert splits.items[name] == [i for i in kept if name == "test" or int(i.id) % 2]
    lost = sum(len(free.items[name]) - len(splits.items[name]) for name in SHARES)
    assert splits.dropped == {"reserved": lost, "val": 0, "test": 0}
