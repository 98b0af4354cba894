"""``trine similar``, ``trine neighbors``, ``trine analogy``: embeddings from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from pipeline.command_line.options import Place, common_options, output_console, print_json
from pipeline.command_line.search import show_answer
from pipeline.search.embedding_space import (
    NEIGHBOR_KINDS,
    POINT_KINDS,
    Neighbor,
    Point,
    encoder_for,
)
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

__all__ = ["analogy", "neighbors", "similar"]

_ENCODERS = ("word2vec", "tfidf", "bert")

_encoder_option = click.option(
    "--encoder",
    type=click.Choice(_ENCODERS),
    help="Whose embeddings.  [default: word2vec among words, bert among documents]",
)
_among_option = click.option(
    "--among",
    type=click.Choice(NEIGHBOR_KINDS),
    default="words",
    show_default=True,
    help="What to find.",
)
_count_option = click.option("-k", default=10, show_default=True, type=int, help="How many.")

_exact_option = click.option(
    "--exact",
    is_flag=True,
    help="Compare all documents, however many; beyond 200,000, near ones may be missed otherwise.",
)


@click.command()
@click.argument("doc_ids", nargs=-1, required=True, metavar="DOC_ID...")
@click.option("--unlike", multiple=True, metavar="DOC_ID", help="Less like this; repeatable.")
@click.option("--text", default="", help="Words to search for at the same time.")
@click.option("--filter", "filter_text", help="Condition on metadata.")
@_count_option
@common_options
def similar(
    *,
    doc_ids: tuple[str, ...],
    unlike: tuple[str, ...],
    text: str,
    filter_text: str | None,
    k: int,
    place: Place,
) -> None:
    """Find documents like those of DOC_ID, by all signals together."""
    asked = Query(text, k=k, filter=filter_text, like=doc_ids, unlike=unlike)
    answer = Searcher.open(place.collection, data_dir=place.data_dir).search(asked)
    if place.as_json:
        print_json(answer.to_json())
    else:
        show_answer(answer, output_console(), explain=False)


@click.command()
@click.argument("positive", nargs=-1, required=True, metavar="WORD...")
@click.option("--minus", "negative", multiple=True, metavar="WORD", help="Subtracted; repeatable.")
@_among_option
@_encoder_option
@_exact_option
@_count_option
@common_options
def analogy(
    *,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    among: str,
    encoder: str | None,
    exact: bool,
    k: int,
    place: Place,
) -> None:
    """Add words up, subtract others, and find what is near.

    trine analogy king woman --minus man asks: what is to woman as king is to man?
    """
    added, subtracted = ([Point("word", word) for word in words] for words in (positive, negative))
    _answer(place, added, subtracted, among, encoder, k, exact=exact)


@click.command()
@click.argument("values", nargs=-1, required=True, metavar="VALUE...")
@click.option(
    "--of",
    "kind",
    type=click.Choice(POINT_KINDS),
    default="word",
    show_default=True,
    help="What VALUE is; of several, the average counts.",
)
@_among_option
@_encoder_option
@_exact_option
@_count_option
@common_options
def neighbors(
    *,
    values: tuple[str, ...],
    kind: str,
    among: str,
    encoder: str | None,
    exact: bool,
    k: int,
    place: Place,
) -> None:
    """Find the words or documents whose embeddings are nearest to VALUE's."""
    _answer(place, [Point(kind, value) for value in values], [], among, encoder, k, exact=exact)


def _answer(
    place: Place,
    positive: Sequence[Point],
    negative: Sequence[Point],
    among: str,
    encoder: str | None,
    k: int,
    *,
    exact: bool,
) -> None:
    searcher = Searcher.open(place.collection, data_dir=place.data_dir)
    space = searcher.space(encoder or encoder_for(positive, among))
    found = space.neighbors(positive, negative, among=among, k=k, exact=exact)
    if place.as_json:
        print_json(
            {
                "collection": place.collection,
                "version": searcher.version,
                "encoder": space.encoder,
                "positive": [asdict(point) for point in positive],
                "negative": [asdict(point) for point in negative],
                "among": among,
                "neighbors": [asdict(neighbor) for neighbor in found],
            }
        )
    else:
        _show(found)


def _show(found: Sequence[Neighbor]) -> None:
    console = output_console()
    for neighbor in found:
        console.print(f"{neighbor.similarity:6.3f}  {neighbor.name}", soft_wrap=True)
    if not found:
        console.print("nothing is near")
