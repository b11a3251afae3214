"""The reference, made out of the schemas, the YAML files and the commands themselves whenever the pages are built."""

import argparse
import ast
import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from omegaconf import MISSING

from bibleqa import checks, cli, config, paths, schema
from bibleqa.config import options

_HEADINGS = {"": "Keys", "own": "Keys of an option of your own", "built": "Keys of the built datasets"}
"""Of schemas that are no option."""
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true, false", list: "list", dict: "table"}
_MANY = {str: "texts", float: "numbers", schema.TermConfig: "{strongs, forms}"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs asks which files there are."""
    for name, content in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def pages() -> dict[str, str]:
    """The pages by name."""
    groups = {group: "\n".join(_group(group)) for group in schema.GROUPS}
    return {
        "config": "\n".join(_config()),
        **groups,
        "experiment": "\n".join(_experiments()),
        "command": "\n".join(_commands()),
        "files": "\n".join(_files()),
    }


def _config() -> Iterator[str]:
    yield "# The config\n"
    yield "`python run.py group=option group.key=value` makes a config out of options and keys:\n"
    yield _block(config.help_text(), "text")
    yield "## Groups\n"
    yield "| group | what | options |\n|---|---|---|"
    for group in schema.GROUPS:
        names = " ".join(f"[{name}]({group}.md#{name})" for name in options.names(group))
        yield f"| [`{group}`]({group}.md) | {_summary(_base(group))} | {names} |"
    yield "\n`endpoint@teacher=…`, `endpoint@judge=…` and `endpoint@embedder=…` choose further models, each an option "
    yield "of `endpoint`; their keys are then `teacher.model`, `judge.base_url` and so on.\n"
    yield "## Keys of a run\n"
    simple = [field for field in dataclasses.fields(schema.Config) if "help" in field.metadata]
    yield from _table([field for field in simple if field.name not in schema.HELPERS], schema.Config)
    for name in ("limits", "corpus", "reproduce"):
        kind = typing.get_type_hints(schema.Config)[name]
        yield f"\n## {name}\n\n{_summary(kind)}\n"
        yield from _table(dataclasses.fields(kind), kind, f"{name}.")
    yield "\n## What runs when nothing else is said\n"
    yield _yaml(paths.conf() / "config.yaml")


def _group(group: str) -> Iterator[str]:
    yield f"# {group}\n\n{_summary(_base(group))}\n"
    own = {path.partition("/")[2]: kind for path, kind in schema._SCHEMAS.items() if path.partition("/")[0] == group}
    names = options.names(group)
    for name, kind in own.items():
        if name not in names:
            yield f"## {_HEADINGS.get(name, name)}\n\n{_summary(kind)}\n"
            yield from _table(_keys(kind), kind, f"{group}.")
            yield ""
    for name in names:
        yield f"## {name}\n"
        yield _yaml(paths.conf() / group / f"{name}.yaml")
        if name in own and _keys(own[name]):
            yield from _table(_keys(own[name]), own[name], f"{group}.")
            yield ""
    if group == "assertions":
        for name, check in checks.CHECKS.items():
            yield f"## The check {name}\n\n{_summary(check)}\n"
            yield from _table(_keys(check), check, f"assertions.checks.{name}.")
            yield ""


def _base(group: str) -> type:
    kind: type = typing.get_type_hints(schema.Config)[group]
    return kind


def _keys(kind: type) -> list[dataclasses.Field[Any]]:
    """All but the name of the option."""
    return [field for field in dataclasses.fields(kind) if field.name != "name"]


def _table(fields: Any, kind: type, prefix: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    yield "| key | type | default | allowed | what | in the fingerprint |\n|---|---|---|---|---|---|"
    for field in fields:
        rules = field.metadata
        known = "yes" if rules["affects_result"] else ""
        yield (
            f"| `{prefix}{field.name}` | {_type(hints[field.name])} | {_default(field)} | {_allowed(rules)} | "
            f"{_cell(rules['help'])} | {known} |"
        )


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is types.UnionType:
        return " or ".join(_type(part) for part in typing.get_args(hint))
    if hint is type(None):
        return "null"
    if dataclasses.is_dataclass(hint):
        return "an option of endpoint"
    plain, inner = _WORDS[typing.get_origin(hint) or hint], typing.get_args(hint)[-1:]
    return f"{plain} of {_MANY[inner[0]]}" if inner and inner[0] in _MANY else plain


def _default(field: dataclasses.Field[Any]) -> str:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return "*needed*" if default is MISSING else f"`{_cell(json.dumps(default, ensure_ascii=False))}`"


def _allowed(rules: Any) -> str:
    if rules["choices"]:
        return ", ".join(f"`{choice}`" for choice in rules["choices"])
    low, high = rules["ge"], rules["le"]
    if high is not None:
        return f"{low} to {high}"
    return f"{low} or more" if low is not None else ""


def _experiments() -> Iterator[str]:
    yield "# experiment\n\nRecipes: several options in one file, which wins over the defaults of conf/config.yaml.\n"
    for name in options.names("experiment"):
        yield f"## {name}\n"
        yield _yaml(paths.conf() / "experiment" / f"{name}.yaml")


def _commands() -> Iterator[str]:
    yield "# The command bibleqa\n"
    yield from _command(cli.parser(), 2)
    yield "## Exit codes, of run.py as well\n"
    yield "| code | what |\n|---|---|"
    yield "| 0 | finished |\n| 1 | a run failed |\n| 2 | wrong config or usage |\n| 3 | the endpoint cannot be used |"
    yield "| 130 | interrupted |"


def _command(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if level == 2 or not subcommands:
        parser.formatter_class = _Wide
        yield _block(parser.format_help(), "text")
    for action in subcommands:
        for inner in action.choices.values():
            yield f"{'#' * level} {inner.prog}\n"
            yield from _command(inner, level + 1)


class _Wide(argparse.RawDescriptionHelpFormatter):
    """The same width whatever the terminal is."""

    def __init__(self, prog: str):
        super().__init__(prog, width=100)


def _files() -> Iterator[str]:
    yield (Path(__file__).parent / "run-files.md").read_text(encoding="utf-8")
    yield "| field | type | what |\n|---|---|---|"
    for name, kind, about in _documented("evaluation", "Outcome"):
        yield f"| `{name}` | {_cell(kind)} | {_cell(about)} |"


def _documented(module: str, name: str) -> Iterator[tuple[str, str, str]]:
    """The fields of a dataclass, each with its type and the text under it; the module is read, not imported."""
    tree = ast.parse((paths.conf().parent / "bibleqa" / f"{module}.py").read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    for node, after in zip(found.body, [*found.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            about = text.value if isinstance(text, ast.Constant) else ""
            yield node.target.id, ast.unparse(node.annotation), " ".join(str(about).split())


def _summary(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _yaml(path: Path) -> str:
    return _block(path.read_text(encoding="utf-8"), "yaml")


def _block(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
