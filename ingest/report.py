"""What happened while sources were read: how many documents, and what was left out."""

from __future__ import annotations

from collections import Counter

__all__ = ["N_PLACES", "IngestReport"]

N_PLACES = 20
"""Places kept as examples for one reason; the count stays exact."""

_N_PLACES_SHOWN = 3


class IngestReport:
    """A tally of the documents read and of everything skipped or repaired on the way.

    Attributes
    ----------
    n_documents
        Documents read so far.
    counts
        For each reason, how many things were skipped for it.
    skipped
        For each reason, the first places it was met, at most ``N_PLACES`` of them.

    Examples
    --------
    >>> report = IngestReport()
    >>> report.skip("empty document", "a.txt")
    >>> report.skip("empty document", "b.md:12")
    >>> report.note("badly encoded line", "c.jsonl:7", outcome="repaired")
    >>> report.warnings()
    ['2 empty documents skipped: a.txt, b.md:12', '1 badly encoded line repaired: c.jsonl:7']
    """

    def __init__(self) -> None:
        self.n_documents = 0
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, list[str]] = {}
        self._note_counts: Counter[tuple[str, str]] = Counter()
        self._noted: dict[tuple[str, str], list[str]] = {}

    def skip(self, reason: str, place: str) -> None:
        """Record that something was left out.

        Parameters
        ----------
        reason
            A noun in the singular that takes a plural "s": ``"binary file"``.
        place
            ``path`` or ``path:line``.
        """
        self.counts[reason] += 1
        places = self.skipped.setdefault(reason, [])
        if len(places) < N_PLACES:
            places.append(place)

    def note(self, reason: str, place: str, *, outcome: str) -> None:
        """Record that something was read all the same, but not as it stood.

        Parameters
        ----------
        reason
            A noun in the singular that takes a plural "s": ``"badly encoded line"``.
        place
            ``path`` or ``path:line``.
        outcome
            What was done about it: ``"repaired"``.
        """
        key = (reason, outcome)
        self._note_counts[key] += 1
        places = self._noted.setdefault(key, [])
        if len(places) < N_PLACES:
            places.append(place)

    def warnings(self) -> list[str]:
        """One line for each reason, skips first, each with its count and a few places."""
        lines = [
            _warning(count, reason, "skipped", self.skipped[reason])
            for reason, count in self.counts.items()
        ]
        lines += [
            _warning(count, reason, outcome, self._noted[reason, outcome])
            for (reason, outcome), count in self._note_counts.items()
        ]
        return lines


def _warning(count: int, reason: str, outcome: str, places: list[str]) -> str:
    plural = "" if count == 1 else "s"
    shown = ", ".join(places[:_N_PLACES_SHOWN])
    more = ", ..." if count > _N_PLACES_SHOWN else ""
    return f"{count:,} {reason}{plural} {outcome}: {shown}{more}"
