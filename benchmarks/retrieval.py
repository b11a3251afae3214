"""How many questions each retriever finds a verse of the right passage for, among the first 5 and the first 20.

    python benchmarks/retrieval.py [--only fts] [--tuning] [overrides, as endpoint@embedder=lm_studio]

Two sets: the hand-written anchor questions as they are, with their history and without their context; and 300 generated
ones of the test split. These name their verse ("according to Genesis 28:9"), which would make it a matter of looking
up: the reference is taken out, and only questions are taken that still say which text they are about: those that quote
four words or more of it, and those about somebody's kin, who is named. Questions like "Who speaks?" are none.

The truth is an item's reference. A question about a text that stands twice in the Bible has one truth all the same.

--tuning asks what the searches were tuned by instead: benchmarks/retrieval_tuning.tsv, written by hand for it, and
generated questions of val.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from bibleqa import config as configs
from bibleqa import paths, provenance, retrieval
from bibleqa.data import build
from bibleqa.data.item import Item
from bibleqa.data.kjv import kjv
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


def generated(split: Path) -> list[Item]:
    """So many questions of a split, the families in turn, in an order that depends on their ids alone."""
    by_type: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(read_items(split), key=lambda item: sha256(item.id.encode()).digest()):
        if item.reference and (bare := identifying(item)):
            by_type[item.type].append(bare)
    most = max(map(len, by_type.values()))
    turns = (items[turn] for turn in range(most) for _, items in sorted(by_type.items()) if turn < len(items))
    return list(turns)[:GENERATED]


def tuning() -> Iterator[Item]:
    """The questions that were written for tuning."""
    for number, line in enumerate((HERE / "retrieval_tuning.tsv").read_text(encoding="utf-8").splitlines()):
        reference, question = line.split("\t")
        yield Item(f"tuning:{number}", "", question, "-", reference=reference)


def recall(retriever: retrieval.Retriever, items: Sequence[Item]) -> dict[int, float]:
    """The share of questions with a verse of their passage among the first k, by k."""
    hits = dict.fromkeys(KS, 0)
    for item in items:
        truth = {verse.reference for verse in kjv().passage(item.reference)}
        found = [passage.reference for passage in retriever.search(item.question, max(KS), item.history)]
        for k in KS:
            hits[k] += bool(truth & set(found[:k]))
    return {k: count / len(items) for k, count in hits.items()}


def main() -> None:
    """Measure, print the table, and add a line for each retriever and set to the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RETRIEVERS, help="one retriever")
    parser.add_argument("--tuning", action="store_true", help="the questions of the tuning")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    folder = build.ensure_built(paths.project() / "data" / "processed")
    if given.tuning:
        sets = {"tuning, hand-written": list(tuning()), "val, generated": generated(folder / "val.jsonl")}
    else:
        anchors = [replace(item, context="") for item in read_items(folder / "anchors.jsonl") if item.reference]
        sets = {"anchors": anchors, "generated": generated(folder / "test.jsonl")}
    print("| questions | n | retriever | " + " | ".join(f"recall@{k}" for k in KS) + " | ms a question |")
    print("| --- | ---: | --- |" + " ---: |" * (len(KS) + 1))
    for name in [given.only] if given.only else RETRIEVERS:
        run = configs.compose(["program=retrieve_then_answer", f"retriever={name}", *given.overrides])
        retriever = retrieval.build(run.retriever, run.embedder)
        retriever.search("In the beginning", 1)  # indexes are built, models loaded
        for what, items in sets.items():
            begun = time.perf_counter()
            found = recall(retriever, items)
            ms = 1000 * (time.perf_counter() - begun) / len(items)
            model = run.retriever.model or (run.embedder.model if run.embedder and run.retriever.embeds else None)
            print(f"| {what} | {len(items)} | {name} | " + " | ".join(f"{found[k]:.1%}" for k in KS) + f" | {ms:.0f} |")
            line = {"questions": what, "n": len(items), "retriever": name, "model": model, "ms": round(ms, 1)}
            with LOG.open("a", encoding="utf-8") as log:
                row = {**line, **{f"recall@{k}": round(found[k], 4) for k in KS}, "git": provenance.git_state()}
                log.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
