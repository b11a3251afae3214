from collections.abc import Callable

import pytest

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions.kinship import kin


@pytest.mark.parametrize(
    ("reference", "pairs"),
    [
        ("Genesis 5:6", {("Enos", "Seth")}),
        ("Genesis 4:18", {("Mehujael", "Irad"), ("Methusael", "Mehujael"), ("Lamech", "Methusael")}),
        ("Numbers 1:10", {("Elishama", "Ammihud"), ("Gamaliel", "Pedahzur")}),
        ("Zephaniah 1:1", {("Zephaniah", "Cushi"), ("Cushi", "Gedaliah"), ("Gedaliah", "Amariah"),
                           ("Amariah", "Hizkiah"), ("Josiah", "Amon")}),
        ("Luke 3:36", {("Cainan", "Arphaxad"), ("Arphaxad", "Sem"), ("Sem", "Noe"), ("Noe", "Lamech")}),
        ("Matthew 1:6", {("David", "Jesse"), ("Solomon", "David")}),
    ],
)  # fmt: skip
def test_parents_and_children_are_read(bible: Bible, reference: str, pairs: set[tuple[str, str]]) -> None:
    (verse,) = bible.passage(reference)
    assert {(k.child, k.parent) for k in kin(bible, verse)} == pairs


@pytest.mark.parametrize(
    ("reference", "pair"),
    [
        ("1 Chronicles 4:11", ("Mehir", "Shuah")),  # Chelub the brother of Shuah begat Mehir
        ("Matthew 1:3", ("Phares", "Judas")),  # Phares and Zara
        ("Matthew 1:1", ("David", "Abraham")),
        ("Luke 3:38", ("Adam", "God")),
        ("John 6:71", ("Iscariot", "Simon")),
        ("Joshua 15:8", ("valley", "Hinnom")),
        ("2 Kings 9:22", ("Israel", "Ahab")),
        ("Genesis 10:15", ("Sidon", "Canaan")),  # and Heth
    ],
)
def test_what_is_not_surely_said_is_refused(bible: Bible, reference: str, pair: tuple[str, str]) -> None:
    (verse,) = bible.passage(reference)
    assert pair not in {(k.child, k.parent) for k in kin(bible, verse)}


def test_a_mother_is_not_called_father(bible: Bible, family: Callable[[str], list[Item]]) -> None:
    (joab,) = (k for k in kin(bible, bible[13011039]) if k.child == "Joab")
    assert (joab.parent, joab.father) == ("Zeruiah", False)
    mothers = {"Zeruiah", "Haggith", "Hagar", "Leah"}
    assert not [i for i in family("kinship") if i.answer in mothers and "father" in i.question]


def test_there_are_enough(family: Callable[[str], list[Item]]) -> None:
    assert len(family("kinship")) >= 1000
