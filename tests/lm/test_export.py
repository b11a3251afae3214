"""Tuned weights as a model of their own: what the file holds, that it answers alike, and the command."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
from adapters import PROMPTS, distances, next_words, random_lora
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, quants

from bibleqa import artifacts, cli
from bibleqa.artifacts import Artifact
from bibleqa.errors import BibleQAError, ConfigError
from bibleqa.lm import adapter, embedded, export

NAME = "smollm2-135m-instruct"

HEADS = (4, 2)
SHAPES = {
    "attn_q": (64, 64),
    "attn_k": (32, 64),
    "attn_v": (32, 64),
    "attn_output": (64, 64),
    "ffn_gate": (96, 64),
    "ffn_up": (96, 64),
    "ffn_down": (64, 96),
}
"""(outputs, inputs) of the matrices of the tiny base's layers."""

METADATA: dict[str, tuple[Any, GGUFValueType, GGUFValueType | None]] = {
    "general.name": ("Tiny", GGUFValueType.STRING, None),
    "general.file_type": (3, GGUFValueType.UINT32, None),
    "general.alignment": (64, GGUFValueType.UINT32, None),
    "llama.block_count": (2, GGUFValueType.UINT32, None),
    "llama.attention.layer_norm_rms_epsilon": (9.999999747378752e-06, GGUFValueType.FLOAT32, None),
    "test.big": (2**63, GGUFValueType.UINT64, None),
    "test.small": (-7, GGUFValueType.INT8, None),
    "test.double": (0.1, GGUFValueType.FLOAT64, None),
    "tokenizer.ggml.add_bos_token": (False, GGUFValueType.BOOL, None),
    "tokenizer.ggml.tokens": (["<s>", "ראשית", "", "Ġthe"], GGUFValueType.ARRAY, GGUFValueType.STRING),
    "tokenizer.ggml.token_type": ([3, 1, 1, 1], GGUFValueType.ARRAY, GGUFValueType.INT32),
    "tokenizer.ggml.scores": ([0.5, -1.5], GGUFValueType.ARRAY, GGUFValueType.FLOAT32),
    "test.flags": ([True, False], GGUFValueType.ARRAY, GGUFValueType.BOOL),
    "tokenizer.chat_template": ("{% for m in messages %}{{ m }}\n{% endfor %}", GGUFValueType.STRING, None),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model of two tiny layers, in several quantizations."""
    return make_base(tmp_path / "base.gguf")


def make_base(path: Path) -> Path:
    rng = np.random.default_rng(1)
    kinds = [GGMLQuantizationType[name] for name in ("Q4_1", "Q5_0", "Q8_0", "F16", "F32")]
    writer = gguf.GGUFWriter(path, "llama")
    for key, (value, kind, inner) in METADATA.items():
        writer.add_key_value(key, value, kind, inner)
    writer.data_alignment = 64
    writer.add_tensor(
        "token_embd.weight",
        quants.quantize(rng.standard_normal((4, 64), np.float32), GGMLQuantizationType.Q8_0),
        raw_dtype=GGMLQuantizationType.Q8_0,
    )
    for layer in range(2):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", rng.standard_normal(64, np.float32))
        for number, (matrix, shape) in enumerate(SHAPES.items()):
            quantization = kinds[(number + layer) % len(kinds)]
            data = quants.quantize(rng.standard_normal(shape, np.float32), quantization)
            writer.add_tensor(f"blk.{layer}.{matrix}.weight", data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tuned(base: Path) -> Path:
    """An adapter for it."""
    path = base.with_name("adapter.gguf")
    adapter.write(path, "llama", 8.0, random_lora(base, scale=0.2), HEADS)
    return path


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def matrix(tensor: Any) -> np.ndarray:
    return quants.dequantize(tensor.data, tensor.tensor_type)


def rounding(exact: np.ndarray) -> np.ndarray:
    """How far Q8_0 may be off: half a step, a 127th of the block's largest, which itself is kept in 16 bits."""
    blocks = np.abs(exact.reshape(-1, 32)).max(axis=1, keepdims=True)
    return np.broadcast_to(blocks * (0.5 / 127 + 2**-11) + 1e-5, (len(blocks), 32)).reshape(exact.shape)


def metadata(path: Path) -> dict[str, Any]:
    fields = GGUFReader(path).fields
    return {name: (field.types[:2], field.contents()) for name, field in fields.items()}


def test_the_matrices_have_what_the_adapter_adds_and_the_rest_is_untouched(
    base: Path, tuned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    export.merge(base, tuned, out)

    before, after, lora = tensors(base), tensors(out), adapter.read(tuned)
    assert list(after) == list(before)
    assert len(lora.factors) == 2 * len(SHAPES)
    for name, tensor in after.items():
        if name in lora.factors:
            exact = matrix(before[name]) + lora.delta(name)
            assert tensor.tensor_type == GGMLQuantizationType.Q8_0
            assert (np.abs(matrix(tensor) - exact) <= rounding(exact)).all()
            assert np.abs(matrix(tensor) - matrix(before[name])).max() > 0.1
        else:
            assert tensor.tensor_type == before[name].tensor_type
            assert tensor.data.tobytes() == before[name].data.tobytes()
        assert tensor.data_offset % 64 == 0


def test_a_matrix_without_an_adapter_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    one = {name: factor for name, factor in random_lora(base).items() if ".0.mlp.up_proj." in name}
    adapter.write(tmp_path / "one.gguf", "llama", 8.0, one, HEADS)
    export.merge(base, tmp_path / "one.gguf", tmp_path / "out.gguf")

    before, after = tensors(base), tensors(tmp_path / "out.gguf")
    changed = {name for name in after if after[name].data.tobytes() != before[name].data.tobytes()}
    assert changed == {"blk.0.ffn_up.weight"}


def test_an_adapter_that_adds_nothing_changes_nothing_but_by_rounding(base: Path, tmp_path: Path) -> None:
    nothing = {n: factor * ("lora_A" in n) for n, factor in random_lora(base).items()}
    adapter.write(tmp_path / "nothing.gguf", "llama", 8.0, nothing, HEADS)
    export.merge(base, tmp_path / "nothing.gguf", tmp_path / "out.gguf")

    before, after = tensors(base), tensors(tmp_path / "out.gguf")
    for name in after:
        assert (np.abs(matrix(after[name]) - matrix(before[name])) <= rounding(matrix(before[name]))).all()


def test_the_metadata_are_the_bases_but_for_name_and_file_type(base: Path, tuned: Path, tmp_path: Path) -> None:
    export.merge(base, tuned, tmp_path / "out.gguf")

    before, after = metadata(base), metadata(tmp_path / "out.gguf")
    assert list(after) == list(before)
    assert {name: (before[name][1], after[name][1]) for name in after if after[name] != before[name]} == {
        "general.name": ("Tiny", "Tiny (tuned by bibleqa)"),
        "general.file_type": (3, gguf.LlamaFileType.MOSTLY_Q8_0),
    }


def test_an_adapter_of_another_model_is_refused(base: Path, tuned: Path, tmp_path: Path) -> None:
    adapter.write(tmp_path / "q.gguf", "qwen2", 8.0, random_lora(base), HEADS)
    with pytest.raises(ConfigError, match=r"q.gguf is for a qwen2 model, and .*base.gguf is a llama model"):
        export.merge(base, tmp_path / "q.gguf", tmp_path / "out.gguf")

    factors = {n.replace(".1.", ".7."): factor for n, factor in random_lora(base).items()}
    adapter.write(tmp_path / "deep.gguf", "llama", 8.0, factors, HEADS)
    with pytest.raises(ConfigError, match=r"another model: its blk.7.attn_k.weight does not fit"):
        export.merge(base, tmp_path / "deep.gguf", tmp_path / "out.gguf")

    with pytest.raises(ConfigError, match=r"base.gguf is no LoRA adapter"):
        export.merge(base, base, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_what_breaks_in_the_middle_leaves_nothing_half(base: Path, tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_text("before")
    seen: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.merge(base, tuned, out, interrupt)

    assert out.read_text() == "before"
    assert not list(tmp_path.glob(".out*"))
    seen.clear()
    export.merge(base, tuned, out, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == sum(tensor.n_bytes for tensor in tensors(out).values())


def test_a_full_disk_is_told_in_one_line(
    base: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000))
        with pytest.raises(BibleQAError, match=r"too little space in .* are free"):
            export.merge(base, tuned, tmp_path / "out.gguf")

    def full(done: int, total: int) -> None:
        raise OSError("100000 requested and 48576 written")  # NumPy's words, without an errno

    with pytest.raises(BibleQAError, match=r"out.gguf cannot be written: 100000 requested"):
        export.merge(base, tuned, tmp_path / "out.gguf", full)
    assert not list(tmp_path.glob("*out*"))


class Command:
    """`bibleqa export` of a run that tuned the tiny base."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]):
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and what was said: on standard output if it went well, else on standard error."""
        code = cli.main(["export", str(self.folder), *arguments])
        said = self._capsys.readouterr()
        assert bool(said.err) == bool(code)
        return code, said.err if code else said.out

    def change(self, **entries: str) -> None:
        """Change the run's manifest."""
        manifest = self.folder / "adapter.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **entries}))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("BIBLEQA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models").mkdir(parents=True)
    base = make_base(tmp_path / "cache" / "models" / "tiny.gguf")
    folder = tmp_path / "a run"
    folder.mkdir()
    adapter.write(folder / "adapter.gguf", "llama", 8.0, random_lora(base, scale=0.2), HEADS)
    tiny = Artifact("tiny.gguf", base.stat().st_size, digest(base), (), "CC0-1.0")
    monkeypatch.setitem(embedded.MODELS, "tiny", tiny)
    manifest = {"base_model": "tiny", "base_sha256": tiny.sha256, "sha256": digest(folder / "adapter.gguf")}
    (folder / "adapter.json").write_text(json.dumps(manifest))
    return Command(folder, capsys)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_command_writes_into_the_run_folder_and_says_who_loads_it(command: Command, tmp_path: Path) -> None:
    code, said = command()

    file = command.folder / "model.gguf"
    assert code == 0
    assert len(tensors(file)) == 2 * (len(SHAPES) + 1) + 1
    assert f'lms import --copy --user-repo bibleqa/tiny-tuned "{file}"' in said
    assert f'llama-server -m "{file}"' in said
    assert f"FROM {file}" in said
    assert "endpoint=openai endpoint.base_url=http://127.0.0.1:8080/v1 endpoint.model=tiny-tuned" in said

    elsewhere = tmp_path / "elsewhere.gguf"
    assert command("--out", str(elsewhere))[0] == 0
    assert elsewhere.read_bytes() == file.read_bytes()


def test_the_command_replaces_a_file_only_when_told_to(command: Command) -> None:
    file = command.folder / "model.gguf"
    file.write_text("mine")

    code, said = command()
    assert (code, said.count("\n"), file.read_text()) == (2, 1, "mine")
    assert "--force" in said

    assert command("--force")[0] == 0
    assert file.stat().st_size > 10_000


def test_the_command_refuses_in_one_line_what_it_cannot_export(command: Command, tmp_path: Path) -> None:
    def refuse(expected: str, *arguments: str) -> None:
        code, said = command(*arguments)
        assert (code, said.count("\n")) == (2, 1), said
        assert expected in said

    refuse("there is no folder", "--out", str(tmp_path / "nowhere" / "out.gguf"))
    refuse("that is a folder", "--out", str(tmp_path), "--force")
    refuse("choose another file", "--out", str(command.folder / "adapter.gguf"), "--force")
    command.change(base_sha256="0" * 64)
    refuse("tuned over tiny of sha256 0000")
    command.change(base_model="no-such-model")
    refuse("tuned over no-such-model")
    with (command.folder / "adapter.gguf").open("ab") as file:
        file.write(b"more")
    refuse("is not the file that the run wrote")
    (command.folder / "adapter.gguf").unlink()
    refuse("adapter.gguf is missing")
    (command.folder / "adapter.json").write_text("{}")
    refuse("adapter.json is damaged")
    (command.folder / "adapter.json").unlink()
    refuse("this run tuned no weights")
    command.folder.rmdir()
    refuse("no such run folder")


@pytest.mark.slow
def test_the_exported_model_answers_as_the_base_with_the_adapter(tmp_path: Path) -> None:
    """Not to the last digit: the matrices are rounded anew, and llama.cpp rounds activations for each format.

    So the odds of the next word are compared: they must be far nearer to base and adapter than the base alone is,
    and the word answered the same but for near ties.
    """
    base, tuned, out = artifacts.fetch(embedded.MODELS[NAME]), tmp_path / "adapter.gguf", tmp_path / "out.gguf"
    adapter.write(tuned, "llama", 4.0, random_lora(base, scale=0.1), (9, 3))
    export.merge(base, tuned, out)

    plain, served = next_words(base, None, PROMPTS), next_words(base, tuned, PROMPTS)
    merged = next_words(out, None, PROMPTS)

    assert distances(served, merged) < 0.3 * distances(served, plain)
    for one, other in zip(served, merged, strict=True):
        said = max(other, key=lambda token: other[token])
        assert one[said] > max(one.values()) - 0.7, "at least half as likely as the word that should be said"
    assert metadata(out)["tokenizer.chat_template"] == metadata(base)["tokenizer.chat_template"]
    assert metadata(out)["tokenizer.ggml.tokens"] == metadata(base)["tokenizer.ggml.tokens"]
