"""BERT sentence embeddings: texts that mean the same come near, whatever their words.

References
----------
Reimers & Gurevych, "Sentence-BERT: sentence embeddings using Siamese BERT-networks", EMNLP
2019, https://arxiv.org/abs/1908.10084.
Default model: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from encoders.model_folder import DEFAULT_MODEL, check_folder, find_folder, folder_fingerprint
from encoders.protocol import Embeddings, Encoder, ProgressCallback
from encoders.state import check_texts, read_json, unit_rows, write_json
from encoders.words import words
from ingest.errors import EncoderError, ModelNotFoundError

if TYPE_CHECKING:
    from encoders.bert_model import BertModel, Tokens

__all__ = ["DEFAULT_MODEL", "RECOMMENDED_OVERLAP_TOKENS", "BertEncoder", "Precision", "WordShare"]

RECOMMENDED_OVERLAP_TOKENS = 50
"""Tokens that neighbouring passages should share, so that no sentence is only seen cut in two."""

Precision = Literal["auto", "float32", "bfloat16"]
Role = Literal["query", "document"]

_PRECISIONS = ("auto", "float32", "bfloat16")
# Padded tokens of one batch, and texts tokenized before batches are cut from them by length.
_BATCH_TOKENS = 4096
# What counts as being read well: see BertEncoder.legibility.
_MOST_TOKENS_A_WORD = 1.8
_LEAST_KNOWN = 0.98
_CHARACTERS_JUDGED = 20_000  # of each text; more would not change the verdict
_WINDOW_TEXTS = 8192
# A handful of texts waits for nobody else, and loses less to padding in small batches.
_SHARES_BATCH_TOKENS = 1024
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_CPU_FLAGS = Path("/proc/cpuinfo")
# Every model in use, once: a server that opens a new version has the model at hand already.
_IN_USE: weakref.WeakValueDictionary[tuple[object, ...], BertModel] = weakref.WeakValueDictionary()
_LOADING = threading.Lock()
# Letters, digits and symbols (emoji, currency) mean something; punctuation alone does not.
_MEANING = regex.compile(r"[\p{L}\p{N}\p{S}]")


class WordShare(NamedTuple):
    """What one word of a text brings to its similarity with another text.

    Parameters
    ----------
    start, end
        Code points of the text; ``None`` for what the model adds: special tokens, its prompt.
    share
        The sum over the word's tokens.
    """

    start: int | None
    end: int | None
    share: float


class BertEncoder(Encoder):
    """A sentence-transformers model on the CPU.

    Making one loads nothing; the model is checked and loaded on first use, once, whichever
    thread comes first; encoders of the same model share what is loaded. A text without letter,
    digit or symbol, or with no token the model knows, gives an all-zero row. A text longer than
    ``max_tokens`` is cut.

    Parameters
    ----------
    model
        ``DEFAULT_MODEL``, a sentence-transformers folder, or a name on the hub.
    threads
        Threads of torch, for the whole process; ``None`` leaves torch's own choice.
    precision
        ``"bfloat16"`` is twice as fast on a CPU that has instructions for it and slower on
        others; embeddings then agree within about 0.01 instead of 1e-5. ``"auto"`` takes it
        where the CPU has them.

    Examples
    --------
    >>> encoder = BertEncoder()
    >>> encoder.name
    'bert'
    """

    name: ClassVar[str] = "bert"

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        if precision not in _PRECISIONS:
            raise EncoderError(f"bert: precision {precision!r}; allowed are {list(_PRECISIONS)}")
        if threads is not None and threads < 1:
            raise EncoderError(f"bert: threads must be at least 1, found {threads}")
        self.model = str(model)
        self.threads = threads
        self.precision: Precision = precision
        self._lock = threading.Lock()
        self._loaded: BertModel | None = None
        self._saved_dimension: int | None = None
        self._saved_fingerprint: str | None = None
        self._own_fingerprint: str | None = None

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return self._saved_dimension or self._model().dimension

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the model's files and the precision; torch is not needed for it."""
        if self._saved_fingerprint is not None:
            return self._saved_fingerprint
        if self._own_fingerprint is None:
            self._own_fingerprint = self._computed_fingerprint(find_folder(self.model))
        return self._own_fingerprint

    @property
    def max_tokens(self) -> int:
        """Tokens of a document that fit, besides the special ones and the model's own prompt."""
        model = self._model()
        return model.max_length - model.n_special_tokens - model.prompt_lengths["document"]

    def encode_documents(
        self, texts: Sequence[str], *, progress: ProgressCallback | None = None
    ) -> Embeddings:
        """Embed passages: float32, shape (n_texts, dimension), unit L2 norm or all zero."""
        return self._encode(texts, "document", progress)

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed queries, with the model's own prompt for queries if it has one.

        One query at a time takes the short way of ``encoders.bert_network``; its cosine with what
        a batch gives stays above 0.999999.
        """
        return self._encode(texts, "query", None)

    def word_shares(
        self, texts: Sequence[str], other: Embeddings, *, role: Role = "document"
    ) -> list[list[WordShare]] | None:
        """Take each text's cosine with another embedding apart, word by word.

        A mean-pooled embedding is the unit vector along the mean of the tokens' states, so its
        dot product with a vector is a sum over tokens, and exact. What a token's state holds
        comes from its neighbours too: a share says where the network put the meaning.

        Parameters
        ----------
        texts
            Documents or queries; the part of a text beyond the model's length has no share.
        other
            float32, shape (dimension,): what the texts are compared with.
        role
            Which of the model's prompts goes before each text.

        Returns
        -------
        list, or None
            Shares of each text, in order; they add up to the cosine, within 1e-5 in float32. A
            text whose embedding is all zero has none. ``None`` where the model's embedding is
            not the mean of token states: other poolings, and layers after the pooling.
        """
        checked = check_texts(texts, self.name)
        model = self._model()
        if not model.pools_by_mean:
            return None
        shares: list[list[WordShare]] = [[] for _ in checked]
        tokens = dict(enumerate(model.tokens(checked, role)))
        known = {
            row: token_ids.ids
            for row, token_ids in tokens.items()
            if _MEANING.search(checked[row]) and not model.is_unknown(token_ids.ids, role)
        }
        for batch in _token_batches(known, _SHARES_BATCH_TOKENS):
            found = model.token_shares([known[row] for row in batch], role, other)
            for row, of_tokens in zip(batch, found, strict=True):
                shares[row] = _summed_by_word(tokens[row], of_tokens)
        return shares

    def token_starts(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Code-point offset where each token of each text begins, sorted, nothing cut off.

        Special tokens and prompts have no place in a text and are left out.
        """
        return list(self._model().token_starts(check_texts(texts, self.name)))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each whole text, special ones left out."""
        return [len(starts) for starts in self._model().token_starts(check_texts(texts, self.name))]

    def legibility(self, texts: Sequence[str]) -> float:
        """How well the model reads the language of texts, in [0, 1].

        A tokenizer cuts the words of a language it was not made for into many pieces, or does not
        know their characters; a model reads such texts badly.

        Returns
        -------
        float
            1 up to 1.8 tokens a word (English, technical English included, has 1.2 to 1.6) and
            2 % unknown tokens; falls with the cube of either beyond. 1 for no text.

        References
        ----------
        Rust, Pfeiffer, Vulic, Ruder & Gurevych, "How good is your tokenizer?", ACL 2021,
        doi:10.18653/v1/2021.acl-long.243.
        """
        read = [text[:_CHARACTERS_JUDGED] for text in check_texts(texts, self.name)]
        n_words = sum(len(words(text)) for text in read)
        n_tokens, n_unknown = self._model().count_unknown(read)
        if not n_words or not n_tokens:
            return 1.0
        known = min(1.0, (1 - n_unknown / n_tokens) / _LEAST_KNOWN)
        whole = min(1.0, _MOST_TOKENS_A_WORD * n_words / n_tokens)
        return float((known * whole) ** 3)

    def check_model(self) -> None:
        """Check that the model is there and the one that was saved; loads nothing.

        Raises
        ------
        ModelNotFoundError
            With both fingerprints, and the command that mends it.
        """
        self._checked_folder()

    def save(self, folder: Path) -> None:
        """Write which model this is, not its weights, into an existing folder."""
        settings = {
            "model": self.model if not Path(self.model).is_dir() else str(find_folder(self.model)),
            # What "auto" came to: another CPU that opens this version must not decide anew.
            "precision": self._resolved_precision(),
            "dimension": self.dimension,
            "fingerprint": self.fingerprint,
        }
        write_json(folder / "settings.json", settings)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; that the model is still the same is checked on first use."""
        settings = read_json(folder / "settings.json", dict)
        try:
            encoder = cls(settings["model"], precision=settings["precision"])
            encoder._saved_dimension = int(settings["dimension"])
            encoder._saved_fingerprint = settings["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(f"cannot read encoder state in {folder}: {error!r}") from error
        return encoder

    def _encode(
        self, texts: Sequence[str], role: Role, progress: ProgressCallback | None
    ) -> Embeddings:
        checked = check_texts(texts, self.name)
        embeddings = np.zeros((len(checked), self.dimension), dtype=np.float32)
        if not checked:
            return embeddings
        model = self._model()
        for start in range(0, len(checked), _WINDOW_TEXTS):
            window = checked[start : start + _WINDOW_TEXTS]
            rows = [row for row, text in enumerate(window) if _MEANING.search(text)]
            token_ids = model.token_ids([window[row] for row in rows], role) if rows else []
            known = {
                row: ids
                for row, ids in zip(rows, token_ids, strict=True)
                if not model.is_unknown(ids, role)
            }
            if progress is not None and len(known) < len(window):
                progress(len(window) - len(known))
            for batch in _token_batches(known):
                found = unit_rows(model.embed([known[row] for row in batch], role))
                embeddings[[start + row for row in batch]] = found
                if progress is not None:
                    progress(len(batch))
        return embeddings

    def _model(self) -> BertModel:
        # Without the first look every query would wait for the lock.
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._load_model()
        return self._loaded

    def _load_model(self) -> BertModel:
        folder, found = self._checked_folder()
        # Imported here: it brings torch, which takes seconds.
        from encoders.bert_model import BertModel

        key = (folder, found, self.threads)
        with _LOADING:
            model = _IN_USE.get(key)
            if model is None:
                model = _IN_USE[key] = BertModel(folder, self._resolved_precision(), self.threads)
        return model

    def _checked_folder(self) -> tuple[Path, str]:
        """The model's folder and its fingerprint, which is the one that was saved, if one was."""
        saved = self._saved_fingerprint
        try:
            folder = find_folder(self.model)
            check_folder(self.model, folder)
            found = self._computed_fingerprint(folder)
        except ModelNotFoundError as error:
            if saved is None:
                raise
            raise ModelNotFoundError(
                f"{error}; this index was built with it, fingerprint {saved}: put it back, or "
                "build with another by trine reindex --model MODEL"
            ) from error
        if saved is not None and found != saved:
            raise ModelNotFoundError(
                f"model {self.model} has changed since this index was built: fingerprint "
                f"{saved} then, {found} now; put the old one back, or build with the new one by "
                "trine reindex"
            )
        return folder, found

    def _computed_fingerprint(self, folder: Path) -> str:
        parts = [self.name, folder_fingerprint(folder), self._resolved_precision()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _resolved_precision(self) -> str:
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if _BFLOAT16_FLAGS & _cpu_flags() else "float32"


def _summed_by_word(tokens: Tokens, shares: NDArray[np.float64]) -> list[WordShare]:
    """Add up the tokens of each word; what stands in no text is one entry, last."""
    words: dict[int | None, WordShare] = {}
    for word, (start, end), share in zip(tokens.words, tokens.spans, shares.tolist(), strict=True):
        known = words.get(word)
        if word is None:
            words[None] = WordShare(None, None, share + (known.share if known else 0.0))
        elif known is None:
            words[word] = WordShare(start, end, share)
        else:
            words[word] = WordShare(known.start, end, known.share + share)
    outside = words.pop(None, None)
    return [*words.values(), outside] if outside else list(words.values())


def _cpu_flags() -> set[str]:
    """Instruction sets of this CPU as Linux names them; none known elsewhere."""
    try:
        lines = _CPU_FLAGS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _token_batches(
    token_ids: dict[int, NDArray[np.int64]], most_tokens: int = _BATCH_TOKENS
) -> Iterator[list[int]]:
    """Rows of similar length together, at most so many padded tokens a batch."""
    # Longest first: the largest batch shows at once whether memory suffices.
    longest_first = sorted(token_ids, key=lambda row: (-len(token_ids[row]), row))
    batch: list[int] = []
    for row in longest_first:
        if batch and (len(batch) + 1) * len(token_ids[batch[0]]) > most_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
