"""Train, val and test without leakage: chapters that share text stay together.

A random split by verse leaves a run of ten words in common with train for one test verse in nine: Kings and
Chronicles, the gospels, Isaiah 36-39 and 2 Kings 18-20 tell the same things in the same words.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations

from bibleqa.data.item import Item
from bibleqa.text import words

SHARES = {"train": Fraction(8, 10), "val": Fraction(1, 10), "test": Fraction(1, 10)}
SHINGLE_WORDS = 10
_SHINGLES_THAT_JOIN = 10


@dataclass
class Splits:
    """Items by split, and how many were dropped for text in common with another split."""

    items: dict[str, list[Item]] = field(default_factory=lambda: {name: [] for name in SHARES})
    dropped: dict[str, int] = field(default_factory=dict)


def shingles(text: str) -> set[int]:
    """Digests of every ten words in a row; the same numbers on every platform."""
    row = words(text)
    return {
        int.from_bytes(hashlib.blake2b(" ".join(row[i : i + SHINGLE_WORDS]).encode(), digest_size=8).digest())
        for i in range(len(row) - SHINGLE_WORDS + 1)
    }


def shingles_of(item: Item) -> set[int]:
    """The shingles of what the model sees of an item, with the turns before and without them."""
    turns = [turn.question for turn in item.history]
    seen = {"\n".join([item.context, *before, item.question]) for before in (turns, [])}
    return set().union(*map(shingles, seen))


def chapter_groups(chapters: Mapping[int, Iterable[str]]) -> dict[int, int]:
    """Join the chapters that share text.

    Args:
        chapters: The texts of the verses of each chapter.

    Returns:
        The group of each chapter, named by its smallest chapter: two chapters with ten shingles in common
        are of one group, as are the chapters that a chain of such pairs connects.
    """
    holders: dict[int, list[int]] = {}
    for chapter, texts in chapters.items():
        for shingle in shingles(" ".join(texts)):
            holders.setdefault(shingle, []).append(chapter)
    shared = Counter(pair for found in holders.values() for pair in combinations(found, 2))
    parent = {chapter: chapter for chapter in chapters}

    def root(chapter: int) -> int:
        while parent[chapter] != chapter:
            parent[chapter] = chapter = parent[parent[chapter]]
        return chapter

    for (one, other), count in shared.items():
        if count >= _SHINGLES_THAT_JOIN:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    return {chapter: root(chapter) for chapter in chapters}


def assign(sizes: Mapping[str, Mapping[str, int]], seed: int) -> dict[str, str]:
    """Give each group a split, so that the shares are met in every question family.

    The groups come in the order of a digest of seed and name; each goes where most of what it holds is missing.

    Args:
        sizes: How many items of each family every group holds.
        seed: Another seed gives another split.
    """
    total: Counter[str] = Counter()
    for size in sizes.values():
        total.update(size)
    # What a split still lacks of each family, as a fraction of the family: exact, so the same on every platform.
    missing = {name: dict.fromkeys(total, share) for name, share in SHARES.items()}

    def order(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    split = {}
    for group in sorted(sizes, key=order):
        size = sizes[group]
        name = max(missing, key=lambda name: sum(size[kind] * missing[name][kind] for kind in size))
        split[group] = name
        for kind, count in size.items():
            missing[name][kind] -= Fraction(count, total[kind])
    return split


def split_items(
    items: Sequence[Item], group_of: Callable[[Item], str], seed: int, reserved: Callable[[Item], bool]
) -> Splits:
    """Distribute items over the splits by group, and drop what still shares ten words in a row.

    Val gives way to train, and test to both.

    Args:
        items: The items to distribute.
        group_of: The group of an item, which no two splits share.
        seed: See `assign`.
        reserved: Whether an item is too near to what is tested on anyway to be in train or val.
    """
    sizes: dict[str, Counter[str]] = {}
    for item in items:
        sizes.setdefault(group_of(item), Counter())[item.type] += 1
    split_of = assign(sizes, seed)
    result = Splits(dropped={"reserved": 0, "val": 0, "test": 0})
    by_split: dict[str, list[Item]] = {name: [] for name in SHARES}
    for item in items:
        by_split[split_of[group_of(item)]].append(item)
    seen: set[int] = set()
    for name, members in by_split.items():
        found: set[int] = set()
        for item in members:
            own = shingles_of(item)
            if name != "test" and reserved(item):
                result.dropped["reserved"] += 1
            elif own & seen:
                result.dropped[name] += 1
            else:
                result.items[name].append(item)
                found |= own
        seen |= found
    return result
