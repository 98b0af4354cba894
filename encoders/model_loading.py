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
    kind: Callable[..., _Network],
    folder: Path,
    subject: str,
    *,
    may_lack: str | None = None,
    **options: object,
) -> _Network:
    """Make a network from a folder that has been checked, on the CPU.

    Parameters
    ----------
    kind
        ``SentenceTransformer`` or ``CrossEncoder``.
    subject
        What an error message calls the model.
    may_lack
        Beginning of the names of weights that are not used and may be missing.
    options
        Further arguments of ``kind``.

    Raises
    ------
    ModelNotFoundError
        If the library cannot load it, or weights are missing, in whose place it would put random
        numbers without a word.
    """
    fixed: dict[str, Any] = {
        "device": "cpu",
        "trust_remote_code": False,
        "local_files_only": True,
        "model_kwargs": {"use_safetensors": True},
    }
    try:
        with _quiet_loading():
            network = kind(str(folder), **fixed, **options)
            missing = _missing_weights(network)
    # The libraries below raise whatever a broken file makes them stumble over.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelNotFoundError(f"{subject}: it cannot be loaded: {reason}") from error
    if missing := [name for name in missing if may_lack is None or not name.startswith(may_lack)]:
        raise ModelNotFoundError(
            f"{subject}: {len(missing)} of its weights are in none of its *.safetensors, "
            f"{missing[0]} among them: the files are incomplete, or name their weights otherwise"
        )
    return network


def _missing_weights(network: Any) -> list[str]:  # noqa: ANN401
    """Names of weights that the folder does not hold, by the library's own count."""
    from transformers import PreTrainedModel

    inner = next((part for part in network.modules() if isinstance(part, PreTrainedModel)), None)
    if inner is None:
        return []
    # Only loading tells, and the wrapper around it keeps it to itself: a tenth of a second more.
    _, told = type(inner).from_pretrained(
        inner.name_or_path, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    return sorted(told["missing_keys"])


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
