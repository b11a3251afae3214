"""LoRA adapters as GGUF: what the file holds, and that llama.cpp understands it as transformers understands PEFT."""

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from adapters import PROMPTS, distances, next_words, random_lora
from dspy import lm15
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import artifacts
from bibleqa.errors import BibleQAError, ConfigError
from bibleqa.lm import adapter
from bibleqa.lm.embedded import MODELS, EmbeddedEngine

NAME = "smollm2-135m-instruct"
HEADS = (9, 3)
"""SmolLM2's."""

PREFIX = "base_model.model.model.layers"


def factors(module: str = "self_attn.q_proj", rank: int = 2, outputs: int = 16, inputs: int = 12) -> dict[str, Any]:
    """The two factors of one matrix, each number another."""
    return {
        f"{PREFIX}.1.{module}.lora_A.weight": np.arange(rank * inputs, dtype=np.float32).reshape(rank, inputs),
        f"{PREFIX}.1.{module}.lora_B.weight": np.arange(outputs * rank, dtype=np.float32).reshape(outputs, rank),
    }


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize(
    ("module", "matrix"),
    [
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ],
)
def test_each_matrix_has_its_name_and_only_llamas_queries_and_keys_another_order(
    architecture: str, module: str, matrix: str, tmp_path: Path
) -> None:
    written = factors(module)
    adapter.write(tmp_path / "a.gguf", architecture, 3.0, written, heads=(2, 2))

    lora = adapter.read(tmp_path / "a.gguf")

    (a, b) = lora.factors[f"blk.1.{matrix}.weight"]
    assert (lora.architecture, lora.alpha, len(lora.factors)) == (architecture, 3.0, 1)
    assert np.array_equal(a, written[f"{PREFIX}.1.{module}.lora_A.weight"])
    moved = not np.array_equal(b, written[f"{PREFIX}.1.{module}.lora_B.weight"])
    assert moved == (architecture == "llama" and matrix in ("attn_q", "attn_k"))
    np.testing.assert_allclose(lora.delta(f"blk.1.{matrix}.weight"), 3 / 2 * b @ a)


def test_queries_and_keys_are_ordered_by_their_own_heads(tmp_path: Path) -> None:
    query, key = factors("self_attn.q_proj", outputs=16), factors("self_attn.k_proj", outputs=8)
    adapter.write(tmp_path / "a.gguf", "llama", 1.0, {**query, **key}, heads=(4, 2))

    lora = adapter.read(tmp_path / "a.gguf")

    # Heads of four rows: the halves of each are shuffled together.
    for matrix, heads in (("attn_q", 4), ("attn_k", 2)):
        rows = (lora.factors[f"blk.1.{matrix}.weight"][1][:, 0] / 2).tolist()
        assert rows == [4 * head + row for head in range(heads) for row in (0, 2, 1, 3)]


@given(heads=st.integers(1, 8), half=st.integers(1, 16), columns=st.integers(1, 3))
def test_a_pair_of_rows_that_rotates_together_becomes_neighbours(heads: int, half: int, columns: int) -> None:
    rows = np.arange(heads * 2 * half * columns).reshape(heads * 2 * half, columns)

    ordered = adapter._reorder(rows, heads)

    for head in range(heads):
        first = head * 2 * half
        for i in range(half):
            assert (ordered[first + 2 * i] == rows[first + i]).all()
            assert (ordered[first + 2 * i + 1] == rows[first + half + i]).all()


def test_the_same_adapter_gives_the_same_bytes(tmp_path: Path) -> None:
    plain = {**factors("mlp.up_proj"), **factors("self_attn.q_proj")}
    named = {name.replace(".weight", ".default.weight"): plain[name] for name in reversed(plain)}
    for file, tensors in (("plain", plain), ("named", named)):
        adapter.write(tmp_path / file, "llama", 1.0, tensors, heads=(2, 2))

    assert (tmp_path / "plain").read_bytes() == (tmp_path / "named").read_bytes()
    assert {tensor.tensor_type for tensor in gguf.GGUFReader(tmp_path / "plain").tensors} == {
        gguf.GGMLQuantizationType.F32
    }


def test_what_is_no_adapter_is_refused_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_text("before")
    a, b = factors().items()

    def refuse(match: str, tensors: dict[str, Any], architecture: str = "llama") -> None:
        with pytest.raises(ValueError, match=match):
            adapter.write(path, architecture, 1.0, tensors, heads=(2, 2))

    refuse("gpt2.*llama and qwen2", factors(), "gpt2")
    refuse("self_attn.z_proj", factors("self_attn.z_proj"))
    refuse("embed", {"base_model.model.model.embed_tokens.lora_embedding_A": a[1]})
    refuse("blk.1.attn_q.weight: A and B", dict([a]))
    refuse("blk.1.attn_q.weight: A and B", dict([a, (b[0], b[1][:, :1])]))
    with pytest.raises(BibleQAError, match=r"diverged.*layers.1.*lower learning rate"):
        adapter.write(path, "llama", 1.0, dict([a, (b[0], b[1] * math.nan)]), heads=(2, 2))

    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.gguf"]


def test_a_file_that_is_no_adapter_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    adapter.write(path, "llama", 1.0, factors(), heads=(2, 2))
    whole = path.read_bytes()
    for content in (b"", b"GGUF", b"something else", whole[:60], whole[: len(whole) // 2], whole[:-64]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"a.gguf is no GGUF file, or damaged"):
            adapter.read(path)

    writer = gguf.GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ConfigError, match="is no LoRA adapter"):
        adapter.read(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "scale"), [("q_proj k_proj", 0.6), ("q_proj k_proj v_proj o_proj gate_proj up_proj down_proj", 0.1)]
)
def test_llama_cpp_understands_an_adapter_as_transformers_does(
    transformer: tuple[Any, Any], modules: str, scale: float, tmp_path: Path
) -> None:
    """Queries and keys alone first: there, rows in the wrong order would make another model."""
    import torch
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    model, tokenizer = transformer
    base = artifacts.fetch(MODELS[NAME])
    tuned = {n: t for n, t in random_lora(base, scale=scale).items() if n.split(".")[-3] in modules.split()}
    asked = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    adapter.write(tmp_path / "a.gguf", "llama", 4.0, tuned, HEADS)
    plain, here = next_words(base, None, asked), next_words(base, tmp_path / "a.gguf", asked)

    peft = get_peft_model(model, LoraConfig(r=4, lora_alpha=4, target_modules=modules.split(), task_type="CAUSAL_LM"))
    set_peft_model_state_dict(peft, {name: torch.from_numpy(tensor) for name, tensor in tuned.items()})
    there = []
    with torch.inference_mode():
        for tokens in asked:
            odds = peft(torch.tensor([tokens])).logits[0, -1].log_softmax(-1).topk(20)
            there.append(dict(zip(odds.indices.tolist(), odds.values.tolist(), strict=True)))
    peft.unload()

    assert distances(here, there) < 0.3 * distances(plain, there)


@pytest.fixture(scope="module")
def transformer() -> tuple[Any, Any]:
    """SmolLM2 in transformers, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = artifacts.fetch(MODELS[NAME])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    torch.set_num_threads(threads)
    return model, tokenizer


@pytest.mark.slow
def test_the_engine_answers_otherwise_with_an_adapter(tmp_path: Path) -> None:
    base = artifacts.fetch(MODELS[NAME])
    adapter.write(tmp_path / "a.gguf", "llama", 4.0, random_lora(base, scale=0.1), HEADS)
    engine = EmbeddedEngine(threads=1)
    engine.adopt("tuned", NAME, tmp_path / "a.gguf")

    def answers(name: str) -> list[str]:
        requests = [
            lm15.Request(
                model=f"embedded/{name}",
                messages=(lm15.Message.user(prompt),),
                config=lm15.Config(max_tokens=8, temperature=0.0),
            )
            for prompt in PROMPTS
        ]
        return [str(engine.complete(request).message.text) for request in requests]

    plain, tuned = answers(NAME), answers("tuned")
    engine.close()

    assert sum(one != other for one, other in zip(plain, tuned, strict=True)) > len(PROMPTS) / 2
