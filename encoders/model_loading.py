"""Loading a model's folder with sentence-transformers: no network, no foreign code, no pickle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ingest.errors import ModelNotFoundError

__all__ = ["let_threads_sleep", "load_network"]

_Network = TypeVar("_Network")


def let_threads_sleep() -> None:
    """Keep torch's threads from spinning; to be called before torch is first imported.

    Threads that spin while they wait for each other make a query ten times as slow on a machine
    that has anything else to do.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def load_network(
    kind: Callable[..., _Network], folder: Path, subject: str, **options: object
) -> _Network:
    """Make a network from a folder that has been checked, on the CPU.

    Parameters
    ----------
    kind
        ``SentenceTransformer`` or ``CrossEncoder``.
    subject
        What an error message calls the model.
    options
        Further arguments of ``kind``.

    Raises
    ------
    ModelNotFoundError
        If the library cannot load it.
    """
    fixed: dict[str, Any] = {
        "device": "cpu",
        "trust_remote_code": False,
        "local_files_only": True,
        "model_kwargs": {"use_safetensors": True},
    }
    try:
        with _quiet_loading():
            return kind(str(folder), **fixed, **options)
    # The libraries below raise whatever a broken file makes them stumble over.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelNotFoundError(f"{subject}: it cannot be loaded: {reason}") from error


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep the progress bar and the notes of loading off standard error; errors still show."""
    from transformers.utils import logging as transformers_logging

    had_bar = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()
