"""A verse with a word left out; closed-book, so that only knowing the verse helps."""

import re
from collections import Counter
from collections.abc import Iterator

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse
from bibleqa.data.questions.craft import choose, select
from bibleqa.text import words

TYPE = "fill_in"
OPEN_BOOK = False

_SHARE, _LIMIT = 0.01, 2000
_BLANK = "____"
_WORD = re.compile(r"(?<![\w’-])[a-z]{4,}(?![\w’-])")
# Often enough that a reader can know it, seldom enough that it says something.
_SEEN = range(12, 260)
_VERSE_WORDS = range(10, 32)
_WORDINGS = (
    "Which word is missing from {ref} (KJV)? “{gap}”",
    "Fill in the blank in {ref} of the King James Version: “{gap}”",
    "Complete {ref} as the King James Version has it: “{gap}”",
)
# Function words that are rare enough to pass for content.
_STOP = frozenset(
    {"about", "above", "after", "again", "against", "also", "always", "among", "amongst", "another", "away",
     "because", "been", "before", "being", "below", "beneath", "beside", "besides", "between", "beyond",
     "both", "cannot", "cause", "could", "doth", "done", "down", "each", "either", "else", "even", "ever",
     "every", "except", "forth", "from", "hast", "hath", "have", "having", "hence", "here", "herein", "hereby",
     "hither", "himself", "herself", "howbeit", "insomuch", "into", "itself", "least", "lest", "like",
     "likewise", "many", "mayest", "might", "mine", "more", "moreover", "much", "must", "myself", "neither",
     "nevertheless", "nothing", "notwithstanding", "only", "other", "others", "ours", "ourselves", "over",
     "peradventure", "rather", "same", "shalt", "should", "since", "some", "such", "than", "that", "thee",
     "their", "theirs", "them", "themselves", "then", "thence", "there", "thereby", "therefore", "therein",
     "thereof", "thereon", "thereto", "therewith", "these", "they", "thine", "things", "thing", "this",
     "those", "thou", "though", "through", "throughout", "thus", "thyself", "till", "together", "toward",
     "towards", "under", "until", "unto", "upon", "very", "wast", "were", "what", "whatsoever", "when",
     "whence", "whensoever", "where", "whereby", "wherefore", "wherein", "whereof", "whereon", "whereupon",
     "wherewith", "whether", "which", "while", "whither", "whom", "whomsoever", "whose", "whoso", "whosoever",
     "will", "wilt", "with", "within", "without", "would", "wouldest", "your", "yours", "yourselves",
     "shouldest", "couldest", "didst", "canst", "mightest", "wherewithal", "inasmuch", "forasmuch",
     "most", "sake", "save", "stead",
     "thereunto", "certain", "several", "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
     "eighth", "ninth", "tenth", "half", "full"}
)  # fmt: skip


def questions(bible: Bible) -> Iterator[Item]:
    """One word left out of each verse that is long enough to be known by."""
    frequency = Counter(word for verse in bible.verses for word in _WORD.findall(verse.text))
    told = Counter(words(verse.text) for verse in bible.verses)
    fit = (v for v in bible.verses if told[words(v.text)] == 1)
    return iter(select((i for v in fit for i in _items(v, frequency)), _SHARE, _LIMIT))


def _items(verse: Verse, frequency: Counter[str]) -> Iterator[Item]:
    if len(verse.text.split()) not in _VERSE_WORDS or verse.text[-1] not in ".!?":
        return
    inside = Counter(words(verse.text))
    fit = sorted({w for w in _WORD.findall(verse.text) if frequency[w] in _SEEN and w not in _STOP and inside[w] == 1})
    if not fit:
        return
    key = f"{TYPE}:{verse.id}"
    answer = choose(key, fit)
    gap = re.sub(rf"(?<![\w’-]){answer}(?![\w’-])", _BLANK, verse.text)
    yield Item(
        id=key,
        context="",
        question=choose(f"wording:{key}", _WORDINGS).format(ref=verse.reference, gap=gap),
        answer=answer,
        type=TYPE,
        reference=verse.reference,
        open_book=False,
    )
