"""A run that has ended, read from its folder."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bibleqa import paths, runs
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder

# Written in C where PyYAML was built with it: a leaderboard reads hundreds of configs.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cached_output_tokens")


class PastRun:
    """A run folder with a summary. What the run answered, tried and made is read when it is first asked for."""

    def __init__(self, path: Path):
        """Read config and summary.

        Raises:
            ConfigError: It is no run folder, the run has not ended, or a newer version wrote it.
        """
        self.path = path
        self.config: dict[str, Any] = self._mapping("config.yaml", "not a run folder, it has no config.yaml")
        self.summary: dict[str, Any] = self._mapping(
            "summary.json", "the run has not ended, there is no summary.json; the same command again goes on with it"
        )
        schema = self.summary.get("schema")
        if not isinstance(schema, int):
            raise ConfigError(f"{path / 'summary.json'}: not a run's summary")
        if schema > runs.SCHEMA:
            raise ConfigError(
                f"{path}: written by a newer version (summary schema {schema}, this one reads {runs.SCHEMA}); "
                "update bibleqa"
            )

    def __repr__(self) -> str:
        return f"PastRun({str(self.path)!r})"

    @property
    def fingerprint(self) -> str:
        """The whole of it."""
        return str(self.summary["fingerprint"])

    @property
    def place(self) -> str:
        """Its folder as a person in the project's would write it."""
        return paths.short(self.path)

    @cached_property
    def answers(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By phase and question id, the lines of predictions.jsonl."""
        found: dict[str, dict[str, dict[str, Any]]] = {"baseline": {}, "optimized": {}}
        try:
            for line in RunFolder(self.path).read_lines("predictions.jsonl"):
                found[line["phase"]][line["id"]] = line
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.path / 'predictions.jsonl'} cannot be read: {error!r}") from None
        return found

    @cached_property
    def scores(self) -> dict[str, float]:
        """By question id, the score of the optimized program."""
        return {id: line["score"] for id, line in self.answers["optimized"].items() if line["score"] is not None}

    @cached_property
    def candidates(self) -> list[dict[str, Any]]:
        """What the optimizer tried, in its order."""
        return list(self._json("candidates.json") or [])

    @cached_property
    def program(self) -> dict[str, Any]:
        """DSPy's state of the optimized program; empty where the run made none."""
        return dict(self._json("program.json") or {})

    @property
    def score(self) -> float | None:
        """Of the optimized program, 0 to 1."""
        score: float | None = self.summary["optimized"]["score"]
        return score

    @property
    def calls(self) -> int:
        """LM calls of the whole run, those answered from the cache too."""
        return int(self.summary["lm"]["calls"])

    @property
    def tokens(self) -> int:
        """Tokens in and out of the whole run, those of calls answered from the cache too."""
        return sum(self.summary["lm"].get(key, 0) for key in _TOKENS)

    @property
    def knows_all_tokens(self) -> bool:
        """False where calls were answered from a cache that did not tell what they had used."""
        lm = self.summary["lm"]
        return not lm["cached_calls"] or any(lm.get(key) for key in _TOKENS[2:])

    @property
    def seconds(self) -> float:
        """From start to end."""
        return float(self.summary["seconds"]["total"])

    def _mapping(self, name: str, missing: str) -> dict[str, Any]:
        try:
            text = (self.path / name).read_text(encoding="utf-8")
            content = json.loads(text) if name.endswith(".json") else yaml.load(text, _LOADER)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{self.path}: {missing}") from None
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{self.path / name} cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise ConfigError(f"{self.path / name} cannot be read: it is no table")
        return content

    def _json(self, name: str) -> Any:
        try:
            return RunFolder(self.path).read_json(name)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(f"{self.path / name} cannot be read: {error}") from None


def find(reference: str) -> PastRun:
    """The run that is meant by a folder, or by the beginning of a fingerprint.

    Raises:
        ConfigError: There is none, or more than one, or `PastRun` refuses it.
    """
    if reference and Path(reference).is_dir():
        return PastRun(Path(reference).resolve())
    if re.fullmatch("[0-9a-f]{8,64}", reference):
        return PastRun(runs.by_fingerprint(reference).path)
    raise ConfigError(f"{reference}: neither a run folder nor a fingerprint (8 digits or more)")


def flat(node: Any, prefix: str = "") -> dict[str, str]:
    """The values of a config by their dotted keys, as a person writes them."""
    if isinstance(node, Mapping) and node:
        return {key: text for name, child in node.items() for key, text in flat(child, f"{prefix}{name}.").items()}
    return {prefix.removesuffix("."): written(node)}


def written(value: Any) -> str:
    """A value as a person writes it in YAML, on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
