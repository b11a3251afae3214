"""The checks that an answer can be held to, and sets of them: each says what is wrong with an answer, or nothing.

A check that finds nothing of its kind in a question or an answer lets it pass: a set must not spoil a right answer.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING
from pythonbible.regular_expressions import BOOK

from bibleqa import text
from bibleqa.config import options
from bibleqa.config import plugins as own_code
from bibleqa.data import reference
from bibleqa.data.corpora.records import Strongs
from bibleqa.errors import ConfigError
from bibleqa.schema import AssertionsConfig, check_range, key


@dataclass(kw_only=True)
class Check:
    """From a question's inputs and an answer to what is wrong with the answer."""

    severity: str = key(
        "hard", "hard: a failed one is asked again; soft: only told along with a hard one.", choices=("hard", "soft")
    )

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """What the model is told of it, or None when the answer passes.

        Args:
            inputs: The question's `context`, `question` and `history`.
            answer: As the program gave it.
        """
        raise NotImplementedError


@dataclass
class Grounded(Check):
    """The answer's content words stand in the context or the history. Without a context there is nothing to check."""

    min_share: float = key(1.0, "Share of the content words that must stand there.", ge=0, le=1)

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        if not inputs["context"]:
            return None
        known = set(text.words(inputs["context"]))
        for turn in inputs["history"].messages:
            known.update(text.words(" ".join(str(value) for value in turn.values())))
        content = [word for word in text.words(answer) if word not in _FUNCTION_WORDS]
        foreign = [word for word in content if word not in known]
        if len(content) - len(foreign) < len(content) * self.min_share - 1e-9:
            return f"Use words of the context only: {', '.join(foreign)} is not in it."
        return None


_FUNCTION_WORDS = frozenset(
    text.words(
        "and are as at be been but by did do does for from had has have he her his i in is it its me my not of on or "
        "our said she so that their them there they this to unto upon us was we were which who whom will with you your"
    )
)


_REFUSALS = [
    *("I don't know", "I do not know", "I'm not sure", "I am not sure", "I'm sorry", "I am sorry", "I apologize"),
    *("as an AI", "language model", "I'm unable", "I am unable", "unable to answer", "no answer"),
    *("cannot answer", "can't answer", "cannot provide", "can't provide", "cannot determine", "cannot be determined"),
    *("not mentioned", "not specified", "not stated in", "not provided in", "not given in"),
    *("does not mention", "doesn't mention", "does not specify", "doesn't specify"),
    *("context does not", "context doesn't", "passage does not say", "text does not say"),
    *("not enough information", "no information", "insufficient information"),
]


@dataclass
class Answers(Check):
    """The answer is not empty and holds none of the phrases in which models refuse, unless the context has it too."""

    refusals: list[str] = key(_REFUSALS, "Phrases that make an answer a refusal.")  # noqa: RUF009

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        if not text.words(answer):
            return "Give an answer: it was empty."
        # What the Bible itself says is a quotation.
        refusal = next(
            (r for r in self.refusals if text.contains(answer, r) and not text.contains(inputs["context"], r)), None
        )
        return refusal and f'Answer the question instead of saying "{refusal}".'


@dataclass
class MaxWords(Check):
    """The answer has no more words than that; articles do not count, as in the metrics."""

    most: int = key(10, "Words at the most.", ge=1)

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        count = len(text.words(answer))
        return None if count <= self.most else f"Be brief: {count} words are too many, {self.most} must do."


@dataclass
class Matches(Check):
    """A regular expression is found in the answer."""

    pattern: str = key(MISSING, "The regular expression, as Python has it; ^ and $ hold it to the whole answer.")
    message: str | None = key(None, "What the model is told of an answer without it (empty: the pattern).")

    def __post_init__(self) -> None:
        try:
            self._compiled = re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"pattern={self.pattern}: not a regular expression: {error}") from None

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        return None if self._compiled.search(answer) else self.message or f"The answer must match {self.pattern}"


_NAMES = [
    *("God", "LORD", "Jehovah", "Jah", "Yah", "Almighty", "most High", "Holy One", "I AM", "Ancient of days"),
    *("Jesus", "Christ", "Messiah", "Emmanuel", "Immanuel", "Spirit", "Holy Ghost"),
]
# Numbers and words of Strong's dictionaries, with the spellings in use.
_ORIGINALS = """
H410 El אל H426 Elah אלה H430 Elohim Elohiym אלהים H433 Eloah Eloahh אלוה H7706 Shaddai Shadday שדי H5945 Elyon עליון
H3068 H3069 YHWH YHVH Yahweh Yahveh Jehovah Yehovah Yehovih יהוה H3050 Yah Jah יה
H113 Adon אדון H136 Adonai Adonay אדני H4756 mare מרא H4899 mashiach mashiyach משיח H7307 ruach ruwach רוח
G2316 theos Θεός G2962 kyrios kurios κύριος G1203 despotes δεσπότης G5310 hypsistos ὕψιστος
G3841 pantokrator παντοκράτωρ G2424 Iesous Ἰησοῦς G5547 christos Χριστός G3323 Messias Μεσσίας G4151 pneuma πνεῦμα
""".split()


@dataclass
class NamesTerm(Check):
    """Where the question asks for a name of God, or for the word behind or before one, the answer names one.

    Of the context nothing is asked: most verses are about God, and most questions on them are not.
    """

    names: list[str] = key(_NAMES, "Names of God in English.")  # noqa: RUF009
    originals: list[str] = key(_ORIGINALS, "The same in the original languages, with their numbers.")  # noqa: RUF009

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        question = inputs["question"]
        if _ASKS_ORIGINAL.search(question) and _QUOTED_NAME.search(question):
            wanted, what = self.originals, "the word of the original language, or its Strong's number"
        elif _ASKS_ENGLISH.search(question) and _HEBREW_NAME.search(question):
            wanted, what = self.names, "the name of God in English"
        elif _ASKS_NAME.search(question):
            wanted, what = [*self.names, *self.originals], "a name of God"
        else:
            return None
        if any(text.contains(answer, form) for form in wanted):
            return None
        # A bare number is a Strong's number too, where one is asked for.
        if any(form[1:] in text.words(answer) for form in wanted if form[1:].isdecimal()):
            return None
        return f"The question asks for {what}: name it."


_ASKS_ORIGINAL = re.compile(r"\b(?:Hebrew|Aramaic|Chaldee|Greek|original|Strong['’]s)\b", re.IGNORECASE)
# Capital letters tell God from gods, and quotation marks the word that is asked about from what is said of it.
_QUOTED_NAME = re.compile(r"[“\"'‘](?:the )?(?:God|GOD|Lord|LORD|Jehovah|JEHOVAH|the Almighty)[”\"'’](?!\w)")
_ASKS_ENGLISH = re.compile(r"\b(?:English|render(?:s|ed)?|translat(?:e|es|ed))\b", re.IGNORECASE)
# Others (Elohim, Adon) stand for gods, judges and masters as well.
_HEBREW_NAME = re.compile(r"\b(?:YHWH|YHVH|Yahweh|Adonai|H3068|H3069|H136)\b|יהוה")
_GOD = r"(?:God|the L(?:ORD|ord))\b(?!['’]s)"
_ASKS_NAME = re.compile(
    rf"\b[Ww](?:hat|hich)(?: \w+){{0,3}} (?:divine (?:name|title)|(?:name|title)s? (?:of|for) {_GOD})"
    rf"|\b[Ww](?:hat|hich) (?:name|title) (?:is|was|did|had|has) (?:{_GOD}[^?]*\b(?:known|reveal)|[^?]* known {_GOD})"
)


@dataclass
class CitesReference(Check):
    """The answer has a reference: a book of the Bible with chapter and verse, or with a chapter alone."""

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        if any(isinstance(named, reference.Passage) for _, named in _references(answer)):
            return None
        return "Add the reference of the verse, as in (Genesis 5:6)."


@dataclass
class ReferenceExists(Check):
    """Every reference in the answer is to a verse of the 66 books. An answer without a reference passes.

    The numbering is the English one; a verse that only another one has passes where the context has it.
    """

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        wrong = [
            f"{named}."
            for written, named in _references(answer)
            if isinstance(named, ConfigError) and not text.contains(inputs["context"], _place(written))
        ]
        return " ".join(wrong) or None


def _place(written: str) -> str:
    """Chapter and verse of a reference, without its book."""
    return re.split(r"[^\W\d_]", written)[-1]


@dataclass
class StrongsExists(Check):
    """Every Strong's number in the answer is one of Strong's (1890), and of the language that is asked about.

    It goes by the range of the numbers (H1 to H8674, G1 to G5624 without the unused ones), which needs no dictionary.
    The language is the one that the question names, else that of the testament of the verses which it names, else of
    those in the context: H for Hebrew and Aramaic, G for Greek.
    """

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        numbers = [Strongs.parse(found[0].upper()).number for found in _STRONGS.finditer(answer)]
        if unknown := [number for number in numbers if not _is_strongs(number)]:
            return f"There is no Strong's number {', '.join(unknown)}."
        letters = _letters(inputs) if numbers else set()
        if len(letters) == 1 and (other := [number for number in numbers if number[0] not in letters]):
            (letter,) = letters
            tongue = "Hebrew, whose numbers begin with H" if letter == "H" else "Greek, whose numbers begin with G"
            return f"The verse is in {tongue}: {', '.join(other)} is not."
        return None


_STRONGS = re.compile(r"\b[HG]0*[1-9]\d{0,4}[A-Z]?\b", re.IGNORECASE)
_LAST = {"H": 8674, "G": 5624}
_UNUSED = {2717, *range(3203, 3303)}
_LANGUAGES = {"hebrew": "H", "aramaic": "H", "chaldee": "H", "greek": "G"}


def _is_strongs(number: str) -> bool:
    letter, count = number[0], int(number[1:])
    return count <= _LAST[letter] and not (letter == "G" and count in _UNUSED)


def _letters(inputs: Mapping[str, Any]) -> set[str]:
    """The letters that a number may begin with, as far as the inputs tell."""
    if named := {letter for language, letter in _LANGUAGES.items() if text.contains(inputs["question"], language)}:
        return named
    for where in (inputs["question"], inputs["context"]):
        if verses := [named.first for _, named in _references(where) if isinstance(named, reference.Passage)]:
            return {"H" if verse.in_book.testament == "old" else "G" for verse in verses}
    return set()


_NUMBER = r"\d{1,3}(?!\d)"
_CHAPTER = rf"(?:,?\s*chapter)?\s*{_NUMBER}"
_VERSE = rf"(?:\s*:\s*\d+(?!\d)|(?:\.|,?\s*verses?\s+){_NUMBER})"
_RANGE = rf"(?:\s*[-–—]\s*{_NUMBER}(?:\s*:\s*{_NUMBER})?)?"
# Where references stand; what they mean is for `data.reference` to say. A chapter alone is one only where no word
# follows: "Daniel 70 weeks" is no reference. What looks like a book and is none ("Hezekiah 3:4") is found by its verse.
_REFERENCE = re.compile(
    rf"{BOOK}{_CHAPTER}(?:{_VERSE}{_RANGE}|{_RANGE}(?!\s*\w))"
    rf"|\b(?:[1-4]\s*)?(?!(?:about|at|chapter|in|see|verse)\b)(?-i:[A-Z])[a-z]+\.?\s+{_NUMBER}:{_NUMBER}{_RANGE}",
    re.IGNORECASE,
)


def _references(passage: str) -> Iterator[tuple[str, reference.Passage | ConfigError]]:
    """Each reference in a text as it stands there, with the passage that it names, or what is wrong with it."""
    for found in _REFERENCE.finditer(passage):
        try:
            yield found[0], reference.parse(found[0])
        except ConfigError as error:
            yield found[0], error


@dataclass
class Own(Check):
    """A function of the user's own."""

    function: Callable[..., Any]
    parameters: Mapping[str, Any]

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer.

        Raises:
            TypeError: The function gave something else than a text or None.
        """
        said = self.function(inputs, answer, **self.parameters)
        if said is not None and not isinstance(said, str):
            name = f"{self.function.__module__}.{self.function.__qualname__}"
            raise TypeError(f"{name} gave {said!r}; a check gives what is wrong as text, or None")
        return said


CHECKS: dict[str, type[Check]] = {
    "grounded": Grounded,
    "answers": Answers,
    "max_words": MaxWords,
    "matches": Matches,
    "names_term": NamesTerm,
    "cites_reference": CitesReference,
    "reference_exists": ReferenceExists,
    "strongs_exists": StrongsExists,
}
"""The checks by the name that a set has them by."""


def build(assertions: AssertionsConfig, plugins: Sequence[str] = ()) -> dict[str, Check]:
    """The checks of a set, by name.

    Args:
        assertions: The set.
        plugins: The modules that functions of the user's own may be taken from; no other is imported.

    Raises:
        ConfigError: A check or a parameter is not known, or out of range.
    """
    checks: dict[str, Check] = {}
    for name, parameters in assertions.checks.items():
        where = f"assertions.checks.{name}"
        if not isinstance(parameters or {}, dict):
            raise ConfigError(f"{where}={parameters}: a check takes its parameters by name, as {{severity: soft}}")
        given = dict(parameters or {})
        if name not in CHECKS and "function" in given:
            check: Check = _own(where, given, plugins)
        elif name in CHECKS:
            check = options.typed(CHECKS[name], given, where)
        else:
            raise ConfigError(
                f"{where}: no such check; there are {', '.join(CHECKS)}, and your own: "
                f"{{{name}: {{function: <module>.<function>}}}}"
            )
        checks[name] = check
    return checks


def _own(where: str, parameters: dict[str, Any], plugins: Sequence[str]) -> Own:
    """The check of `{function: module.name, …}`; what else stands there but the severity is handed to the function."""
    path, severity = str(parameters.pop("function")), parameters.pop("severity", "hard")
    own_code.allow(f"{where}.function", path, plugins)
    function = own_code.function(f"{where}.function", path, "inputs, answer", parameters)
    own = Own(function, parameters, severity=severity)
    for problem in check_range(own, f"{where}."):
        raise ConfigError(problem)
    return own
