"""One short text through a BERT, with as few steps as the arithmetic needs.

A query is so short that the layers of the general implementation (masks for padding, dropout,
hooks, separate products for query, key and value) cost as much as the arithmetic, and the rest of
the time goes to reading the weights from memory. This walks the same weights in the same order of
operations, for one unpadded text, and holds them in 16 bits where the processor can multiply
them so: half as much to read, and the embedding's cosine with the whole network's stays above
0.999999.

Source: Devlin, Chang, Lee & Toutanova, BERT, NAACL 2019, https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

__all__ = ["QueryNetwork", "query_network"]

_LARGEST_16_BITS = 65_000.0


Product = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's products and norms."""

    attention_in: Product
    attention_out: Product
    attention_norm: Any
    feed_in: Product
    feed_out: Product
    feed_norm: Any


class QueryNetwork:
    """Embeds one text by mean pooling; the same as the whole network within rounding.

    Parameters
    ----------
    model
        A ``transformers`` BertModel in float32.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (transformers has no types)
        import torch

        self._torch = torch
        # The only one of torch's engines for x86 that multiplies by 16-bit weights.
        self._in_16_bits = "fbgemm" in torch.backends.quantized.supported_engines
        self._n_heads = int(model.config.num_attention_heads)
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight
        # Position and type are the same for every query; so is their sum.
        self._places = (
            embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        ).detach()
        self._norm = embeddings.LayerNorm
        self._layers = [self._layer(layer) for layer in model.encoder.layer]

    def embed(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embed one text: float32, shape (dimension,), not normalized."""
        torch, functional = self._torch, self._torch.nn.functional
        n_tokens = len(token_ids)
        with torch.inference_mode():
            states = self._norm(self._words[torch.from_numpy(token_ids)] + self._places[:n_tokens])
            for layer in self._layers:
                heads = layer.attention_in(states).view(n_tokens, 3, self._n_heads, -1)
                query, key, value = heads.permute(1, 2, 0, 3).unsqueeze(1)
                mixed = functional.scaled_dot_product_attention(query, key, value)
                mixed = mixed[0].transpose(0, 1).reshape(n_tokens, -1)
                states = layer.attention_norm(layer.attention_out(mixed) + states)
                wide = functional.gelu(layer.feed_in(states))
                states = layer.feed_norm(layer.feed_out(wide) + states)
            result: NDArray[np.float32] = states.mean(dim=0).numpy()
        return result

    def _layer(self, layer: Any) -> _Layer:  # noqa: ANN401
        attention = layer.attention.self
        return _Layer(
            attention_in=self._product(attention.query, attention.key, attention.value),
            attention_out=self._product(layer.attention.output.dense),
            attention_norm=layer.attention.output.LayerNorm,
            feed_in=self._product(layer.intermediate.dense),
            feed_out=self._product(layer.output.dense),
            feed_norm=layer.output.LayerNorm,
        )

    def _product(self, *linear: Any) -> Product:  # noqa: ANN401
        """Map states, shape (n_tokens, inputs), through the given linear maps, side by side."""
        torch = self._torch
        weight = torch.cat([part.weight for part in linear]).detach()
        bias = torch.cat([part.bias for part in linear]).detach()
        if self._in_16_bits and float(weight.abs().max()) < _LARGEST_16_BITS:
            packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)
            return partial(torch.ops.quantized.linear_dynamic_fp16, W_prepack=packed)
        # Laid out (inputs, outputs): a short product is then twice as fast.
        return partial(torch.addmm, bias, mat2=weight.t().contiguous())


def query_network(network: SentenceTransformer) -> QueryNetwork | None:
    """Make the short way for a network, or ``None`` where it is not a plain, mean-pooled BERT."""
    import torch

    modules = list(network)
    names = [type(module).__name__ for module in modules]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    model: Any = modules[0].auto_model
    plain = (
        type(model).__name__ == "BertModel"
        and model.config.hidden_act == "gelu"
        and getattr(model.config, "position_embedding_type", "absolute") == "absolute"
        and getattr(modules[1], "pooling_mode", None) == "mean"
        and bool(getattr(modules[1], "include_prompt", True))
        and next(model.parameters()).dtype == torch.float32
    )
    return QueryNetwork(model) if plain else None
