"""Whether a run that repeats another came out the same, and what is different about the two."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from bibleqa import schema
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder
from bibleqa.schema import Config

if TYPE_CHECKING:
    from bibleqa.evaluation import Outcome

_SAID = ("prediction", "raw", "score", "unreadable", "checks", "attempts")


def check_data(past: RunFolder, config: Config, dataset_digest: str) -> None:
    """See that a repeated run has the questions of the past one, unless others are asked for.

    Raises:
        ConfigError: They are others, though the config says nothing of it.
    """
    before = _summary(past).get("dataset_digest")
    if before and before != dataset_digest and not any(_differences(_config(past), asdict(config), ("dataset",))):
        raise ConfigError(
            f"reproduce={past.path}: the same config gives other questions here (digest {dataset_digest[:12]}, then "
            f"{before[:12]}): another version of the text or of the code that makes questions. A dataset.… override "
            "asks for other questions knowingly"
        )


def of(past: RunFolder, config: Config, outcomes: "Iterable[Outcome]", made: Mapping[str, Any]) -> dict[str, Any]:
    """The part of summary.json about a repeated run.

    Args:
        past: The run that it repeats.
        config: The config of this one.
        outcomes: What this one was answered, in all phases.
        made: `versions`, `made_of`, `git`, `program_digest` of its summary.

    Returns:
        `of` and `mode`; `identical`; `differing`, the ids of questions with another answer or score; `compared`, how
        many answers both have; `same_program`; `overrides` and `changed`, pairs of then and now, by name.
    """
    before = _summary(past)
    recorded = {(line["phase"], line["id"]): line for line in past.read_lines("predictions.jsonl")}
    now = {(outcome.phase, outcome.id): asdict(outcome) for outcome in outcomes}
    common = [key for key in now if key in recorded]
    differing = [key for key in common if _answer(now[key]) != _answer(recorded[key])]
    same_program = made["program_digest"] == before.get("program_digest")
    complete = config.reproduce.mode == "evaluate" or now.keys() == recorded.keys()
    changed = dict(_differences(before, made, ("versions", "made_of", "git")))
    return {
        "of": str(past.path),
        "mode": config.reproduce.mode,
        "identical": bool(common) and complete and not differing and same_program,
        "same_program": same_program,
        "compared": len(common),
        "differing": sorted({identity for _, identity in differing}),
        "overrides": dict(_differences(_config(past), asdict(config), tuple(_config(past)))),
        "changed": changed,
    }


def _answer(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in _SAID)


def _summary(past: RunFolder) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = past.read_json("summary.json")
    except FileNotFoundError:
        return {}  # it was interrupted
    return summary


def _config(past: RunFolder) -> dict[str, Any]:
    saved: dict[str, Any] = yaml.safe_load((past.path / "config.yaml").read_text(encoding="utf-8"))
    for name in {"tracking", *schema.OF_THE_COMMAND} - {"plugins"}:  # other plugins are another program
        saved.pop(name, None)
    return saved


def _differences(
    then: Mapping[str, Any], now: Mapping[str, Any], names: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Pairs of then and now, by dotted name, of what is not the same."""
    for name in names:
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            inside = tuple(dict.fromkeys([*before, *after]))
            yield from ((f"{name}.{key}", pair) for key, pair in _differences(before, after, inside))
        elif before != after:
            yield name, (before, after)
