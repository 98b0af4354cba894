"""One query through every lens: the ranks are those of the API, the drawing is of those ranks."""

import html
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from web import Settings, create_app
from web.lenses import HYBRID, N_ROWS, compared
from web.page_request import PageRequest

ASKED = PageRequest({"q": "read a file"}, path="/lenses")


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


def test_every_lens_shows_its_own_order(searcher: Searcher) -> None:
    comparison = compared(searcher, Query("read a file"), ASKED)
    assert [lens.name for lens in comparison.lenses] == [*searcher.signals, HYBRID]
    for lens in comparison.lenses:
        signals = None if lens.name == HYBRID else (lens.name,)
        answer = searcher.search(Query("read a file", k=N_ROWS, signals=signals))
        assert [seat.title for seat in lens.seats] == [hit.title for hit in answer.hits]
        assert [seat.rank for seat in lens.seats] == list(range(1, len(answer.hits) + 1))
    whole = comparison.lenses[-1]
    assert [seat.color for seat in whole.seats] == list(range(1, N_ROWS + 1))
    assert whole.paths == []


def test_lines_lead_from_rank_to_rank(searcher: Searcher) -> None:
    comparison = compared(searcher, Query("read a file"), ASKED)
    for left, right in zip(comparison.lenses, comparison.lenses[1:], strict=False):
        here = {seat.number: seat.rank for seat in left.seats}
        there = {seat.number: seat.rank for seat in right.seats}
        assert {path.number for path in left.paths} == set(here) | set(there)
        for path in left.paths:
            numbers = [float(part) for part in re.findall(r"[\d.]+", path.drawn)]
            below = (N_ROWS + 0.5) * 100
            assert numbers[1] == (here[path.number] - 0.5) * 100 if path.number in here else below
            assert numbers[-1] == (
                (there[path.number] - 0.5) * 100 if path.number in there else below
            )
            staying = path.number in here and path.number in there
            assert (path.kind == "staying") == staying


def test_the_table_tells_every_rank(client: FlaskClient, searcher: Searcher) -> None:
    page = client.get("/lenses?q=read+a+file").text
    table = re.findall(r'<tr class="ink-\d+".*?</tr>', page)
    first = searcher.search(Query("read a file", k=1)).hits[0]
    assert html.escape(first.title) in table[0]
    ranks = re.findall(r"<td[^>]*>([^<]*)</td>", table[0])
    assert len(ranks) == len(searcher.signals) + 1
    assert ranks[-1] == "1"
    answer = searcher.search(Query("read a file", k=50, signals=("bm25",)))
    places = {hit.doc_id: hit.rank for hit in answer.hits}
    assert ranks[0] == str(places.get(first.doc_id, "\N{EN DASH}"))


@pytest.mark.parametrize("query", ["zzz qqq", "?!", "🎈", "x" * 10_000, "the of", "+", "\0\x1b"])
def test_any_query_gets_a_page(client: FlaskClient, query: str) -> None:
    for address in ("/lenses", "/parts/lenses"):
        response = client.get(address, query_string={"q": query})
        assert response.status_code == 200
        assert "\x1b" not in response.text


def test_filters_count_for_every_lens(client: FlaskClient) -> None:
    page = client.get("/lenses?q=read+a+file&only=subject:time").text
    links = set(re.findall(r'href="/documents/([^?"]*)', page))
    assert links
    assert all(link.startswith("time/") for link in links)


def test_what_is_wrong_can_be_read(client: FlaskClient) -> None:
    assert client.get("/lenses?q=file&collection=nope").status_code == 404
    assert client.get("/lenses?q=file&filter=((").status_code == 400
    assert client.get("/lenses?q=file&q=folder").status_code == 400
    part = client.get("/parts/lenses?q=" + "x" * 10_001)
    assert part.status_code == 400
    assert "<html" not in part.text
