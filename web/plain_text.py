"""What documents hold, as text that a page can show and links that a browser may follow."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["readable", "safe_link"]

_CONTROL_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\v\f\r"},
    0x0B: 0x20,
    0x0C: 0x20,
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}


def readable(text: str) -> str:
    r"""Show control characters instead of sending them: a page holds none but line breaks.

    Examples
    --------
    >>> readable("a\x00b\x1b[1m")
    'a␀b␛[1m'
    """
    return text.translate(_CONTROL_PICTURES)


def safe_link(url: str | None) -> str | None:
    r"""Return a document's own address when a browser may follow it: http and https alone.

    What is invisible in it, as marks of direction are, would show another address than it is.

    Examples
    --------
    >>> safe_link("javascript:alert(1)"), safe_link("https://example.org/a")
    (None, 'https://example.org/a')
    >>> safe_link("https://gro.elpmaxe\u202e/a") is None
    True
    """
    if url is None or not url.strip().isprintable():
        return None
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in {"http", "https"} and parts.netloc else None
