"""Which program is served: a run's is promoted to `models/<name>/`, and the one before can be returned to."""

import contextlib
import copy
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from bibleqa import artifacts, paths, reproduce, runs, tracking
from bibleqa import config as configs
from bibleqa.errors import ConfigError
from bibleqa.promotion import model_card
from bibleqa.results import past
from bibleqa.results.past import PastRun
from bibleqa.schema import Config

SCHEMA = 1
"""Version of champion.json."""
CARD = "card.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_PROGRAM = ("config.yaml", "program.json", "adapter.gguf", "adapter.json")
"""What decides how it answers: two kept programs that have these alike are the same."""
_ELSEWHERE = ("endpoint.base_url", "endpoint.api_key_env", "tracking.uri")
"""Keys that may be another when it is served than when it was measured."""


@dataclass(frozen=True)
class Model:
    """A program that is kept."""

    path: Path
    served: bool
    card: Mapping[str, Any]
    """Empty where it is damaged."""
    problem: str | None = None
    """What is damaged."""


def promote(run: str, name: str | None = None, overrides: Sequence[str] = (), *, anyway: bool = False) -> Path:
    """Keep the program of a finished run and make it the one that is served; done twice it changes nothing more.

    Args:
        run: A run folder, 8 digits or more of a fingerprint, an MLflow run id, or the name of a program kept before.
        name: Under which it is kept; by default after program, optimizer and fingerprint.
        overrides: `key=value`, of addresses and key names alone.
        anyway: Also where the optimizer failed inside.

    Returns:
        The folder in which it is kept.

    Raises:
        ConfigError: The run cannot be served, or another program has the name.
        TrackerDown: The run is to come from MLflow, which cannot be reached.
    """
    with alone():
        if _is_kept(run):
            if overrides or name not in (None, run):
                raise ConfigError(f"{run}: is kept already; promote its run to keep it under a further name")
            path = folder() / run
            card_of(path)
        else:
            path = _kept(_found(run), name, overrides, anyway)
        history = _history()
        if history[-1:] != [path.name]:
            _serve([*history, path.name])
    return path


def current() -> Path | None:
    """The folder of the program that is served; None where none was promoted.

    Raises:
        ConfigError: The folder is gone, or is not what was promoted.
    """
    if not (history := _history()):
        return None
    path = folder() / history[-1]
    card_of(path)
    return path


def rollback() -> Path:
    """Serve the program that was served before, of those still kept; returns its folder.

    Raises:
        ConfigError: There is none.
    """
    with alone():
        history = _history()
        before = history[:-1]
        while before and (before[-1] == history[-1] or not _is_kept(before[-1])):
            before.pop()
        if not before:
            raise ConfigError("nothing to return to: no other program was promoted before the one that is served")
        path = folder() / before[-1]
        card_of(path)
        _serve(before)
    return path


def models() -> list[Model]:
    """The programs that are kept, those promoted last first.

    Raises:
        ConfigError: Which one is served cannot be read.
    """
    served = _history()[-1:]
    found = []
    for path in folder().glob("*"):
        if _is_kept(path.name):
            try:
                found.append(Model(path, [path.name] == served, card_of(path)))
            except ConfigError as error:
                found.append(Model(path, [path.name] == served, {}, str(error)))
    return sorted(found, key=lambda model: (model.card.get("promoted", ""), model.path.name), reverse=True)


def config_of(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The checked config of a promoted program: its addresses are those that were said when it was promoted.

    Args:
        path: Its folder.
        overrides: As for run.py; a group that they change has no address from before.

    Raises:
        ConfigError: It does not fit this version, or the overrides do not fit it.
    """
    return _checked(path, said(path, overrides))


def said(path: Path, overrides: Sequence[str] = ()) -> list[str]:
    """Overrides, after those that give the addresses which were said when a program was promoted.

    Args:
        path: Its folder.
        overrides: As for run.py; a group that they change has no address from before.
    """
    saved = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    changed = {override.partition("=")[0].partition(".")[0] for override in overrides}
    kept = {key: saved[group][own] for key in _ELSEWHERE for group, own in [key.split(".")] if group not in changed}
    return [*(f"{key}={reproduce.quoted(value)}" for key, value in kept.items()), *overrides]


def folder() -> Path:
    """Where promoted programs are kept."""
    return paths.project() / "models"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other process promote or return; whoever holds it may take it again."""
    folder().mkdir(parents=True, exist_ok=True)
    with FileLock(folder() / ".lock", is_singleton=True):
        yield


def _found(run: str) -> PastRun:
    if re.fullmatch("[0-9a-f]{32}", run) and not Path(run).is_dir():
        return PastRun(tracking.fetch(run))
    return past.find(run)


def _kept(run: PastRun, name: str | None, overrides: Sequence[str], anyway: bool) -> Path:
    """The folder of a run's program, made where it is not there yet."""
    config = _config_to_serve(run, overrides, anyway)
    if name is None:
        name = f"{config['program']['name']}-{config['optimizer']['name']}-{run.fingerprint[:8]}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: a name has letters, digits, - and _, and begins with a letter or digit")
    path = folder() / name
    draft = folder() / f".{name}.draft"
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    draft.mkdir()
    try:
        card = _fill(draft, run, config, name)
        if not path.exists():
            runs.put_in_place(draft, path)
        elif not _is_kept(name) or not _same(card_of(path), card):
            raise ConfigError(f"--name {name}: {path} holds another program; give this one a name of its own")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path


def _config_to_serve(run: PastRun, overrides: Sequence[str], anyway: bool) -> dict[str, Any]:
    """A run's config with the addresses that were said."""
    summary = run.summary
    if summary.get("failure") or summary["optimized"]["score"] is None:
        why = summary.get("failure") or "it has no score"
        raise ConfigError(f"{run.place}: that run did not finish ({why}); the same command again goes on with it")
    if summary["optimizer_errors"] and not anyway:
        raise ConfigError(
            f"{run.place}: the optimizer failed inside ({'; '.join(summary['optimizer_errors'])}); "
            "--anyway promotes what it gave back"
        )
    for override in overrides:
        if override.partition("=")[0] not in _ELSEWHERE:
            raise ConfigError(
                f"{override}: a program is served as it was measured; only {', '.join(_ELSEWHERE)} may change"
            )
    checked = _checked(run.path, overrides)
    config = copy.deepcopy(run.config)
    for key in _ELSEWHERE:
        group, _, own = key.partition(".")
        config[group][own] = getattr(getattr(checked, group), own)
    return config


def _checked(path: Path, overrides: Sequence[str]) -> Config:
    """The config by which a folder's program is built, with all checked that comes out of the folder."""
    return configs.compose(reproduce.expand([f"reproduce={path}", "reproduce.mode=evaluate", *overrides]))


def _fill(draft: Path, run: PastRun, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Write into a folder all that it takes to serve a run's program; returns its card."""
    weights = ("adapter.gguf", "adapter.json") if run.summary.get("weights") else ()
    for file in ("program.json", "summary.json", *weights):
        shutil.copyfile(run.path / file, draft / file)
    runs.write_atomically(draft / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    files = {file.name: artifacts.sha256_of(file) for file in sorted(draft.iterdir())}
    card = model_card.of(run, config, name, files, datetime.now(UTC).isoformat(timespec="seconds"))
    runs.write_atomically(draft / CARD, json.dumps(card, ensure_ascii=False, indent=2) + "\n")
    runs.write_atomically(draft / "card.md", model_card.page(card, draft / "program.json"))
    return card


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one["files"].get(file) == other["files"].get(file) for file in _PROGRAM)


def _is_kept(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and (folder() / name / CARD).is_file()


def card_of(path: Path) -> dict[str, Any]:
    """The card of a kept program.

    Raises:
        ConfigError: It is not there, or a file is not the one that was promoted.
    """
    again = "promote its run again under another --name, or go back: bibleqa rollback"
    try:
        card: dict[str, Any] = json.loads((path / CARD).read_text(encoding="utf-8"))
        if card["schema"] > model_card.SCHEMA:
            raise ConfigError(f"{path / CARD}: written by a newer version; update bibleqa")
        files = card["files"].items()
        changed = [file for file, digest in files if artifacts.sha256_of(path / Path(file).name) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: the promoted program is not whole ({error!r}); {again}") from None
    if changed:
        raise ConfigError(f"{path / changed[0]}: is not the file that was promoted; {again}")
    return card


def _history() -> list[str]:
    """The names of the programs that were served, the one that is now last."""
    path = folder() / "champion.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = content["history"]
        if content["schema"] > SCHEMA:
            raise ConfigError(f"{path}: written by a newer version; update bibleqa")
        if (names and names[-1] != content["served"]) or not all(map(_NAME.fullmatch, names)):
            raise ValueError("names")
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error!r}); remove it, and promote a program again") from None
    return list(names)


def _serve(history: Sequence[str]) -> None:
    content = {"schema": SCHEMA, "served": history[-1], "history": list(history)}
    runs.write_atomically(folder() / "champion.json", json.dumps(content, indent=2) + "\n")
