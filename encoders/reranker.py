"""Cross-encoders: a query and a text are read together, and their relevance is one number.

References
----------
Nogueira & Cho, "Passage re-ranking with BERT", 2019, https://arxiv.org/abs/1901.04085.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.model_folder import check_reranker_folder
from encoders.model_loading import let_threads_sleep, load_network
from ingest.errors import ModelNotFoundError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = ["Reranker", "shared_reranker"]

# A tokenizer cuts what does not fit; far beyond that, text would only cost time.
_MAX_CHARACTERS = 20_000


class Reranker:
    """A sentence-transformers CrossEncoder on the CPU.

    Making one loads nothing; the folder is checked and the model loaded once, by ``load`` or with
    the first pair. No network is asked, no code from the folder is run, no pickle is read. Safe to
    share among threads, which wait for each other.

    Parameters
    ----------
    model
        Folder of a CrossEncoder with one label.

    Examples
    --------
    >>> reranker = Reranker("models/ms-marco-MiniLM-L6-v2")
    >>> reranker.scores("open a file", ["open() opens a file"])  # doctest: +SKIP
    array([8.1])
    """

    def __init__(self, model: str | Path) -> None:
        self.model = str(model)
        self._lock = threading.Lock()
        self._loaded: CrossEncoder | None = None

    def load(self) -> None:
        """Load the model, unless it is loaded.

        Raises
        ------
        ModelNotFoundError
            If the folder is missing, is no CrossEncoder with one label, or would run code.
        """
        self._network()

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Relevance of each text to the query.

        Returns
        -------
        float64, shape (n_texts,)
            The model's own output before any squashing; higher is better, the scale is the model's.

        Raises
        ------
        ModelNotFoundError
            As ``load`` raises it.
        """
        network = self._network()
        if not texts:
            return np.zeros(0)
        import torch

        asked = _encodable(query)
        pairs = [(asked, _encodable(text)) for text in texts]
        # A tokenizer of transformers changes its state on every call.
        with self._lock:
            # One thread, as for queries in encoders.bert_model.
            torch.set_num_threads(1)
            found = network.predict(pairs, batch_size=len(pairs), show_progress_bar=False)
        return np.asarray(found, np.float64)

    def _network(self) -> CrossEncoder:
        # Without the first look every query would wait for the lock.
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = _load(self.model)
        return self._loaded


@lru_cache(maxsize=2)
def shared_reranker(model: str) -> Reranker:
    """The one re-ranker of a folder in this process, whichever searcher asks."""
    return Reranker(model)


def _encodable(text: str) -> str:
    # A lone surrogate has no UTF-8 form, which the tokenizer needs.
    return text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _load(model: str) -> CrossEncoder:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ModelNotFoundError(
            f"re-ranker {model}: no such folder; give the folder of a CrossEncoder "
            "(names on the hub are not fetched)"
        )
    folder = folder.resolve()
    check_reranker_folder(model, folder)
    let_threads_sleep()
    import torch
    from sentence_transformers import CrossEncoder

    network = load_network(
        CrossEncoder,
        folder,
        f"re-ranker {model}",
        # What the folder names instead would be imported; an order needs no squashing.
        activation_fn=torch.nn.Identity(),
    )
    if network.num_labels != 1:
        raise ModelNotFoundError(
            f"re-ranker {model}: it gives {network.num_labels} scores a pair; expected one"
        )
    return network.eval()
