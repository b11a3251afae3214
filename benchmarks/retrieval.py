"""How many questions each retriever finds a right verse for, among the first 5 and the first 20.

    python benchmarks/retrieval.py                     # all of them, then the table
    python benchmarks/retrieval.py --only embeddings endpoint@embedder=lm_studio embedder.model=<model>
    python benchmarks/retrieval.py --table             # the table alone
    python benchmarks/retrieval.py --tuning            # by the questions of the tuning

What was found is kept in benchmarks/retrieval.jsonl; the table is put into docs/guide/asking.md.

Two sets: the hand-written anchor questions as they are, with their history and without their context; and 300 generated
ones of the test split. These name their verse ("according to Genesis 28:9"), which would make it a matter of looking
up: the reference is taken out, and only questions are taken that still say which text they are about: those that quote
four words or more of it, and those about somebody's kin, who is named. Questions like "Who speaks?" are none.

A verse is right if it answers the question as it is asked: it is of the item's passage; or, the reference being taken
out, it has the words that are quoted, or names somebody of the kin that is asked about. "Whose son was Joshua?" is not
answered by Numbers 26:65 alone.

--tuning asks what the searches are tuned by instead: benchmarks/retrieval_tuning.tsv, written by hand for it about
other passages than the anchors', and all such questions of val.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from runs import Row, put, read

from bibleqa import config as configs
from bibleqa import paths, provenance, retrieval
from bibleqa.data import build
from bibleqa.data.item import Item
from bibleqa.data.kjv import kjv
from bibleqa.data.questions.kinship import kin
from bibleqa.data.reader import read_items
from bibleqa.retrieval import named

HERE = Path(__file__).parent
LOG = HERE / "retrieval.jsonl"
RETRIEVERS = ("fts", "embeddings", "hybrid")
KS = (5, 20)
GENERATED = 300
QUOTED_WORDS = 4
_QUOTE = re.compile(r"“([^”]*)”")
# What is left of "in Genesis 5:6 of the King James Version" where the reference is taken out.
_LEFT_OVER = re.compile(r",?\s*\b(?:in|of|according to)(?: of the King James Version)?\s*(?=[:,?]|$)", re.IGNORECASE)


def identifying(item: Item) -> Item | None:
    """The question without its reference, if it still says which text it is about."""
    bare = _LEFT_OVER.sub("", named.without(item.question))
    quoted = max((len(quote.split()) for quote in _QUOTE.findall(bare)), default=0)
    tells = item.type == "kinship" or quoted >= QUOTED_WORDS
    return replace(item, question=bare) if tells and not item.history else None


def generated(split: Path, most: int | None) -> list[Item]:
    """So many questions of a split, or all, the families in turn, in an order that depends on their ids alone."""
    by_type: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(read_items(split), key=lambda item: sha256(item.id.encode()).digest()):
        if item.reference and (bare := identifying(item)):
            by_type[item.type].append(bare)
    longest = max(map(len, by_type.values()))
    turns = (items[turn] for turn in range(longest) for _, items in sorted(by_type.items()) if turn < len(items))
    return list(turns)[:most]


def answering(item: Item) -> set[int]:
    """The ids of the verses that answer a question as it is asked."""
    truth = {verse.id for verse in kjv().passage(item.reference)}
    if item.id.startswith("kinship:"):
        _, _, child, parent = item.id.split(":")
        return truth | named_as()["child", child] if item.answer == parent else truth | named_as()["parent", parent]
    quotes = [_letters(quote) for quote in _QUOTE.findall(item.question) if len(quote.split()) >= QUOTED_WORDS]
    return truth | {id for id, text in plain_texts().items() if any(quote in text for quote in quotes)}


@cache
def named_as() -> Mapping[tuple[str, str], set[int]]:
    """The ids of the verses that name somebody as a child, or as a parent."""
    verses = defaultdict(set)
    for verse in kjv().verses:
        for who in kin(kjv(), verse):
            verses["child", who.child].add(verse.id)
            verses["parent", who.parent].add(verse.id)
    return verses


@cache
def plain_texts() -> Mapping[int, str]:
    """Every verse by its id, in small letters without punctuation."""
    return {verse.id: _letters(verse.text) for verse in kjv().verses}


def _letters(text: str) -> str:
    return re.sub(r"[^\w ]", "", text.casefold())


def tuning() -> Iterator[Item]:
    """The questions that were written for tuning."""
    for number, line in enumerate((HERE / "retrieval_tuning.tsv").read_text(encoding="utf-8").splitlines()):
        reference, question = line.split("\t")
        yield Item(f"tuning:{number}", "", question, "-", reference=reference)


def recall(retriever: retrieval.Retriever, items: Sequence[Item]) -> dict[int, float]:
    """The share of questions with a right verse among the first k, by k."""
    hits = dict.fromkeys(KS, 0)
    for item in items:
        truth = {kjv()[verse].reference for verse in answering(item)}
        found = [passage.reference for passage in retriever.search(item.question, max(KS), item.history)]
        for k in KS:
            hits[k] += bool(truth & set(found[:k]))
    return {k: count / len(items) for k, count in hits.items()}


def measured(name: str, sets: Mapping[str, Sequence[Item]], overrides: Sequence[str]) -> Iterator[Row]:
    """What one retriever finds of each set."""
    run = configs.compose(["program=retrieve_then_answer", f"retriever={name}", *overrides])
    model = run.retriever.model or (run.embedder.model if run.embedder and run.retriever.embeds else None)
    retriever = retrieval.build(run.retriever, run.embedder)
    retriever.search("In the beginning", 1)  # indexes are built, models loaded
    for what, items in sets.items():
        begun = time.process_time()  # what else the machine does is no matter
        found = recall(retriever, items)
        ms = 1000 * (time.process_time() - begun) / len(items)
        row = {"questions": what, "n": len(items), "retriever": name, "model": model, "ms": round(ms, 1)}
        yield row | {f"recall@{k}": round(found[k], 4) for k in KS} | {"git": provenance.git_state()}


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = [
        "| questions | n | retriever | " + " | ".join(f"recall@{k}" for k in KS) + " | CPU ms a question |",
        "|---|---|---|" + "---|" * (len(KS) + 1),
    ]
    for row in rows:
        by = ", ".join(filter(None, [row["retriever"], row["model"]]))
        found = " | ".join(f"{row[f'recall@{k}']:.1%}" for k in KS)
        lines.append(f"| {row['questions']} | {row['n']} | {by} | {found} | {row['ms']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, keep what was found in the log in place of what was there, and make the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RETRIEVERS, help="one retriever")
    parser.add_argument("--tuning", action="store_true", help="the questions of the tuning")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    folder = build.ensure_built(paths.project() / "data" / "processed")
    if given.tuning:
        sets = {"tuning, hand-written": list(tuning()), "tuning, val": generated(folder / "val.jsonl", None)}
    else:
        anchors = [replace(item, context="") for item in read_items(folder / "anchors.jsonl") if item.reference]
        sets = {"anchors": anchors, "generated": generated(folder / "test.jsonl", GENERATED)}
    known = {_key(row): row for row in read(LOG)}
    for name in [] if given.table else [given.only] if given.only else RETRIEVERS:
        for row in measured(name, sets, given.overrides):
            known[_key(row)] = row
            rows = [known[key] for key in sorted(known)]
            LOG.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = table(known[key] for key in sorted(known) if key[0] in sets)
    print(made)
    if not given.tuning:
        put(made, "benchmarks/retrieval.py")


def _key(row: Row) -> tuple[str, int, str]:
    """What a row is about, in the order of the table."""
    return row["questions"], RETRIEVERS.index(row["retriever"]), row["model"] or ""


if __name__ == "__main__":
    main()
