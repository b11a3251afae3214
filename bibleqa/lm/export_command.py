"""`bibleqa export`: the weights that a run has tuned, as one model file for any program that loads GGUF."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from bibleqa import artifacts
from bibleqa.errors import ConfigError
from bibleqa.lm.embedded import MODELS

# What reads and writes GGUF is imported where it is done: it is not always installed, and `--help` shall be quick.

ADAPTER = "adapter.gguf"
MANIFEST = "adapter.json"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export`."""
    export = commands.add_parser("export", help="make a model file of the weights that a run has tuned")
    export.add_argument("folder", type=Path, help="the run folder")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: model.gguf in the run folder")
    export.add_argument("--force", action="store_true", help="replace a file that is there")


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        ConfigError: The run tuned no weights, its files do not belong together, or the place to write to is taken.
        BibleQAError: The base model cannot be had, or the file cannot be written.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    folder: Path = arguments.folder
    model = _tuned(folder)
    file = (arguments.out or folder / "model.gguf").absolute()
    _check_place(file, folder, arguments.force)
    try:
        from bibleqa.lm.export import merge
    except ModuleNotFoundError as error:
        raise ConfigError(f'this needs {error.name}: pip install -c constraints.txt -e ".[weights]"') from None
    base = artifacts.fetch(MODELS[model])
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(f"merging into {model}", total=None)
        merge(base, folder / ADAPTER, file, lambda done, total: bar.update(task, completed=done, total=total))
    out.print(_how_to_load(file, f"{model}-tuned"), markup=False)
    return 0


def _tuned(folder: Path) -> str:
    """The name of the model whose weights the run tuned.

    Raises:
        ConfigError: There is no such run, it tuned none, or its files are not what it wrote.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such run folder")
    if not (folder / MANIFEST).exists():
        raise ConfigError(f"{folder}: this run tuned no weights, so there is nothing to export")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, base, own = manifest["base_model"], manifest["base_sha256"], manifest["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / MANIFEST} is damaged: {error!r}") from error
    if not (folder / ADAPTER).exists():
        raise ConfigError(f"{folder / ADAPTER} is missing, though {MANIFEST} tells of it")
    if artifacts.sha256_of(folder / ADAPTER) != own:
        raise ConfigError(f"{folder / ADAPTER} is not the file that the run wrote: its sha256 is another")
    if name not in MODELS or MODELS[name].sha256 != base:
        raise ConfigError(f"{folder}: tuned over {name} of sha256 {base}, which is none of {', '.join(MODELS)}")
    return str(name)


def _check_place(file: Path, folder: Path, force: bool) -> None:
    if file.resolve() in {(folder / name).resolve() for name in (ADAPTER, MANIFEST)}:
        raise ConfigError(f"--out={file}: that is what would be exported; choose another file")
    if not file.parent.is_dir():
        raise ConfigError(f"--out={file}: there is no folder {file.parent}")
    if file.is_dir():
        raise ConfigError(f"--out={file}: that is a folder; name a file in it")
    if file.exists() and not force:
        raise ConfigError(f"{file} is there already; --force replaces it, --out writes another file")


def _how_to_load(file: Path, name: str) -> str:
    # `lms import` moves the file unless told to copy it. Sources: lmstudio.ai/docs/advanced/sideload and
    # lmstudio-ai/lms src/subcommands/importCmd.ts, llama.cpp's tools/server/README.md, Ollama's docs/import.md.
    server = "http://127.0.0.1:8080/v1"
    return f"""\
{file} ({file.stat().st_size / 1e6:,.0f} MB)

LM Studio (or copy the file to ~/.lmstudio/models/bibleqa/{name}/ and load it in the app)
  lms import --copy --user-repo bibleqa/{name} "{file}"
  lms load {name}
  python run.py endpoint=lm_studio endpoint.model={name}
llama.cpp
  llama-server -m "{file}" --alias {name} --port 8080
  python run.py endpoint=openai endpoint.base_url={server} endpoint.model={name} endpoint.api_key_env=null
Ollama: with a file named Modelfile that says
  FROM {file}
  ollama create {name} -f Modelfile
  python run.py endpoint=ollama endpoint.model={name}"""
