"""``trine evaluate``: measure the ranking on judged queries, and compare two."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ingest.beir import BeirFolder, read_queries
from ingest.errors import CorpusError, IndexFolderError, QueryError
from pipeline.command_line.evaluation_formats import as_csv, as_markdown, show_evaluation
from pipeline.command_line.index import run_index
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    output_console,
    print_json,
)
from pipeline.command_line.progress import BarProgress
from pipeline.command_line.search import parse_weights, split_names
from pipeline.encoding.settings import IndexSettings
from pipeline.evaluation.compare import Comparison, compare_runs
from pipeline.evaluation.confidence import (
    NOTHING_ASKED,
    ask_foreign,
    ask_without_answers,
    gibberish,
)
from pipeline.evaluation.evaluate import (
    HYBRID,
    Evaluation,
    evaluate_searcher,
    judged_queries,
    run_queries,
)
from pipeline.evaluation.metrics import NDCG_AT_10
from pipeline.evaluation.reliability_diagram import reliability_svg
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import DEFAULT_COLLECTION, CollectionFolder, default_data_dir
from pipeline.version.quality import Quality, write_quality

__all__ = [
    "Asked",
    "evaluate",
    "evaluation_collection",
    "judged_by",
    "judged_folder",
    "judgment_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])
_FORMATS = ("text", "json", "markdown", "csv")


def evaluation_collection(folder: Path) -> str:
    """Name of the collection a BEIR folder is indexed in.

    Examples
    --------
    >>> evaluation_collection(Path("/data/collections/scifact"))
    'evaluate-collections-scifact'
    """
    path = folder.absolute()
    name = f"evaluate-{path.parent.name}-{path.name}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:100]


def judgment_options(command: Command) -> Command:
    """Add BEIR_DIR, --judgments, --queries and --qrels; the command takes them as one ``beir``."""

    def with_beir(
        *,
        beir_dir: Path | None,
        queries: Path | None,
        qrels: Path | None,
        judgments: bool,
        **options: Any,  # noqa: ANN401  (those of the command)
    ) -> object:
        if (beir_dir is None) != judgments:
            raise click.UsageError("Give either BEIR_DIR or --judgments.")
        if beir_dir is None:
            place = CollectionFolder(
                options["data_dir"] or default_data_dir(), options["collection"]
            )
            if not place.judgments_path.is_dir():
                raise CorpusError(
                    f"nobody has judged anything in {place.name!r} yet: trine serve --writable, "
                    "then open /judging"
                )
            beir_dir = place.judgments_path
        return command(beir=BeirFolder(beir_dir, queries=queries, qrels=qrels), **options)

    with_beir.__name__, with_beir.__doc__ = command.__name__, command.__doc__
    wrapped: Any = with_beir
    wrapped.__click_params__ = getattr(command, "__click_params__", [])
    for decorate in (
        click.option(
            "--qrels",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Judgments.  [default: qrels/test.tsv in BEIR_DIR]",
        ),
        click.option(
            "--queries",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Queries.  [default: queries.jsonl in BEIR_DIR]",
        ),
        click.argument(
            "beir_dir",
            metavar="[BEIR_DIR]",
            required=False,
            type=click.Path(path_type=Path, exists=True, file_okay=False),
        ),
        click.option(
            "--judgments",
            is_flag=True,
            help="Judge by what people judged on the page, in place of BEIR_DIR.",
        ),
    ):
        wrapped = decorate(wrapped)
    result: Command = wrapped
    return result


def judged_folder(beir: BeirFolder, place: Place) -> CollectionFolder:
    """Collection to ask: the one named, or the BEIR folder's own, indexed first if needed."""
    if place.collection != DEFAULT_COLLECTION or beir.path == place.folder.judgments_path:
        return place.folder
    folder = CollectionFolder(place.data_dir, evaluation_collection(beir.path))
    run_index(folder, beir.sources, settings=IndexSettings())
    return folder


@dataclass(frozen=True, slots=True)
class Asked:
    """One side of a comparison: a version, and settings to ask it with.

    Parameters
    ----------
    label
        What it is, in words.
    version
        Version id; the current one when ``None``.
    query
        Settings; its text is replaced.
    """

    label: str
    version: str | None = None
    query: Query = field(default_factory=lambda: Query("?"))

    @classmethod
    def parse(cls, text: str) -> Asked:
        """Read what --compare is given.

        ``default``, a version's id, or ``version=``, ``weights=``, ``fusion=`` and ``signals=``,
        one or more, with spaces between them.

        Raises
        ------
        QueryError
            If it is none of these, or a value is not allowed.

        Examples
        --------
        >>> Asked.parse("fusion=z_score weights=bm25:1,bert:3").query.weights
        {'bm25': 1.0, 'bert': 3.0}
        >>> Asked.parse("20260131T120000.123456Z-1f2e3d").version
        '20260131T120000.123456Z-1f2e3d'
        """
        if text.strip() == "default":
            return cls("default")
        given = {}
        for part in text.split() or [""]:
            name, equals, value = part.partition("=")
            if not equals:
                name, value = "version", part
            if not value or name in given or name not in {"version", *_SETTINGS}:
                raise QueryError(
                    f"--compare is {text!r}; write default, a version's id, or version=, weights=, "
                    "fusion=, signals=, as in 'fusion=z_score weights=bm25:0.5,bert:0.5'"
                )
            given[name] = value
        version = given.pop("version", None)
        settings: dict[str, Any] = {name: _SETTINGS[name](value) for name, value in given.items()}
        return cls(text.strip(), version, replace(Query("?"), **settings))

    def open(self, folder: CollectionFolder) -> Searcher:
        """The searcher to ask."""
        return Searcher.open(folder.name, data_dir=folder.data_dir, version=self.version)


_SETTINGS: dict[str, Callable[[str], object]] = {
    "weights": parse_weights,
    "fusion": str,
    "signals": split_names,
}


@click.command()
@judgment_options
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="WHAT",
    help="Compare the hybrid with WHAT: default, a version's id, or version=, weights=, fusion=, "
    "signals= ('fusion=z_score weights=bm25:0.5,bert:0.5'). Given twice, the first is the "
    "baseline; given once, the current version as it is.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(_FORMATS),
    help="How to print the figures; --json is json.  [default: text]",
)
@click.option(
    "--foreign",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="Also ask queries the collection cannot answer: those of another BEIR folder or of a file "
    "of queries, gibberish, and blank ones. Can be given several times.",
)
@click.option(
    "--missing-answers",
    is_flag=True,
    help="Also ask each query with all its relevant documents hidden.",
)
@click.option(
    "--reliability",
    metavar="FILE.svg",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also draw how often hits of each probability are relevant.",
)
@common_options
def evaluate(
    *,
    beir: BeirFolder,
    compared: tuple[str, ...],
    output_format: str | None,
    foreign: tuple[Path, ...],
    missing_answers: bool,
    reliability: Path | None,
    place: Place,
) -> None:
    """Measure each signal and the hybrid on the judged queries of BEIR_DIR.

    Its corpus is indexed first with the defaults of `trine index`, unless --collection names a
    collection to ask instead. With --compare, a paired randomization test says whether the
    difference is more than chance, and the queries that gained and lost most are listed.

    Also told is how far probabilities can be trusted: what share of hits of each probability is
    relevant, and, with --foreign and --missing-answers, how many queries that have no answer get
    one with confidence.
    """
    if place.as_json and output_format not in {None, "json"}:
        raise click.UsageError(f"--json and --format {output_format} exclude each other")
    if len(compared) > 2:
        raise click.UsageError("--compare can be given once or twice")
    sides = [Asked.parse(text) for text in compared]
    if len(sides) < 2:
        sides.insert(0, Asked("default"))
    texts, qrels = beir.queries(), beir.qrels()
    judged = judged_queries(texts, qrels)
    strange = _foreign_queries(foreign)
    if reliability is not None and not os.access(reliability.parent, os.W_OK):
        # Told before the measuring, not after.
        raise click.UsageError(f"--reliability {reliability}: no such folder, or not writable")
    folder = judged_folder(beir, place)
    opened = [side.open(folder) for side in sides]
    progress = BarProgress(error_console())
    evaluation = evaluate_searcher(opened[0], texts, judged, base=sides[0].query, progress=progress)
    if sides[0].query == Query("?"):
        _keep_quality(folder, beir, evaluation)
    asked_too = []
    for source, queries in strange.items():
        with progress.stage(f"foreign: {source}", len(queries)) as advance:
            asked_too.append(ask_foreign(opened[0], source, queries, sides[0].query, advance))
    missing = None
    if missing_answers:
        with progress.stage("missing answers", len(judged)) as advance:
            missing = ask_without_answers(opened[0], texts, judged, sides[0].query, advance)
    evaluation = replace(evaluation, foreign=asked_too, missing_answers=missing)
    comparison = None
    if len(sides) > 1:
        asked = {query_id: texts[query_id] for query_id in judged}
        with progress.stage("compared", len(asked)) as advance:
            run = run_queries(opened[1], asked, sides[1].query, advance)
        first, second = (
            f"{side.label} (version {searcher.version})"
            for side, searcher in zip(sides, opened, strict=True)
        )
        comparison = compare_runs((first, evaluation.runs[HYBRID]), (second, run), asked, judged)
    if reliability is not None:
        drawn = reliability_svg(evaluation.reliability, evaluation.collection)
        reliability.write_text(drawn, encoding="utf-8")
    _print(evaluation, comparison, "json" if place.as_json else output_format or "text")


def judged_by(beir: BeirFolder) -> str:
    """What to call judgments by: the BEIR folder's path, and the files given besides.

    Examples
    --------
    >>> judged_by(BeirFolder(Path("/data/scifact")))
    '/data/scifact'
    >>> judged_by(BeirFolder(Path("/data/scifact"), qrels=Path("/data/scifact/qrels/train.tsv")))
    '/data/scifact with /data/scifact/qrels/train.tsv'
    """
    default = BeirFolder(beir.path)
    given = [
        str(path.absolute())
        for path, usual in (
            (beir.queries_path, default.queries_path),
            (beir.qrels_path, default.qrels_path),
        )
        if path != usual
    ]
    return " with ".join([str(beir.path.absolute()), *given])


def _keep_quality(folder: CollectionFolder, beir: BeirFolder, evaluation: Evaluation) -> None:
    """Keep what was measured for `trine versions`; a data folder one may only read stays as is."""
    ndcg = evaluation.signals[HYBRID][NDCG_AT_10]
    quality = Quality(judged_by(beir), ndcg, evaluation.n_queries)
    with contextlib.suppress(IndexFolderError):
        write_quality(folder, evaluation.version, quality)


def _foreign_queries(paths: tuple[Path, ...]) -> dict[str, list[str]]:
    """Queries to ask by where they are from; gibberish and blank ones too, where any are."""
    found: dict[str, list[str]] = {}
    for path in paths:
        name = path.name or str(path)
        # Two folders of the same name are told apart by their paths.
        source = name if name not in found else str(path)
        queries = BeirFolder(path).queries() if path.is_dir() else read_queries(path)
        found[source] = list(queries.values())
    return found | {"gibberish": gibberish(), "blank": list(NOTHING_ASKED)} if found else {}


def _print(evaluation: Evaluation, comparison: Comparison | None, output_format: str) -> None:
    if output_format == "json":
        figures = evaluation.to_json()
        print_json(
            figures if comparison is None else figures | {"comparison": comparison.to_json()}
        )
    elif output_format == "text":
        show_evaluation(evaluation, comparison, output_console())
    else:
        write = as_markdown if output_format == "markdown" else as_csv
        click.echo(write(evaluation, comparison).encode())
