"""A sentence-transformers model in memory: its network on the CPU, and its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.bert_network import PlainBert, document_network, is_mean_pooled, query_network
from encoders.model_folder import role_prompt
from encoders.model_loading import let_threads_sleep, load_network
from ingest.errors import ModelNotFoundError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["BertModel", "Tokens"]

# A token covers at most 100 characters in WordPiece, fewer elsewhere; what lies beyond this many
# characters a token cannot change an embedding and would only cost memory.
_CHARACTERS_PER_TOKEN = 200
# Long texts are tokenized in pieces: a tokenizer holds about 300 bytes for each token.
_PIECE_CHARACTERS = 200_000
_BATCH_CHARACTERS = 1_000_000
_CUT_WINDOW_CHARACTERS = 10_000  # how far back from a piece's end white space is looked for
_SPACES = re.compile(r"\s+")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text, with its prompt and special tokens.

    Parameters
    ----------
    ids
        int64, shape (n_tokens,).
    words
        Number of the word each token is part of; ``None`` for a special or a prompt's token.
    spans
        Start and end of each token, in code points of the text without the prompt.
    """

    ids: NDArray[np.int64]
    words: list[int | None]
    spans: list[tuple[int, int]]


class BertModel:
    """A loaded model: texts become token ids, token ids become embeddings.

    Safe to call from several threads: the tokenizers are never changed after loading (those of
    transformers change their truncation on every call), and the network is only read.

    Parameters
    ----------
    folder
        A sentence-transformers folder that ``check_folder`` has passed.
    precision
        ``"float32"`` or ``"bfloat16"``.
    threads
        Threads of torch for documents; ``None`` leaves torch's own choice. Queries always take
        one: a query is too short to share out, and threads that wait for each other make it
        several times as slow on a machine that has anything else to do.

    References
    ----------
    Reimers & Gurevych, "Sentence-BERT", EMNLP 2019, https://arxiv.org/abs/1908.10084.
    """

    def __init__(self, folder: Path, precision: str, threads: int | None) -> None:
        let_threads_sleep()
        import torch
        from sentence_transformers import SentenceTransformer
        from tokenizers import Tokenizer

        self._torch = torch
        self._threads = threads or torch.get_num_threads()
        self._network = load_network(
            # Passages are pooled by sentence-transformers, never by the network's own pooler.
            SentenceTransformer,
            folder,
            f"model {folder}",
            may_lack="pooler.",
        ).eval()
        _lay_out_weights(self._network, precision)
        self._query_network = query_network(self._network)
        tokenizer = self._network.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelNotFoundError(f"model {folder}: it has no fast tokenizer (tokenizer.json)")
        self._untruncated = Tokenizer.from_str(backend.to_str())
        self._untruncated.no_truncation()
        self._untruncated.no_padding()
        self._truncated = Tokenizer.from_str(self._untruncated.to_str())
        self.max_length = int(self._network.max_seq_length or tokenizer.model_max_length)
        self._truncated.enable_truncation(self.max_length)
        self.n_special_tokens = self._untruncated.num_special_tokens_to_add(is_pair=False)
        self.dimension = int(self._network.get_embedding_dimension())
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._unknown_id = tokenizer.unk_token_id
        self._special_ids = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)
        self._wants_types = "token_type_ids" in tokenizer.model_input_names
        self.prompts = {role: role_prompt(folder, role) for role in ("query", "document")}
        self.prompt_lengths = {
            role: len(self._untruncated.encode(prompt, add_special_tokens=False).ids)
            for role, prompt in self.prompts.items()
        }
        prompt_ids = {
            role: np.array(self._untruncated.encode(prompt).ids, dtype=np.int64)
            for role, prompt in self.prompts.items()
        }
        self._n_known_in_prompt = {role: self._n_known(ids) for role, ids in prompt_ids.items()}
        # As sentence-transformers counts: the leading special token goes, the trailing one stays.
        self._pooled_prompt_lengths = {
            role: len(ids) - int(len(ids) > 0 and ids[-1] in self._special_ids)
            for role, ids in prompt_ids.items()
        }

    def count_unknown(self, texts: Sequence[str]) -> tuple[int, int]:
        """Tokens of the texts, and how many of them the model does not know."""
        rows = [
            self._untruncated.encode(_encodable(text), add_special_tokens=False) for text in texts
        ]
        n_tokens = sum(len(row.ids) for row in rows)
        if self._unknown_id is None:
            return n_tokens, 0
        return n_tokens, sum(row.ids.count(self._unknown_id) for row in rows)

    def token_ids(self, texts: Sequence[str], role: str) -> list[NDArray[np.int64]]:
        """Token ids of each text with its prompt and special tokens, cut to the model's length."""
        prepared = self._prepared(texts, role)
        if len(prepared) == 1:
            encodings = [self._truncated.encode(prepared[0])]
        else:
            encodings = self._truncated.encode_batch_fast(prepared)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def tokens(self, texts: Sequence[str], role: str) -> list[Tokens]:
        """Tokens as ``token_ids`` gives them, and where in each text they stand."""
        shift = len(self.prompts[role])
        found = []
        for encoding in self._truncated.encode_batch(self._prepared(texts, role)):
            ends = [end - shift for _, end in encoding.offsets]
            starts = [max(start - shift, 0) for start, _ in encoding.offsets]
            # A prompt's tokens end before the text begins.
            words = [
                word if end > 0 else None for word, end in zip(encoding.word_ids, ends, strict=True)
            ]
            ids = np.array(encoding.ids, dtype=np.int64)
            found.append(Tokens(ids, words, list(zip(starts, ends, strict=True))))
        return found

    def is_unknown(self, token_ids: NDArray[np.int64], role: str) -> bool:
        """True when the text behind these ids holds no token the model knows."""
        return self._n_known(token_ids) <= self._n_known_in_prompt[role]

    def embed(self, rows: Sequence[NDArray[np.int64]], role: str) -> NDArray[np.float32]:
        """Run the network on one batch: float32, shape (n_rows, dimension), not normalized."""
        self._torch.set_num_threads(1 if role == "query" else self._threads)
        if role == "query" and len(rows) == 1 and self._query_network is not None:
            return self._query_network.embed(rows)
        documents = self._document_network
        if documents is not None:
            return documents.embed(rows)
        with self._torch.inference_mode():
            embeddings = self._network(self._features(rows, role))["sentence_embedding"]
        result: NDArray[np.float32] = embeddings.float().numpy()
        return result

    @property
    def pools_by_mean(self) -> bool:
        """Whether an embedding is the mean of token states, scaled at most."""
        return is_mean_pooled(self._network)

    def token_shares(
        self, rows: Sequence[NDArray[np.int64]], role: str, other: NDArray[np.float32]
    ) -> list[NDArray[np.float64]]:
        """Share of each token of each text in the text's cosine with ``other``.

        Only for a model that ``pools_by_mean``; float64, shape (n_tokens,) for each text.
        """
        # As with a query somebody waits, and others may ask at the same time.
        self._torch.set_num_threads(1)
        features = self._features(rows, role)
        with self._torch.inference_mode():
            states = self._network[0](features)["token_embeddings"].float().numpy()
        pooling: Any = self._network[1]
        skipped = (
            0 if getattr(pooling, "include_prompt", True) else features.get("prompt_length", 0)
        )
        shares = []
        for token_ids, padded in zip(rows, states, strict=True):
            pooled = np.zeros(len(token_ids))
            own = padded[skipped : len(token_ids)].astype(np.float64)
            pooled[skipped:] = own @ other / np.linalg.norm(own.sum(axis=0))
            shares.append(pooled)
        return shares

    def _prepared(self, texts: Sequence[str], role: str) -> list[str]:
        prompt, longest = self.prompts[role], self.max_length * _CHARACTERS_PER_TOKEN
        return [_encodable(prompt + text[:longest]) for text in texts]

    def _features(self, rows: Sequence[NDArray[np.int64]], role: str) -> dict[str, Any]:
        """What the network takes: the rows padded to the longest."""
        torch = self._torch
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for row, token_ids in enumerate(rows):
            ids[row, : len(token_ids)] = token_ids
            mask[row, : len(token_ids)] = 1
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
        }
        if self._wants_types:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        if self.prompts[role]:
            # For models whose pooling leaves the prompt out.
            features["prompt_length"] = self._pooled_prompt_lengths[role]
        return features

    def token_starts(self, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
        """Code-point offset where each token of each text begins, in order, nothing cut off."""
        starts: list[NDArray[np.int64]] = []
        for batch in _piece_batches(texts):
            encodings = self._untruncated.encode_batch(
                [_encodable(piece) for _, piece, _ in batch], add_special_tokens=False
            )
            for (shift, _, is_last), encoding in zip(batch, encodings, strict=True):
                offsets = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
                starts.append(offsets + shift)
                if is_last:
                    yield np.sort(np.concatenate(starts))
                    starts = []

    @cached_property
    def _document_network(self) -> PlainBert | None:
        # Made on first use: a second layout of the weights, which a search never needs.
        return document_network(self._network)

    def _n_known(self, token_ids: NDArray[np.int64]) -> int:
        return int(np.count_nonzero(~np.isin(token_ids, self._special_ids)))


def _encodable(text: str) -> str:
    # A lone surrogate has no UTF-8 form, which the tokenizer needs; offsets stay right.
    return _SURROGATES.sub("\ufffd", text)


def _pieces(text: str) -> Iterator[tuple[int, str, bool]]:
    """Cut a text at white space: (offset, piece, whether it is the last)."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        limit = start + _PIECE_CHARACTERS
        spaces = list(_SPACES.finditer(text, limit - _CUT_WINDOW_CHARACTERS, limit))
        end = spaces[-1].start() if spaces else limit
        yield start, text[start:end], False
        start = end
    yield start, text[start:], True


def _piece_batches(texts: Sequence[str]) -> Iterator[list[tuple[int, str, bool]]]:
    batch: list[tuple[int, str, bool]] = []
    n_characters = 0
    for text in texts:
        for piece in _pieces(text):
            batch.append(piece)
            n_characters += len(piece[1])
            if n_characters >= _BATCH_CHARACTERS:
                yield batch
                batch, n_characters = [], 0
    if batch:
        yield batch


def _lay_out_weights(network: SentenceTransformer, precision: str) -> None:
    import torch

    if precision == "bfloat16":
        network.to(torch.bfloat16)
        return
    # Column-major weights: the product of a small batch then needs no transposed GEMM, which is
    # slow. The result is the same to the bit; a query takes 9 ms instead of 20.
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.t().contiguous().t()
