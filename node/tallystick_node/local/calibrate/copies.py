"""Copies of a model whose weights are rounded: what a provider would serve to save memory.

Weights alone are rounded, and written back in the model's own type: real kernels of that width are no better.
It knows no engine.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file


def quantised(model: Path, into: Path, *, bits: int, group: int | None = None) -> Path:
    """A copy with its linear layers rounded to `bits`, by row, or by so many columns of one."""
    shutil.copytree(model, into, dirs_exist_ok=True)
    weights = into / "model.safetensors"
    tensors: dict[str, NDArray[Any]] = load_file(weights)
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and "embed" not in name and "lm_head" not in name:
            tensors[name] = _rounded(tensor, bits, group or tensor.shape[1])
    save_file(tensors, weights, metadata={"format": "pt"})
    return into


def _rounded(tensor: NDArray[Any], bits: int, group: int) -> NDArray[Any]:
    largest = 2 ** (bits - 1) - 1
    rows = tensor.astype(np.float32).reshape(tensor.shape[0], -1, group)
    step = np.maximum(np.abs(rows).max(axis=-1, keepdims=True) / largest, 1e-12)
    rounded: NDArray[Any] = (np.round(rows / step) * step).reshape(tensor.shape).astype(tensor.dtype)
    return rounded
