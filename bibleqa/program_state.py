"""What a program.json may hold: DSPy would set any attribute of a predictor that a file names.

Demos and instructions are text and come from anybody. What else there is (a language model with its address, a
predictor's settings) would decide where questions and keys are sent: it is never taken from a file.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bibleqa.errors import ConfigError

MARKER = "<<CUSTOM-TYPE-START-IDENTIFIER>>"
"""Where DSPy, in any text of a prompt, begins to read JSON that becomes a part of the request."""
_MOST_BYTES = 64_000_000
_MOST_TEXT = 200_000
"""Characters of an instruction: more than any model reads."""
_MOST_PROGRAMS = 100
_ABOUT = ("metadata", "bibleqa")
_PREDICTOR = {"traces", "train", "demos", "signature", "lm"}
_MEMBER = re.compile(r"\bprograms\[(\d+)\]")


def read(path: Path) -> dict[str, Any]:
    """The state of a program without what is said about it; `nearest`, if there is one, is checked as well.

    Raises:
        ConfigError: It cannot be read, or holds what no program of this project has.
    """
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= _MOST_BYTES else "null"
        state = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(state, dict):
        raise ConfigError(f"{path}: no program's state, or larger than {_MOST_BYTES // 10**6} MB")
    if MARKER in text:
        raise ConfigError(f"{path}: {MARKER} stands in it, which is not for a text to say")
    state = {key: value for key, value in state.items() if key not in _ABOUT}
    nearest = state.get("nearest")
    predictors = {key: value for key, value in state.items() if key != "nearest"}
    if "signature" in predictors:
        predictors = {"program": predictors}
    wrong = [f"{key}.{what}" for key, one in predictors.items() if (what := _wrong_predictor(one))]
    if nearest is not None and not _is_pool(nearest):
        wrong.append("nearest")
    if wrong or not predictors:
        raise ConfigError(f"{path}: no state of a program of this project ({wrong[0] if wrong else 'it is empty'})")
    if members(state) > _MOST_PROGRAMS:
        raise ConfigError(f"{path}: more than {_MOST_PROGRAMS} programs in one")
    return state


def members(state: Mapping[str, Any]) -> int:
    """How many programs an ensemble has; 0 for what is none."""
    return max((int(found[1]) + 1 for key in state if (found := _MEMBER.search(key))), default=0)


def check_fits(state: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """See that a state has the predictors and fields of the program that is to take it.

    Args:
        state: As `read` gives it.
        expected: The program's own.
        path: Where the state is from.

    Raises:
        ConfigError: It is another program's.
    """
    if _shape(state) != _shape(expected):
        raise ConfigError(f"{path}: belongs to another program than the one that the config names")


def _shape(state: Mapping[str, Any]) -> dict[str, int]:
    predictors = {"": state} if "signature" in state else state
    return {name: len(one["signature"]["fields"]) for name, one in predictors.items() if name != "nearest"}


def _wrong_predictor(state: Any) -> str | None:
    """What is wrong about a predictor's state."""
    if not isinstance(state, dict) or state.keys() != _PREDICTOR:
        return "keys"
    if state["lm"] is not None:
        return "lm"
    if not all(isinstance(state[name], list) for name in ("traces", "train")):
        return "traces"
    if not _are_demos(state["demos"]):
        return "demos"
    signature = state["signature"]
    if not isinstance(signature, dict) or signature.keys() != {"instructions", "fields"}:
        return "signature"
    if not _is_text(signature["instructions"]):
        return "signature.instructions"
    fields = signature["fields"]
    fine = isinstance(fields, list) and all(
        isinstance(field, dict) and field.keys() == {"prefix", "description"} and all(map(_is_text, field.values()))
        for field in fields
    )
    return None if fine else "signature.fields"


def _are_demos(demos: Any) -> bool:
    """Whether they are tables of fields, with the turns of a history as texts."""
    return isinstance(demos, list) and all(
        isinstance(demo, dict) and all(map(str.isidentifier, demo)) and _is_history(demo.get("history"))
        for demo in demos
    )


def _is_history(history: Any) -> bool:
    if history is None:
        return True
    turns = history.get("messages") if isinstance(history, dict) and history.keys() == {"messages"} else None
    return isinstance(turns, list) and all(
        isinstance(turn, dict) and all(isinstance(text, str) for text in turn.values()) for turn in turns
    )


def _is_pool(nearest: Any) -> bool:
    if not isinstance(nearest, dict) or nearest.keys() != {"demos", "k"} or not _are_demos(nearest["demos"]):
        return False
    texts = all(isinstance(demo.get("question"), str) for demo in nearest["demos"])
    return type(nearest["k"]) is int and nearest["k"] > 0 and texts


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT
