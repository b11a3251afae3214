"""What a dataclass of the schema says is what holds."""

import dataclasses
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import schema
from bibleqa.schema import Config, check_range, key


@dataclass
class Inner:
    share: float = key(0.5, "Share.", ge=0, le=1)
    colour: str = key("red", "Colour.", choices=("red", "blue"))


@dataclass
class Outer:
    inner: Inner
    count: int | None = key(None, "Count.", ge=1)
    names: list[str] = key([], "Names.")  # noqa: RUF009


def complaints(**values: object) -> list[str]:
    outer = Outer(Inner())
    for name, value in values.items():
        setattr(outer if hasattr(outer, name) else outer.inner, name, value)
    return list(check_range(outer))


def test_what_is_within_range_passes() -> None:
    assert complaints() == complaints(share=0, count=1, colour="blue") == []


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("share", 1.5, "inner.share=1.5: must be from 0 to 1"),
        ("share", -1, "inner.share=-1: must be from 0 to 1"),
        ("count", 0, "count=0: must be 1 or more"),
        ("colour", "green", "inner.colour=green: not one of red, blue"),
        ("share", math.nan, "inner.share=nan: must be a finite number"),
        ("count", math.inf, "count=inf: must be a finite number"),
    ],
)
def test_a_complaint_names_key_value_and_what_is_allowed(name: str, value: object, complaint: str) -> None:
    assert complaints(**{name: value}) == [complaint]


@given(st.floats())
def test_only_numbers_in_range_pass(value: float) -> None:
    assert (complaints(share=value) == []) == (0 <= value <= 1)


def test_two_configs_share_no_list() -> None:
    Outer(Inner()).names.append("a")
    assert Outer(Inner()).names == []


def test_every_key_says_what_it_is_for() -> None:
    for node in {*schema._SCHEMAS.values(), Config, schema.TermConfig}:
        for field in dataclasses.fields(node):
            assert node is Config or field.metadata["help"].endswith("."), f"{node.__name__}.{field.name}"
