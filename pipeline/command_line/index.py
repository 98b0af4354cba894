"""``trine index``: documents become a published version."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from ingest.errors import TrineError
from ingest.sources import IngestReport, SourceOptions, read_documents
from ingest.synonyms import read_synonyms
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    output_console,
    print_json,
)
from pipeline.command_line.progress import BarProgress
from pipeline.encoding.build import BuildSummary, build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.summary import SignalDrift
from pipeline.version.collection import CollectionFolder

__all__ = ["index", "run_index"]


def run_index(
    folder: CollectionFolder,
    sources: Sequence[str],
    *,
    settings: IndexSettings,
    full: bool = False,
    refit: bool = False,
) -> BuildSummary:
    """Read sources and build a version, with progress bars on a terminal.

    Returns
    -------
    BuildSummary
        Its warnings tell what was skipped.
    """
    report = IngestReport()
    summary = build_version(
        folder,
        read_documents(sources, options=_source_options(settings), report=report),
        settings=settings,
        sources=sources,
        full=full,
        refit=refit,
        progress=BarProgress(error_console()),
    )
    return replace(summary, warnings=[*summary.warnings, *report.warnings()])


def remembered(folder: CollectionFolder) -> tuple[list[str], IndexSettings]:
    """Sources and settings of the current version; none and the defaults where there is none."""
    current = folder.current_or_none()
    if current is None:
        return [], IndexSettings()
    try:
        manifest = folder.manifest(current)
    except TrineError:
        # A damaged current version must not keep anyone from building a sound one.
        return [], IndexSettings()
    return list(manifest.sources), IndexSettings.from_manifest(manifest.settings)


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--full", is_flag=True, help="Ignore the current version and the embedding cache.")
@click.option("--refit", is_flag=True, help="Fit tfidf and word2vec anew.")
@click.option("--signals", help="Signals to build, comma-separated.  [default: all four]")
@click.option("--model", help="sentence-transformers folder or name for the bert signal.")
@click.option(
    "--word-vectors",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Pre-trained word2vec or GloVe file for the word2vec signal.",
)
@click.option(
    "--synonyms",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of synonyms, a line each: car, automobile or nyc => new york.",
)
@click.option("--id-field", help="Field of JSON Lines, CSV or TSV that holds the id.")
@click.option("--title-field", help="Field that holds the title.")
@click.option("--text-field", help="Field that holds the text.")
@click.option("--exclude", "excludes", multiple=True, help=".gitignore pattern to leave out.")
@common_options
def index(
    *,
    sources: tuple[str, ...],
    full: bool,
    refit: bool,
    signals: str | None,
    model: str | None,
    word_vectors: Path | None,
    synonyms: Path | None,
    id_field: str | None,
    title_field: str | None,
    text_field: str | None,
    excludes: tuple[str, ...],
    place: Place,
) -> None:
    """Build or refresh a collection (alias: reindex).

    SOURCE is a file, a folder, a glob, a BEIR folder, pydoc:stdlib or pydoc:MODULE. The
    collection then holds exactly what the sources hold. Without a SOURCE the sources given
    last time are read again. Only passages that changed are encoded, and tfidf and word2vec
    stay as they were fitted until the documents have drifted too far from that.
    """
    known_sources, settings = remembered(place.folder)
    chosen = [_absolute(source) for source in sources] or known_sources
    if not chosen:
        raise click.UsageError(
            f"give at least one SOURCE: collection {place.collection!r} has none to read again"
        )
    if signals is not None:
        settings = settings.with_signals(signals.split(","))
    if model is not None:
        # A folder's full path: the next run may start somewhere else.
        found = str(Path(model).absolute()) if model and Path(model).is_dir() else model
        settings = settings.with_encoder("bert", model=found)
    if word_vectors is not None:
        settings = settings.with_encoder("word2vec", vectors_path=str(word_vectors.absolute()))
    if synonyms is not None:
        settings = settings.with_synonyms(read_synonyms(synonyms))
    given = {
        "id_field": id_field,
        "title_field": title_field,
        "text_field": text_field,
        "excludes": list(excludes),
    }
    settings = settings.with_source_options({name: value for name, value in given.items() if value})
    summary = run_index(place.folder, chosen, settings=settings, full=full, refit=refit)
    if place.as_json:
        print_json(asdict(summary))
    else:
        show_summary(summary)


def _source_options(settings: IndexSettings) -> SourceOptions:
    allowed = {entry.name for entry in fields(SourceOptions)}
    known: dict[str, Any] = {
        name: value for name, value in settings.source_options.items() if name in allowed
    }
    return SourceOptions(**{**known, "excludes": tuple(known.get("excludes", ()))})


def _absolute(source: str) -> str:
    """Make a path independent of the folder the command ran in; ``pydoc:`` names stay."""
    if not source or source.startswith("pydoc:"):
        return source
    with contextlib.suppress(RuntimeError):
        # Raised for the home of a user nobody knows; then ~ is part of a name.
        return str(Path(source).expanduser().absolute())
    return str(Path(source).absolute())


def _drift_line(name: str, drift: SignalDrift) -> str:
    if drift.refitted:
        return f"{name}: fitted on these documents\n"
    return (
        f"{name}: kept as fitted before; since then {drift.changed_documents:.1%} of the documents "
        f"changed and {drift.unknown_words:.2%} more of the words are unknown to it\n"
    )


def show_summary(summary: BuildSummary) -> None:
    """Tell a person what a build did."""
    errors = error_console()
    for warning in summary.warnings:
        errors.print(Text.assemble(("warning: ", "yellow"), warning), soft_wrap=True)
    out = output_console()
    if not summary.published:
        out.print(
            f"{summary.collection}: nothing changed in {summary.documents:,} documents; "
            f"version {summary.version} stays current",
            soft_wrap=True,
        )
        return
    speed = summary.tokens_per_second
    out.print(
        f"{summary.collection}: {summary.documents:,} documents in {summary.passages:,} passages "
        f"({summary.added:,} added, {summary.changed:,} changed, {summary.removed:,} removed, "
        f"{summary.unchanged:,} unchanged)\n"
        f"passages encoded {summary.passages_encoded:,}, reused {summary.passages_reused:,}"
        + (f", {speed:,.0f} tokens/s" if speed else "")
        + f"; {summary.seconds['total']:.1f} s\n"
        + "".join(_drift_line(name, drift) for name, drift in summary.drift.items())
        + f"published version {summary.version}",
        soft_wrap=True,
    )
