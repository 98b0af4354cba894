"""One short text through a BERT, with as few steps as the arithmetic needs.

A query is so short that the layers of the general implementation (masks for padding, dropout,
hooks, separate products for query, key and value) cost as much as the arithmetic. This walks the
same weights in the same order of operations, for one unpadded text.

Source: Devlin, Chang, Lee & Toutanova, BERT, NAACL 2019, https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

__all__ = ["QueryNetwork", "query_network"]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's weights, each product's laid out (inputs, outputs)."""

    attention_in: tuple[Tensor, Tensor]
    attention_out: tuple[Tensor, Tensor]
    attention_norm: Any
    feed_in: tuple[Tensor, Tensor]
    feed_out: tuple[Tensor, Tensor]
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
                bias, weight = layer.attention_in
                heads = torch.addmm(bias, states, weight).view(n_tokens, 3, self._n_heads, -1)
                query, key, value = heads.permute(1, 2, 0, 3).unsqueeze(1)
                mixed = functional.scaled_dot_product_attention(query, key, value)
                mixed = mixed[0].transpose(0, 1).reshape(n_tokens, -1)
                bias, weight = layer.attention_out
                states = layer.attention_norm(torch.addmm(bias, mixed, weight) + states)
                bias, weight = layer.feed_in
                wide = functional.gelu(torch.addmm(bias, states, weight))
                bias, weight = layer.feed_out
                states = layer.feed_norm(torch.addmm(bias, wide, weight) + states)
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

    def _product(self, *linear: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        weight = self._torch.cat([part.weight for part in linear]).detach().t().contiguous()
        return self._torch.cat([part.bias for part in linear]).detach(), weight


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
