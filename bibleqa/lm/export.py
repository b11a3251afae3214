"""Tuned weights as a model of their own: a GGUF file that LM Studio, llama.cpp and Ollama load."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from gguf import quants

from bibleqa import runs
from bibleqa.errors import BibleQAError, ConfigError
from bibleqa.lm import adapter
from bibleqa.lm.adapter import Lora

NAME_SUFFIX = " (tuned by bibleqa)"
"""What the model's name, `general.name`, has more than the base's."""


def merge(base: Path, adapter_file: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a model that answers as the base does with the adapter over it.

    The matrices that the adapter changes are written as Q8_0, whatever they were: K-quants, which most models come
    in, can be read here but not written, and at 8 bits next to nothing of the change is lost. So the file is bigger
    than the base. Everything else, tokenizer and chat template included, is the base's byte for byte, but for the
    model's name and `general.file_type`. Of the matrices one at a time is in memory.

    Args:
        base: The model's GGUF file.
        adapter_file: The LoRA adapter's.
        out: Written whole or not at all; one that is there is replaced.
        progress: Told how many bytes of the tensors are written, and how many there will be.

    Raises:
        ConfigError: A file is none of its kind or damaged, or the adapter belongs to another model.
        BibleQAError: There is no space, or `out` cannot be written.
    """
    model, lora = adapter.open_gguf(base), adapter.read(adapter_file)
    _check(model, lora, base, adapter_file)
    architecture = model.fields[gguf.Keys.General.ARCHITECTURE].contents()
    try:
        with runs.replacing(out) as draft:
            writer = gguf.GGUFWriter(draft, architecture)
            try:
                _copy_metadata(model, writer)
                total = _announce(model, lora, writer)
                # What stands before the first tensor is as long as the base's, but for the name.
                _check_space(out.parent, total + model.data_offset)
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.write_ti_data_to_file()
                done = 0
                for tensor in model.tensors:
                    data = _merged(tensor, lora) if tensor.name in lora.factors else tensor.data
                    writer.write_tensor_data(data)
                    done += data.nbytes
                    if progress:
                        progress(done, total)
            finally:
                writer.close()
    except OSError as error:
        raise BibleQAError(f"{out} cannot be written: {error.strerror or error}") from error


def _check(model: gguf.GGUFReader, lora: Lora, base: Path, adapter_file: Path) -> None:
    """Refuse an adapter of another model."""
    architecture = model.fields[gguf.Keys.General.ARCHITECTURE].contents()
    if lora.architecture != architecture:
        raise ConfigError(f"{adapter_file} is for a {lora.architecture} model, and {base} is a {architecture} model")
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in model.tensors}
    for matrix, (a, b) in lora.factors.items():
        if shapes.get(matrix) != (len(b), a.shape[1]) or len(a) != b.shape[1]:
            raise ConfigError(f"{adapter_file} is for another model: its {matrix} does not fit that of {base}")


def _copy_metadata(model: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    # The reader's own fields, of the file's header, and what the writer has written.
    written = {gguf.Keys.General.ARCHITECTURE, "GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}
    for name, field in model.fields.items():
        if name in written:
            continue
        value = field.contents()
        if name == gguf.Keys.General.NAME:
            value += NAME_SUFFIX
        elif name == gguf.Keys.General.FILE_TYPE:
            value = gguf.LlamaFileType.MOSTLY_Q8_0.value
        writer.add_key_value(name, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
    writer.data_alignment = int(model.alignment)


def _announce(model: gguf.GGUFReader, lora: Lora, writer: gguf.GGUFWriter) -> int:
    """Tell the writer what tensors will come; returns their bytes."""
    total = 0
    for tensor in model.tensors:
        shape, kind, dtype = tensor.data.shape, tensor.tensor_type, tensor.data.dtype
        if tensor.name in lora.factors:
            kind, dtype = gguf.GGMLQuantizationType.Q8_0, np.dtype(np.uint8)
            shape = quants.quant_shape_to_byte_shape(tuple(reversed(tensor.shape.tolist())), kind)
        size = int(np.prod(shape)) * dtype.itemsize
        writer.add_tensor_info(tensor.name, shape, dtype, size, kind)
        total += size
    return total


def _merged(tensor: gguf.ReaderTensor, lora: Lora) -> np.ndarray:
    """The matrix with what the adapter adds, as Q8_0."""
    matrix = quants.dequantize(tensor.data, tensor.tensor_type) + lora.delta(tensor.name)
    return quants.quantize(matrix, gguf.GGMLQuantizationType.Q8_0)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BibleQAError(f"too little space in {folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free")
