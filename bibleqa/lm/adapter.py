"""A LoRA adapter as a GGUF file: how tuned weights are kept, and what llama.cpp loads over a model.

Names and layout are those of llama.cpp's own `convert_lora_to_gguf.py`: for the matrix `blk.0.attn_q.weight` the
factors `blk.0.attn_q.weight.lora_a`, (rank, inputs), and `….lora_b`, (outputs, rank), and one `adapter.lora.alpha`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bibleqa import runs
from bibleqa.errors import BibleQAError, ConfigError

if TYPE_CHECKING:
    from gguf import GGUFReader

Factor = npt.NDArray[np.float32]

# Of the models that can be tuned: whether the rows of the query and key projections stand in another order in GGUF.
_REORDERED = {"llama": True, "qwen2": False}

# What PEFT calls a factor: in the model it has the adapter's name, `default`, which `save_pretrained` leaves out.
_PEFT_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])(\.\w+)?\.weight")
_GGUF_NAME = re.compile(r"(?P<matrix>.+)\.lora_(?P<factor>[ab])")


@dataclass(frozen=True)
class Lora:
    """An adapter: what it adds to each matrix of its model.

    Attributes:
        architecture: Of the model, as GGUF names it, such as `qwen2`.
        alpha: The scale of what it adds, before the rank divides it.
        factors: By the name of the matrix in GGUF: A, (rank, inputs), and B, (outputs, rank). The rows of B are in
            GGUF's order.
    """

    architecture: str
    alpha: float
    factors: dict[str, tuple[Factor, Factor]]

    def delta(self, matrix: str) -> Factor:
        """What is added to a matrix: alpha/rank · B·A, (outputs, inputs)."""
        a, b = self.factors[matrix]
        return np.asarray((b * np.float32(self.alpha / len(a))) @ a, dtype=np.float32)


def write(
    path: Path, architecture: str, alpha: float, tensors: Mapping[str, np.ndarray], heads: tuple[int, int]
) -> None:
    """Write a LoRA adapter as GGUF, whole or not at all; the same adapter gives the same bytes.

    In 32 bits: llama.cpp would compute with 16-bit factors in 16 bits, and round the activations, too.

    Args:
        path: The file.
        architecture: Of the model, as GGUF names it: `llama` or `qwen2`.
        alpha: `lora_alpha` of PEFT's config.
        tensors: float32 factors under PEFT's names, lora_A (rank, inputs) and lora_B (outputs, rank); such as
            `base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight`, with `.default` before `.weight` or not.
        heads: The model's attention heads: of the queries, and of keys and values.

    Raises:
        BibleQAError: The weights are not finite: the tuning has diverged.
        ValueError: It is no complete LoRA adapter of a model of that architecture.
    """
    import gguf

    if architecture not in _REORDERED:
        raise ValueError(f"{architecture}: adapters can be written for {' and '.join(_REORDERED)} only")
    found = _in_gguf(architecture, tensors, heads)
    with runs.replacing(path) as draft:
        writer = gguf.GGUFWriter(draft, architecture)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
            for name, factor in sorted(found.items()):
                writer.add_tensor(name, factor)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def read(path: Path) -> Lora:
    """Read a LoRA adapter.

    Raises:
        ConfigError: The file is none, or damaged.
    """
    import gguf

    reader = open_gguf(path)
    kind, alpha = reader.get_field(gguf.Keys.Adapter.TYPE), reader.get_field(gguf.Keys.Adapter.LORA_ALPHA)
    if kind is None or kind.contents() != "lora" or alpha is None:
        raise ConfigError(f"{path} is no LoRA adapter")
    # Copied: else they would be views of a file that stays open.
    tensors = {tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in reader.tensors}
    matrices = {found["matrix"] for name in tensors if (found := _GGUF_NAME.fullmatch(name))}
    if tensors.keys() != {f"{matrix}.lora_{factor}" for matrix in matrices for factor in "ab"}:
        raise ConfigError(f"{path} has other tensors than a LoRA adapter")
    return Lora(
        architecture=reader.fields[gguf.Keys.General.ARCHITECTURE].contents(),
        alpha=alpha.contents(),
        factors={matrix: (tensors[f"{matrix}.lora_a"], tensors[f"{matrix}.lora_b"]) for matrix in sorted(matrices)},
    )


def open_gguf(path: Path) -> "GGUFReader":
    """Open a GGUF file; its tensors are views of the file.

    Raises:
        ConfigError: It is none, or damaged.
    """
    import gguf

    try:
        return gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError) as error:
        raise ConfigError(f"{path} is no GGUF file, or damaged: {error}") from error


def _in_gguf(architecture: str, tensors: Mapping[str, np.ndarray], heads: tuple[int, int]) -> dict[str, np.ndarray]:
    """The factors under GGUF's names, B's rows in GGUF's order."""
    import gguf

    (arch,) = (key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    blocks = 1 + max((int(number) for name in tensors for number in re.findall(r"\.layers\.(\d+)\.", name)), default=0)
    names = gguf.get_tensor_name_map(arch, blocks)
    reordered = {gguf.MODEL_TENSOR.ATTN_Q: heads[0], gguf.MODEL_TENSOR.ATTN_K: heads[1]}
    found: dict[str, dict[str, np.ndarray]] = {}
    for peft_name, tensor in tensors.items():
        parsed = _PEFT_NAME.fullmatch(peft_name)
        named = parsed and names.get_type_and_name(parsed["module"])
        if not parsed or not named:
            raise ValueError(f"{peft_name}: not a LoRA factor of a matrix of {architecture}")
        if not np.isfinite(tensor).all():
            raise BibleQAError(f"the tuning has diverged: {peft_name} is not finite; a lower learning rate may help")
        kind, matrix = named
        factor = parsed["factor"].lower()
        if _REORDERED[architecture] and factor == "b" and kind in reordered:
            tensor = _reorder(tensor, reordered[kind])
        found.setdefault(f"{matrix}.weight", {})[factor] = np.ascontiguousarray(tensor, dtype=np.float32)
    for matrix, pair in found.items():
        if len(pair) != 2 or pair["a"].shape[:1] != pair["b"].shape[1:]:
            raise ValueError(f"{matrix}: A and B are not both there, or of different rank")
    return {f"{matrix}.lora_{factor}": pair[factor] for matrix, pair in found.items() for factor in pair}


def _reorder(rows: np.ndarray, heads: int) -> np.ndarray:
    """Put the rows of a query or key projection in GGUF's order, shape unchanged.

    Rotary embedding turns pairs of rows of a head. In transformers a pair is row i of the head's first half and row
    i of its second; llama.cpp, for `llama`, takes neighbours. Its converter (`LlamaModel.permute` in
    `convert_hf_to_gguf.py`) does this to the matrices, and what is added to their rows must follow.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
