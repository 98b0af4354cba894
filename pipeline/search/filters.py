"""Filters over metadata: ``field:value``, ``field:[low TO high]``, AND, OR, NOT, brackets.

NOT binds closest, then AND, then OR; conditions side by side are joined by AND.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.search.time_limit import check_time
from pipeline.version.metadata_columns import MetadataColumns

__all__ = ["Condition", "parse_filter"]

_MAX_CHARACTERS = 4000
_MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))"
    r'|(?P<field>[^\s:()\[\]"]+):(?:"(?P<phrase>(?:[^"\\]|\\.)*)"'
    r'|\[\s*(?P<low>"[^"]*"|\S+)\s+TO\s+(?P<high>"[^"]*"|[^\s\]]+)\s*\]'
    r'|(?P<value>[^\s()\[\]"]+))'
    r"|(?P<word>AND|OR|NOT)(?![^\s(]))"
)


class Condition(Protocol):
    """Something that holds for some documents."""

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Bool, shape (n_documents,): where it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value."""

    field: str
    value: str

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Where it holds."""
        return columns.column(self.field).equal_to(self.value)


@dataclass(frozen=True, slots=True)
class Between:
    """The field has a value from low to high, both included; ``None`` is open."""

    field: str
    low: str | None
    high: str | None

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Where it holds."""
        return columns.column(self.field).between(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    part: Condition

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Where it holds."""
        return ~self.part.rows(columns)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds."""

    parts: tuple[Condition, ...]

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Where it holds."""
        return _joined(np.logical_and, self.parts, columns)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    parts: tuple[Condition, ...]

    def rows(self, columns: MetadataColumns) -> NDArray[np.bool_]:
        """Where it holds."""
        return _joined(np.logical_or, self.parts, columns)


def _joined(
    join: np.ufunc, parts: Sequence[Condition], columns: MetadataColumns
) -> NDArray[np.bool_]:
    # One after the other: a filter may hold hundreds, and an index millions of documents.
    result = parts[0].rows(columns)
    for part in parts[1:]:
        check_time()
        result = join(result, part.rows(columns))
    return result


def parse_filter(text: str) -> Condition:
    """Parse a filter.

    Raises
    ------
    QueryError
        If it does not follow the grammar; names the place.

    Examples
    --------
    >>> parse_filter("kind:function AND NOT year:[2000 TO *]")
    AllOf(parts=(Equals(field='kind', value='function'),
    Not(part=Between(field='year', low='2000', high=None))))
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_CHARACTERS:
            raise QueryError(
                f"the filter has {len(text)} characters; at most {_MAX_CHARACTERS} are allowed",
                parameter="filter",
            )
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def _split(self) -> list[re.Match[str]]:
        tokens, place = [], 0
        while self._text[place:].strip():
            token = _TOKEN.match(self._text, place)
            if token is None:
                raise self._error(place)
            tokens.append(token)
            place = token.end()
        return tokens

    def _error(self, place: int) -> QueryError:
        near = self._text[place:].strip()[:30] or "its end"
        return QueryError(
            f"the filter cannot be read at {near!r}: write field:value, "
            'field:"two words" or field:[low TO high], joined by AND, OR, NOT and brackets',
            parameter="filter",
        )

    def _peek(self) -> str | None:
        if self._at >= len(self._tokens):
            return None
        token = self._tokens[self._at]
        return token["word"] or token.lastgroup

    def _fail_here(self) -> QueryError:
        done = self._at >= len(self._tokens)
        return self._error(len(self._text) if done else self._tokens[self._at].start())

    def parse(self) -> Condition:
        condition = self._any_of()
        if self._at < len(self._tokens):
            raise self._fail_here()
        return condition

    def _any_of(self) -> Condition:
        parts = [self._all_of()]
        while self._peek() == "OR":
            self._at += 1
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self._peek() not in {None, "OR", "close"}:
            if self._peek() == "AND":
                self._at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self) -> Condition:
        kind = self._peek()
        if kind in {None, "AND", "OR", "close"} or self._depth > _MAX_DEPTH:
            raise self._fail_here()
        token = self._tokens[self._at]
        self._at += 1
        if kind not in {"NOT", "open"}:
            return _leaf(token)
        self._depth += 1
        part = self._one() if kind == "NOT" else self._any_of()
        self._depth -= 1
        if kind == "NOT":
            return Not(part)
        if self._peek() != "close":
            raise self._fail_here()
        self._at += 1
        return part


def _leaf(token: re.Match[str]) -> Condition:
    field = token["field"]
    if token["low"] is not None:
        low, high = (_bound(token[name]) for name in ("low", "high"))
        return Between(field, low, high)
    if token["phrase"] is not None:
        return Equals(field, re.sub(r"\\(.)", r"\1", token["phrase"]))
    return Equals(field, token["value"])


def _bound(text: str) -> str | None:
    return None if text == "*" else text.strip('"')
