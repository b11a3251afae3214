"""Numbers as the King James Version writes them: `an hundred and seven and twenty`, `threescore and ten`."""

import re
from dataclasses import dataclass

_ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCORES = {"threescore": 60, "fourscore": 80, "sixscore": 120}
_UNITS = {word: value for value, word in enumerate(_ONES, start=1)}
_TY = {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}

_WORD = "|".join([*_ONES, *_TENS, *_SCORES, "hundred", "thousand"])
_RUN = re.compile(
    rf"(?<![\w’-])(?:an? (?=hundred|thousand))?(?:{_WORD})"
    rf"(?:(?: and)?(?: an?(?= hundred| thousand))? (?:{_WORD}))*(?![\w-])",
    re.IGNORECASE,
)
_ORDINAL_TAIL = re.compile(r"(?:,? and)? \w*(?:first|second|third|[a-z]th|tenths|ths)\b|thousands")


@dataclass(frozen=True)
class Numeral:
    """A number in a text: its words, its value (None if they do not make one number) and its place."""

    words: str
    value: int | None
    start: int
    end: int


def numerals(text: str) -> list[Numeral]:
    """Every number in the text, those that it makes no sense of included, so that callers can be careful."""
    return [
        Numeral(
            match[0],
            None if _ORDINAL_TAIL.match(text, match.end()) else value_of(match[0]),
            match.start(),
            match.end(),
        )
        for match in _RUN.finditer(text)
    ]


def value_of(phrase: str) -> int | None:
    """The value of number words, or None where they are not one number (`seven and seven`).

    >>> value_of("an hundred and seven and twenty"), value_of("threescore and ten"), value_of("two two")
    (127, 70, None)
    """
    parts = [word for word in phrase.lower().split() if word not in ("and", "a", "an")]
    total = 0
    while "thousand" in parts:
        cut = parts.index("thousand")
        thousands = _below_thousand(parts[:cut]) if cut else 1
        if thousands is None or (total and total % 1000 == 0 and thousands * 1000 >= total):
            return None
        total += thousands * 1000
        parts = parts[cut + 1 :]
    rest = _below_thousand(parts) if parts else 0
    return None if rest is None or total + rest == 0 else total + rest


def _below_thousand(parts: list[str]) -> int | None:
    hundreds = 0
    if "hundred" in parts:
        cut = parts.index("hundred")
        if cut > 1 or (cut == 1 and _UNITS.get(parts[0], 10) > 9):
            return None
        hundreds = 100 * (_UNITS[parts[0]] if cut else 1)
        parts = parts[cut + 1 :]
    tens = [_TY[p] if p in _TY else _SCORES[p] for p in parts if p in _TY or p in _SCORES]
    ones = [_UNITS[p] for p in parts if p in _UNITS]
    only_scores_take_teens = not ones or ones[0] < 10 or not tens or tens[0] in _SCORES.values()
    if len(tens) > 1 or len(ones) > 1 or len(tens) + len(ones) != len(parts) or not only_scores_take_teens:
        return None
    return hundreds + sum(tens) + sum(ones)


def modern(value: int) -> str:
    """The number as it is said today: `one hundred and thirty`."""
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        joint = " " if rest >= 100 else " and "
        return f"{modern(thousands)} thousand" + (f"{joint}{modern(rest)}" if rest else "")
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        return f"{modern(hundreds)} hundred" + (f" and {modern(rest)}" if rest else "")
    if value >= 20:
        tens, rest = divmod(value, 10)
        return _TENS[tens - 2] + (f"-{_ONES[rest - 1]}" if rest else "")
    return _ONES[value - 1]


def accepted_forms(numeral: Numeral) -> tuple[str, ...]:
    """Digits and the modern words, as far as they differ from the words of the text."""
    if numeral.value is None:
        raise ValueError(f"not one number: {numeral.words}")
    spoken = modern(numeral.value)
    forms = (str(numeral.value), f"{numeral.value:,}", spoken, spoken.replace(" and ", " "))
    return tuple(f for f in dict.fromkeys(forms) if f != numeral.words.lower())
