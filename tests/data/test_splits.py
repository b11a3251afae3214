from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.item import Item
from bibleqa.data.splits import SHARES, assign, chapter_groups, shingles, split_items

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
        for name, share in SHARES.items():
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


def item(number: int, text: str) -> Item:
    return Item(id=f"{number}", context=text, question="Who?", answer="x", type="a")


def test_what_shares_ten_words_with_another_split_is_dropped_and_counted() -> None:
    common = " ".join(f"w{i}" for i in range(10))
    items = [item(n, f"{common} {n}" if n % 2 else f"only {n}") for n in range(200)]
    splits = split_items(items, lambda i: i.id, 7, lambda i: False)
    holding = [name for name, kept in splits.items.items() if any(common in i.context for i in kept)]
    assert holding == ["train"]
    assert sum(len(kept) for kept in splits.items.values()) + sum(splits.dropped.values()) == 200


def test_what_is_reserved_for_the_anchors_is_only_ever_tested_on() -> None:
    items = [item(n, f"only {n}") for n in range(200)]
    splits = split_items(items, lambda i: i.id, 7, lambda i: True)
    assert not splits.items["train"]
    assert not splits.items["val"]
    assert splits.dropped["reserved"] == 200 - len(splits.items["test"]) > 150
