"""LoRA adapters for tests, and llama.cpp asked for the odds of the next word."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What GGUF and transformers call the matrices of a layer."""

PROMPTS = [
    "In the beginning God created the heaven and the",
    "The name of the wife of Abraham was",
    "And Moses stretched out his hand over the",
    "The first book of the Bible is called",
    "Jesus was born in the town of",
    "Noah built an",
    "Question: Who begat Enos? Seth begat Enos. Answer:",
    "The Lord is my shepherd; I shall not",
]


def random_lora(model: Path, rank: int = 4, scale: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Factors, under PEFT's names, for each matrix of each layer of a model.

    Args:
        model: The GGUF file.
        rank: Of the factors.
        scale: How big what they add is, as a share of the matrix: both by their root mean square.
        seed: Another one gives others.
    """
    rng = np.random.default_rng(seed)
    factors = {}
    for tensor in gguf.GGUFReader(model).tensors:
        _, _, rest = tensor.name.partition("blk.")
        layer, _, kind = rest.partition(".")
        if module := MODULES.get(kind.removesuffix(".weight")):
            inputs, outputs = tensor.shape.tolist()
            size = np.sqrt(np.mean(np.square(gguf.quants.dequantize(tensor.data, tensor.tensor_type))))
            name = f"base_model.model.model.layers.{layer}.{module}"
            factors[f"{name}.lora_A.weight"] = rng.standard_normal((rank, inputs), np.float32)
            b = rng.standard_normal((outputs, rank), np.float32)
            factors[f"{name}.lora_B.weight"] = b * np.float32(scale * size / np.sqrt(rank))
    return factors


def next_words(model: Path, adapter: Path | None, prompts: Sequence[Any]) -> list[dict[int, float]]:
    """The log-probabilities, by token, of the likeliest 20 tokens after each prompt (a text, or its tokens)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = 256
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = params.ui = False
    params.verbosity = 0
    params.cache_ram_mib = 0
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    server = xllamacpp.Server(params)
    body = {"max_tokens": 1, "temperature": 0, "cache_prompt": False, "logprobs": 20}
    replies = [server.handle_completions({"prompt": prompt, **body}) for prompt in prompts]
    return [
        {word["id"]: word["logprob"] for word in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
        for reply in replies
    ]


def distance(some: Mapping[int, float], others: Mapping[int, float]) -> float:
    """Total variation between two distributions of the next token: 0 for equal ones, 1 for nothing in common."""
    return sum(abs(math.exp(some.get(t, -99)) - math.exp(others.get(t, -99))) for t in some.keys() | others.keys()) / 2


def distances(some: Sequence[Mapping[int, float]], others: Sequence[Mapping[int, float]]) -> float:
    """The mean distance after all prompts."""
    return sum(map(distance, some, others)) / len(some)
