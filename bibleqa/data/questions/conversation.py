"""Conversations of two to five turns that follow a thread through a few verses as a reader would.

Who spoke? To whom? Which Hebrew word is that? What is its number? And in the next verse? The last question means
nothing without the turns before it: the context has at least two answers of the kind that it asks for.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

from bibleqa.data.corpora.records import LexiconEntry
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item, Turn
from bibleqa.data.kjv import Verse, context_of
from bibleqa.data.questions.craft import choose, digest, gives_itself_away, select
from bibleqa.data.questions.divine_name import ADON, ADONAI, ELOHIM, GOD, LORD, SABAOTH, SHADDAI
from bibleqa.data.questions.kinship import Kin, ask_parent, kin
from bibleqa.data.questions.names import NAME, other_names, proper_names
from bibleqa.data.questions.number import Measure, measures
from bibleqa.data.questions.numerals import accepted_forms
from bibleqa.data.questions.small_words import SMALL
from bibleqa.data.questions.speaker import Speech, ask_hearer, ask_speaker, names_of, speech
from bibleqa.text import contains

TYPE = "conversation"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.03, 1500
# Of those that begin and end alike: every verse has words to ask about, and few have more.
_ALIKE = 260
_END_WITH_A_NUMBER = 110
_OPENS_WITH_A_WORD = ("no", "no", "yes")
_TURNS = (2, 3, 3, 3, 4, 4, 5)
_WINDOWS = ((0, 1), (1, 1), (0, 2), (1, 0), (2, 0))
# Genealogies have a person for every verse or two.
_WIDE_WINDOWS = ((2, 2), (1, 3), (3, 1), (3, 3))
_NOTES_IN_A_VERSE = 5
_LONGEST = 900
# As many letters of a word tell it in most of its forms.
_STEM = 4

_TERMS = {(term.number, term.english): term for term in (LORD, GOD, ELOHIM, ADONAI, ADON, SHADDAI, SABAOTH)}
# The tags have one word for "sin offering", "burnt offering", "silver pieces", at the second.
_HALVES = frozenset({"offering", "offerings", "piece", "pieces"})
_WORD = re.compile(r"(?<![\w’-])[A-Za-z]+(?![\w’-])")
_LEAD = re.compile(
    r"^(?:(?:and|but|for|the|a|an|my|thy|thine|mine|his|her|our|your|their|of|in|to|unto|this|that) )+", re.IGNORECASE
)
# The Aramaic parts of Ezra, Jeremiah and Daniel.
_ARAMAIC = (range(15004008, 15006019), range(15007012, 15007027), range(24010011, 24010012), range(27002004, 27007029))
_GOD = frozenset({"God", "the LORD", "the LORD God"})
_DEED = re.compile(
    rf"^(?:(?:And|Then|So|Now|But|In the beginning) )?(?P<who>God|the LORD(?: God)?|{NAME}) (?P<deed>"
    r"(?:created|made|built|builded|planted|took|called|smote|slew|blessed|buried|begat|sent|gathered|bare|anointed|"
    r"brought|gave|set|cast|destroyed|sold|bought|opened|divided|burned|brake|offered|delivered|commanded|found|saw|"
    r"reigned|judged|numbered|fought|fled|went|came|dwelt|died|wept|prayed|baptized|healed|preached|besieged|"
    r"overlaid|hewed|carried|appointed|sware|loved|hated|fell) [^.,;:?()]{8,60})[.,;:?]"
)
_UNCLEAR = re.compile(
    r"\b(?:he|she|it|they|him|her|them|his|hers|its|their|theirs|I|me|my|thou|thee|thy|ye|you|your|we|us|our|this|"
    r"these|those|that|there|so|also|thither|thence|himself|themselves|forth|up|out|away|down|yet|when|because|and)\b"
)

# Short, so that two of them in a row are not ten words that every other conversation has too.
_TO_WHOM = ("To whom?", "And to whom?", "Said to whom?", "To whom was that?")
_WHO = ("And who said it?", "Who is speaking there?", "Whose words are these?", "By whom?")
_NEXT_SPEAKER = ("And in the next verse?", "And who speaks in the next verse?", "Who speaks in the verse after that?")
_FATHER = ("And his father?", "And that father's father?", "And his?")
_THAT_WORD = ("And that, in {language}?", "What, in {language}?", "And in {language}?")
_NAMED_WORD = ("What does “{english}” mean here?", "And in {language}, “{english}”?")
_ANOTHER_WORD = ("And the word behind “{english}”?", "And “{english}” there?", "Which {language} word is “{english}”?")
_NUMBER = ("What is its number?", "And its Strong's number?", "Its number in Strong's?", "Which Strong's number?")
_RENDERED_NEXT = ("Its English in the next verse?", "How rendered one verse later?", "Translated how one verse later?")
_RENDERED_BEFORE = ("Its English one verse earlier?", "How rendered in the verse before?")
_NEXT_WORD = ("And in the next verse?", "And one verse later?")
_HOW_MUCH = {
    "begat": ("How old was he then?", "What age was he at the time?"),
    "after": ("How many years did he live after that?", "And how many years did he live afterwards?"),
    "life": ("How many years did he live in all?", "And how old was he when he died?"),
    "reign": ("And how many years did he reign?", "For how many years was he king?"),
    "age": ("How old was he when he began to reign?", "And how old was he at the beginning?"),
}


@dataclass(frozen=True)
class Noted:
    """An English word of a verse that one word of the original stands behind.

    Attributes:
        name: Its transliteration, or for a name of God what it is commonly called.
        variants: Its lemma, and other ways to write the name.
    """

    verse: Verse
    english: str
    number: str
    name: str
    variants: tuple[str, ...]

    @property
    def language(self) -> str:
        """`Hebrew` or `Greek`."""
        return "Hebrew" if self.number.startswith("H") else "Greek"


@dataclass(frozen=True)
class Step:
    """A question with its answer, as a turn of a conversation.

    Attributes:
        kind: What is asked for: `speaker`, `hearer`, `word`, `number`, `english`, `father`, `deed`, or of what.
        verse: The verse that it is about.
        question: As it is asked within a conversation.
        last: As it may be asked at the end, where only the turns before tell what is meant; empty where it would
            mean something without them.
        noted: The word that it is about, if it is about one.
        who: The person that it is about, if it is about one.
    """

    kind: str
    verse: Verse
    question: str
    answer: str
    variants: tuple[str, ...] = ()
    last: str = ""
    noted: Noted | None = None
    who: str = ""


@dataclass(frozen=True)
class Scene:
    """A few verses in a row, and what is known of them."""

    key: str
    verses: Sequence[Verse]
    speeches: dict[int, Speech]
    families: dict[int, list[Kin]]
    measures: list[Measure]
    noted: dict[int, list[Noted]]
    names: frozenset[str] = frozenset()
    turn: int = 0

    def ask(self, wordings: Sequence[str]) -> str:
        """One of the wordings, another in each turn."""
        first = choose(f"{self.key}:{wordings[0]}", range(len(wordings)))
        return wordings[(first + self.turn) % len(wordings)]

    @cached_property
    def all_kin(self) -> list[Kin]:
        """The parents and children of all its verses."""
        return [found for family in self.families.values() for found in family]

    @cached_property
    def all_noted(self) -> list[Noted]:
        """The words of all its verses."""
        return [word for found in self.noted.values() for word in found]


def questions(corpus: Corpus) -> Iterator[Item]:
    """Threads that begin at a speech, a deed, a word, a person or a number, and the one on the first verse."""
    alike: dict[tuple[str, str], list[Item]] = {}
    for kinds, item in _candidates(corpus):
        alike.setdefault(kinds, []).append(item)
    most = {kinds: _END_WITH_A_NUMBER if kinds[1] == "number" else _ALIKE for kinds in alike}
    chosen = [item for kinds, found in alike.items() for item in select(found, _SHARE, most[kinds])]
    yield from _on_the_first_verse(corpus)
    yield from select(sorted(chosen, key=_place), _SHARE, _LIMIT)


def word_notes(corpus: Corpus, verse: Verse) -> list[Noted]:
    """The words of a verse whose English is one word, behind which one word of the original always stands."""
    if any(verse.id in aramaic for aramaic in _ARAMAIC):
        return []
    groups: dict[int, list[tuple[str, str]]] = {}
    for word in corpus.words("kjv", verse.id):
        groups.setdefault(word.position, []).append((word.text, word.strongs))
    numbers: dict[str, set[str]] = {}
    for members in groups.values():
        english = _LEAD.sub("", members[0][0])
        numbers.setdefault(english, set()).update(number if len(members) == 1 else "" for _, number in members)
    # "Chosen" may stand in a group of several words too, and be something else there.
    in_phrases = {word for english in numbers if " " in english for word in english.split()}
    in_text = set(_WORD.findall(verse.text))
    found = []
    for english, (number, *more) in ((e, sorted(ns)) for e, ns in numbers.items() if e in in_text - in_phrases):
        entry = _entries(corpus).get(number) if not more else None
        content = len(english) > 2 and english.lower() not in SMALL | _HALVES
        content = content and english not in proper_names(corpus.bible)
        if entry and entry.lemma and content and _renders(english, entry):
            found.append(_noted(verse, english, number, entry.transliteration, entry.lemma))
    return found


def _renders(english: str, entry: LexiconEntry) -> bool:
    """Whether the dictionary has the English word too: a tag may be at the wrong word of several."""
    return any(word.startswith(english[:_STEM].lower()) for word in _WORD.findall(entry.kjv.lower()))


@lru_cache(maxsize=2)
def _entries(corpus: Corpus) -> dict[str, LexiconEntry]:
    return {entry.strongs: entry for entry in corpus.entries()}


def _noted(verse: Verse, english: str, number: str, transliteration: str, lemma: str) -> Noted:
    plain = _plain(transliteration)
    variants = [transliteration, lemma, number, f"{transliteration} ({number})", plain]
    name = transliteration
    if term := _TERMS.get((number, english)):
        name = term.name
        variants += [f"{name} ({number})", *term.also]
    return Noted(verse, english, number, name, tuple(dict.fromkeys(v for v in variants if v != name)))


def _plain(transliteration: str) -> str:
    """A transliteration as it is commonly written: `'ĕlôhîym` is `elohim`."""
    letters = (c for c in unicodedata.normalize("NFKD", transliteration) if c.isascii())
    bare = "".join(c for c in letters if c.isalnum() or c in " -")
    return bare.replace("iy", "i").replace("uw", "u").replace("ow", "o")


def _place(item: Item) -> tuple[int, str]:
    return int(item.id.split(":")[1]), item.id


def _candidates(corpus: Corpus) -> Iterator[tuple[tuple[str, str], Item]]:
    """Threads with the kinds of their first and last question."""
    bible = corpus.bible
    for chapter in bible.chapters.values():
        speeches = {v.id: said for v in chapter if (said := speech(bible, v))}
        families = {v.id: kin(bible, v) for v in chapter}
        numbers = {v.id: measures(bible, v) for v in chapter}
        noted = {v.id: word_notes(corpus, v) for v in chapter}
        for verse in chapter:
            key = f"{TYPE}:{verse.id}"
            for windows, open_thread in ((_WINDOWS, _on_the_text), (_WIDE_WINDOWS, _on_persons)):
                verses = bible.neighbours(verse, *choose(f"window:{key}", windows))
                scene = Scene(
                    key,
                    verses,
                    {v.id: speeches[v.id] for v in verses if v.id in speeches},
                    {v.id: families[v.id] for v in verses},
                    [m for v in verses for m in numbers[v.id]],
                    {v.id: noted[v.id] for v in verses},
                    proper_names(bible) | _GOD,
                )
                if len(verses) > 1 and len(context_of(verses)) <= _LONGEST:
                    yield from (thread for opening in open_thread(scene, verse) if (thread := _thread(scene, opening)))


def _thread(scene: Scene, opening: Step) -> tuple[tuple[str, str], Item] | None:
    """The conversation that begins so, and the kinds of its first and last question; None if it has no good end."""
    steps = [opening]
    key = f"{scene.key}:{opening.kind}"
    turns = choose(f"turns:{key}", _TURNS)
    while len(steps) < turns:
        told = {(step.kind, step.answer) for step in steps}
        ways = [way for way in _ways(replace(scene, turn=len(steps)), steps) if (way.kind, way.answer) not in told]
        # Every thread can end with a number, and few with anything else.
        if len(steps) == turns - 1:
            ways = [way for way in ways if way.last and way.kind != "number"] or ways
        if not ways:
            break
        steps.append(choose(f"way:{key}:{len(steps)}", ways))
    while len(steps) > 1:
        item = _item(scene, steps)
        if steps[-1].last and not gives_itself_away(item) and len(item.context) <= _LONGEST:
            return (opening.kind, steps[-1].kind), item
        steps.pop()
    return None


def _item(scene: Scene, steps: Sequence[Step]) -> Item:
    *before, last = steps
    return Item(
        id=f"{scene.key}:{':'.join(step.kind for step in steps)}",
        context=_context(scene, steps),
        question=last.last,
        answer=last.answer,
        history=tuple(Turn(step.question, step.answer) for step in before),
        type=TYPE,
        reference=steps[0].verse.reference,
        strongs_id=last.noted.number if last.noted else "",
        variants=tuple(v for v in last.variants if v != last.answer),
    )


def _context(scene: Scene, steps: Sequence[Step]) -> str:
    """The verses; if words were asked about, with notes on those and on some more."""
    lines = [context_of(scene.verses)]
    asked = [step.noted for step in steps if step.noted]
    if asked:
        # What makes the last question ambiguous: the same English, or the same number, in another verse.
        english, numbers = {word.english for word in asked}, {word.number for word in asked}
        needed = [word for word in scene.all_noted if word.english in english or word.number in numbers]
        for verse in scene.verses:
            here = scene.noted[verse.id]
            ranked = sorted(here, key=lambda word: (word not in needed, digest(f"{scene.key}:{word.english}")))
            some = ranked[: max(_NOTES_IN_A_VERSE, sum(word in needed for word in here))]
            if some:
                told = "; ".join(f"{w.english}: {w.number} {w.name}" for w in here if w in some)
                lines.append(f"[{verse.reference}, words] {told}")
    return "\n".join(lines)


def _on_the_text(scene: Scene, verse: Verse) -> Iterator[Step]:
    """Opening questions on who speaks or does something in a verse, or else on a word."""
    key, ref = scene.key, verse.reference
    if said := scene.speeches.get(verse.id):
        if said.speaker:
            asked = ask_speaker(replace(said, hearer=""), key)
            yield Step("speaker", verse, asked, said.speaker, names_of(said.speaker, verse))
        if said.hearer:
            asked = ask_hearer(replace(said, speaker=""), key)
            yield Step("hearer", verse, asked, said.hearer, names_of(said.hearer, verse))
    elif (deed := _DEED.match(verse.text)) and deed["who"] in scene.names and not _UNCLEAR.search(deed["deed"]):
        wordings = ("Who {deed} in {ref}?", "According to {ref}, who {deed}?", "In {ref}, who {deed}?")
        yield Step("deed", verse, scene.ask(wordings).format(deed=deed["deed"], ref=ref), deed["who"])
    elif scene.noted[verse.id] and choose(f"opening:{key}", _OPENS_WITH_A_WORD) == "yes":
        word = choose(f"word:{key}", scene.noted[verse.id])
        asked_of_a_word = (
            f"Which {{language}} word is behind “{{english}}” in {ref}?",
            f"In {ref}, which {{language}} word stands behind “{{english}}”?",
        )
        yield _on_word(scene, word, asked_of_a_word)


def _on_persons(scene: Scene, verse: Verse) -> Iterator[Step]:
    """Opening questions on somebody's father, and on how old or how many years."""
    for found in scene.families[verse.id][:1]:
        if found.father and found.relation != "daughter":
            yield Step("father", verse, ask_parent(found, scene.key, verse.reference), found.parent, who=found.child)
    for measure in scene.measures:
        if measure.verse == verse and measure.kind in _HOW_MUCH:
            asked = scene.ask(measure.asked).format(ref=verse.reference)
            answer = measure.numeral.words.lower()
            yield Step(measure.kind, verse, asked, answer, accepted_forms(measure.numeral), who=measure.who)


def _on_word(scene: Scene, word: Noted, wordings: Sequence[str], last: str = "") -> Step:
    form = partial(str.format, language=word.language, english=word.english)
    return Step("word", word.verse, form(scene.ask(wordings)), word.name, word.variants, form(last), word)


def _ways(scene: Scene, steps: Sequence[Step]) -> Iterator[Step]:
    """How the conversation can go on."""
    last = steps[-1]
    if last.kind in ("speaker", "hearer"):
        yield from _on_speech(scene, last)
    if last.kind in ("speaker", "hearer", "deed"):
        yield from _on_what_was_named(scene, last)
    if last.kind == "word" and last.noted:
        yield _on_number(scene, last.noted)
        yield from _on_same_english(scene, last.noted)
    if last.kind in ("word", "number") and last.noted:
        yield from _on_same_word(scene, last.noted)
    if last.kind in ("speaker", "hearer", "deed", "word", "number"):
        yield from _on_another_word(scene, last)
    if last.kind == "father":
        yield from _on_father(scene, last)
    if last.who:
        yield from _on_measures(scene, last)


def _on_speech(scene: Scene, last: Step) -> Iterator[Step]:
    said = scene.speeches[last.verse.id]
    found: tuple[tuple[str, str, Sequence[str], Callable[[Speech], str]], ...] = (
        ("speaker", said.speaker, _WHO, lambda s: s.speaker),
        ("hearer", said.hearer, _TO_WHOM, lambda s: s.hearer),
    )
    for kind, party, wordings, side in found:
        if party and kind != last.kind:
            several = len({side(s) for s in scene.speeches.values()} - {""}) > 1
            asked = scene.ask(wordings)
            yield Step(kind, last.verse, asked, party, names_of(party, last.verse), asked if several else "")
    following = scene.speeches.get(last.verse.id + 1)
    if last.kind == "speaker" and following and following.speaker:
        asked = scene.ask(_NEXT_SPEAKER)
        verse = following.verse
        yield Step("speaker", verse, asked, following.speaker, names_of(following.speaker, verse), asked)


def _on_what_was_named(scene: Scene, last: Step) -> Iterator[Step]:
    """The word behind the answer: "the LORD" is YHWH."""
    head = last.answer.removeprefix("the ")
    for word in scene.noted[last.verse.id]:
        if word.english == head:
            yield _on_word(scene, word, (*_NAMED_WORD, *_THAT_WORD), _several(scene, _THAT_WORD))


def _on_number(scene: Scene, word: Noted) -> Step:
    asked = scene.ask(_NUMBER)
    bare = (word.number[1:], f"{word.name} ({word.number})")
    return Step("number", word.verse, asked, word.number, bare, asked if _several(scene, _NUMBER) else "", word)


def _on_same_word(scene: Scene, word: Noted) -> Iterator[Step]:
    """How a verse before or after renders the word."""
    for step, wordings in ((1, _RENDERED_NEXT), (-1, _RENDERED_BEFORE)):
        there = scene.noted.get(word.verse.id + step, [])
        same = [w for w in there if w.number == word.number]
        if len(same) == 1 and same[0].english.lower() != word.english.lower():
            asked = scene.ask(wordings)
            yield Step("english", same[0].verse, asked, same[0].english, (), _several(scene, wordings), same[0])


def _on_same_english(scene: Scene, word: Noted) -> Iterator[Step]:
    """What stands behind the same English in the next verse, where that is another word."""
    for other in scene.noted.get(word.verse.id + 1, []):
        if other.english == word.english and other.number != word.number:
            yield _on_word(scene, other, _NEXT_WORD, scene.ask(_NEXT_WORD))


def _on_another_word(scene: Scene, last: Step) -> Iterator[Step]:
    number = last.noted.number if last.noted else ""
    if others := [w for w in scene.noted[last.verse.id] if w.number != number and not contains(last.answer, w.english)]:
        yield _on_word(scene, choose(f"another:{scene.key}:{number}", others), _ANOTHER_WORD)


def _on_father(scene: Scene, last: Step) -> Iterator[Step]:
    known = {k.parent for k in scene.all_kin if k.child == last.answer and k.father and k.relation != "daughter"}
    if len(known) == 1:
        (parent,) = known
        asked = scene.ask(_FATHER)
        several = len({k.parent for k in scene.all_kin}) > 1
        others = other_names(parent, last.verse)
        yield Step("father", last.verse, asked, parent, others, asked if several else "", who=last.answer)


def _on_measures(scene: Scene, last: Step) -> Iterator[Step]:
    """Numbers that the verses give for the same person, where they give such a number for another too."""
    person = last.answer if last.kind == "father" else last.who
    for measure in scene.measures:
        if measure.who != person or measure.kind == last.kind or measure.kind not in _HOW_MUCH:
            continue
        if measure.kind == "age" and "began to reign" not in measure.asked[0]:
            continue
        alike = {m.numeral.value for m in scene.measures if m.kind == measure.kind}
        asked = scene.ask(_HOW_MUCH[measure.kind])
        answer = measure.numeral.words.lower()
        variants = accepted_forms(measure.numeral)
        last_asked = asked if len(alike) > 1 else ""
        yield Step(measure.kind, measure.verse, asked, answer, variants, last_asked, who=person)


def _several(scene: Scene, wordings: Sequence[str]) -> str:
    """A wording that only the turns before explain; none where the verses have but one word to ask about."""
    return scene.ask(wordings) if len({word.number for word in scene.all_noted}) > 1 else ""


def _on_the_first_verse(corpus: Corpus) -> Iterator[Item]:
    """The thread that everybody begins with; its second question could stand alone, so it goes on to a third."""
    first = corpus.bible[1001001]
    noted = {first.id: word_notes(corpus, first)}
    scene = Scene(f"{TYPE}:{first.id}:first", [first], {}, {}, [], noted)
    (god,) = (word for word in noted[first.id] if word.english == "God")
    opened = Step("deed", first, "Who created the heavens and the earth?", "God")
    meant = Step("word", first, "What does “God” mean here?", god.name, god.variants, "What does “God” mean here?", god)
    yield _item(scene, [opened, meant])
    yield _item(scene, [opened, meant, _on_number(scene, god)])
