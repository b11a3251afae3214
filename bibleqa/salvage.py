"""Getting an answer out of a text in which a model has not kept to the format that it was asked for.

Weak and local models send JSON where headers were asked for, headers with markup of their own, or the bare answer.
What is taken is what stands in the text. An echo of the prompt is no answer: the name of a field where its value
should be, its description, or the questions of a conversation that the model goes on with by itself.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

import json_repair
from dspy.adapters.utils import apply_output_field_defaults, parse_value

_DEEPEST = 50
"""Brackets within brackets; what nests deeper is no answer, and the time that repairing it takes grows with it."""
_MOST_OBJECTS = 20
_LONGEST_OBJECT = 20_000  # characters
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_MARKUP = re.compile(r"</?[A-Za-z][\w-]*/?>|\[\[?\s*#|#\s*\]")
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PROMPT = re.compile(r"(your (in|out)put fields are|all interactions will be|respond with (the|a) )", re.IGNORECASE)

Fields = dict[str, Any]


def salvage(signature: Any, text: str, ways: Iterable[str]) -> tuple[str, Fields] | None:
    """What a text says in another format than the one that was asked for.

    Args:
        signature: Whose output fields are wanted, all of them.
        text: What the model has sent.
        ways: Of `WAYS`, those to try, in this order.

    Returns:
        The first way that led anywhere, and the values; None where there is no answer.
    """
    for way in ways:
        if fields := WAYS[way](signature, text):
            return way, fields
    return None


def hollow(signature: Any, name: str, value: Any) -> bool:
    """Whether the value of a field says nothing: blank, or what the prompt has in the field's place."""
    if not isinstance(value, str):
        return value is None
    bare = value.strip(" \t\r\n{}<>[]$*`'\".…").casefold()
    described = str((signature.output_fields[name].json_schema_extra or {}).get("desc") or "")
    return not bare or bare in (name.casefold(), described.strip("${}").casefold())


def nests_deeply(text: str) -> bool:
    """Whether brackets in a text stand deeper within each other than any answer's do."""
    depth = 0
    for match in re.finditer(r"[(\[{]|[)\]}]", text):
        depth = depth + 1 if match[0] in "([{" else max(0, depth - 1)
        if depth > _DEEPEST:
            return True
    return False


def _json(signature: Any, text: str) -> Fields | None:
    names = list(signature.output_fields)
    for body in (text, *_FENCED.findall(text)):
        if len(names) == 1 and (said := _string(body.strip())) and (fields := _typed(signature, {names[0]: said})):
            return fields
    plainly = _squeezed(text)
    for found in islice(_objects(text), _MOST_OBJECTS):
        given = {_key(key): value for key, value in found.items()}
        raw = {name: given[_key(name)] for name in names if _key(name) in given}
        if all(_stands_in(value, plainly) for value in raw.values()) and (fields := _typed(signature, raw)):
            return fields
    return None


def _string(text: str) -> str | None:
    try:
        said = json.loads(text) if text.startswith('"') else None
    except ValueError:
        return None
    return said if isinstance(said, str) else None


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a text, repaired, the outer ones first."""
    for span in _spans(text):
        try:
            yield from _inside(json_repair.loads(span))
        except (ValueError, RecursionError):
            continue


def _spans(text: str) -> Iterator[str]:
    """Where braces open until they close, or the text was cut off."""
    begun = depth = 0
    quoted = False
    for match in re.finditer(r'\\.|["{}]', text, re.DOTALL):
        if depth and match[0] == '"':
            quoted = not quoted
        elif match[0] == "{" and not quoted:
            begun = match.start() if not depth else begun
            depth += 1
        elif match[0] == "}" and depth and not quoted:
            depth -= 1
            if not depth:
                yield text[begun : match.end()][:_LONGEST_OBJECT]
        if depth > _DEEPEST:
            return
    if depth:
        yield text[begun:][:_LONGEST_OBJECT]


def _inside(value: Any) -> Iterator[Mapping[str, Any]]:
    """An object and those within it; models wrap them into others, also as text."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _inside(child)
    elif isinstance(value, list):
        for child in value:
            yield from _inside(child)
    elif isinstance(value, str) and value.lstrip().startswith("{") and not nests_deeply(value):
        yield from _inside(json_repair.loads(value))


def _key(name: Any) -> str:
    return re.sub(r"[\W_]+", "_", str(name)).strip("_").casefold()


def _stands_in(value: Any, plainly: str) -> bool:
    """Whether a repaired value was in the text like that; a whole object is no value."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and _squeezed(str(value)) in plainly


def _squeezed(text: str) -> str:
    """A text without white space, backslashes and what JSON escapes with them."""
    letters = _ESCAPED.sub(lambda m: chr(int(m[1][1:], 16)) if len(m[1]) > 1 else "" if m[1] in "nrtbf" else m[1], text)
    whole = letters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"[\s\\]+", "", whole)


def _headers(signature: Any, text: str) -> Fields | None:
    titles = [*_titles(signature, text), ("", len(text), len(text))]
    if any(title in signature.input_fields for title, _, _ in titles):
        return None  # the model goes on with the prompt by itself
    raw: dict[str, str] = {}
    for (title, _, begun), (_, end, _) in pairwise(titles):
        value = _bare(text[begun:end])
        if title not in signature.output_fields or hollow(signature, title, value):
            continue
        if raw.setdefault(title, value) != value:
            return None  # which of the two is it?
    return None if any(_MARKUP.search(value) for value in raw.values()) else _typed(signature, raw)


def _titles(signature: Any, text: str) -> list[tuple[str, int, int]]:
    """Where a section begins: the name of its field, empty for the end of the one before, and the place of both."""
    known = {_key(name): name for name in (*signature.input_fields, *signature.output_fields)}
    one = "|".join(re.escape(name).replace("_", "[_ ]") for name in known.values())
    bold = r"(?:\*\*|__)"
    pattern = (
        # In backticks they are the prompt's, which says what to answer with.
        r"(?<![`\[])(?:\[{1,2}\s*#{1,3}\s*(?P<mark>\w+)\s*#{0,3}\s*\]{1,2}"
        rf"|\[\[\s*(?P<box>{one})\s*\]\]|<(?P<end>/?)\s*(?P<tag>{one})\s*>)(?![`\]])"
        r"|^[ \t]*(?:[-*•>][ \t]+)?(?:"
        rf"\#{{1,6}}[ \t]*{bold}?(?P<head>{one}){bold}?[ \t]*\#*(?::|[ \t]*$)"
        rf"|{bold}(?P<bold>{one})[ \t]*(?::[ \t]*{bold}?|{bold}[ \t]*:?)"
        rf"|(?P<line>{one})[ \t]*:)"
    )
    return [
        ("" if match["end"] else known.get(_key(_first(match)), ""), match.start(), match.end())
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
    ]


def _first(match: re.Match[str]) -> str:
    return next(found for name, found in match.groupdict().items() if found and name != "end")


def _bare(text: str) -> str:
    return text.strip().strip("*`").strip()


def _plain(signature: Any, text: str) -> Fields | None:
    """The whole text, where one field is asked for and nothing in the text is structure."""
    if len(signature.output_fields) != 1 or "{" in text or _MARKUP.search(text) or _titles(signature, text):
        return None
    instructions = (line.strip() for line in signature.instructions.splitlines())
    if _PROMPT.search(text) or any(len(line) > 20 and line in text for line in instructions):
        return None
    (name,) = signature.output_fields
    return _typed(signature, {name: _bare(text)}) if re.search(r"\w", text) else None


def _typed(signature: Any, raw: Mapping[str, Any]) -> Fields | None:
    """The values in the types of their fields; None unless all are there and none is hollow."""
    if not raw or any(hollow(signature, name, value) for name, value in raw.items()):
        return None
    try:
        typed = {name: parse_value(value, signature.output_fields[name].annotation) for name, value in raw.items()}
    except (ValueError, RecursionError):
        return None
    fields = apply_output_field_defaults(signature, typed)
    return fields if fields.keys() == signature.output_fields.keys() else None


WAYS: dict[str, Callable[[Any, str], Fields | None]] = {"json": _json, "headers": _headers, "plain": _plain}
"""By name, the ways to look for an answer, the surest first."""
