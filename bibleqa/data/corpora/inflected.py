"""Strong's numbers that are only an inflected form of a word with a number of its own.

James Strong gave some forms of the Greek pronouns, of the article and of "to be" numbers of their own, and the tags
of the King James Version use them: ἦν is G2258, not G1510. Counting a word means to fold them first.

Source: Strong's Greek dictionary (Debian `sword-dict-strongs-greek` 3.0), in whose entries these words are said to
be a case, number, person, mood, contraction or other form of the lemma, directly or through one another ("G3450: the
simpler form of G1700", "G1700: a prolonged form of G3449"; the latter is a misprint for G3450 in the dictionary
itself). The candidates were drawn from the dictionary's text and reviewed one by one. Not folded are forms that have
become words: adverbs (G235 ἀλλά, G3757 οὗ), interjections (G2400 ἰδού), nouns (G758 ἄρχων), impersonal verbs
(G1163 δεῖ, G566 ἀπέχει), phrases (G3603 ὅ ἐστι), comparatives, feminines and neuters that are nouns (G79 ἀδελφή),
middle voices with a meaning of their own (G756 ἄρχομαι), and the stems that complete another verb (G2036, G5315),
which Strong holds for verbs.
"""

_FORMS = {
    # ἐγώ, I; ἡμεῖς, we
    "G1473": "G1691 G1698 G1700 G2248 G2249 G2254 G2257 G3165 G3427 G3450",
    # σύ, thou; ὑμεῖς, you
    "G4771": "G4571 G4671 G4675 G5209 G5210 G5213 G5216",
    # ἑαυτοῦ, himself: contracted αὑτοῦ
    "G1438": "G848",
    # εἷς, one: feminine μία
    "G1520": "G3391",
    # εἰμί, to be
    "G1510": "G1488 G1498 G1511 G1526 G2070 G2071 G2075 G2076 G2077 G2252 G2258 G2277 G2468 G5600 G5607",
    # Ἰωσῆς, Joses: genitive Ἰωσή
    "G2500": "G2499",
    # ὁ, the: genitive τοῦ
    "G3588": "G5120",
    # οὗτος, this
    "G3778": "G5023 G5025 G5026 G5124 G5125 G5126 G5127 G5128 G5129 G5130",
    # הלך, to go: ילך, which Strong's Hebrew dictionary refers to it and later ones take for its imperfect
    "H1980": "H3212",
}

LEMMA = {form: lemma for lemma, forms in _FORMS.items() for form in forms.split()}


def lemma_of(number: str) -> str:
    """The number of the word that a number is a form of; most are words themselves."""
    return LEMMA.get(number, number)
