"""Metadata by column, for filters, facets and sorting.

One folder, two arrays a field: ``codes`` (int32; which distinct value) and ``offsets`` (int64,
shape (n_documents + 1,); where a document's codes begin), so a document may hold several
values. Distinct values are sorted: numbers by size, dates by time, words by code point.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.documents import MetadataValue
from ingest.errors import IndexCorruptError, QueryError
from pipeline.version.arrays import check_offsets, load_array

__all__ = ["Column", "FieldKind", "MetadataColumns", "parse_number", "write_metadata_columns"]

FieldKind: TypeAlias = Literal["number", "date", "word"]
# Whole numbers up to here are floats of their own; beyond, ids would fall together.
_EXACT_AS_FLOAT = 2.0**53
_FIELDS_NAME = "fields.json"


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or time (UTC where it names no zone), or ``None``.

    Examples
    --------
    >>> parse_date("1970-01-02")
    86400.0
    """
    if len(text) < 4 or not text[:4].isdigit():
        return None
    try:
        padded = {4: text + "-01-01", 7: text + "-01"}.get(len(text), text)
        moment = datetime.fromisoformat(padded)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def parse_number(text: str) -> float | None:
    """A finite number, or ``None``.

    Examples
    --------
    >>> parse_number("1e3"), parse_number("nan"), parse_number("three")
    (1000.0, None, None)
    """
    if "_" in text:
        # Python reads 1_000 as a number; a person who writes it means a name.
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _scalars(value: MetadataValue) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float):
        return [repr(value)]
    return [str(entry) for entry in value]


def _kind(values: Sequence[str]) -> FieldKind:
    # Numbers first: a bare number of four digits is a year to a person, but a number to a filter.
    if values and all(parse_number(value) is not None for value in values):
        return "number"
    if values and all(parse_date(value) is not None for value in values):
        return "date"
    return "word"


def write_metadata_columns(
    folder: Path, metadata: Iterable[Mapping[str, MetadataValue]], n_documents: int
) -> list[str]:
    """Write one column a field met in any document; returns the fields, sorted."""
    rows: dict[str, list[int]] = {}
    values: dict[str, list[int]] = {}
    codebooks: dict[str, dict[str, int]] = {}
    for row, fields in enumerate(metadata):
        for name, value in fields.items():
            codes = codebooks.setdefault(name, {})
            for scalar in dict.fromkeys(_scalars(value)):
                rows.setdefault(name, []).append(row)
                values.setdefault(name, []).append(codes.setdefault(scalar, len(codes)))
    described = []
    for position, name in enumerate(sorted(codebooks)):
        if name not in rows:
            continue
        distinct = list(codebooks[name])
        kind = _kind(distinct)
        keyed = sorted(range(len(distinct)), key=lambda code: _sort_key(distinct[code], kind))
        rank = np.empty(len(keyed), np.int32)
        rank[keyed] = np.arange(len(keyed), dtype=np.int32)
        owners = np.array(rows[name], np.int64)
        offsets = np.searchsorted(owners, np.arange(n_documents + 1)).astype(np.int64)
        np.save(folder / f"{position}.codes.npy", rank[np.array(values[name], np.int64)])
        np.save(folder / f"{position}.offsets.npy", offsets)
        described.append(
            {
                "name": name,
                "kind": kind,
                "file": position,
                "values": [distinct[code] for code in keyed],
            }
        )
    text = json.dumps(described, ensure_ascii=False)
    (folder / _FIELDS_NAME).write_text(text, encoding="utf-8")
    return [str(entry["name"]) for entry in described]


def _number_of(value: str, kind: FieldKind) -> float:
    parsed = parse_number(value) if kind == "number" else parse_date(value)
    return math.nan if parsed is None else parsed


def _sort_key(value: str, kind: FieldKind) -> tuple[float, str]:
    if kind == "word":
        return (0.0, value)
    number = _number_of(value, kind)
    return (math.inf if math.isnan(number) else number, value)


@dataclass(frozen=True)
class Column:
    """One metadata field over all documents.

    Parameters
    ----------
    values
        Distinct values in order, as text.
    codes
        int32, which value; documents' values one after the other.
    offsets
        int64, shape (n_documents + 1,): a document's values are ``codes[offsets[i]:offsets[i+1]]``.
    """

    name: str
    kind: FieldKind
    values: Sequence[str]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def rows_with(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Documents with at least one wanted value; ``wanted`` has one entry a distinct value."""
        hits = np.zeros(len(self.codes) + 1, np.int64)
        np.cumsum(wanted[self.codes], out=hits[1:])
        result: NDArray[np.bool_] = hits[self.offsets[1:]] > hits[self.offsets[:-1]]
        return result

    def equal_to(self, text: str) -> NDArray[np.bool_]:
        """Documents with a value equal to ``text``: numbers by size, else case-folded."""
        if self.kind != "word" and (number := self._bound(text)) is not None:
            matches = self._numbers() == number
            if self.kind == "number" and abs(number) >= _EXACT_AS_FLOAT:
                wanted = Decimal(text)
                for code in np.flatnonzero(matches).tolist():
                    matches[code] = Decimal(self.values[code]) == wanted
            return self.rows_with(matches)
        folded = text.casefold()
        matches = np.array([value.casefold() == folded for value in self.values], np.bool_)
        return self.rows_with(matches)

    def between(self, low: str | None, high: str | None) -> NDArray[np.bool_]:
        """Documents with a value from ``low`` to ``high``, both included; ``None`` is open.

        Raises
        ------
        QueryError
            If the field holds numbers or dates and a bound is neither.
        """
        wanted = np.ones(len(self.values), np.bool_)
        if self.kind == "word":
            folded = [value.casefold() for value in self.values]
            if low is not None:
                wanted &= np.array([value >= low.casefold() for value in folded], np.bool_)
            if high is not None:
                wanted &= np.array([value <= high.casefold() for value in folded], np.bool_)
            return self.rows_with(wanted)
        numbers = self._numbers()
        for bound, upper in ((low, False), (high, True)):
            if bound is None:
                continue
            number = self._bound(bound, upper=upper)
            if number is None:
                raise QueryError(
                    f"field {self.name!r} holds {self.kind}s; {bound!r} is not a {self.kind}",
                    parameter="filter",
                )
            with np.errstate(invalid="ignore"):
                wanted &= numbers <= number if upper else numbers >= number
        return self.rows_with(wanted)

    def counts(self, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
        """How many of the given documents hold each value: most frequent first, then by value."""
        spans = [self.codes[self.offsets[row] : self.offsets[row + 1]] for row in rows.tolist()]
        if not spans:
            return []
        counted = np.bincount(np.concatenate(spans), minlength=len(self.values))
        order = np.argsort(-counted, kind="stable")
        return [(self.values[code], int(counted[code])) for code in order if counted[code]]

    def first_codes(self) -> NDArray[np.int64]:
        """Each document's smallest code, -1 where it has no value; for sorting."""
        result = np.full(len(self.offsets) - 1, -1, np.int64)
        filled = self.offsets[1:] > self.offsets[:-1]
        if filled.any():
            result[filled] = np.minimum.reduceat(self.codes, self.offsets[:-1][filled])
        return result

    def of_rows(self, kept: NDArray[np.bool_]) -> Column:
        """The column as if only some documents had the field; rows stay what they are.

        Parameters
        ----------
        kept
            bool, shape (n_documents,).
        """
        lengths = np.diff(self.offsets)
        used, codes = np.unique(self.codes[np.repeat(kept, lengths)], return_inverse=True)
        offsets = np.concatenate([[0], np.cumsum(lengths * kept)]).astype(np.int64)
        values = [self.values[code] for code in used.tolist()]
        # Of other values there may be another kind, which has them in another order.
        kind = _kind(values)
        order = sorted(range(len(values)), key=lambda code: _sort_key(values[code], kind))
        rank = np.empty(len(values), np.int32)
        rank[order] = np.arange(len(values), dtype=np.int32)
        return Column(self.name, kind, [values[code] for code in order], rank[codes], offsets)

    def _bound(self, text: str, *, upper: bool = False) -> float | None:
        if self.kind == "number":
            return parse_number(text)
        number = parse_date(text)
        if number is not None and upper:
            number += _span_s(text)
        return number

    def _numbers(self) -> NDArray[np.float64]:
        return np.array([_number_of(value, self.kind) for value in self.values], np.float64)


def _span_s(text: str) -> float:
    """Seconds from the start to the last microsecond of the year, month or day a bound names."""
    begin = datetime.fromtimestamp(0, UTC).date()
    try:
        if len(text) == 4:
            begin, end = date(int(text), 1, 1), date(int(text) + 1, 1, 1)
        elif len(text) == 7:
            year, month = int(text[:4]), int(text[5:])
            begin, end = date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        elif len(text) == 10:
            return 86400.0 - 1e-6
        else:
            return 0.0
    except ValueError:
        return 0.0
    return (end - begin).days * 86400.0 - 1e-6


class MetadataColumns:
    """All metadata of a version, by field.

    Parameters
    ----------
    folder
        The ``metadata`` folder inside a version.
    """

    def __init__(self, folder: Path) -> None:
        try:
            described = json.loads((folder / _FIELDS_NAME).read_text(encoding="utf-8"))
            self._columns = {
                entry["name"]: Column(
                    name=entry["name"],
                    kind=entry["kind"],
                    values=entry["values"],
                    codes=load_array(folder / f"{entry['file']}.codes.npy", np.int32),
                    offsets=load_array(folder / f"{entry['file']}.offsets.npy", np.int64),
                )
                for entry in described
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexCorruptError(f"{folder} cannot be read: {error}") from error
        for column in self._columns.values():
            check_offsets(folder / column.name, column.offsets, len(column.codes))
            known = (column.codes >= 0) & (column.codes < len(column.values))
            if not known.all():
                raise IndexCorruptError(f"{folder} cannot be read: {column.name!r} is damaged")

    @property
    def fields(self) -> list[str]:
        """Names of all fields, sorted."""
        return sorted(self._columns)

    def column(self, name: str, *, parameter: str = "filter") -> Column:
        """Column of one field.

        Raises
        ------
        QueryError
            If no document has such a field; names those there are.
        """
        try:
            return self._columns[name]
        except KeyError as error:
            known = ", ".join(self.fields) or "none"
            raise QueryError(
                f"there is no field {name!r}; fields here: {known}", parameter=parameter
            ) from error
