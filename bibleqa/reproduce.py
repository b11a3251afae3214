"""`python run.py reproduce=<run>`: the saved config, turned back into Hydra's own overrides.

A saved config is data. Every value goes through the same schemas as one typed by hand, quoted so that it can be
nothing but a value.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from bibleqa import artifacts, paths, program_state, runs, schema, secrets, tracking
from bibleqa.config.options import names
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder

_PREFIX = "reproduce="
_MODE = "reproduce.mode="
_NEEDED = {"rerun": (), "replay": ("predictions.jsonl", "answers.jsonl"), "evaluate": ("program.json",)}
"""What a run must have left, beside its config, for each way to reproduce it."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A key that Hydra's grammar takes for nothing but a key."""


def expand(argv: Sequence[str]) -> list[str]:
    """The command line with `reproduce=<run>` replaced by overrides; what else stands there comes after them.

    Raises:
        ConfigError: It is not a run, or has not left what the mode needs.
    """
    references = [argument.removeprefix(_PREFIX) for argument in argv if argument.startswith(_PREFIX)]
    modes = [argument.removeprefix(_MODE) for argument in argv if argument.startswith(_MODE)]
    if not references:
        if modes:
            raise ConfigError("reproduce.mode: of which run? reproduce=<run folder, MLflow run id or fingerprint>")
        return list(argv)
    if len(references) > 1:
        raise ConfigError("reproduce=: one run at a time")
    mode = modes[-1] if modes else "rerun"
    folder = _found(references[0])
    further = [argument for argument in argv if not argument.startswith((_PREFIX, _MODE))]
    chosen = {argument.partition("=")[0].lstrip("+~") for argument in further}
    saved = _saved(folder)
    if mode in _NEEDED:  # else its schema says which there are
        _check_left(folder, mode)
        _check_addresses(saved, chosen, mode)
    return [
        *_overrides(saved, chosen),
        *(["rerun=true"] if mode == "rerun" else []),
        f"reproduce.run={quoted(str(folder.absolute()))}",
        f"reproduce.mode={quoted(mode)}",
        *further,
    ]


def _found(reference: str) -> Path:
    """The folder of the run that is meant."""
    if Path(reference).is_dir() and reference:
        return Path(reference)
    if re.fullmatch("[0-9a-f]{32}", reference):
        return tracking.fetch(reference)
    if re.fullmatch("[0-9a-f]{8,64}", reference):
        return runs.by_fingerprint(reference).path
    raise ConfigError(
        f"reproduce={reference}: not a run folder; nor is it an MLflow run id or a fingerprint (8 digits or more)"
    )


def _check_left(folder: Path, mode: str) -> None:
    """See that the run has left what the mode needs, in the shape that a run leaves it in."""
    run = RunFolder(folder)
    try:
        summary = run.read_json("summary.json")
        status, schema_version, weights = summary["status"], summary["schema"], summary.get("weights")
        if not isinstance(schema_version, int) or not isinstance(summary.get("dataset_digest") or "", str):
            raise ValueError("schema or dataset_digest")
    except FileNotFoundError:
        status, schema_version, weights, summary = "unfinished", runs.SCHEMA, None, {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"reproduce={folder}: summary.json cannot be read ({error!r})") from None
    if schema_version > runs.SCHEMA:
        raise ConfigError(
            f"reproduce={folder}: made by a newer bibleqa (schema {schema_version}, this one reads {runs.SCHEMA}); "
            "update this one"
        )
    for name, keys in _LINES.items():
        if (folder / name).is_file():
            _check_lines(folder / name, keys)
    if mode == "rerun":
        return
    if status == "unfinished" or (mode == "replay" and summary.get("failure")):
        raise ConfigError(f"reproduce={folder}: that run did not finish; reproduce.mode=rerun makes it anew")
    for name in (*_NEEDED[mode], *(["adapter.gguf", "adapter.json"] if weights else [])):
        if not (folder / name).is_file():
            raise ConfigError(f"reproduce={folder}: {name} is missing, which reproduce.mode={mode} needs")
    if mode == "evaluate":
        program_state.read(folder / "program.json")
    if weights:
        _check_weights(folder, weights)


_LINES = {
    "predictions.jsonl": ("phase", "id", "prediction", "raw", "score", "unreadable", "checks", "attempts"),
    "answers.jsonl": ("from", "key", "answer"),
}
"""What each line of a file has at the least; the first two are texts."""


def _check_lines(path: Path, keys: tuple[str, ...]) -> None:
    try:
        for number, line in enumerate(RunFolder(path.parent).read_lines(path.name), start=1):
            if not all(key in line for key in keys) or not all(isinstance(line[key], str) for key in keys[:2]):
                raise ConfigError(f"{path}:{number}: no line of a run; {', '.join(keys)} are wanted")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error!r})") from None


def _check_weights(folder: Path, weights: Any) -> None:
    """See that the tuned weights are those of the run."""
    try:
        manifest = RunFolder(folder).read_json("adapter.json")
        found = artifacts.sha256_of(folder / "adapter.gguf")
        known = [manifest["sha256"], weights]
        base = manifest["base_model"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{folder / 'adapter.json'}: cannot be read ({error!r})") from None
    if known != [found, found] or not isinstance(base, str):
        raise ConfigError(f"{folder / 'adapter.gguf'}: the file is damaged, or not the one that the run has tuned")


def _check_addresses(saved: Mapping[str, Any], chosen: set[str], mode: str) -> None:
    """See that a key goes nowhere but where an option of conf/ sends it, unless the command line says the address.

    Raises:
        ConfigError: The saved run would send it, or its record, to another machine.
    """
    known = {(option.get("base_url"), option.get("api_key_env")) for option in map(_option, names("endpoint"))}
    for role in ("endpoint", *schema.HELPERS):
        endpoint = saved.get(role)
        if mode == "replay" or not isinstance(endpoint, dict) or {role, f"endpoint@{role}"} & chosen:
            continue
        address, variable = endpoint.get("base_url"), endpoint.get("api_key_env")
        if secrets.is_name(variable) and (address, variable) not in known and not _is_here(address):
            _ask_for(f"{role}.base_url", address, f"the key in {variable} would be sent there", chosen)
    tracking = saved.get("tracking")
    if isinstance(tracking, dict) and "tracking" not in chosen:
        address = tracking.get("uri")
        if address and address != os.environ.get("MLFLOW_TRACKING_URI") and not _is_here(address):
            _ask_for("tracking.uri", address, "the record would be sent there", chosen)


def _option(name: str) -> dict[str, Any]:
    option: dict[str, Any] = yaml.safe_load((paths.conf() / "endpoint" / f"{name}.yaml").read_text(encoding="utf-8"))
    return option


def _ask_for(key: str, address: Any, why: str, chosen: set[str]) -> None:
    if key not in chosen:
        raise ConfigError(
            f"{key}: the saved run has {address}, and {why}; if that is what you want, say {key}={address} yourself"
        )


def _is_here(address: Any) -> bool:
    """Whether an address is one of this machine."""
    try:
        parts = urlsplit(str(address))
        return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


_MOST_BYTES = 1_000_000
"""Of a config.yaml; the largest so far has 20,000."""


class _Loader(yaml.SafeLoader):
    """YAML without references, a few lines of which stand for gigabytes; no saved config has any."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*name) are not for a config")
        return super().compose_node(parent, index)


def _saved(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"reproduce={folder}: config.yaml has more than {_MOST_BYTES:,} bytes: no run's config")
        saved = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"reproduce={folder}: not a run folder, it has no config.yaml") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that is none
        raise ConfigError(f"reproduce={folder}: config.yaml cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(saved, dict):
        raise ConfigError(f"reproduce={folder}: config.yaml is not a run's config")
    known = {field.name for field in dataclasses.fields(schema.Config)}
    for key in (*saved.keys() - known, *_odd_keys(saved)):
        raise ConfigError(f"reproduce={folder}: config.yaml: {key!r} is no key of a run's config")
    return saved


def _odd_keys(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (key for key in node if not (isinstance(key, str) and _KEY.fullmatch(key)))
    if isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _odd_keys(child)


def _overrides(saved: Mapping[str, Any], chosen: set[str]) -> Iterator[str]:
    for group, content in saved.items():
        if {group, f"endpoint@{group}"} & chosen or group in schema.OF_THE_COMMAND:
            # Another option of the group: the saved one's keys would not fit it.
            continue
        if group in schema.HELPERS and content is None:
            continue
        if isinstance(content, dict) and group in (*schema.GROUPS, *schema.HELPERS):
            option = str(content.get("name"))
            if not _KEY.fullmatch(option):
                raise ConfigError(f"{group}.name={option}: not the name of an option")
            yield f"{f'endpoint@{group}' if group in schema.HELPERS else group}={quoted(option)}"
            for key, value in content.items():
                if isinstance(value, dict):
                    # Hydra merges tables: emptied first, the option's own is replaced.
                    yield from (f"~{group}.{key}.{entry}" for entry in _own_table(group, option, key))
                    yield f"+{group}.{key}={quoted(value)}"
                else:
                    yield f"{group}.{key}={quoted(value)}"
        else:
            yield f"{group}={quoted(content)}"


def _own_table(group: str, option: str, key: str) -> dict[str, Any]:
    """A table of an option as its YAML has it, with what that takes from other options of the group."""
    path = paths.conf() / group / f"{option}.yaml"
    if not _KEY.fullmatch(option) or not path.is_file():
        return {}  # Hydra says that there is no such option
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    table: dict[str, Any] = {}
    for base in content.get("defaults", []):
        if isinstance(base, str):
            table |= _own_table(group, base, key)
    own = content.get(key)
    return table | own if isinstance(own, dict) else table


def quoted(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, str):
        # Backslashes stand for themselves, but before what they escape: to OmegaConf `${`, to Hydra a quote.
        literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + (m[2] and "\\'"), literal)
        return f"'{escaped}'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(quoted(item) for item in value) + "]"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return quoted(str(value))  # a date, for instance
