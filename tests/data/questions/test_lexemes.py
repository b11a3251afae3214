import pytest

from bibleqa.data.corpus import Corpus
from bibleqa.data.notes import notes
from bibleqa.data.questions.lexemes import (
    clear_tags,
    dictionary,
    is_name,
    language,
    number_forms,
    renderings,
    renders,
    word_forms,
)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Genesis 1:1", {"beginning": "H7225", "God": "H430", "heaven": "H8064", "earth": "H776"}),
        ("John 3:16", {"God": "G2316", "loved": "G25", "world": "G2889", "Son": "G5207"}),
    ],
)
def test_words_of_which_there_is_no_doubt(corpus: Corpus, reference: str, expected: dict[str, str]) -> None:
    (verse,) = corpus.bible.passage(reference)
    found = {tag.english: tag.entry.strongs for tag in clear_tags(corpus, verse, corpus.words("kjv", verse.id))}
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    ("reference", "english"),
    [
        ("Genesis 1:1", "and"),  # the object marker H853
        ("John 3:16", "perish"),  # G622 stands behind `should` too
        ("Genesis 3:13", "me"),  # H5377 is `beguiled`
        ("Mark 5:15", "mind"),  # a part of `in his right mind`
        ("Numbers 7:82", "offering"),  # a part of `sin offering`
        ("2 Corinthians 11:24", "times"),  # a part of `five times`
        ("Genesis 2:4", "heavens"),  # twice in the verse
    ],
)
def test_what_is_doubtful_is_refused(corpus: Corpus, reference: str, english: str) -> None:
    (verse,) = corpus.bible.passage(reference)
    assert english not in {tag.english for tag in clear_tags(corpus, verse, corpus.words("kjv", verse.id))}


def test_notes_pass_over_small_words(corpus: Corpus) -> None:
    assert notes(corpus, [1001001], {"H430": "Elohim"}) == (
        "[Genesis 1:1, words] beginning: H7225 rê'shîyth; God: H430 Elohim; created: H1254 bârâ'; "
        "heaven: H8064 shâmayim; earth: H776 'erets"
    )


def test_renderings_are_those_written_out_in_full(corpus: Corpus) -> None:
    entries = dictionary(corpus)
    assert renderings(entries["H2617"]) == ("favour", "good deed", "kindly", "merciful", "mercy", "pity", "reproach",
                                            "wicked thing")  # fmt: skip
    assert renders("lovingkindness", entries["H2617"])
    assert not renders("deed", entries["H2617"])
    assert "G2717" not in entries  # a number that Strong left out


def test_forms_of_a_word_and_its_number(corpus: Corpus) -> None:
    entries = dictionary(corpus)
    assert set(word_forms(entries["H430"])) == {"elohiym", "elohim", "אלהים", "H430", "H0430"}
    assert number_forms(entries["H430"]) == ("H0430", "430")
    assert number_forms(entries["H1"]) == ("H0001",)  # a bare 1 is in many a reference


def test_languages_and_names(corpus: Corpus) -> None:
    entries = dictionary(corpus)
    assert [language(entries[n]) for n in ("H1", "H2", "G1")] == ["Hebrew", "Aramaic", "Greek"]
    assert [is_name(entries[n]) for n in ("H4872", "G2424", "H1004")] == [True, True, False]
