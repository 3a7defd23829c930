"""A Llama's forward pass in numpy, over a cache that several sequences share.

It knows numbers only: rows of token ids in, rows of logits out. Numpy, because onnxruntime would need the
model exported first, by a toolchain of gigabytes, for a model of five megabytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from tallystick.tokenizer import UnsupportedModel

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Each matrix is transposed, and holds the norm before it, so that a step is few calls."""

    qkv: Floats
    out: Floats
    gate_up: Floats
    down: Floats


class Llama:
    """A model and the keys and values of the sequences that occupy its slots.

    Slots in use are 0 … n-1 without a gap, so that the cache is read in place. How long the sequence in each
    is, the caller keeps.
    """

    def __init__(self, folder: Path, *, slots: int) -> None:
        config = json.loads((folder / "config.json").read_text())
        _check(config)
        self.vocabulary: int = config["vocab_size"]
        self.max_length: int = config["max_position_embeddings"]
        self.slots = slots
        self._heads: int = config["num_attention_heads"]
        self._kv_heads: int = config.get("num_key_value_heads", self._heads)
        self._width: int = config.get("head_dim") or config["hidden_size"] // self._heads
        self._epsilon = np.float32(config["rms_norm_eps"])

        weights = {
            name: value.astype(np.float32) for name, value in load_file(folder / "model.safetensors").items()
        }
        self._embeddings = weights["model.embed_tokens.weight"]
        head = weights.get("lm_head.weight", self._embeddings)
        self._head = np.ascontiguousarray((head * weights["model.norm.weight"]).T)
        self._layers = [self._layer(weights, i) for i in range(config["num_hidden_layers"])]

        self._cosines, self._sines = _rotations(config, self._width, self.max_length)
        # Pages that no sequence has reached take no memory yet.
        shape = (len(self._layers), slots, self._kv_heads, self.max_length, self._width)
        self._keys, self._values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def prefill(self, slot: int, ids: tuple[int, ...], *, all_rows: bool) -> Floats:
        """Fills an empty slot with `ids`; the logits after the last of them, or after each."""
        length = len(ids)
        mask = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        x = self._embeddings[list(ids)]
        for i, layer in enumerate(self._layers):
            q, k, v = self._attended(layer, x, slice(0, length))
            keys, values = self._keys[i, slot], self._values[i, slot]
            keys[:, :length], values[:, :length] = k.transpose(1, 0, 2), v.transpose(1, 0, 2)
            # heads of one group share a key: (kv heads, group, length, width)
            grouped = q.transpose(1, 0, 2).reshape(self._kv_heads, -1, length, self._width)
            scores = grouped @ keys[:, None, :length].swapaxes(-1, -2) + mask
            mixed = _softmax(scores) @ values[:, None, :length]
            x = self._onward(layer, x, mixed.reshape(self._heads, length, -1).transpose(1, 0, 2))
        return self._logits(x if all_rows else x[-1:])

    def decode(self, ids: Ids, lengths: Ids) -> Floats:
        """Appends one token to each of the slots 0 … n-1; a row of logits for each."""
        count, rows = len(ids), np.arange(len(ids))
        longest = int(lengths.max()) + 1
        mask = np.where(np.arange(longest) > lengths[:, None], np.float32(-np.inf), np.float32(0))
        x = self._embeddings[ids]
        for i, layer in enumerate(self._layers):
            q, k, v = self._attended(layer, x, lengths)
            self._keys[i, rows, :, lengths], self._values[i, rows, :, lengths] = k, v
            keys, values = self._keys[i, :count, :, :longest], self._values[i, :count, :, :longest]
            grouped = q.reshape(count, self._kv_heads, -1, self._width)
            scores = grouped @ keys.swapaxes(-1, -2) + mask[:, None, None]
            x = self._onward(layer, x, (_softmax(scores) @ values).reshape(count, self._heads, -1))
        return self._logits(x)

    def move(self, source: int, target: int, length: int) -> None:
        """The sequence in slot `source` now is in slot `target`."""
        for cache in (self._keys, self._values):
            cache[:, target, :, :length] = cache[:, source, :, :length]

    def _attended(self, layer: _Layer, x: Floats, at: Ids | slice) -> tuple[Floats, Floats, Floats]:
        """Queries, keys and values of each row, turned to its position: (rows, heads, width)."""
        parts: Floats = (self._normal(x) @ layer.qkv).reshape(len(x), -1, self._width)
        turning = parts[:, : self._heads + self._kv_heads]
        half = self._width // 2
        swapped = np.concatenate((-turning[..., half:], turning[..., :half]), axis=-1)
        turned: Floats = turning * self._cosines[at, None] + swapped * self._sines[at, None]
        return turned[:, : self._heads], turned[:, self._heads :], parts[:, self._heads + self._kv_heads :]

    def _onward(self, layer: _Layer, x: Floats, mixed: Floats) -> Floats:
        x = x + mixed.reshape(len(x), -1) @ layer.out
        gate, up = np.split(self._normal(x) @ layer.gate_up, 2, axis=-1)
        # exp overflows to infinity for a gate below -88, which is then rightly closed.
        with np.errstate(over="ignore"):
            open_gate = gate / (1 + np.exp(-gate))
        hidden: Floats = x + (open_gate * up) @ layer.down
        return hidden

    def _normal(self, x: Floats) -> Floats:
        squares = np.einsum("rw,rw->r", x, x) / np.float32(x.shape[1])
        normal: Floats = x / np.sqrt(squares + self._epsilon)[:, None]
        return normal

    def _logits(self, x: Floats) -> Floats:
        return self._normal(x) @ self._head

    def _layer(self, weights: dict[str, Floats], index: int) -> _Layer:
        def matrix(name: str) -> Floats:
            return weights[f"model.layers.{index}.{name}.weight"]

        before, between = matrix("input_layernorm"), matrix("post_attention_layernorm")
        queries = matrix("self_attn.q_proj") / np.float32(np.sqrt(self._width))
        qkv = np.concatenate((queries, matrix("self_attn.k_proj"), matrix("self_attn.v_proj")))
        gate_up = np.concatenate((matrix("mlp.gate_proj"), matrix("mlp.up_proj")))
        return _Layer(
            np.ascontiguousarray((qkv * before).T),
            np.ascontiguousarray(matrix("self_attn.o_proj").T),
            np.ascontiguousarray((gate_up * between).T),
            np.ascontiguousarray(matrix("mlp.down_proj").T),
        )


def _check(config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    for true, problem in (
        (config.get("model_type") != "llama", f"it is a {config.get('model_type')}, not a llama"),
        (config.get("hidden_act") != "silu", f"its activation is {config.get('hidden_act')}, not silu"),
        (bool(config.get("attention_bias") or config.get("mlp_bias")), "it has biases"),
        (rope.get("rope_type", "default") != "default", "its rotary embedding is scaled"),
    ):
        if true:
            raise UnsupportedModel(problem)


def _rotations(config: dict[str, Any], width: int, length: int) -> tuple[Floats, Floats]:
    theta = config.get("rope_theta") or (config.get("rope_parameters") or {})["rope_theta"]
    frequencies = theta ** -(np.arange(0, width, 2) / width)
    angles = np.outer(np.arange(length), np.concatenate((frequencies, frequencies)))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _softmax(scores: Floats) -> Floats:
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
