"""The arithmetic of a plain BERT, without what a search engine has no use for.

The general implementation pads the texts of a batch to one length, copies a bias before each
product and writes every intermediate result to memory: half of the time on a CPU. This walks the
same weights in the same order of operations. Many texts (documents) lie one after the other
without padding, and products carry their bias, activation or addition along. One text (a query)
is so short that reading the weights takes most of the time, so it holds them in 16 bits, which
leaves the embedding's cosine with the whole network's above 0.999999.

Source: Devlin, Chang, Lee & Toutanova, BERT, NAACL 2019, https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

__all__ = ["PlainBert", "document_network", "is_mean_pooled", "query_network"]

_LARGEST_16_BITS = 65_000.0
# oneDNN lays weights out for about this many rows a product; any other number works too.
_EXPECTED_ROWS = 4096


class _Product(Protocol):
    """A linear map of states, float32, shape (n_tokens, inputs)."""

    def plain(self, states: Tensor) -> Tensor: ...

    def gelu(self, states: Tensor) -> Tensor: ...

    def added(self, states: Tensor, other: Tensor) -> Tensor: ...


class _FusedProduct:
    """oneDNN's: bias, activation and addition cost no pass over memory of their own."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        import torch

        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _EXPECTED_ROWS)
        self._bias = bias
        self._apply: Any = torch.ops.mkldnn._linear_pointwise

    def plain(self, states: Tensor) -> Tensor:
        result: Tensor = self._apply(states, self._weight, self._bias, "none", [], "none")
        return result

    def gelu(self, states: Tensor) -> Tensor:
        result: Tensor = self._apply(states, self._weight, self._bias, "gelu", [], "none")
        return result

    def added(self, states: Tensor, other: Tensor) -> Tensor:
        result: Tensor = self._apply.binary(states, other, self._weight, self._bias, "add")
        return result


class _ShortProduct:
    """For few rows: weights in 16 bits where the processor multiplies them so."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        import torch

        self._gelu = torch.nn.functional.gelu
        # The only one of torch's engines that multiplies by 16-bit weights.
        engines = torch.backends.quantized.supported_engines
        if "fbgemm" in engines and float(weight.abs().max()) < _LARGEST_16_BITS:
            packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)
            apply = torch.ops.quantized.linear_dynamic_fp16
            self.plain: Callable[[Tensor], Tensor] = lambda states: apply(states, packed)
        else:
            # Laid out (inputs, outputs): a short product is then twice as fast.
            columns = weight.t().contiguous()
            self.plain = lambda states: torch.addmm(bias, states, columns)

    def gelu(self, states: Tensor) -> Tensor:
        return self._gelu(self.plain(states))

    def added(self, states: Tensor, other: Tensor) -> Tensor:
        return self.plain(states) + other


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's products and norms."""

    attention_in: _Product
    attention_out: _Product
    attention_norm: Any
    feed_in: _Product
    feed_out: _Product
    feed_norm: Any


class PlainBert:
    """Embeds texts by mean pooling; the same as the whole network within rounding.

    Parameters
    ----------
    model
        A ``transformers`` BertModel in float32.
    product
        How linear maps are computed.
    """

    def __init__(self, model: Any, product: Callable[[Tensor, Tensor], _Product]) -> None:  # noqa: ANN401 (transformers has no types)
        import torch

        self._torch = torch
        self._product = product
        self._n_heads = int(model.config.num_attention_heads)
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight.detach()
        # The type is the same for every token; so is its sum with the position.
        self._places = (
            embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        ).detach()
        self._norm = embeddings.LayerNorm
        self._layers = [self._layer(layer) for layer in model.encoder.layer]

    def embed(self, rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Embed texts given as token ids: float32, shape (n_texts, dimension), not normalized.

        Texts of one length that follow each other share their attention's products, so it pays
        to sort them.
        """
        torch = self._torch
        with torch.inference_mode():
            states = self._states(rows)
            pooled = [text.mean(dim=0) for text in torch.split(states, [len(row) for row in rows])]
            result: NDArray[np.float32] = torch.stack(pooled).numpy()
        return result

    def _states(self, rows: Sequence[NDArray[np.int64]]) -> Tensor:
        """Last states of all tokens, one text after the other: shape (n_tokens, dimension)."""
        torch = self._torch
        lengths = [len(row) for row in rows]
        ids = torch.from_numpy(np.concatenate(rows))
        places = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))
        states: Tensor = self._norm(self._words[ids] + self._places[places])
        for layer in self._layers:
            mixed = self._attend(layer.attention_in.plain(states), lengths)
            states = layer.attention_norm(layer.attention_out.added(mixed, states))
            states = layer.feed_norm(layer.feed_out.added(layer.feed_in.gelu(states), states))
        return states

    def _attend(self, projected: Tensor, lengths: Sequence[int]) -> Tensor:
        """Let the tokens of each text attend to each other; ``projected`` holds q, k and v."""
        parts = []
        for begin, n_texts, length in _runs(lengths):
            heads = projected[begin : begin + n_texts * length]
            heads = heads.view(n_texts, length, 3, self._n_heads, -1)
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            mixed = self._torch.nn.functional.scaled_dot_product_attention(query, key, value)
            parts.append(mixed.transpose(1, 2).reshape(n_texts * length, -1))
        return parts[0] if len(parts) == 1 else self._torch.cat(parts)

    def _layer(self, layer: Any) -> _Layer:  # noqa: ANN401
        attention = layer.attention.self
        return _Layer(
            attention_in=self._joined(attention.query, attention.key, attention.value),
            attention_out=self._joined(layer.attention.output.dense),
            attention_norm=layer.attention.output.LayerNorm,
            feed_in=self._joined(layer.intermediate.dense),
            feed_out=self._joined(layer.output.dense),
            feed_norm=layer.output.LayerNorm,
        )

    def _joined(self, *linear: Any) -> _Product:  # noqa: ANN401
        """Make one product of linear maps that read the same states."""
        weight = self._torch.cat([part.weight for part in linear]).detach()
        return self._product(weight, self._torch.cat([part.bias for part in linear]).detach())


def query_network(network: SentenceTransformer) -> PlainBert | None:
    """Make the short way for single texts, or ``None`` where it is no plain, mean-pooled BERT."""
    model = _plain_model(network)
    return None if model is None else PlainBert(model, _ShortProduct)


def document_network(network: SentenceTransformer) -> PlainBert | None:
    """Make the short way for many texts, or ``None`` where the network or the machine has none."""
    import torch

    model = _plain_model(network)
    # The name stands for itself only where torch was built with oneDNN.
    has_fused = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return PlainBert(model, _FusedProduct) if model is not None and has_fused else None


def is_mean_pooled(network: SentenceTransformer) -> bool:
    """Whether an embedding is the mean of a transformer's token states, scaled at most."""
    modules = list(network)
    names = [type(module).__name__ for module in modules]
    plain = names in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
    return plain and getattr(modules[1], "pooling_mode", None) == "mean"


def _plain_model(network: SentenceTransformer) -> Any | None:  # noqa: ANN401
    """Return the BertModel of a network that is nothing but one, mean-pooled, in float32."""
    import torch

    if not is_mean_pooled(network):
        return None
    modules = list(network)
    model: Any = modules[0].auto_model
    plain = (
        type(model).__name__ == "BertModel"
        and model.config.hidden_act == "gelu"
        and getattr(model.config, "position_embedding_type", "absolute") == "absolute"
        and bool(getattr(modules[1], "include_prompt", True))
        and next(model.parameters()).dtype == torch.float32
    )
    return model if plain else None


def _runs(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield neighbours of one length: (first token, number of texts, their length)."""
    begin = 0
    for length, texts in groupby(lengths):
        n_texts = len(list(texts))
        yield begin, n_texts, length
        begin += n_texts * length
