"""What changed from one version of a collection to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ingest.errors import TrineError
from pipeline.evaluation.overlap import Overlap, overlap_at_10, sample_queries
from pipeline.search.searcher import Searcher
from pipeline.version.manifest import Manifest
from pipeline.version.open_version import SIGNALS, OpenVersion

__all__ = ["Change", "VersionDiff", "compare_versions"]

Change: TypeAlias = tuple[object, object]


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """How the second version differs from the first.

    Parameters
    ----------
    added, removed, changed
        Sorted doc_ids.
    settings, encoders
        What differs -> before and after, ``None`` where it was not or is not there; settings by
        their path (``encoders.bert.model``), encoders' fingerprints by signal.
    overlap
        How alike both answer; a line that says why where they could not be asked.
    """

    added: list[str]
    removed: list[str]
    changed: list[str]
    n_unchanged: int
    settings: dict[str, Change]
    encoders: dict[str, Change]
    overlap: Overlap | str

    def to_json(self) -> dict[str, object]:
        """The differences as JSON-ready values: counts, then ids."""
        overlap = self.overlap
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "unchanged": self.n_unchanged,
            "added_ids": self.added,
            "changed_ids": self.changed,
            "removed_ids": self.removed,
            "settings_changed": _before_and_after(self.settings),
            "encoders_changed": _before_and_after(self.encoders),
            "overlap@10": {"error": overlap} if isinstance(overlap, str) else overlap.to_json(),
        }


def compare_versions(first: OpenVersion, second: OpenVersion) -> VersionDiff:
    """Compare documents, settings, encoders, and the answers to queries drawn from the documents.

    The queries are titles of documents that both versions hold, the same at every run.
    """
    before, after = first.documents.content_hashes(), second.documents.content_hashes()
    common = before.keys() & after.keys()
    changed = sorted(doc_id for doc_id in common if before[doc_id] != after[doc_id])
    old, new = (_settings(version.manifest) for version in (first, second))
    prints = [
        {name: record.encoder_fingerprint for name, record in version.manifest.signals.items()}
        for version in (first, second)
    ]
    try:
        queries = sample_queries(second.documents, sorted(common))
        overlap: Overlap | str = overlap_at_10(Searcher(first), Searcher(second), queries)
    except TrineError as error:
        overlap = str(error)
    return VersionDiff(
        added=sorted(after.keys() - common),
        removed=sorted(before.keys() - common),
        changed=changed,
        n_unchanged=len(common) - len(changed),
        settings={
            name: (old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        },
        encoders={
            name: (prints[0].get(name), prints[1].get(name))
            for name in SIGNALS
            if prints[0].get(name) != prints[1].get(name)
        },
        overlap=overlap,
    )


def _before_and_after(changes: Mapping[str, Change]) -> dict[str, object]:
    return {name: {"before": old, "after": new} for name, (old, new) in changes.items()}


def _settings(manifest: Manifest) -> dict[str, object]:
    described = {**manifest.settings, "sources": manifest.sources, "languages": manifest.languages}
    # How far the write log is applied is no setting anyone chose.
    described.pop("writes", None)
    return dict(_flat("", described))


def _flat(prefix: str, value: Mapping[str, object]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, entry in value.items():
        if isinstance(entry, Mapping):
            found += _flat(f"{prefix}{name}.", entry)
        else:
            found.append((f"{prefix}{name}", entry))
    return found
