"""`adapter=auto`: the format that a model keeps to best, found out once and remembered."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from bibleqa import paths, runs, text
from bibleqa.console import out
from bibleqa.errors import EndpointUnusable
from bibleqa.lm import embedded
from bibleqa.schema import AdapterConfig, Config, EndpointConfig, ProgramConfig

FORMATS = ("chat", "json", "xml")
"""Of equally good ones the first is picked."""

QUESTIONS = (
    ("[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:", "Who begat Enos?", "Seth"),
    ("[John 19:38] And after this Joseph of Arimathaea besought Pilate.", "Who besought Pilate?", "Joseph"),
    ("[Acts 28:1] Then they knew that the island was called Melita.", "What was the island called?", "Melita"),
)
"""Context, question and answer."""


@dataclass(frozen=True)
class Found:
    """What came of asking in a format."""

    kept: int
    """Replies that could be read without salvage."""
    right: int


@cache
def _say(line: str) -> None:
    """Once, for all the jobs of a sweep."""
    out.print(line, markup=False)


def settled(config: Config, *, ask: bool = True, tell: Callable[[str], None] = _say) -> Config:
    """The config with the format that is picked in the place of `auto`.

    Args:
        config: Checked.
        ask: Whether a model that nothing is remembered of is asked; if not, the config stays as it is.
        tell: Called with one line, what was picked and why, or what would be asked.

    Raises:
        EndpointUnusable: The model does not answer.
    """
    if config.adapter.name != "auto":
        return config
    endpoint = config.endpoint
    kept = _place(endpoint)
    found = _remembered(kept)
    if not found and not ask:
        tell(f"adapter=auto would first ask {endpoint.model} {len(FORMATS) * len(QUESTIONS)} questions")
        return config
    if not found:
        found = {name: _try(endpoint, name) for name in FORMATS}
        kept.parent.mkdir(parents=True, exist_ok=True)
        about = {"of": _known_by(endpoint), "found": {name: vars(one) for name, one in found.items()}}
        runs.write_atomically(kept, json.dumps(about, ensure_ascii=False, indent=2) + "\n")
    picked = max(FORMATS, key=lambda name: (found[name].kept, found[name].right))
    told = ", ".join(f"{name} {one.kept} and {one.right}" for name, one in found.items())
    tell(f"adapter=auto: {picked} for {endpoint.model}; of {len(QUESTIONS)} kept to it, and right: {told}")
    return replace(config, adapter=AdapterConfig(picked))


def _known_by(endpoint: EndpointConfig) -> dict[str, str | None]:
    weights = embedded.adapter_digest(endpoint) if endpoint.adapter else None
    return {"kind": endpoint.kind, "base_url": endpoint.base_url, "model": endpoint.model, "weights": weights}


def _place(endpoint: EndpointConfig) -> Path:
    known_by = hashlib.sha256(json.dumps(_known_by(endpoint)).encode()).hexdigest()
    return paths.project() / "outputs" / ".cache" / f"format-{known_by[:12]}.json"


def _remembered(kept: Path) -> Mapping[str, Found] | None:
    try:
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))["found"]
        return {name: Found(**found[name]) for name in FORMATS}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # never asked, or the user has removed or damaged it


def _try(endpoint: EndpointConfig, name: str) -> Found:
    import dspy
    from dspy.utils.exceptions import AdapterParseError, LMError

    from bibleqa import adapters
    from bibleqa import program as programs
    from bibleqa.lm import endpoints

    lm = endpoints.connect(endpoint)
    endpoints.probe(endpoint, lm)
    adapter = adapters.build(AdapterConfig(name))
    adapter.asks_again = False  # it is this format that is tried
    ask = programs.build(ProgramConfig("predict"))
    right = 0
    with adapters.watched() as readings, dspy.context(lm=lm, adapter=adapter):
        for context, question, answer in QUESTIONS:
            try:
                said = ask(context=context, question=question, history=dspy.History(messages=[])).answer
            except AdapterParseError:
                continue
            except LMError as error:
                raise EndpointUnusable(
                    f"adapter=auto: {endpoint.model} fails at {question!r} in {name}: "
                    f"{' '.join(str(error).split())[:200]}"
                ) from error
            right += text.contains(str(said), answer)
    return Found(sum(reading.salvaged is None for reading in readings), right)
