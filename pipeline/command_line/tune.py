"""``trine tune``: fit weights and probabilities to judged queries; adopt what is better."""

from __future__ import annotations

from dataclasses import replace

import click
from rich.table import Table

from ingest.beir import BeirFolder
from ingest.errors import IndexFolderError
from pipeline.command_line.evaluate import judged_by, judged_folder, judgment_options
from pipeline.command_line.options import (
    Place,
    common_options,
    error_console,
    output_console,
    print_json,
)
from pipeline.command_line.progress import BarProgress
from pipeline.encoding.adopt import adopt_ranking, keep_report
from pipeline.evaluation.evaluate import judged_queries
from pipeline.evaluation.metrics import NDCG_AT_10
from pipeline.evaluation.tune import MIN_QUERIES, N_FOLDS, TuningReport, tune_searcher
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.quality import Quality, write_quality

__all__ = ["tune"]


@click.command()
@judgment_options
@click.option("--adopt", is_flag=True, help="Publish a version with what is better.")
@click.option(
    "--folds",
    default=N_FOLDS,
    show_default=True,
    type=click.IntRange(2, MIN_QUERIES),
    help="Parts to cut the queries into.",
)
@click.option("--seed", default=0, show_default=True, help="Of the folds and the test.")
@common_options
def tune(*, beir: BeirFolder, adopt: bool, folds: int, seed: int, place: Place) -> None:
    """Choose weights and fusion by cross-validation on the judged queries of BEIR_DIR.

    Which collection is tuned is decided as in `trine evaluate`. The choice counts as better only
    if it beats the default on queries it has not seen, by a paired randomization test. In the same
    way the collection's own level of probability is fitted and tested. --adopt then publishes a
    version with what is better, which shares every file with the current one.
    """
    queries, qrels = beir.queries(), beir.qrels()
    judged_queries(queries, qrels)
    folder = judged_folder(beir, place)
    searcher = Searcher.open(folder.name, data_dir=folder.data_dir)
    report = tune_searcher(
        searcher,
        queries,
        qrels,
        n_folds=folds,
        seed=seed,
        progress=BarProgress(error_console()),
    )
    if adopt and report.improved is not None:
        report = _adopted(folder, searcher, report)
    try:
        keep_report(folder, report.version, report.to_json())
        if report.adopted:
            # On queries that did not choose its weights.
            held_out = Quality(judged_by(beir), report.held_out["tuned"], report.n_queries)
            write_quality(folder, report.adopted, held_out)
    except IndexFolderError as error:
        if not report.adopted:
            raise
        # Published all the same.
        error_console().print(f"warning: the report is not kept: {error}", soft_wrap=True)
    if place.as_json:
        print_json(report.to_json())
    else:
        _show(report, wanted=adopt)


def _adopted(folder: CollectionFolder, searcher: Searcher, report: TuningReport) -> TuningReport:
    if searcher.ranking == report.improved:
        # The same judgments again: the version at hand has what they choose.
        return replace(report, adopted=report.version)
    version = adopt_ranking(folder, report.version, report.ranking(), report.to_json())
    return replace(report, adopted=version)


def _show(report: TuningReport, *, wanted: bool) -> None:
    out = output_console()
    out.print(
        f"{report.collection}: {report.n_queries:,} judged queries in {len(report.folds)} folds, "
        f"{report.n_settings:,} settings, {report.seconds:.1f} s",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("held out", no_wrap=True)
    for heading in ("queries", "default", "tuned"):
        table.add_column(heading, justify="right", no_wrap=True)
    # The numbers stay whole on a narrow terminal: the weights wrap first.
    table.add_column("chosen on the others", overflow="fold")
    for number, fold in enumerate(report.folds, start=1):
        table.add_row(
            f"fold {number}",
            f"{fold.n_queries:,}",
            f"{fold.default:.4f}",
            f"{fold.tuned:.4f}",
            _described(fold.chosen, report),
        )
    held_out = report.held_out
    table.add_row(
        "all", f"{report.n_queries:,}", f"{held_out['default']:.4f}", f"{held_out['tuned']:.4f}"
    )
    out.print(table)
    out.print(
        f"Figures are {NDCG_AT_10}. Chosen on all queries: {_described(report.chosen, report)}",
        soft_wrap=True,
    )
    out.print(_sentence(report.reason), soft_wrap=True)
    found = report.calibration
    if found is None:
        out.print("No probabilities are fitted: they need bm25 and bert in the ranking.")
    else:
        out.print(
            f"Probabilities of {found.n_hits:,} hits, held out: expected calibration error "
            f"{found.ece.before:.3f} -> {found.ece.after:.3f}, log-loss "
            f"{found.log_loss.before:.3f} -> {found.log_loss.after:.3f}",
            soft_wrap=True,
        )
        out.print(_sentence(found.reason), soft_wrap=True)
    if report.adopted == report.version:
        out.print(f"Version {report.version} has what is better already.", soft_wrap=True)
    elif report.adopted:
        out.print(f"Published version {report.adopted}.", soft_wrap=True)
    elif report.improved is not None:
        out.print("To publish a version with what is better: add --adopt.")
    elif wanted:
        out.print(f"Not adopted: version {report.version} stays as it is.", soft_wrap=True)


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}."


def _described(ranking: RankingSettings, report: TuningReport) -> str:
    if ranking == report.default:
        return "the default"
    weights = " ".join(f"{name}:{weight:g}" for name, weight in ranking.weights.items() if weight)
    return f"{weights} ({ranking.fusion})"
