"""Everything that decides what a version holds besides the documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from encoders.model_folder import file_sha256
from encoders.protocol import Encoder
from encoders.registry import create_encoder
from ingest.errors import ModelNotFoundError, QueryError
from pipeline.version.open_version import SIGNALS
from pipeline.version.write_snapshot import marker_of

__all__ = ["IndexSettings", "checked_signals"]


def checked_signals(names: Iterable[str]) -> tuple[str, ...]:
    """Signals by name, in their fixed order.

    Raises
    ------
    QueryError
        If a name is unknown, or there is none.

    Examples
    --------
    >>> checked_signals(["bert", "bm25"])
    ('bm25', 'bert')
    """
    wanted = {name.strip() for name in names} - {""}
    if unknown := sorted(wanted - set(SIGNALS)):
        raise QueryError(
            f"unknown signal {unknown[0]!r}; signals are {', '.join(SIGNALS)}",
            parameter="signals",
        )
    if not wanted:
        raise QueryError(f"no signal given; signals are {', '.join(SIGNALS)}", parameter="signals")
    return tuple(name for name in SIGNALS if name in wanted)


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Settings of the encoding pipeline.

    Parameters
    ----------
    signals
        Which signals to build.
    encoders
        Keyword arguments of each encoder that differ from its defaults:
        ``{"bert": {"model": "/models/bge-small"}}``.
    source_options
        How the sources are read, where that differs from the defaults: ``{"id_field": "key"}``.
    ranking
        Adopted weights and where they come from, as the search pipeline reads them; empty for
        Trine's own. They decide nothing about what is built.
    synonyms
        Words as a query may hold them -> what else to look for.
    writes
        Up to which of its entries the documents hold the collection's write log; empty without
        one. It decides nothing about what is built.
    """

    signals: tuple[str, ...] = SIGNALS
    encoders: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    source_options: Mapping[str, object] = field(default_factory=dict)
    ranking: Mapping[str, object] = field(default_factory=dict)
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    writes: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, settings: Mapping[str, object]) -> IndexSettings:
        """Settings as a manifest keeps them."""
        signals = settings.get("signals", SIGNALS)
        encoders, source_options = settings.get("encoders"), settings.get("source_options")
        ranking = settings.get("ranking")
        synonyms = settings.get("synonyms")
        return cls(
            checked_signals(signals) if isinstance(signals, list | tuple) else SIGNALS,
            encoders if isinstance(encoders, Mapping) else {},
            source_options if isinstance(source_options, Mapping) else {},
            ranking if isinstance(ranking, Mapping) else {},
            synonyms if isinstance(synonyms, Mapping) else {},
            marker_of(settings),
        )

    def to_manifest(self) -> dict[str, object]:
        """Settings as JSON keeps them."""
        settings: dict[str, object] = {
            "signals": list(self.signals),
            "encoders": {name: dict(arguments) for name, arguments in self.encoders.items()},
            "source_options": dict(self.source_options),
        }
        if self.ranking:
            settings["ranking"] = dict(self.ranking)
        if self.synonyms:
            settings["synonyms"] = {words: list(found) for words, found in self.synonyms.items()}
        if self.writes:
            settings["writes"] = dict(self.writes)
        return settings

    def with_signals(self, signals: Iterable[str]) -> IndexSettings:
        """The same settings with other signals."""
        return replace(self, signals=checked_signals(signals))

    def with_encoder(self, name: str, **arguments: object) -> IndexSettings:
        """The same settings with other arguments for one encoder."""
        merged = {**self.encoders.get(name, {}), **arguments}
        return replace(self, encoders={**self.encoders, name: merged})

    def with_source_options(self, options: Mapping[str, object]) -> IndexSettings:
        """The same settings with some source options replaced."""
        return replace(self, source_options={**self.source_options, **options})

    def with_ranking(self, ranking: Mapping[str, object]) -> IndexSettings:
        """The same settings with other weights."""
        return replace(self, ranking=ranking)

    def with_synonyms(self, synonyms: Mapping[str, Sequence[str]]) -> IndexSettings:
        """The same settings with these synonyms and no others."""
        return replace(self, synonyms=synonyms)

    def with_writes(self, writes: Mapping[str, object]) -> IndexSettings:
        """The same settings for documents that hold the write log up to another entry."""
        return replace(self, writes=writes)

    def builds_like(self, settings: Mapping[str, object]) -> bool:
        """Whether the same documents need no other version than these settings of a manifest."""
        return {**self.to_manifest(), "writes": None} == {**settings, "writes": None}

    def with_file_hashes(self) -> IndexSettings:
        """The same settings, with the SHA-256 of the word vectors' file as it is now.

        Another file at the same path is another setting. Of a file that is gone the known hash
        stays: it matters only when the file has to be read.

        Raises
        ------
        ModelNotFoundError
            If the file cannot be read.
        """
        given = self.encoders.get("word2vec", {}).get("vectors_path")
        if given is None or not (path := Path(str(given))).is_file():
            return self
        try:
            return self.with_encoder("word2vec", vectors_sha256=file_sha256(path))
        except OSError as error:
            raise ModelNotFoundError(
                f"word2vec: {path} cannot be read: {error.strerror}"
            ) from error

    def create(self, name: str, **arguments: object) -> Encoder:
        """A new, unfitted encoder for one signal; arguments given stand behind the settings."""
        return create_encoder(name, {**arguments, **self.encoders.get(name, {})})
