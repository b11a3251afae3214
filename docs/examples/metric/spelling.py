"""A metric: how nearly an answer is spelled like an accepted one. Nebuchadrezzar is almost Nebuchadnezzar."""

from difflib import SequenceMatcher

import dspy


def score(example: dspy.Example, answer: str, least: float) -> tuple[float, str]:
    """The likeness of answer and nearest accepted answer, 0 to 1, and why; 0 where it is less than `least`."""
    likeness = {form: SequenceMatcher(None, answer.lower(), form.lower()).ratio() for form in example.accepted}
    nearest = max(likeness, key=likeness.__getitem__)
    best = likeness[nearest]
    return (best if best >= least else 0.0), f"Spelled {best:.0%} like {nearest!r}."
