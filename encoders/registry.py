"""The encoders by name, in the order they are always shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from encoders.bert import BertEncoder
from encoders.protocol import Encoder
from encoders.tfidf import TfidfEncoder
from encoders.word2vec import Word2VecEncoder
from ingest.errors import EncoderError

__all__ = ["ENCODER_NAMES", "create_encoder", "load_encoder"]

_CLASSES: dict[str, type[TfidfEncoder | Word2VecEncoder | BertEncoder]] = {
    "tfidf": TfidfEncoder,
    "word2vec": Word2VecEncoder,
    "bert": BertEncoder,
}

ENCODER_NAMES: tuple[str, ...] = tuple(_CLASSES)
"""Every encoder's name, in fixed order."""


def create_encoder(name: str, settings: Mapping[str, object]) -> Encoder:
    """Make an encoder that has not seen a text yet.

    Parameters
    ----------
    name
        One of ``ENCODER_NAMES``.
    settings
        Keyword arguments of the encoder's class; what is left out keeps its default.

    Raises
    ------
    EncoderError
        If there is no such encoder or setting.

    Examples
    --------
    >>> create_encoder("tfidf", {"n_components": 100}).name
    'tfidf'
    """
    try:
        return _class(name)(**settings)  # type: ignore[arg-type]
    except TypeError as error:
        raise EncoderError(f"{name}: settings {dict(settings)} are not allowed: {error}") from error


def load_encoder(name: str, folder: Path) -> Encoder:
    """Read back an encoder that was saved in a folder.

    Raises
    ------
    EncoderError
        If there is no such encoder, or the folder does not hold one.
    """
    return _class(name).load(folder)


def _class(name: str) -> type[TfidfEncoder | Word2VecEncoder | BertEncoder]:
    try:
        return _CLASSES[name]
    except KeyError:
        raise EncoderError(
            f"encoder {name!r} does not exist; there are {', '.join(ENCODER_NAMES)}"
        ) from None
