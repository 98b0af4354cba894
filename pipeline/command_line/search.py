"""``trine search``: ask from the command line."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.console import Console
from rich.text import Text

from ingest.errors import QueryError
from pipeline.command_line.options import Place, common_options, output_console, print_json
from pipeline.search.answer import Answer, Attribution, Hit
from pipeline.search.fusion import FUSIONS
from pipeline.search.query import RERANK_BUDGET_MS, RERANK_DEPTH, Query
from pipeline.search.searcher import Searcher

__all__ = ["parse_weights", "search", "split_names"]

_EXCERPT_CHARACTERS = 400
_SHOWN_WORDS = 6
_KEYWORD_STYLE = "bold"
_SEMANTIC_STYLE = "green"


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Split ``"bm25, bert"``; ``None`` stays ``None``.

    Examples
    --------
    >>> split_names("bm25, bert")
    ('bm25', 'bert')
    """
    if text is None:
        return None
    return tuple(name for part in text.split(",") if (name := part.strip()))


def parse_weights(text: str | None) -> dict[str, float] | None:
    """Parse ``"bm25:0.3,bert:0.7"``; ``None`` stays ``None``.

    Raises
    ------
    QueryError
        If a part is not ``name:number``.

    Examples
    --------
    >>> parse_weights("bm25:0.3,bert:0.7")
    {'bm25': 0.3, 'bert': 0.7}
    """
    if text is None:
        return None
    weights = {}
    for part in split_names(text) or ():
        name, _, number = part.partition(":")
        try:
            weights[name.strip()] = float(number)
        except ValueError as error:
            raise QueryError(
                f"weights are written name:number, as in bm25:0.3,bert:0.7; found {part!r}",
                parameter="weights",
            ) from error
    return weights


@click.command()
@click.argument("query", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", default=10, show_default=True, type=int, help="Hits on a page.")
@click.option("--page", default=1, show_default=True, type=int, help="Page, from 1.")
@click.option(
    "--filter", "filter_text", help="Condition on metadata: kind:function AND year:[2020 TO *]."
)
@click.option("--facets", help="Fields whose values to count, comma-separated.")
@click.option("--sort", help="field, field:asc or field:desc instead of relevance.")
@click.option("--signals", help="Signals to rank by, comma-separated.")
@click.option("--weights", help="Weights, as in bm25:0.3,bert:0.7.")
@click.option(
    "--fusion",
    type=click.Choice(FUSIONS),
    help="How scores become one.  [default: z_score, or what the version was tuned to]",
)
@click.option("--min-probability", type=float, help="Leave out hits less likely relevant.")
@click.option(
    "--rerank",
    metavar="MODEL_DIR",
    help="Order the best hits anew by the CrossEncoder in this folder.",
)
@click.option(
    "--rerank-depth", default=RERANK_DEPTH, show_default=True, type=int, help="How many hits."
)
@click.option(
    "--rerank-budget-ms",
    default=RERANK_BUDGET_MS,
    show_default=True,
    type=float,
    help="Time this may take; where it is too short, the order stays as it was.",
)
@click.option(
    "--diversity",
    default=0.0,
    show_default=True,
    type=float,
    help="How much hits are ordered to differ, 0 to 1.",
)
@click.option("--collapse", is_flag=True, help="One hit stands for its near-duplicates.")
@click.option(
    "--collapse-threshold", type=float, help="Cosine from which hits are near-duplicates."
)
@click.option(
    "--no-correction", is_flag=True, help="Search for the words as typed, misspelt or not."
)
@click.option("--explain", is_flag=True, help="Show what each signal and each word contributed.")
@click.option("--version", "version_id", help="Version to ask.  [default: the current one]")
@common_options
def search(
    *,
    query: tuple[str, ...],
    k: int,
    page: int,
    filter_text: str | None,
    facets: str | None,
    sort: str | None,
    signals: str | None,
    weights: str | None,
    fusion: str | None,
    min_probability: float | None,
    rerank: str | None,
    rerank_depth: int,
    rerank_budget_ms: float,
    diversity: float,
    collapse: bool,
    collapse_threshold: float | None,
    no_correction: bool,
    explain: bool,
    version_id: str | None,
    place: Place,
) -> None:
    """Search a collection.

    QUERY may hold "phrases", +required and -excluded words and field:value. Write -- before a
    query that begins with a dash.
    """
    asked = Query(
        " ".join(query),
        k=k,
        page=page,
        filter=filter_text,
        facets=split_names(facets) or (),
        sort=sort,
        signals=split_names(signals),
        weights=parse_weights(weights),
        fusion=fusion,
        min_probability=min_probability,
        rerank=rerank,
        rerank_depth=rerank_depth,
        rerank_budget_ms=rerank_budget_ms,
        diversity=diversity,
        collapse=collapse if collapse_threshold is None else collapse_threshold,
        explain_words=explain,
        correct=not no_correction,
    )
    searcher = Searcher.open(place.collection, data_dir=place.data_dir, version=version_id)
    # So that the time shown is the query's, not that of loading models.
    # Only what was asked for: loading a transformer takes longer than all else.
    warm_up = Query(
        "warm up", k=1, signals=asked.signals, weights=asked.weights, rerank=rerank, rerank_depth=1
    )
    searcher.search(warm_up)
    answer = searcher.search(asked)
    if place.as_json:
        print_json(answer.to_json())
    else:
        show_answer(answer, output_console(), explain=explain)


def show_answer(answer: Answer, console: Console, *, explain: bool) -> None:
    """Print an answer for a person."""
    if answer.did_you_mean is not None:
        told = Text("Did you mean: ")
        told.append(answer.did_you_mean, style="bold")
        told.append("  (searched so; --no-correction searches as typed)", style="dim")
        console.print(told)
    summary = f"{answer.total:,} match in {answer.took_ms:.0f} ms"
    if answer.no_good_result:
        summary += "; nothing fits well" + (", the nearest are:" if answer.hits else "")
    console.print(summary, style="dim" if not answer.no_good_result else "yellow")
    if answer.rerank is not None and not answer.rerank.applied:
        console.print(f"not re-ranked: {answer.rerank.reason}", style="yellow")
    for hit in answer.hits:
        console.print()
        _show_hit(hit, console)
        if explain:
            _show_explanation(hit, console)
    for field, values in answer.facets.items():
        counted = ", ".join(f"{entry.value} {entry.count:,}" for entry in values[:12])
        console.print(f"\n{field}: {counted}", markup=False)


def _show_hit(hit: Hit, console: Console) -> None:
    title = Text(f"{hit.rank}. ", style="dim")
    title.append(hit.title or hit.doc_id, style="bold cyan")
    title.append(f"  {hit.probability:.0%}", style="dim")
    console.print(title)
    if hit.doc_id not in {hit.title, ""}:
        console.print(Text(f"   {hit.doc_id}", style="dim"))
    if names := [name for name in hit.names if name != hit.doc_id][:5]:
        console.print(Text("   also " + ", ".join(names), style="dim"))
    if hit.collapsed:
        console.print(Text("   stands for " + ", ".join(hit.collapsed), style="dim"))
    text = Text(hit.passage.text)
    for mark in hit.highlights:
        style = _KEYWORD_STYLE if mark.kind == "keyword" else _SEMANTIC_STYLE
        text.stylize(style, mark.start, mark.end)
    begin, end = _excerpt(hit)
    shown = text[begin:end]
    shown.rstrip()
    console.print(_indented(shown.split("\n", allow_blank=True), begin > 0, end < len(text)))


def _excerpt(hit: Hit) -> tuple[int, int]:
    """Span around the best sentence, or around the start."""
    length = len(hit.passage.text)
    if length <= _EXCERPT_CHARACTERS:
        return 0, length
    sentence = next((mark for mark in hit.highlights if mark.kind == "semantic"), None)
    begin = max(0, sentence.start - _EXCERPT_CHARACTERS // 4) if sentence else 0
    begin = min(begin, length - _EXCERPT_CHARACTERS)
    space = hit.passage.text.rfind(" ", 0, begin) if begin else -1
    return space + 1, begin + _EXCERPT_CHARACTERS


def _indented(lines: Iterable[Text], cut_before: bool, cut_after: bool) -> Text:
    whole = Text("   … " if cut_before else "   ")
    whole.append_text(Text("\n   ").join([line for line in lines if line.plain.strip()]))
    return whole.append(" …" if cut_after else "")


def _show_explanation(hit: Hit, console: Console) -> None:
    for name, part in hit.explanation.items():
        raw = "abstains" if part.raw is None else f"{part.raw:.3f}"
        rank = f"rank {part.rank}" if part.rank else "beyond its candidates"
        console.print(
            f"   {name:<15} {part.contribution:+.4f} = {part.weight:.2f} x {part.normalized:.3f}"
            f"  (raw {raw}, {rank})",
            style="dim",
        )
        if hit.attribution is not None:
            _show_words(name, hit.attribution, console)
    console.print(f"   {'regularization':<15} {hit.regularization:+.4f}", style="dim")
    console.print(f"   {'exactness':<15} {hit.exactness:+.4f}", style="dim")
    if hit.rerank is not None:
        console.print(
            f"   {'rerank':<15} {hit.rerank.contribution:+.4f}  (raw {hit.rerank.raw:.3f})",
            style="dim",
        )
    console.print(f"   {'score':<15} {hit.score:+.4f}", style="dim")


def _show_words(signal: str, attribution: Attribution, console: Console) -> None:
    """Print the words that bring most to a signal's raw score, of the query and the document."""
    for side, by_signal in (("query", attribution.query), ("document", attribution.document)):
        brought: dict[str, float] = {}
        for entry in by_signal.get(signal, []):
            if any(character.isalnum() for character in entry.word):
                word = entry.word.casefold()
                brought[word] = brought.get(word, 0.0) + entry.contribution
        most = sorted(brought, key=lambda word: (-brought[word], word))[:_SHOWN_WORDS]
        shown = ", ".join(f"{word} {brought[word]:+.3f}" for word in most if brought[word] > 0)
        if shown:
            console.print(Text(f"   {'':<15} {side}: {shown}", style="dim"), soft_wrap=True)
