from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bibleqa.data import store
from bibleqa.data.corpora import tipnr
from bibleqa.data.corpora.records import ProperName, Reading
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions import people_places
from bibleqa.data.questions.people_places import individuals
from bibleqa.data.store import Record, Source

SAMPLE = Path(__file__).parents[4] / "shared" / "stepbible" / "TIPNR.txt"


def person(unique: str, number: str, description: str, verse: int, **relatives: str) -> ProperName:
    name = unique.split("@")[0]
    return ProperName("person", name, unique, (number,), description, tuple(relatives.items()), (verse,))


UNITED, DIVIDED = "living at the time of United Monarchy", "living at the time of Divided Monarchy"
NATHAN, EZRA = "Nathan@2Sa.7.2", "Ezra@1Ch.4.17"
PEOPLE = [
    person("Azariah@1Ki.4.2", "H5838G", f"Priest {UNITED}", 11004002),
    person("Azariah@1Ki.4.5", "H5838H", f"Man {UNITED}", 11004005, father=NATHAN),
    person("Azariah@2Ch.15.1", "H5838M", f"Prophet {DIVIDED}", 14015001, father="Oded@2Ch.15.1"),
    person("Azariah@2Ch.29.12a", "H5838U", f"Man {DIVIDED}", 14029012),
    person("Azariah@2Ch.29.12b", "H5838V", f"Man {DIVIDED}", 14029012),
    person(NATHAN, "H5416H", f"Prophet {UNITED}", 10007002),
    person("Oded@2Ch.15.1", "H5752G", f"Man {DIVIDED}", 14015001),
    person(EZRA, "H5834", f"Man {DIVIDED}", 13004017),
    person("Epher@1Ch.4.17", "H6081", f"Man {DIVIDED}", 13004017, **{"father?": EZRA}),
    person("Jalon@1Ch.4.17", "H3210", f"Man {DIVIDED}", 13004017, father=EZRA),
    person("Mered@1Ch.4.17", "H4778", f"Man {DIVIDED}", 13004017, father=EZRA, spouse="daughter of Pharaoh@1Ch.4.18"),
    person("Anonymous@1Ch.4.17", "H4779", f"Man {DIVIDED}", 13004017, father=EZRA),
    ProperName("place", "Ashdod", "Ashdod@Jos.11.22", ("H795",), "A location in Philistia first mentioned at "
               "Jos.11.22; also called Azotus, Ashdodite", (), (6011022,)),
    ProperName("place", "Gath", "Gath@Jos.11.22", ("H1661",), "A location near Ashdod (H0795) first mentioned at "
               "Jos.11.22", (), (6011022,)),
    ProperName("place", "Madon", "Madon@Jos.11.1", ("H4068",), "A location only mentioned at Jos.11.1",
               (), (6011001,)),
]  # fmt: skip


def a_store(path: Path, records: Iterable[Record]) -> Corpus:
    def read(reading: Reading) -> Iterator[Record]:
        for record in records:
            reading.rows += 1
            yield record

    list(store.build(path, [Source("stepbible/tipnr", "1", read, path)], 0.0))
    return Corpus(path)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return a_store(tmp_path_factory.mktemp("names") / "corpus.sqlite", PEOPLE)


@pytest.fixture(scope="module")
def items(few: Corpus) -> dict[str, Item]:
    # So few that every share of theirs would be none.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_places, "_SHARE", 0.5)
        return {item.id.removeprefix("people_places:"): item for item in people_places.questions(few)}


def test_bearers_of_a_name_are_told_apart(items: dict[str, Item]) -> None:
    item = items["Azariah:11004005:father"]
    assert item.answer == "Nathan"
    assert set(item.context.split("\n")) == {
        "Azariah (1 Kings 4:2): Priest, United Monarchy",
        "Azariah (1 Kings 4:5): Man, United Monarchy; father: Nathan",
        "Azariah (2 Chronicles 15:1): Prophet, Divided Monarchy; father: Oded",
    }
    assert "1 Kings 4:5" in item.question
    assert (item.reference, item.strongs_id) == ("", "H5838")


def test_a_first_mention_is_asked_by_father_or_rank(items: dict[str, Item]) -> None:
    assert "the Azariah whose father was Oded" in items["Azariah:14015001:verse"].question
    assert "the Azariah who was a priest" in items["Azariah:11004002:verse"].question
    assert items["Azariah:11004002:verse"].answer == "1 Kings 4:2"


def test_what_is_doubtful_is_not_told(few: Corpus, items: dict[str, Item]) -> None:
    told = {(one.name, one.father, one.spouse) for one in individuals(few)}
    assert ("Epher", "", "") in told
    assert ("Mered", "Ezra", "") in told
    assert "Anonymous" not in {name for name, _, _ in told}  # the verse does not have it
    assert "Azariah:14029012:verse" not in items  # two of them


def test_a_name_with_one_bearer_stands_among_others_of_its_chapter(items: dict[str, Item]) -> None:
    item = items["Gath:6011022:near"]
    assert (item.answer, item.reference) == ("Ashdod", "Joshua 11:22")
    assert "Ashdod (Joshua 11:22): A location in Philistia; also called Azotus" in item.context
    assert items["Ashdod:6011022:also"].accepted == ("Azotus",)


@pytest.fixture(scope="module")
def all_items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    if not SAMPLE.is_file():
        pytest.skip(f"{SAMPLE} is not there")
    names = tipnr.names(SAMPLE, Reading(SAMPLE))
    return list(people_places.questions(a_store(tmp_path_factory.mktemp("tipnr") / "corpus.sqlite", names)))


def test_there_are_enough_of_every_kind(all_items: list[Item]) -> None:
    kinds = Counter(item.id.rpartition(":")[2] for item in all_items)
    assert len(all_items) >= 1100
    assert all(kinds[kind] >= 30 for kind in ("father", "mother", "spouse", "verse", "period", "near", "also")), kinds
    assert sum(not item.reference for item in all_items) >= 350


def test_every_answer_stands_in_the_line_of_the_individual(all_items: list[Item]) -> None:
    for item in all_items:
        _, name, first, kind = item.id.split(":")
        place = "" if kind == "verse" else f":{int(first) % 1000})"
        lines = item.context.split("\n")
        assert len(lines) > 1
        assert any(row.startswith(f"{name} (") and item.answer in row and place in row for row in lines), item


def test_no_line_is_in_two_groups(all_items: list[Item]) -> None:
    groups: dict[str, set[str]] = {}
    for item in all_items:
        group = item.reference.partition(":")[0] or item.strongs_id
        for row in item.context.split("\n"):
            groups.setdefault(row, set()).add(group)
    assert all(len(found) == 1 for found in groups.values())
