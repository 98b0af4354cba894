"""Bytes become text, or are found to be no text at all."""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

__all__ = ["SAMPLE_BYTES", "decode", "detect_encoding"]

SAMPLE_BYTES = 1 << 18
"""How much of a file is looked at to tell its encoding."""

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Control characters that no text file holds: all but tab, line breaks, form feed and escape.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
_MAX_CONTROL_SHARE = 0.02
# What European programs write when they do not write UTF-8; preferred among equal guesses.
_WESTERN = "cp1252"
_WESTERN_CHARACTERS = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœúùûüÿßÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜ«»“”‘’–—…°§€£·¿¡\xa0"  # noqa: RUF001
)
_MAX_ACCENTED_SHARE = 0.3
_MARKED_ENCODINGS = [f"utf_{bits}{order}" for bits in (16, 32) for order in ("", "_le", "_be")]


def detect_encoding(sample: bytes) -> str | None:
    r"""Name the encoding of a text from its first bytes.

    A byte order mark decides; then UTF-8 if the sample is valid UTF-8; then the most likely
    legacy encoding by character statistics.

    Parameters
    ----------
    sample
        The beginning of a file; it may end inside a character.

    Returns
    -------
    str or None
        A codec name, or ``None`` if the bytes are no text.

    Examples
    --------
    >>> detect_encoding("naïve".encode())
    'utf-8'
    >>> detect_encoding(b"\x7fELF\x00\x01") is None
    True
    """
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if b"\x00" in sample:
        return None
    n_controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if n_controls > _MAX_CONTROL_SHARE * len(sample):
        return None
    try:
        # A full sample may end inside a character; a whole file may not.
        codecs.getincrementaldecoder("utf-8")().decode(sample, len(sample) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return _legacy_encoding(sample)
    return "utf-8"


def decode(content: bytes) -> str | None:
    r"""Text of a whole file.

    Parameters
    ----------
    content
        Every byte of the file.

    Returns
    -------
    str or None
        Its text, without byte order mark, or ``None`` if the bytes are no text.

    Examples
    --------
    >>> decode(b"\xff\xfeh\x00i\x00")
    'hi'
    """
    encoding = detect_encoding(content[:SAMPLE_BYTES])
    if encoding is None or (b"\x00" in content and not encoding.startswith("utf-")):
        return None
    if encoding == "utf-8" and b"\x00" in content:
        return None
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            # A marked file cut inside a character, or a stray byte far from the sample.
            return content.decode(encoding, "replace")
    # Valid at first and not later: either another encoding, or UTF-8 with a broken byte.
    legacy = _legacy_encoding(_around_first_error(content))
    return content.decode(legacy or "utf-8", "replace")


def _around_first_error(content: bytes) -> bytes:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        middle = error.start
        return content[max(0, middle - SAMPLE_BYTES // 2) : middle + SAMPLE_BYTES // 2]
    return content[:SAMPLE_BYTES]


def _legacy_encoding(sample: bytes) -> str | None:
    if _is_mostly_utf8(sample):
        return "utf-8"
    # Without a mark, UTF-16 and UTF-32 are told by their zero bytes, which are ruled out by now.
    matches = from_bytes(sample, cp_exclusion=_MARKED_ENCODINGS)
    best = matches.best()
    if best is None:
        return None
    return _WESTERN if _is_western(sample) else best.encoding


def _is_mostly_utf8(sample: bytes) -> bool:
    """True when well-formed multi-byte characters far outnumber broken bytes."""
    repaired = sample.decode("utf-8", "replace")
    n_broken = repaired.count("\ufffd")
    n_sound = sum(character > "\x7f" for character in repaired) - n_broken
    return n_sound > 10 * n_broken


def _is_western(sample: bytes) -> bool:
    """True when, read as cp1252, accented letters are few among plain ones, as in French.

    In Greek or Russian read so, nearly every letter is accented.
    """
    try:
        text = sample.decode(_WESTERN)
    except UnicodeDecodeError:
        return False
    high = [character for character in text if character > "\x7f"]
    n_plain = sum(character.isascii() and character.isalpha() for character in text)
    n_expected = sum(character in _WESTERN_CHARACTERS for character in high)
    return len(high) < _MAX_ACCENTED_SHARE * (n_plain + len(high)) and n_expected == len(high)
