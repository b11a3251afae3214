"""The dataset card: what a built dataset is, for people, beside the manifest that is for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from bibleqa.data.item import Item
from bibleqa.data.show import as_text
from bibleqa.data.splits import SHARES, SHINGLE_WORDS
from bibleqa.provenance import digest_lines

LICENCES: Mapping[str, tuple[str, str]] = {
    "kjv": ("King James Version, plain text", "text in the public domain outside the United Kingdom; package MIT"),
    "anchors": ("hand-written questions", "MIT, as the project"),
    "english/KJV": ("King James Version, plain text", "text in the public domain outside the United Kingdom"),
    "english/WEB": ("World English Bible", "public domain"),
    "english/ASV": ("American Standard Version of 1901", "public domain"),
    "sword/kjv": ("King James Version with Strong's numbers, SWORD module engKJV2006eb", "public domain"),
    "sword/strongs-": ("Strong's dictionaries of 1890, SWORD modules", "public domain"),
    "stepbible/": ("STEPBible.org, from work at Tyndale House Cambridge", "CC BY 4.0"),
    "translation_questions": ("unfoldingWord Translation Questions", "CC BY-SA 4.0"),
    "plugins/": ("code of the user's own, which makes questions out of the text", "its author's to say"),
}
"""What a source is and what it may be used for, by the beginning of its name."""

CARD = "card.md"
"""The name of its file."""

_DROPPED = {
    "reserved": "about a verse that a hand-written question tests, or in words of its passage",
    "val": f"in val, {SHINGLE_WORDS} words in a row in common with train",
    "test": f"in test, {SHINGLE_WORDS} words in a row in common with train or val",
}
_LONGEST_EXAMPLE = 900


def card(name: str, manifest: Mapping[str, Any], splits: Mapping[str, Sequence[Item]]) -> str:
    """The card of a dataset, in Markdown; the same for the same dataset.

    Args:
        name: Of the dataset.
        manifest: Its manifest: sources, seed, counts, dropped, sha256.
        splits: Its questions by split.
    """
    shares = ", ".join(f"{share.numerator / share.denominator:.0%} {split}" for split, share in SHARES.items())
    total = sum(len(items) for items in splits.values())
    sections = [
        f"# Dataset {name}",
        f"{total:,} questions on the Bible with their answers, made by rule from the sources below, and hand-written "
        "ones (`anchors`), which are for the test alone. Open-book questions have the text that the answer follows "
        "from as context.",
        _counts(manifest["counts"], splits),
        "## An example of each family",
        *_examples(splits),
        "## How it is split",
        f"Into {shares}, the same for every build (seed {manifest['seed']}). Chapters that share text are one group, "
        "as are all questions on one word of a dictionary, and no two splits share a group.",
        "## What was dropped",
        _table(("questions", "why"), [(f"{n:,}", _DROPPED.get(why, why)) for why, n in manifest["dropped"].items()]),
        "## Sources",
        _table(("source", "what", "licence", "version or sha256"), _sources(manifest["sources"])),
        "## Files",
        _table(("file", "sha256"), [(file, f"`{digest}`") for file, digest in manifest["sha256"].items()]),
        f"All of them: `{digest_lines(f'{file} {digest}' for file, digest in manifest['sha256'].items())}`",
    ]
    return "\n\n".join(sections) + "\n"


def _counts(counts: Mapping[str, Mapping[str, int]], splits: Mapping[str, Sequence[Item]]) -> str:
    open_book: dict[str, set[bool]] = {}
    for items in splits.values():
        for item in items:
            open_book.setdefault(item.type, set()).add(item.open_book)
    kinds = {frozenset({True}): "open", frozenset({False}): "closed"}
    rows = [
        (family, *(f"{counts[split].get(family, 0):,}" for split in splits), kinds.get(frozenset(books), "both"))
        for family, books in sorted(open_book.items())
    ]
    totals = ("all", *(f"{len(items):,}" for items in splits.values()), "")
    return _table(("family", *splits, "book"), [*rows, totals])


def _examples(splits: Mapping[str, Sequence[Item]]) -> list[str]:
    first: dict[str, Item] = {}
    for items in splits.values():
        for item in items:
            # The first whose context is not too long to be read, or else the first.
            if item.type not in first or len(as_text(item)) <= _LONGEST_EXAMPLE < len(as_text(first[item.type])):
                first[item.type] = item
    return [f"### {family}\n\n```text\n{as_text(item)}\n```" for family, item in sorted(first.items())]


def _sources(sources: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, *_licence(name), f"`{digest}`") for name, digest in sorted(sources.items()) if name != "build_version"
    ]


def _licence(source: str) -> tuple[str, str]:
    for beginning, found in LICENCES.items():
        if source == beginning or (beginning.endswith(("/", "-")) and source.startswith(beginning)):
            return found
    raise LookupError(f"{source}: what it is and its licence are not written down in LICENCES")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
