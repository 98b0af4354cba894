"""``trine evaluate``: measure the ranking on judged queries."""

from __future__ import annotations

import re
from pathlib import Path

import click
from rich.table import Table

from ingest.beir import BeirFolder
from pipeline.command_line.index import run_index
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    output_console,
    print_json,
)
from pipeline.command_line.progress import BarProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.evaluation.evaluate import Evaluation, evaluate_searcher
from pipeline.search.searcher import Searcher
from pipeline.version.collection import DEFAULT_COLLECTION, CollectionFolder

__all__ = ["evaluate", "evaluation_collection"]


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


@click.command()
@click.argument(
    "beir_dir", metavar="BEIR_DIR", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--queries",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Queries.  [default: queries.jsonl in BEIR_DIR]",
)
@click.option(
    "--qrels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Judgments.  [default: qrels/test.tsv in BEIR_DIR]",
)
@common_options
def evaluate(*, beir_dir: Path, queries: Path | None, qrels: Path | None, place: Place) -> None:
    """Measure each signal and the hybrid on the judged queries of BEIR_DIR.

    Its corpus is indexed first with the defaults of `trine index`, unless --collection names a
    collection to ask instead.
    """
    beir = BeirFolder(beir_dir, queries=queries, qrels=qrels)
    texts, judgments = beir.queries(), beir.qrels()
    if place.collection == DEFAULT_COLLECTION:
        folder = CollectionFolder(place.data_dir, evaluation_collection(beir_dir))
        run_index(folder, beir.sources, settings=IndexSettings())
    else:
        folder = place.folder
    searcher = Searcher.open(folder.name, data_dir=place.data_dir)
    evaluation = evaluate_searcher(
        searcher, texts, judgments, progress=BarProgress(error_console())
    )
    if place.as_json:
        print_json(evaluation.to_json())
    else:
        _show(evaluation)


def _show(evaluation: Evaluation) -> None:
    console = output_console()
    console.print(
        f"{evaluation.collection}: {evaluation.n_documents:,} documents, "
        f"{evaluation.n_queries:,} judged queries"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("signal")
    for name in next(iter(evaluation.signals.values())):
        table.add_column(name, justify="right")
    for signal, figures in evaluation.signals.items():
        table.add_row(signal, *(f"{value:.4f}" for value in figures.values()))
    console.print(table)
    latency = ", ".join(f"{name} {value:.1f}" for name, value in evaluation.latency_ms.items())
    console.print(f"latency of a query, ms: {latency}")
