"""The map of a version: where its documents lie in a picture of their embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.layout import Drawing
from ingest.errors import IndexCorruptError
from pipeline.version.arrays import load_array

__all__ = [
    "MAP_FOLDER",
    "UNMAPPED",
    "DocumentMap",
    "drawing_id",
    "read_document_map",
    "write_document_map",
    "write_no_map",
]

MAP_FOLDER = "map"
UNMAPPED = -1
"""Cluster of a document that has no embedding, and so no place."""

DRAWING_FILES = tuple(
    f"{name}.npy" for name in ("mean", "components", "landmarks", "landmark_positions", "centers")
)
_ABOUT = "map.json"


@dataclass(frozen=True)
class DocumentMap:
    """Where each document lies.

    Parameters
    ----------
    positions
        float32, shape (n_documents, 2), in [-1, 1]; NaN where a document has no embedding.
    clusters
        int16, shape (n_documents,): the document's cluster, or ``UNMAPPED``.
    was_drawn
        bool, shape (n_documents,): whether the document was there, with this very text, when the
        picture was drawn; the others were placed in it later.
    names
        For each cluster the words that tell it from the others, the most telling first.
    signal, fingerprint
        Whose embeddings, and the fingerprint of the encoder that made them.
    n_drawn
        Documents there were when the picture was drawn.
    drawing, drawing_id
        The picture, and a short name for it: positions of two maps mean the same places if both
        have the same.
    """

    positions: NDArray[np.float32]
    clusters: NDArray[np.int16]
    was_drawn: NDArray[np.bool_]
    names: Sequence[tuple[str, ...]]
    signal: str
    fingerprint: str
    n_drawn: int
    drawing: Drawing
    drawing_id: str

    @property
    def changed_documents(self) -> float:
        """Share of the documents, then or now, whichever are more, that are not in both."""
        n_documents = max(len(self.was_drawn), self.n_drawn, 1)
        return 1 - int(np.count_nonzero(self.was_drawn)) / n_documents

    def counts(self) -> NDArray[np.int64]:
        """Documents in each cluster: int64, shape (n_clusters,)."""
        mapped = self.clusters[self.clusters != UNMAPPED]
        return np.bincount(mapped, minlength=len(self.names)).astype(np.int64)


def drawing_id(drawing: Drawing) -> str:
    """Eight hexadecimal digits that tell drawings apart."""
    content = hashlib.sha256()
    for array in drawing.arrays().values():
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:8]


def write_document_map(folder: Path, found: DocumentMap, *, with_drawing: bool = True) -> None:
    """Write a map into an existing folder.

    Parameters
    ----------
    with_drawing
        Whether to write the files of the drawing too; they may be linked from a parent instead.
    """
    for name in ("positions", "clusters", "was_drawn"):
        np.save(folder / f"{name}.npy", getattr(found, name))
    if with_drawing:
        for file, array in zip(DRAWING_FILES, found.drawing.arrays().values(), strict=True):
            np.save(folder / file, array)
    about = {
        "signal": found.signal,
        "fingerprint": found.fingerprint,
        "n_drawn": found.n_drawn,
        "drawing": found.drawing_id,
        "clusters": [list(terms) for terms in found.names],
    }
    _write_about(folder, about)


def write_no_map(folder: Path) -> None:
    """Note in an existing folder that a version has no embeddings to draw."""
    _write_about(folder, {"signal": None})


def _write_about(folder: Path, about: dict[str, object]) -> None:
    text = json.dumps(about, ensure_ascii=False, indent=1)
    (folder / _ABOUT).write_text(text + "\n", encoding="utf-8")


def read_document_map(folder: Path, n_documents: int) -> DocumentMap | None:
    """Read what was written; ``None`` where there is no map.

    There is none in a version without embeddings, or that a release built which drew none.

    Raises
    ------
    IndexCorruptError
        If a file is damaged, or the files do not fit together.
    """
    if not folder.is_dir():
        return None
    about = _read_about(folder / _ABOUT)
    if about["signal"] is None:
        return None
    mean, components, landmarks, places, centers = (
        load_array(folder / file, np.float32, n_dimensions=1 if file == "mean.npy" else 2)
        for file in DRAWING_FILES
    )
    found = DocumentMap(
        positions=load_array(folder / "positions.npy", np.float32, n_dimensions=2),
        clusters=load_array(folder / "clusters.npy", np.int16),
        was_drawn=load_array(folder / "was_drawn.npy", np.bool_),
        names=tuple(tuple(terms) for terms in about["clusters"]),
        signal=about["signal"],
        fingerprint=about["fingerprint"],
        n_drawn=about["n_drawn"],
        drawing=Drawing(mean, components, landmarks, places, centers),
        drawing_id=about["drawing"],
    )
    if not (_drawing_fits(found.drawing) and _documents_fit(found, n_documents)):
        raise IndexCorruptError(f"{folder} cannot be read: its files do not fit together")
    return found


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} cannot be read: {error!r}") from error
    if not (isinstance(about, dict) and "signal" in about and _is_about(about)):
        raise IndexCorruptError(f"{path} does not describe a map")
    return about


def _is_about(about: dict[str, Any]) -> bool:
    if about["signal"] is None:
        return True
    clusters = about.get("clusters")
    return (
        all(isinstance(about.get(name), str) for name in ("signal", "fingerprint", "drawing"))
        and isinstance(about.get("n_drawn"), int)
        and isinstance(clusters, list)
        and all(
            isinstance(terms, list) and all(isinstance(term, str) for term in terms)
            for terms in clusters
        )
    )


def _drawing_fits(drawing: Drawing) -> bool:
    n_components = len(drawing.components)
    return (
        drawing.components.shape[1] == len(drawing.mean)
        and len(drawing.landmarks) > 0
        and drawing.landmarks.shape[1] == n_components
        and drawing.positions.shape == (len(drawing.landmarks), 2)
        and drawing.centers.shape[1] == 2
        and all(bool(np.isfinite(array).all()) for array in drawing.arrays().values())
    )


def _documents_fit(found: DocumentMap, n_documents: int) -> bool:
    lies = found.clusters != UNMAPPED
    placed = found.positions[lies] if found.positions.shape == (n_documents, 2) else None
    return (
        placed is not None
        and len(found.clusters) == len(found.was_drawn) == n_documents
        and len(found.drawing.centers) == len(found.names)
        and bool((np.abs(placed) <= 1).all())
        and bool(((found.clusters[lies] >= 0) & (found.clusters[lies] < len(found.names))).all())
    )
