"""The answer in a reply that is still being written."""

import json
import re

_MARKUPS = (("[[ ## answer ## ]]", "[[ ##"), ("<answer>", "</answer>"))
_IN_JSON = re.compile(r'"answer"\s*:\s*"(?P<text>(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


def answer_so_far(reply: str) -> str:
    """As much of the answer as stands in a reply for certain: without the markup, or a beginning of what ends it.

    >>> answer_so_far("[[ ## reasoning ## ]] It says so. [[ ## answer ## ]] Seth [[ #")
    'Seth'
    """
    for opening, closing in _MARKUPS:
        _, opened, rest = reply.partition(opening)
        if opened:
            return _before(rest, closing).strip()
    found = _IN_JSON.search(reply)
    if not found:
        return ""
    text: str = json.loads(f'"{found["text"]}"', strict=False)
    return _whole(text).strip()


def _before(text: str, closing: str) -> str:
    """What stands before the closing, or before a beginning of it at the end."""
    text = text.partition(closing)[0]
    begun = next((n for n in range(len(closing) - 1, 0, -1) if text.endswith(closing[:n])), 0)
    return text[: len(text) - begun]


def _whole(text: str) -> str:
    """Without half a letter: JSON writes some in two parts."""
    return "".join(letter for letter in text if not "\ud800" <= letter <= "\udfff")
