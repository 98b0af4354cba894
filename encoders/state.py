"""How encoders check their input, name their state and write it down; no pickle anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import EncoderError

__all__ = [
    "batches",
    "check_texts",
    "read_array",
    "read_json",
    "state_fingerprint",
    "unit_rows",
    "write_array",
    "write_json",
]

_Json = TypeVar("_Json", dict[str, Any], list[Any])

# Below this length a row is rounding noise, and making it unit would only amplify the noise.
_SMALLEST_NORM = 1e-6


def check_texts(texts: Sequence[str], encoder: str) -> list[str]:
    """Return the texts as a list, or say what is wrong with them.

    Raises
    ------
    EncoderError
        If ``texts`` is one string instead of several, or holds something else than strings.

    Examples
    --------
    >>> check_texts(("a", "b"), "tfidf")
    ['a', 'b']
    """
    if isinstance(texts, str | bytes):
        raise EncoderError(
            f"{encoder}: expected a list of texts, found one {type(texts).__name__}; write [text]"
        )
    checked = list(texts)
    for row, text in enumerate(checked):
        if not isinstance(text, str):
            raise EncoderError(f"{encoder}: text {row} is {type(text).__name__}, expected str")
    return checked


def batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut the texts into runs of at most ``size``.

    Examples
    --------
    >>> list(batches(["a", "b", "c"], 2))
    [['a', 'b'], ['c']]
    """
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def unit_rows(rows: NDArray[np.floating]) -> Embeddings:
    """Scale each row to unit L2 norm; a row shorter than 1e-6 becomes all zero.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms >= _SMALLEST_NORM)
    return np.ascontiguousarray(rows * scales, dtype=np.float32)


def state_fingerprint(
    settings: Mapping[str, object], terms: Sequence[str], arrays: Sequence[NDArray[np.floating]]
) -> str:
    """SHA-256, in hex, of settings, vocabulary and arrays (their bytes, type and shape)."""
    digest = hashlib.sha256(json.dumps([settings, list(terms)], sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write a value as UTF-8 JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def read_json(path: Path, kind: type[_Json]) -> _Json:
    """Read a JSON file that holds a ``dict`` or a ``list``.

    Raises
    ------
    EncoderError
        If the file is missing, no JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"cannot read encoder state {path}: {error}") from error
    if not isinstance(value, kind):
        raise EncoderError(
            f"encoder state {path} holds {type(value).__name__}, expected {kind.__name__}"
        )
    return value


def write_array(path: Path, array: NDArray[np.floating]) -> None:
    """Write an array as C-order ``.npy``."""
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def read_array(path: Path) -> NDArray[np.float32]:
    """Memory-map a float32 ``.npy`` array.

    Raises
    ------
    EncoderError
        If the file is missing or no such array.
    """
    try:
        # A plain view: numpy.memmap pays for its own class at every slice.
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise EncoderError(f"cannot read encoder state {path}: {error}") from error
    if array.dtype != np.float32:
        raise EncoderError(f"encoder state {path} holds {array.dtype}, expected float32")
    mapped: NDArray[np.float32] = array
    return mapped
