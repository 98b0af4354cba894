"""One query through several lenses: each signal's own order beside the order of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Flask, Response, request

from ingest.errors import QueryError, TrineError
from pipeline.search.answer import Answer
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from search_api.problems import problem_of
from search_api.snapshot import current_pool
from web.layout import problem_page, render_page
from web.page_request import PageRequest
from web.plain_text import readable
from web.score_bar import PART_LABELS

__all__ = [
    "HYBRID",
    "N_ROWS",
    "Comparison",
    "Lens",
    "Path",
    "Seat",
    "TableRow",
    "blueprint",
    "compared",
    "init_app",
]

HYBRID = "hybrid"
N_ROWS = 10
"""How many documents a lens shows."""

_DEPTH = 50  # how far down a document is followed
_ROW = 100.0  # height of a row, in units of the drawing
_WIDTH = 100.0  # of the gap between two lenses
# So many documents of one lens alone are remarkable.
_WORTH_TELLING = 2

blueprint = Blueprint("lenses", __name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """A document's place in one lens.

    Parameters
    ----------
    color
        Number of the document's color from 1, by its place in the hybrid; 0 for what the hybrid
        does not show.
    alone
        Whether no other lens shows it.
    """

    rank: int
    number: int
    title: str
    address: str
    color: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A document's way from one lens to the next; ``drawn`` is the ``d`` of an SVG path.

    Parameters
    ----------
    kind
        ``staying``; ``leaving`` and ``coming`` go to and come from below the last row.
    """

    number: int
    color: int
    drawn: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lens:
    """One order of documents, and the ways to the next lens."""

    name: str
    label: str
    method: str
    seats: list[Seat]
    paths: list[Path]
    n_shared: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """One document and its rank in each lens, ``None`` where it is beyond what was followed."""

    title: str
    address: str
    color: int
    number: int
    ranks: list[int | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same query through every lens."""

    lenses: list[Lens]
    rows: list[TableRow]
    remarks: list[tuple[str, str]]
    height: float
    depth: int


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/lenses")
def lenses_page() -> Response:
    """Show one query through every lens."""
    return _lenses("lenses.html", "problem.html")


@blueprint.get("/parts/lenses")
def lenses_part() -> Response:
    """What the page shows below its box, for a script to put there."""
    return _lenses("lenses_part.html", "problem_part.html")


def _lenses(template: str, problem_template: str) -> Response:
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False), "/lenses")
    except QueryError as error:
        return problem_page(problem_of(error), template=problem_template)
    comparison = None
    try:
        searcher = current_pool().get(
            asked.arguments.get("collection"), asked.arguments.get("version")
        )
        if asked.text:
            asked = asked.within(searcher.fields)
            query = asked.narrowed(asked.search().query, ())
            comparison = compared(searcher, query, asked)
    except TrineError as error:
        return problem_page(problem_of(error), asked, problem_template)
    return render_page(template, asked, comparison=comparison, kept_names=("collection",))


def compared(searcher: Searcher, query: Query, asked: PageRequest) -> Comparison:
    """Ask each signal alone, and all together.

    Parameters
    ----------
    query
        Whose words, filter and steering count; how many hits, and by which signals, do not.
    asked
        For the links.
    """
    plain = replace(query, k=_DEPTH, page=1, sort=None, rerank=None, highlight=False)
    answers = {
        name: searcher.search(replace(plain, signals=(name,), weights=None))
        for name in searcher.signals
    }
    answers[HYBRID] = searcher.search(plain)
    board = _Board(answers, asked)
    lenses = [board.lens(name) for name in answers]
    rows = board.rows()
    return Comparison(lenses, rows, _remarks(lenses, rows), (N_ROWS + 0.5) * _ROW, _DEPTH)


class _Board:
    """The answers of all lenses, and what number and color each document goes by."""

    def __init__(self, answers: Mapping[str, Answer], asked: PageRequest) -> None:
        self._asked = asked
        self._names = list(answers)
        self._hits = {hit.doc_id: hit for answer in answers.values() for hit in answer.hits}
        self._ranks = {
            name: {hit.doc_id: hit.rank for hit in answer.hits} for name, answer in answers.items()
        }
        self._shown = {
            name: [hit.doc_id for hit in answer.hits[:N_ROWS]] for name, answer in answers.items()
        }
        # Numbered as a reader meets them: the hybrid's own, then lens by lens.
        order = dict.fromkeys(self._shown[HYBRID])
        order.update(dict.fromkeys(i for shown in self._shown.values() for i in shown))
        self._numbers = {doc_id: place for place, doc_id in enumerate(order, 1)}

    def lens(self, name: str) -> Lens:
        """One lens, with the ways to the one after it."""
        label, method = PART_LABELS.get(name, ("All together", "hybrid"))
        shown = self._shown[name]
        n_shared = len(set(shown) & set(self._shown[HYBRID]))
        seats = [self._seat(name, doc_id) for doc_id in shown]
        return Lens(name, label, method, seats, self._paths(name), n_shared)

    def rows(self) -> list[TableRow]:
        """Every document that some lens shows."""
        return [
            TableRow(
                self._title(doc_id),
                self._address(doc_id),
                self._color(doc_id),
                number,
                [self._ranks[name].get(doc_id) for name in self._names],
            )
            for doc_id, number in self._numbers.items()
        ]

    def _seat(self, name: str, doc_id: str) -> Seat:
        return Seat(
            rank=self._ranks[name][doc_id],
            number=self._numbers[doc_id],
            title=self._title(doc_id),
            address=self._address(doc_id),
            color=self._color(doc_id),
            alone=sum(doc_id in shown for shown in self._shown.values()) == 1,
        )

    def _paths(self, name: str) -> list[Path]:
        place = self._names.index(name) + 1
        if place == len(self._names):
            return []
        following = self._names[place]
        here, there = self._ranks[name], self._ranks[following]
        return [
            _path(here.get(i), there.get(i), self._numbers[i], self._color(i))
            for i in dict.fromkeys([*self._shown[name], *self._shown[following]])
        ]

    def _color(self, doc_id: str) -> int:
        number = self._numbers[doc_id]
        return number if number <= len(self._shown[HYBRID]) else 0

    def _title(self, doc_id: str) -> str:
        return readable(self._hits[doc_id].title.strip() or doc_id)

    def _address(self, doc_id: str) -> str:
        passage = self._hits[doc_id].passage
        return self._asked.document_address(doc_id, passage.start, passage.end)


def _path(start: int | None, end: int | None, number: int, color: int) -> Path:
    """A curve from a document's row on the left to its row on the right."""
    inside = [rank is not None and rank <= N_ROWS for rank in (start, end)]
    kind = {(True, True): "staying", (True, False): "leaving", (False, True): "coming"}[
        inside[0], inside[1]
    ]
    y = [
        (rank - 0.5) * _ROW if rank is not None and within else (N_ROWS + 0.5) * _ROW
        for rank, within in zip((start, end), inside, strict=True)
    ]
    middle = _WIDTH / 2
    drawn = f"M0 {y[0]:g}C{middle:g} {y[0]:g} {middle:g} {y[1]:g} {_WIDTH:g} {y[1]:g}"
    return Path(number, color, drawn, kind)


def _remarks(lenses: Sequence[Lens], rows: Sequence[TableRow]) -> list[tuple[str, str]]:
    """What there is to see, in words: (name of a lens, sentence)."""
    *signals, whole = lenses
    if not whole.seats or len(signals) < 2:
        return []
    first = whole.seats[0]
    ranks = next(row.ranks for row in rows if row.number == first.number)
    first_for = [lens.label for lens, rank in zip(signals, ranks, strict=False) if rank == 1]
    if len(first_for) == len(signals):
        sentence = f"All agree on the first: {first.title}."
    elif first_for:
        sentence = f"First of all is {first.title}, as it is for {' and '.join(first_for)}."
    else:
        sentence = f"First of all is {first.title}, though for no lens alone."
    near = max(signals, key=lambda lens: lens.n_shared)
    remarks = [
        (HYBRID, sentence),
        (near.name, f"Nearest to the whole: {near.label}, with {near.n_shared} of its documents."),
    ]
    n_alone = {lens.name: sum(seat.alone for seat in lens.seats) for lens in signals}
    odd = max(signals, key=lambda lens: n_alone[lens.name])
    if n_alone[odd.name] >= _WORTH_TELLING:
        told = f"Most on its own: {odd.label}, with {n_alone[odd.name]} that no other lens shows."
        remarks.append((odd.name, told))
    return remarks
