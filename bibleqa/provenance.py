"""What makes two runs the same run, and what a run was made with."""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import platform
import sqlite3
import subprocess
import tokenize
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bibleqa import paths
from bibleqa.errors import ConfigError
from bibleqa.schema import Config, endpoints

FINGERPRINT_VERSION = 2
"""Goes up when the rule of `fingerprint` changes."""

_RESULT_CODE = (
    *("text", "data/reference", "program", "adapters", "salvage", "nearest", "checks", "assertions"),
    *("metrics", "evaluation"),
    *("optimizers/__init__", "optimizers/task", "optimizers/objective", "optimizers/candidates"),
    *("optimizers/prompts", "optimizers/weights", "optimizers/together"),
    *(f"lm/{name}" for name in ("endpoints", "embedded", "remote", "dialects", "embeddings")),
    *("lm/finetune", "lm/lora", "lm/adapter"),
)
_RETRIEVING_CODE = (
    "data/kjv",
    "data/corpora/english",
    *(f"retrieval/{name}" for name in ("__init__", "passages", "named")),
)
_RETRIEVING_CODE += ("retrieval/fts", "retrieval/vectors", "retrieval/local")
_RESULT_PACKAGES = ("dspy", "xllamacpp")
_PACKAGES = ("bibleqa", "dspy", "hydra-core", "mlflow", "omegaconf", "xllamacpp", "numpy", "transformers", "torch")


def fingerprint(
    config: Config, dataset_digest: str, model_digests: Mapping[str, str], pool_digest: str | None = None
) -> str:
    """sha256 over everything that can change a result, and over nothing else.

    Args:
        config: The checked config; keys that cannot change a result stay out, as their schema says.
        dataset_digest: Of the questions, in their order.
        model_digests: sha256 of the file of each embedded model, by what it is to the run (`endpoint`, `teacher`, …);
            a remote model is known by its name alone.
        pool_digest: Of all train questions, where weights are tuned on them.

    Raises:
        ConfigError: The source of a plugin is not there.
    """
    what: dict[str, Any] = {
        "version": FINGERPRINT_VERSION,
        "config": _result_config(config),
        "dataset": dataset_digest,
        "pool": pool_digest,
        "models": dict(model_digests),
        "code": code_digest(),
        "plugins": {module: source_digest(module) for module in config.plugins},
        "packages": {name: _version(name) for name in _RESULT_PACKAGES},
    }
    for name, endpoint in endpoints(config).items():
        if endpoint.kind != "embedded":
            del what["config"][name]["threads"]  # how many questions at once
    if config.program.retrieves:
        what["retrieving"] = {"code": code_digest(_RETRIEVING_CODE), "sqlite": sqlite3.sqlite_version}
    else:
        del what["config"]["retriever"]
        if config.embedder and "semantic" not in (config.metric.name, *getattr(config.metric, "parts", ())):
            what["config"]["embedder"] = None  # of verses that nobody finds
            what["models"].pop("embedder", None)
    return hashlib.sha256(json.dumps(what, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _result_config(node: Any) -> dict[str, Any]:
    result = {}
    for field in dataclasses.fields(node):
        if field.metadata.get("affects_result", True):
            value = getattr(node, field.name)
            result[field.name] = _result_config(value) if dataclasses.is_dataclass(value) else _plain(value)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _result_config(v) if dataclasses.is_dataclass(v) else v for key, v in value.items()}
    return value


def code_digest(modules: Iterable[str] = _RESULT_CODE) -> str:
    """sha256 of the code that answers and scores, comments and white space aside; the same on every Python."""
    package = Path(__file__).parent
    bare = [_without_comments((package / f"{name}.py").read_text(encoding="utf-8")) for name in modules]
    return hashlib.sha256("\n".join(bare).encode()).hexdigest()


def source_digest(module: str) -> str:
    """sha256 of the source of a plugin; of a package, of all its modules.

    Raises:
        ConfigError: There is no such module.
    """
    try:
        spec = importlib.util.find_spec(module) if all(map(str.isidentifier, module.split("."))) else None
    except (ImportError, ValueError):  # a package above it is not there; a module without a file
        spec = None
    files: list[Path] = []
    if spec and spec.submodule_search_locations:
        files = sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))
    elif spec and spec.has_location and spec.origin:
        files = [Path(spec.origin)]
    if not files:
        raise ConfigError(f"plugins={module}: no module of that name; install it, or put its folder on PYTHONPATH")
    return digest_lines(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


@cache  # a sweep asks for each of its jobs
def _without_comments(source: str) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return " ".join(" ".join(lines).split())


def digest_lines(lines: Iterable[str]) -> str:
    """sha256 of lines of text."""
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode() + b"\n")
    return sha.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what a result may depend on, as far as it is installed."""
    found = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {name: version for name, version in found.items() if version}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_state() -> dict[str, str]:
    """The commit of the project and whether files differ from it; empty outside a checkout."""
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return {} if commit is None or status is None else {"commit": commit, "dirty": str(bool(status)).lower()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=paths.conf().parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
