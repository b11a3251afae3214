"""The one normalisation: what makes no difference, and what does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.text import contains, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Abraham", "ABRAHAM"),
        ("the LORD God", "Lord God"),
        ("A son, an heir", "son heir"),
        ("The LORD's anointed", "LORD anointed"),
        ("The LORD’s anointed", "LORD anointed"),
        ("The LORDʼs anointed", "LORD anointed"),
        ("Moses' rod", "Moses rod"),
        ("אֱלֹהִים", "אלהים"),
        ("בְּרֵאשִׁ֖ית", "בראשית"),
        ("Θεός", "θεος"),
        ("H0430", "H430"),
        ("h00430a", "H430A"),
        ("G0026", "G26"),
        ("*Isaac*, (or) _Jacob_!", "Isaac or Jacob"),
        ("twenty-two", "twenty two"),
        ("Noe\u0308", "No\u00eb"),
    ],
)
def test_makes_no_difference(one: str, other: str) -> None:
    assert words(one) == words(other) != ()


@pytest.mark.parametrize(
    ("one", "other"),
    [("H430", "H4300"), ("H430", "G430"), ("Ham", "Shem"), ("son", "sons"), ("430", "0430"), ("theme", "me")],
)
def test_makes_a_difference(one: str, other: str) -> None:
    assert words(one) != words(other)


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("And Abraham said unto Isaac", "abraham", True),
        ("And Abraham said unto Isaac", "said unto the Isaac", True),
        ("Abrahamic", "Abraham", False),
        ("Sarai laughed, Abram did not", "Sarai Abram", False),
        ("David begat Solomon", "Solomon David", False),
        ("Anything", "", False),
        ("Anything", "?!", False),
        ("", "Seth", False),
    ],
)
def test_a_phrase_is_found_as_whole_words_in_a_row(text: str, phrase: str, found: bool) -> None:
    assert contains(text, phrase) is found


@given(st.text())
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    once = words(text)
    assert all(word.isalnum() or not word.isascii() for word in once)
    assert words(" ".join(once)) == once


plain = st.lists(st.sampled_from(["Adam", "Seth", "Enos", "430", "אדם"]), min_size=1, max_size=6)


@given(plain, plain, plain)
def test_every_part_of_a_text_is_found_in_it(before: list[str], phrase: list[str], after: list[str]) -> None:
    assert contains(" ".join([*before, *phrase, *after]), " ".join(phrase))
