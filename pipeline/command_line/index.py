"""``trine index``: documents become a published version."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from ingest.beir import BeirFolder
from ingest.errors import CorpusError, IndexLockedError, TrineError
from ingest.sources import IngestReport, SourceOptions, read_documents
from ingest.synonyms import read_synonyms
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    output_console,
    print_json,
    told,
)
from pipeline.command_line.progress import BarProgress
from pipeline.command_line.watch import run_on_changes, take_snapshot, watchable
from pipeline.encoding.folding import build_with_writes
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.summary import BuildSummary, SignalDrift
from pipeline.evaluation.gate import MAX_DROP, Judgments, PublishGate
from pipeline.evaluation.metrics import NDCG_AT_10
from pipeline.version.collection import KEPT_VERSIONS, CollectionFolder
from pipeline.version.write_log import WriteLog

__all__ = ["index", "prune_older", "refusal", "remembered", "run_index", "show_summary"]


def run_index(
    folder: CollectionFolder,
    sources: Sequence[str],
    *,
    settings: IndexSettings,
    full: bool = False,
    refit: bool = False,
    keep: int = KEPT_VERSIONS,
    allow_shrink: bool = True,
    judgments: Judgments | None = None,
    progress: BuildProgress | None = None,
) -> BuildSummary:
    """Read sources, build a version and prune older ones.

    What was written through the API is laid over what the sources hold.

    Parameters
    ----------
    sources
        Where there are none, the documents of the current version stay; with ``full``, only what
        was written counts.
    keep
        How many of the newest versions stay once another was built.
    allow_shrink
        Whether more than half of the documents may vanish.
    judgments
        What the new version is measured by before it is published.
    progress
        Who is told how far it is; progress bars on a terminal when ``None``.

    Returns
    -------
    BuildSummary
        Its warnings tell what was skipped.
    """
    progress = progress or BarProgress(error_console())
    gate = PublishGate(folder, judgments, progress=progress)
    report, options = IngestReport(), _source_options(settings)
    summary = build_with_writes(
        folder,
        (lambda: read_documents(sources, options=options, report=report)) if sources else None,
        settings=settings,
        sources=sources,
        full=full,
        refit=refit,
        allow_shrink=allow_shrink,
        gate=gate,
        progress=progress,
    )
    warnings = [*summary.warnings, *report.warnings()]
    try:
        gate.keep_quality()
    except TrineError as error:
        warnings.append(f"what was measured is not kept: {error}")
    if summary.published or summary.refused:
        warnings += prune_older(folder, keep)
    return replace(summary, warnings=warnings)


def prune_older(folder: CollectionFolder, keep: int = KEPT_VERSIONS) -> list[str]:
    """Remove old versions; the warnings say where that fails, since the new one is published."""
    try:
        with folder.writing():
            folder.prune(keep)
    except IndexLockedError:
        # The next writer is at work already, and prunes when it is done.
        return []
    except TrineError as error:
        return [f"older versions stay: {error}"]
    return []


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
@click.option(
    "--keep",
    default=KEPT_VERSIONS,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the newest versions stay; never fewer than are open.",
)
@click.option(
    "--judge",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="BEIR_DIR",
    help="Publish only if nDCG@10 over the judged queries of BEIR_DIR does not fall.",
)
@click.option(
    "--max-drop",
    default=MAX_DROP,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="With --judge: how far it may fall.",
)
@click.option(
    "--allow-shrink", is_flag=True, help="Publish even if more than half of the documents vanished."
)
@click.option(
    "--watch",
    is_flag=True,
    help="Go on, and index again whenever the files change; Ctrl-C or SIGTERM stops.",
)
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
    keep: int,
    judge: Path | None,
    max_drop: float,
    allow_shrink: bool,
    watch: bool,
    place: Place,
) -> None:
    """Build or refresh a collection (alias: reindex).

    SOURCE is a file, a folder, a glob, a BEIR folder, pydoc:stdlib or pydoc:MODULE. The
    collection then holds exactly what the sources hold, and what was written through the API.
    Without a SOURCE the sources given last time are read again. Only passages that changed are
    encoded, and tfidf and word2vec stay as they were fitted until the documents have drifted too
    far from that.
    """
    judgments = None if judge is None else Judgments.read(BeirFolder(judge), max_drop)
    folder = place.folder
    known_sources, settings = remembered(folder)
    chosen = [_absolute(source) for source in sources] or known_sources
    if not chosen and not _is_written(folder):
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
    run = partial(
        run_index,
        folder,
        chosen,
        settings=settings,
        keep=keep,
        allow_shrink=allow_shrink,
        judgments=judgments,
    )
    if watch:
        # What is adopted meanwhile stays adopted.
        again = partial(run, settings=settings.with_ranking({}), progress=SilentProgress())
        first = partial(again, full=full, refit=refit)
        _watch(place, chosen, _source_options(settings), iter([first]), again)
        return
    summary = run(full=full, refit=refit)
    if place.as_json:
        print_json(asdict(summary))
    else:
        show_summary(summary)
    if summary.refused:
        click.echo(f"trine: {refusal(summary)}", err=True)
        raise click.exceptions.Exit(1)


def _is_written(folder: CollectionFolder) -> bool:
    """Whether a collection without sources has documents all the same, written through the API."""
    if (current := folder.current_or_none()) is not None:
        # A damaged one may have had sources.
        folder.manifest(current)
    return WriteLog(folder).exists()


def _watch(
    place: Place,
    sources: Sequence[str],
    options: SourceOptions,
    first: Iterator[Callable[[], BuildSummary]],
    again: Callable[[], BuildSummary],
) -> None:
    """Index at once and after every change, until told to stop; one line a run."""
    if not (files := watchable(sources)):
        raise click.UsageError("--watch needs a SOURCE that is a file, a folder or a glob")
    if isinstance(found := take_snapshot(files, options, place.data_dir), str):
        raise CorpusError(found)

    def run() -> bool:
        try:
            summary = next(first, again)()
        # Whatever it is, the old version goes on serving, and the next change may mend it.
        except Exception as error:
            click.echo(f"trine: {told(error)}", err=True)
            return not isinstance(error, IndexLockedError)
        if place.as_json:
            click.echo(json.dumps(asdict(summary), ensure_ascii=False).encode())
        elif not summary.refused:
            output_console().print(_one_line(summary), soft_wrap=True)
        if summary.refused:
            click.echo(f"trine: {refusal(summary)}", err=True)
        return True

    run_on_changes(files, options, place.data_dir, run)


def _one_line(summary: BuildSummary) -> str:
    warned = f", {len(summary.warnings)} warnings" if summary.warnings else ""
    if not summary.published:
        return f"{summary.collection}: nothing changed in {summary.documents:,} documents{warned}"
    return (
        f"{summary.collection}: published version {summary.version}: {summary.documents:,} "
        f"documents ({summary.added:,} added, {summary.changed:,} changed, {summary.removed:,} "
        f"removed), {summary.passages_encoded:,} passages encoded, "
        f"{summary.seconds['total']:.1f} s{warned}"
    )


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
        return f"{name}: fitted on these documents"
    return (
        f"{name}: kept as fitted before; since then {drift.changed_documents:.1%} of the documents "
        f"changed and {drift.unknown_words:.2%} more of the words are unknown to it"
    )


def show_summary(summary: BuildSummary) -> None:
    """Tell a person what a build did."""
    errors = error_console()
    for warning in summary.warnings:
        errors.print(Text.assemble(("warning: ", "yellow"), warning), soft_wrap=True)
    out = output_console()
    if not summary.published and not summary.refused:
        out.print(
            f"{summary.collection}: nothing changed in {summary.documents:,} documents; "
            f"version {summary.version} stays current",
            soft_wrap=True,
        )
        return
    for line in _gate_lines(summary.gate):
        out.print(line, soft_wrap=True)
    speed = summary.tokens_per_second
    out.print(
        f"{summary.collection}: {summary.documents:,} documents in {summary.passages:,} passages "
        f"({summary.added:,} added, {summary.changed:,} changed, {summary.removed:,} removed, "
        f"{summary.unchanged:,} unchanged)\n"
        f"passages encoded {summary.passages_encoded:,}, reused {summary.passages_reused:,}"
        + (f", {speed:,.0f} tokens/s" if speed else "")
        + f"; {summary.seconds['total']:.1f} s"
        + "".join("\n" + _drift_line(name, drift) for name, drift in summary.drift.items())
        + ("" if summary.refused else f"\npublished version {summary.version}"),
        soft_wrap=True,
    )


def _gate_lines(gate: Mapping[str, Any]) -> Iterator[str]:
    """What was found before publishing, for a person."""
    if changed := gate.get("encoders_changed"):
        overlap = gate["overlap@10"]
        alike = (
            f"; {overlap['mean']:.0%} of the ten best documents are the same, "
            f"over {overlap['n_queries']} titles"
            if overlap
            else ""
        )
        yield f"changed encoders: {', '.join(changed)}{alike}"
    if figures := gate.get(NDCG_AT_10):
        before = "" if figures["current"] is None else f"{figures['current']:.4f} -> "
        left_out = f" ({gate['n_left_out']:,} left out)" if gate["n_left_out"] else ""
        yield (
            f"nDCG@10 {before}{figures['new']:.4f} over {gate['n_queries']:,} judged queries"
            + left_out
        )
    if reason := gate.get("not_comparable"):
        yield f"not compared with the version before: {reason}"


def refusal(summary: BuildSummary) -> str:
    """Say that a version was kept back, why, and how to publish it all the same."""
    return (
        f"{summary.refused}: version {summary.version} is kept but not published; to publish it: "
        f"trine versions activate {summary.version} --collection {summary.collection}"
    )
