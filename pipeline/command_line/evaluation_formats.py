"""The figures of an evaluation, for a terminal, a document or a spreadsheet."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from pipeline.evaluation.compare import TEST_NAME, Comparison, QueryChange
from pipeline.evaluation.confidence import MissingAnswers, pooled
from pipeline.evaluation.evaluate import Evaluation
from pipeline.evaluation.reliability import ReliabilityBin

__all__ = ["as_csv", "as_markdown", "show_evaluation"]

_SHOWN_CHARACTERS = 80
_CHANGE_HEADINGS = ("query_id", "baseline", "compared", "difference", "query")


def show_evaluation(
    evaluation: Evaluation, comparison: Comparison | None, console: Console
) -> None:
    """Print the figures for a person."""
    console.print(_summary(evaluation))
    console.print(_rich_table(("signal", *_measures(evaluation)), _signal_rows(evaluation)))
    console.print(_latency(evaluation))
    for heading, headings, rows in _confidence(evaluation):
        console.print(f"\n{heading}", soft_wrap=True)
        if rows:
            console.print(_rich_table(headings, rows))
    if comparison is None:
        return
    console.print(f"\nbaseline: {comparison.baseline}\ncompared: {comparison.compared}")
    console.print(_rich_table(("", *comparison.measures), _comparison_rows(comparison)))
    console.print(f"p_value: {TEST_NAME}")
    for heading, changes in _changes(comparison):
        console.print(f"\n{heading}")
        if changes:
            console.print(_rich_table(_CHANGE_HEADINGS, _change_rows(changes)))


def as_markdown(evaluation: Evaluation, comparison: Comparison | None) -> str:
    """Write the figures as Markdown."""
    parts = [
        _summary(evaluation),
        _markdown_table(("signal", *_measures(evaluation)), _signal_rows(evaluation)),
        _latency(evaluation),
    ]
    for heading, headings, rows in _confidence(evaluation):
        parts.append(heading)
        if rows:
            parts.append(_markdown_table(headings, rows))
    if comparison is not None:
        parts += [
            f"- baseline: {_escaped(comparison.baseline)}\n"
            f"- compared: {_escaped(comparison.compared)}",
            _markdown_table(("hybrid", *comparison.measures), _comparison_rows(comparison)),
            f"p_value: {TEST_NAME}",
        ]
        for heading, changes in _changes(comparison):
            parts.append(heading)
            if changes:
                parts.append(_markdown_table(_CHANGE_HEADINGS, _change_rows(changes)))
    return "\n\n".join(parts)


def as_csv(evaluation: Evaluation, comparison: Comparison | None) -> str:
    """Write the figures as one table, a measure a column, numbers in full.

    The column ``row`` says what a row holds. ``signal``: a signal's figures. ``answered``,
    ``calibration``, ``foreign``, ``missing_answers``: one figure by name. With a comparison also
    ``baseline``, ``compared``, ``difference`` and ``p_value``, then ``gained`` and ``lost``, whose
    name is a query's id and whose one figure is what its nDCG@10 changed by.
    """
    names = _measures(evaluation)
    rows: list[Sequence[object]] = [("row", "name", *names)]
    rows += [
        ("signal", signal, *(figures[name] for name in names))
        for signal, figures in evaluation.signals.items()
    ]
    rows += _confidence_cells(evaluation)
    if comparison is not None:
        labels = {"baseline": comparison.baseline, "compared": comparison.compared}
        rows += [
            (part, labels.get(part, ""), *(comparison.measures[name][part] for name in names))
            for part in ("baseline", "compared", "difference", "p_value")
        ]
        rows += [("gained", change.query_id, change.difference) for change in comparison.gained]
        rows += [("lost", change.query_id, change.difference) for change in comparison.lost]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(
        (*row, *[""] * (2 + len(names) - len(row))) for row in rows
    )
    return written.getvalue().rstrip("\n")


def _summary(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.collection}: {evaluation.n_documents:,} documents, "
        f"{evaluation.n_queries:,} judged queries"
    )


def _latency(evaluation: Evaluation) -> str:
    latency = ", ".join(f"{name} {value:.1f}" for name, value in evaluation.latency_ms.items())
    return f"latency of a query, ms: {latency}"


def _confidence(evaluation: Evaluation) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Heading, column headings and rows of each table on probabilities."""
    found = evaluation.reliability
    recalibrated = found.ece_cross_validated
    yield (
        f"answered with confidence: {evaluation.answered:.1%} of the queries\n"
        f"calibration of hits 1 to 10: expected error {found.ece:.3f} as served, "
        + ("" if recalibrated is None else f"{recalibrated:.3f} recalibrated (cross-validated), ")
        + f"{found.ece_by_chance:.3f} by chance",
        ("hits", "probability", "relevant", "95 %"),
        [
            [f"{one.n_hits:,}", f"{one.predicted:.3f}", f"{one.observed:.3f}", _interval(one)]
            for one in found.bins
        ],
    )
    if evaluation.foreign:
        yield (
            "queries it cannot answer",
            ("from", "queries", "answered with confidence"),
            [
                [part.source, f"{part.n_queries:,}", f"{part.answered:.1%}"]
                for part in [*evaluation.foreign, pooled(evaluation.foreign)]
            ],
        )
    missing = evaluation.missing_answers
    if missing is not None:
        yield (
            f"with all relevant documents hidden: {missing.answered_without:.1%} answered with "
            f"confidence, {missing.answered:.1%} with them in; AUROC of the best probability "
            f"{missing.auroc:.3f}, 95 % {_interval(missing)}",
            (),
            [],
        )


def _interval(found: ReliabilityBin | MissingAnswers) -> str:
    return f"{found.low:.3f} to {found.high:.3f}"


def _confidence_cells(evaluation: Evaluation) -> Iterator[Sequence[object]]:
    found, missing = evaluation.reliability, evaluation.missing_answers
    yield "answered", "hybrid", evaluation.answered
    yield "calibration", "ece", found.ece
    if found.ece_cross_validated is not None:
        yield "calibration", "ece_cross_validated", found.ece_cross_validated
    yield "calibration", "ece_by_chance", found.ece_by_chance
    if evaluation.foreign:
        for part in [*evaluation.foreign, pooled(evaluation.foreign)]:
            yield "foreign", part.source, part.answered
    if missing is not None:
        yield "missing_answers", "answered", missing.answered
        yield "missing_answers", "answered_without", missing.answered_without
        yield "missing_answers", "auroc", missing.auroc


def _measures(evaluation: Evaluation) -> list[str]:
    return list(next(iter(evaluation.signals.values())))


def _signal_rows(evaluation: Evaluation) -> Iterator[list[str]]:
    for signal, figures in evaluation.signals.items():
        yield [signal, *(f"{value:.4f}" for value in figures.values())]


def _comparison_rows(comparison: Comparison) -> Iterator[list[str]]:
    for part in ("baseline", "compared", "difference", "p_value"):
        sign = "+" if part == "difference" else ""
        yield [part, *(f"{figures[part]:{sign}.4f}" for figures in comparison.measures.values())]


def _changes(comparison: Comparison) -> Iterator[tuple[str, list[QueryChange]]]:
    yield _counted("gained", comparison.n_gained, comparison.gained), comparison.gained
    yield _counted("lost", comparison.n_lost, comparison.lost), comparison.lost


def _counted(what: str, n_changes: int, shown: Sequence[QueryChange]) -> str:
    listed = f"; the {len(shown)} that {what} most" if n_changes > len(shown) else ""
    return f"{n_changes:,} queries {what} nDCG@10{listed}"


def _change_rows(changes: Iterable[QueryChange]) -> Iterator[list[str]]:
    for change in changes:
        yield [
            change.query_id,
            f"{change.baseline:.4f}",
            f"{change.compared:.4f}",
            f"{change.difference:+.4f}",
            textwrap.shorten(change.text, _SHOWN_CHARACTERS, placeholder=" …"),
        ]


def _rich_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for position, heading in enumerate(headings):
        is_text = (position == 0 and heading != "hits") or heading == "query"
        table.add_column(heading, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
