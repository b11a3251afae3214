"""The weight tuning of an embedded model: what it leaves, when it is done again, and how it ends and goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dspy
import psutil
import pytest

from bibleqa import artifacts
from bibleqa.errors import BibleQAError
from bibleqa.lm import embedded, finetune, lora
from bibleqa.lm.embedded import EmbeddedEngine
from bibleqa.lm.finetune import LoRAProvider

NAME = "smollm2-135m-instruct"
SETTINGS = lora.Settings(rank=8, alpha=16, learning_rate=5e-3, epochs=1.0, batch_tokens=64, seed=0)
PEOPLE = "Adam Eve Cain Abel Seth Enos Noah Shem Ham Japheth Terah Lot".split()


def asking(person: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": f"Where did {person} live?"},
    ]


CONVERSATIONS = [{"messages": [*asking(p), {"role": "assistant", "content": "Zanzibar"}]} for p in PEOPLE]


def tune(provider: LoRAProvider, **settings: Any) -> finetune.Tuned:
    given = asdict(replace(SETTINGS, **settings))
    model = provider.finetune(None, f"embedded/{NAME}", CONVERSATIONS, "chat", given)
    return provider.tuned[model.removeprefix("embedded/")]


# With a process that only pretends to tune.


@pytest.fixture
def provider(project: Path, monkeypatch: pytest.MonkeyPatch) -> LoRAProvider:
    """One whose base model is never read."""
    monkeypatch.setattr(artifacts, "fetch", lambda artifact: project / "base.gguf")
    return LoRAProvider(EmbeddedEngine(threads=1))


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives what to call with the script that is run in place of Python; its third argument is the folder."""

    def put(script: str) -> None:
        monkeypatch.setattr(sys, "executable", str(pretender(tmp_path, script)))

    return put


def pretender(folder: Path, script: str) -> Path:
    path = folder / "child.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


TUNES = 'echo once >> "$3/../times"; printf adapter > "$3/adapter.gguf"'


def test_a_tuning_leaves_its_adapter_and_what_it_was_made_of(
    provider: LoRAProvider, child: Callable[[str], None], project: Path
) -> None:
    child(TUNES)

    tuned = tune(provider)

    manifest = json.loads(tuned.adapter.with_name("adapter.json").read_text())
    assert tuned.adapter.read_text() == "adapter"
    assert tuned.manifest == manifest
    assert manifest["settings"] == asdict(SETTINGS)
    assert manifest["base_model"] == NAME
    assert manifest["base_sha256"] == embedded.MODELS[NAME].sha256
    assert manifest["conversations"] == len(CONVERSATIONS)
    assert tuned.name == f"{NAME}+{manifest['sha256'][:12]}"
    assert tuned.adapter.is_relative_to(project / "outputs")
    job = lora.Job.from_json(tuned.adapter.with_name("job.json").read_text())
    assert (job.settings, job.threads) == (SETTINGS, 1)
    lines = tuned.adapter.with_name("train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == CONVERSATIONS


def test_an_equal_tuning_is_not_done_again_and_another_one_is(
    provider: LoRAProvider, child: Callable[[str], None]
) -> None:
    child(TUNES)
    first = tune(provider)
    times = first.adapter.parent.parent / "times"

    assert tune(provider) == first
    assert times.read_text().count("once") == 1
    assert tune(provider, seed=1).adapter != first.adapter
    assert times.read_text().count("once") == 2
    first.adapter.unlink()
    assert tune(provider) == first
    assert times.read_text().count("once") == 3


def test_progress_is_told_and_what_libraries_print_is_not(provider: LoRAProvider, child: Callable[[str], None]) -> None:
    told: list[str] = []
    provider.tell = told.append
    child(
        'echo "Some library says hello"\n'
        """echo '{"note": "loading the model"}'\n"""
        """echo '{"step": 3, "of": 9, "loss": 1.234, "seconds_left": 61}'\n"""
        f"echo 'a warning' >&2\n{TUNES}"
    )

    tune(provider)

    assert told == ["loading the model", "step 3/9, loss 1.23, 1:01 left"]


@pytest.mark.parametrize(
    "script",
    [
        "kill -9 $$",
        "echo 'MemoryError: ' >&2; exit 1",
        "echo 'terminate called after throwing' >&2; echo '  what():  std::bad_alloc' >&2; kill -6 $$",
        """echo "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9" >&2; exit 1""",
        "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB' >&2; exit 1",
        "echo 'OSError: Cannot allocate memory (os error 12)' >&2; exit 1",
    ],
)
def test_too_little_memory_is_said_with_what_helps(
    provider: LoRAProvider, child: Callable[[str], None], script: str
) -> None:
    child(script)

    with pytest.raises(BibleQAError, match=r"^tuning ran out of memory.*optimizer\.batch_tokens") as caught:
        tune(provider)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo Traceback >&2; echo 'ValueError: odd' >&2; echo >&2; exit 1", "tuning failed: ValueError: odd"),
        ("exit 3", "tuning failed: exit code 3"),
    ],
)
def test_a_failure_is_said_with_its_last_words_and_leaves_nothing_that_looks_done(
    provider: LoRAProvider, child: Callable[[str], None], script: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    child(script)
    with pytest.raises(BibleQAError) as caught:
        tune(provider)
    assert str(caught.value) == said
    assert ("Traceback" in caplog.text) == ("Traceback" in script)

    child(TUNES)
    assert tune(provider).adapter.read_text() == "adapter"


def test_what_a_killed_tuning_was_writing_is_gone(provider: LoRAProvider, child: Callable[[str], None]) -> None:
    child('touch "$3/state.pt" "$3/.state.pt.123"; kill -9 $$')
    with pytest.raises(BibleQAError, match="killed"):
        tune(provider)
    child(f'test -e "$3/state.pt" || exit 1; {TUNES}')

    tuned = tune(provider)

    left = {file.name for file in tuned.adapter.parent.iterdir()}
    assert left == {"adapter.gguf", "adapter.json", "errors.txt", "job.json", "train.jsonl"}


def test_a_tuned_model_is_not_tuned_again(provider: LoRAProvider, child: Callable[[str], None]) -> None:
    child(TUNES)
    tuned = tune(provider)

    with pytest.raises(BibleQAError, match="tuned already"):
        provider.finetune(None, f"embedded/{tuned.name}", CONVERSATIONS, "chat", asdict(SETTINGS))


def tune_beside(project: str, executable: str) -> tuple[str, list[str]]:
    """The digest that a process of its own gets, and what it is told."""
    os.environ["BIBLEQA_PROJECT"] = project
    sys.executable = executable
    artifacts.fetch = lambda artifact: Path(project) / "base.gguf"
    provider = LoRAProvider(EmbeddedEngine(threads=1))
    told: list[str] = []
    provider.tell = told.append
    return tune(provider).manifest["sha256"], told


def test_of_two_at_once_one_tunes_and_the_other_takes_it(tmp_path: Path) -> None:
    executable = str(pretender(tmp_path, f"sleep 3; {TUNES}"))

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(abs, range(8)))  # both are up
        both = [pool.submit(tune_beside, str(tmp_path), executable) for _ in range(2)]
        (one, told), (other, told_other) = [each.result(timeout=120) for each in both]

    assert one == other
    assert (tmp_path / "outputs" / ".adapters" / "times").read_text() == "once\n"
    assert sorted([told, told_other]) == [[], ["another process is at this very tuning; waiting for it"]]


# With the real SmolLM2.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoRAProvider]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BIBLEQA_PROJECT", str(tmp_path_factory.mktemp("tuned")))
        engine = EmbeddedEngine(threads=1)
        yield LoRAProvider(engine)
        engine.close()


@pytest.fixture(scope="module")
def tuned(real: LoRAProvider) -> finetune.Tuned:
    return tune(real)


@pytest.mark.slow
def test_the_engine_serves_what_was_learned_under_its_name(real: LoRAProvider, tuned: finetune.Tuned) -> None:
    def answer(name: str) -> str:
        lm = dspy.LM(f"embedded/{name}", engine=real._engine, cache=False, max_tokens=6, temperature=0.0)
        return str(lm(messages=asking("Isaac"))[0])

    assert answer(tuned.name) == "Zanzibar"
    assert answer(NAME) != "Zanzibar"


@pytest.mark.slow
def test_the_same_tuning_again_starts_no_process(
    real: LoRAProvider, tuned: finetune.Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    assert tune(LoRAProvider(EmbeddedEngine(threads=1))) == tuned
    with pytest.raises(FileNotFoundError):
        tune(real, seed=1)


def alone(folder: Path) -> subprocess.Popen[str]:
    """The tuning of a folder, as the provider starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "bibleqa.lm.lora", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"},
    )


@pytest.mark.slow
def test_a_killed_tuning_goes_on_to_the_very_same_adapter(tuned: finetune.Tuned, tmp_path: Path) -> None:
    job = lora.Job.from_json(tuned.adapter.with_name("job.json").read_text())
    (tmp_path / "job.json").write_text(replace(job, save_every=0.0).to_json())
    shutil.copy(tuned.adapter.with_name("train.jsonl"), tmp_path)
    with alone(tmp_path) as process:
        until(lambda: (tmp_path / "state.pt").exists())
        process.kill()
    assert not (tmp_path / "adapter.gguf").exists()

    with alone(tmp_path) as process:
        assert process.stdout
        said = [json.loads(line) for line in process.stdout]

    steps = [line["step"] for line in said if "step" in line]
    assert steps[0] > 1
    assert steps[-1] == said[-1]["of"]
    assert (tmp_path / "adapter.gguf").read_bytes() == tuned.adapter.read_bytes()


def until(reached: Callable[[], Any], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.02)


PARENT = """
import sys
from dataclasses import asdict
sys.path.insert(0, {folder!r})
import test_finetune as tests
provider = tests.LoRAProvider(tests.EmbeddedEngine(threads=1))
provider.tell = lambda progress: print(progress, flush=True)
tests.tune(provider, epochs=100.0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_the_tuning_does_not_outlive_the_run(by: signal.Signals, project: Path) -> None:
    script = PARENT.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert any(line.startswith("step") for line in parent.stdout)
        (child,) = [p for p in psutil.Process(parent.pid).children() if "bibleqa.lm.lora" in p.cmdline()]

        parent.send_signal(by)

        assert parent.wait(timeout=10) == -by
        assert psutil.wait_procs([child], timeout=10)[1] == []


@pytest.mark.slow
def test_a_tuning_that_diverges_says_what_helps(real: LoRAProvider) -> None:
    with pytest.raises(BibleQAError, match=r"^tuning failed: the tuning has diverged.*optimizer\.learning_rate"):
        tune(real, learning_rate=1.0, epochs=3.0)


LITTLE_MEMORY = """
import resource, runpy, sys
import psutil, torch, transformers, peft
most = psutil.Process().memory_info().vms + 200_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.argv[1:] = sys.argv[3:]
runpy.run_module("bibleqa.lm.lora", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to a limit of memory")
def test_memory_that_does_not_suffice_is_an_error_and_no_end(
    real: LoRAProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limited.py").write_text(LITTLE_MEMORY)
    limited = pretender(tmp_path, f'exec "{sys.executable}" "{tmp_path / "limited.py"}" "$@"')
    monkeypatch.setattr(sys, "executable", str(limited))

    with pytest.raises(BibleQAError, match=r"optimizer\.batch_tokens"):
        tune(real, seed=2)


FULL_DISK = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
sys.argv[1:] = sys.argv[3:]
runpy.run_module("bibleqa.lm.lora", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_disk_that_is_full_is_said_in_one_line(
    real: LoRAProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limited.py").write_text(FULL_DISK)
    limited = pretender(tmp_path, f'exec "{sys.executable}" "{tmp_path / "limited.py"}" "$@"')
    monkeypatch.setattr(sys, "executable", str(limited))

    with pytest.raises(BibleQAError, match=r"^tuning failed: cannot write .*is the disk full\?"):
        tune(real, seed=3, epochs=0.01)
