"""What tunes the weights of an embedded model, as DSPy's optimizers ask for it.

A tuning is known by what goes into it: model, data, settings and code. Its adapter is kept under that key, so that an
equal tuning is never done twice, and an interrupted one goes on.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from dspy.clients.provider import Provider, TrainingJob
from filelock import FileLock, Timeout

from bibleqa import artifacts, paths, provenance, runs
from bibleqa.errors import BibleQAError, RunFailed
from bibleqa.lm import embedded, lora
from bibleqa.lm.embedded import EmbeddedEngine

log = logging.getLogger(__name__)

_NO_MEMORY = re.compile(r"(allocate|out of|enough) memory|MemoryError|bad_alloc")


@dataclass(frozen=True)
class Tuned:
    """A tuned model: a base model, and the adapter that goes over it."""

    name: str
    """As the engine knows it."""
    adapter: Path
    manifest: dict[str, Any]
    """What adapter.json says: base model, digests, settings, versions."""


class LoRAProvider(Provider):
    """Tunes the models of one engine, which serves what comes of it under a name of its own."""

    def __init__(self, engine: EmbeddedEngine, recorded: Path | None = None):
        """Make a provider.

        Args:
            engine: Serves the models.
            recorded: The folder of a run that is replayed: its weights are taken, none are tuned.
        """
        super().__init__()
        self.finetunable = True
        self.tell: Callable[[str], None] = lambda progress: None
        """Called with how it goes, at each step."""
        self.tuned: dict[str, Tuned] = {}
        """What this process has tuned or found, by its name in the engine."""
        self._engine = engine
        self._recorded = recorded

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # DSPy copies programs with their LM

    def finetune(  # DSPy's is static, so that it cannot be told which engine
        self,
        job: TrainingJob | None,
        model: str,
        train_data: list[dict[str, Any]],
        train_data_format: Any,
        train_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Tune a model on conversations; returns the name of the tuned one, for `dspy.LM`.

        Args:
            job: DSPy's handle; not used.
            model: `embedded/<name>`.
            train_data: Conversations, `{"messages": […]}`; the last message of each is what to learn.
            train_data_format: DSPy's; always chat.
            train_kwargs: `lora.Settings`, as a dictionary.

        Raises:
            BibleQAError: It could not be done; the message says why.
        """
        base = model.removeprefix("embedded/")
        if base not in embedded.MODELS:
            raise BibleQAError(f"{base} is tuned already; its weights are tuned once a strategy")
        settings = lora.Settings(**(train_kwargs or {}))
        return self.adopt(self._tune(base, [json.dumps(row, ensure_ascii=False) for row in train_data], settings))

    def adopt(self, folder: Path) -> str:
        """Serve the tuned weights in a folder (adapter.gguf, adapter.json); returns the model's name for `dspy.LM`."""
        manifest = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        base = manifest["base_model"]
        tuned = Tuned(f"{base}+{manifest['sha256'][:12]}", folder / "adapter.gguf", manifest)
        self._engine.adopt(tuned.name, base, tuned.adapter)
        self.tuned[tuned.name] = tuned
        return f"embedded/{tuned.name}"

    def kill(self, lm: Any, launch_kwargs: dict[str, Any] | None = None) -> None:
        """DSPy: give the memory of a model back; it is loaded again when it is asked."""
        self._engine.unload()

    def _tune(self, base: str, lines: list[str], settings: lora.Settings) -> Path:
        artifact = embedded.MODELS[base]
        made_of = {
            "base_model": base,
            "base_sha256": artifact.sha256,
            "data": provenance.digest_lines(lines),
            "conversations": len(lines),
            "settings": asdict(settings),
            "threads": self._engine.threads,
            "code": provenance.code_digest(["lm/lora", "lm/adapter"]),
        }
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        folder = paths.project() / "outputs" / ".adapters" / key[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with self._alone(folder.with_name(f".{folder.name}.lock")):
            if not ((folder / "adapter.json").exists() and (folder / "adapter.gguf").exists()):
                begun = time.monotonic()
                if self._recorded:
                    manifest = _take(self._recorded, made_of, folder)
                else:
                    job = lora.Job(str(artifacts.fetch(artifact)), "", self._engine.threads, settings)
                    self._make(folder, job, lines)
                    seconds = round(time.monotonic() - begun)
                    manifest = {**made_of, "versions": provenance.versions(), "seconds": seconds}
                    manifest["sha256"] = artifacts.sha256_of(folder / "adapter.gguf")
                runs.write_atomically(folder / "adapter.json", json.dumps(manifest, indent=2) + "\n")
        return folder

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Hold a lock; while another process has it, it is waited for."""
        lock = FileLock(path)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            self.tell("another process is at this very tuning; waiting for it")
            held = lock.acquire()
        with held:
            yield

    def _make(self, folder: Path, job: lora.Job, lines: list[str]) -> None:
        """Tune in a process of its own: its memory is given back, and what kills it leaves the run alive."""
        folder.mkdir(exist_ok=True)
        for draft in folder.glob(".*"):  # of a file that was being written when the process was killed
            draft.unlink()
        gguf = Path(job.gguf)
        job = replace(job, checkpoint=str(gguf.with_name(f"{gguf.stem}.bf16")))
        (folder / "job.json").write_text(job.to_json(), encoding="utf-8")
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._engine.unload()  # two models in memory are one too many
        # Threads that wait for work spin only briefly, as in the engine. The rest keeps memory from piling up: freed
        # tensors go back to the system, and few of the routines that the CPU library makes for each shape are kept.
        environment = os.environ | {
            "OMP_WAIT_POLICY": "passive",
            "GOMP_SPINCOUNT": "20000",
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": str(2**23),
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        with (
            (folder / "errors.txt").open("w+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "bibleqa.lm.lora", str(folder)],
                stdin=subprocess.PIPE,  # held open while this process lives: that is how the other one knows
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env=environment,
            ) as process,
        ):
            try:
                assert process.stdout
                for line in process.stdout:
                    self._progress(line)
                code = process.wait()
            except BaseException:
                process.kill()  # it goes on where it was, when the same command is started again
                raise
            errors.seek(0)
            said = errors.read()
        if code:
            log.error("the tuning ended with exit code %s\n%s", code, said)
            raise BibleQAError(_why(code, said))
        (folder / "state.pt").unlink(missing_ok=True)

    def _progress(self, line: str) -> None:
        if not line.startswith("{"):
            return  # a library's
        said = json.loads(line)
        if "note" in said:
            self.tell(said["note"])
        else:
            minutes, seconds = divmod(said["seconds_left"], 60)
            self.tell(f"step {said['step']}/{said['of']}, loss {said['loss']:.2f}, {minutes}:{seconds:02} left")


def _take(run: Path, made_of: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take over the weights that a run has tuned; returns their manifest.

    Raises:
        RunFailed: They are not there, are damaged, or were made of something else.
    """
    try:
        manifest: dict[str, Any] = json.loads((run / "adapter.json").read_text(encoding="utf-8"))
        folder.mkdir(exist_ok=True)
        with runs.replacing(folder / "adapter.gguf") as draft:
            shutil.copyfile(run / "adapter.gguf", draft)
    except (OSError, ValueError) as error:
        raise RunFailed(f"{run}: its tuned weights cannot be read: {error}") from None
    if other := [name for name, value in made_of.items() if manifest.get(name) != value]:
        raise RunFailed(
            f"{run}: its weights were tuned with another {', '.join(other)}; reproduce.mode=rerun tunes anew"
        )
    if artifacts.sha256_of(folder / "adapter.gguf") != manifest["sha256"]:
        raise RunFailed(f"{run / 'adapter.gguf'}: the file is damaged, its adapter.json has another digest")
    return manifest


def _why(code: int, said: str) -> str:
    lines = [" ".join(line.split())[:300] for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    # Killed without a word: that is how Linux takes memory back.
    if code in (-9, 137) or _NO_MEMORY.search(last):
        return (
            "tuning ran out of memory or was killed: close other programs, or lower optimizer.batch_tokens; "
            f"the same command goes on where it was{f' ({last})' if last else ''}"
        )
    return f"tuning failed: {last or f'exit code {code}'}"
