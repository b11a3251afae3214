"""Who speaks to whom: from verses that open with one speech, its speaker or hearer named."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse, context_of
from bibleqa.data.questions.craft import choose, select, window
from bibleqa.data.questions.names import NAME, other_names, proper_names

TYPE = "speaker"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.08, 2000

_LEAD = r"(?:(?:And|Then|But|Now|So|Therefore|Wherefore|Again|Moreover|After this) )?(?:again )?"
_VERB = r"(?:answered and (?:said|spake)|answering said|said|saith|spake|answered)"
_NOUN = (
    "serpent|woman|man|men|people|devil|king|queen|servant|servants|princes|elders|midwives|disciples|Jews|multitude|"
    "centurion|governor|Pharisees|Philistine|damsel|maid|eunuch|angel|angels|children|priest|priests|prophet|scribes|"
    "captain|captains|soldiers|officers|chief butler|chief baker|chief priest|chief priests|high priest|apostles|"
    "Levites|watchman|messengers|spies|mariners|shipmaster|widow|witch|steward|chamberlain|magicians|sorcerers|"
    "wise men|young man|old man|captain of the guard|blind man|Philistines|trees|olive tree|fig tree|vine|bramble|"
    "shepherds|publicans|saints|brethren|blind men|impotent man|tempter|lord of the vineyard|"
    "congregation|Chaldeans|astrologers|tribute|evil spirit|unjust steward|town clerk|chief captain|barbarians"
)
_OF = rf"(?: of (?:the (?:LORD|Lord|city|house|people|Philistines|guard|Jews|Levites)|God|{NAME}))?"
_PARTY = (
    rf"(?P<{{0}}>(?:the LORD(?: God| of hosts)?|the Lord(?: GOD)?|God|[Tt]he (?:{_NOUN}){_OF}|Simon Peter|"
    rf"[Tt]he angel of the LORD|[Tt]he (?:children|house|men|elders|king) of {NAME}|"
    rf"his (?:disciples|servants|brethren|sons|men)|(?:king )?{NAME}))"
)
# What may follow a name and only says who it is; "and" never, so that no pair of people is cut in half.
_APPOSITION = (
    rf"(?:,? (?:the|his|her|their) [a-z]+(?: [a-z]+)??(?: in law)?(?: of (?:the )?{NAME}|of God)?"
    rf"| the son of {NAME}(?: the priest)?)?"
)
_PRONOUN = r"(?P<pronoun>he|she|they|I|we|one|some)"
_HEARER = (
    r"(?: again| also| moreover| yet)?(?: unto| to) "
    rf"(?:(?:him|her|them)(?: again)?|{_PARTY.format('hearer')}{_APPOSITION}(?: again| also)?)"
)
_SPEECH = r"(?:(?:,? ?(?:and said|saying|and saying))?,|:) (?P<speech>[A-Z].*)$"

_SUBJECT_FIRST = re.compile(
    rf"^{_LEAD}(?:{_PARTY.format('speaker')}{_APPOSITION},?|{_PRONOUN}) {_VERB}(?: moreover| also| again)?"
    rf"(?:{_HEARER})?{_SPEECH}"
)
_VERB_FIRST = re.compile(
    rf"^(?:Then|And|Now|So|But)?,? ?(?:[Aa]nswered|[Ss]aid|[Ss]pake|[Ss]aith) {_PARTY.format('speaker')}{_APPOSITION}"
    rf"(?:,? and said| again)?(?:{_HEARER})?{_SPEECH}"
)
_ANOTHER_SPEECH = re.compile(
    r"\b(?:said|saith|answered|answereth|spake|saying|asked|cried|commanded|sayest|say, |tell|called|prayed)\b"
)
_GOD = {
    "the LORD": ("the LORD God", "God"),
    "the LORD God": ("the LORD", "God"),
    "God": ("the LORD",),
    "the LORD of hosts": ("the LORD", "God"),
    "the Lord": ("the Lord Jesus", "Jesus"),
    "the Lord GOD": ("the LORD", "God"),
}


@dataclass(frozen=True)
class Speech:
    """The one speech of a verse.

    Attributes:
        speaker: Who speaks, as the verse has it; empty where it is a pronoun.
        hearer: Who is spoken to; empty where it is a pronoun or not said.
        opening: The first words that are spoken.
    """

    verse: Verse
    speaker: str
    hearer: str
    opening: str


def speech(bible: Bible, verse: Verse) -> Speech | None:
    """The speech that the verse opens with, if it is the only one and is surely read."""
    match = _SUBJECT_FIRST.match(verse.text) or _VERB_FIRST.match(verse.text)
    if not match or _ANOTHER_SPEECH.search(match["speech"]):
        return None
    if match.groupdict().get("pronoun") in ("I", "we", "one", "some"):
        return None
    speaker, hearer = (_known(bible, match[side] or "") for side in ("speaker", "hearer"))
    if speaker is None or hearer is None or not (speaker or hearer) or speaker == hearer:
        return None
    return Speech(verse, speaker, hearer, _opening(match["speech"]))


def names_of(party: str, verse: Verse) -> tuple[str, ...]:
    """What else the speaker or hearer may rightly be called."""
    if party == "the Lord" and verse.old_testament:
        return ("the LORD", "God")
    if party in _GOD:
        return _GOD[party]
    if party.startswith("king "):
        return (party.removeprefix("king "), *other_names(party.removeprefix("king "), verse))
    if party == "the children of Israel":
        return ("Israel", "the Israelites", "the people of Israel")
    if party.startswith("his "):
        return (party.removeprefix("his "),)
    return other_names(party, verse)


def questions(bible: Bible) -> Iterator[Item]:
    """Who speaks, and who is spoken to."""
    return iter(select(_candidates(bible), _SHARE, _LIMIT))


def ask_speaker(said: Speech, key: str) -> str:
    """A question whose answer is the speaker."""
    ref = said.verse.reference
    wordings = [f"Who speaks in {ref}?", f"Who says “{said.opening}” in {ref}?"]
    if said.hearer:
        to = said.hearer
        wordings += [f"Who speaks to {to} in {ref}?", f"In {ref}, who says to {to}, “{said.opening}”?"]
    return choose(f"wording:{key}", wordings)


def ask_hearer(said: Speech, key: str) -> str:
    """A question whose answer is who is spoken to."""
    ref = said.verse.reference
    wordings = [f"To whom is it said, “{said.opening}” in {ref}?", f"Who is spoken to in {ref}?"]
    if said.speaker:
        who = said.speaker
        wordings = [
            f"To whom does {who} speak in {ref}?",
            f"Whom does {who} address in {ref}?",
            f"In {ref}, to whom does {who} say, “{said.opening}”?",
        ]
        if _plural(who):
            wordings = [f"To whom do {who} speak in {ref}?", f"Whom do {who} address in {ref}?"]
    return choose(f"wording:{key}", wordings)


def _candidates(bible: Bible) -> Iterator[Item]:
    for verse in bible.verses:
        said = speech(bible, verse)
        if said is None:
            continue
        for side, answer, ask in (
            ("speaker", said.speaker, ask_speaker),
            ("hearer", said.hearer, ask_hearer),
        ):
            if not answer:
                continue
            key = f"{TYPE}:{verse.id}:{side}"
            yield Item(
                id=key,
                context=context_of(window(bible, verse, key)),
                question=ask(said, key),
                answer=answer,
                type=TYPE,
                reference=verse.reference,
                variants=names_of(answer, verse),
            )


def _known(bible: Bible, party: str) -> str | None:
    """The party if its names are names, with a small article; None if they are not."""
    party = _within(party)
    if party in _GOD or not party:
        return party
    names = [word for word in re.findall(rf"\b{NAME}", party) if word not in ("God", "Lord", "Jews", "Levites")]
    known = proper_names(bible) | {"Pharisees", "Philistine", "Philistines", "Chaldeans"}
    return party if all(name in known for name in names) else None


def _within(party: str) -> str:
    """The party as it stands inside a sentence."""
    return party.replace("The ", "the ", 1) if party.startswith("The ") else party


def _plural(party: str) -> bool:
    head = party.split(" of ")[0].split()[-1]
    return head in ("men", "people", "children", "brethren", "multitude") or (
        party.startswith(("the ", "his ")) and head.endswith("s") and head != "Jesus"
    )


def _opening(spoken: str) -> str:
    """The first words of a speech, up to a pause, eight at the most."""
    row = re.split(r"(?<=[\w’])[.:;?!]", spoken)[0].split()
    if len(row) <= 9:
        return " ".join(row).rstrip(",")
    return " ".join(row[:8]).rstrip(",") + " …"
