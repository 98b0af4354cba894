"""What an encoder reads: a document's title, then its text or one passage of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["encoder_text", "fitting_title", "title_limit"]

# A title longer than this share of the window would crowd out the text it introduces.
_TITLE_SHARE = 4


def encoder_text(title: str, text: str) -> str:
    r"""Join what an encoder reads for a passage: its document's title, then its text.

    Examples
    --------
    >>> encoder_text("Title", "Body."), encoder_text("", "Body.")
    ('Title\nBody.', 'Body.')
    """
    return f"{title}\n{text}" if title and text else title or text


def title_limit(max_tokens: int) -> int:
    """How many tokens of a title go with each passage."""
    return max_tokens // _TITLE_SHARE


def fitting_title(title: str, title_starts: NDArray[np.int64], max_tokens: int) -> str:
    """As much of a title as goes with each passage, cut at a token."""
    limit = title_limit(max_tokens)
    if len(title_starts) <= limit:
        return title
    return title[: int(title_starts[limit])].rstrip()
