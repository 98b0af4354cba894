"""The parameters of a request become a Query, or an error that names the one at fault."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import QueryError
from pipeline.search.query import Query
from search_api.json_reading import read_json_object
from search_api.parameters import (
    SEARCH_PARAMETERS,
    search_from_arguments,
    search_from_object,
)


def test_every_parameter_is_read_the_same_from_text_and_from_json() -> None:
    from_text = search_from_arguments(
        {
            "q": ["read a file"],
            "k": ["5"],
            "page": ["2"],
            "filter": ["kind:function"],
            "facets": ["kind,year", "tags"],
            "sort": ["year:desc"],
            "signals": ["bm25,bert"],
            "weights": ["bm25:0.3,bert:.5"],
            "fusion": ["z_score"],
            "min_probability": ["0.25"],
            "correct": ["false"],
            "explain": ["false"],
            "version": ["v1"],
            "collection": ["docs"],
        }
    )
    from_json = search_from_object(
        {
            "query": "read a file",
            "k": 5,
            "page": 2,
            "filter": "kind:function",
            "facets": ["kind", "year", "tags"],
            "sort": "year:desc",
            "signals": ["bm25", "bert"],
            "weights": {"bm25": 0.3, "bert": 0.5},
            "fusion": "z_score",
            "min_probability": 0.25,
            "correct": False,
            "explain": False,
            "version": "v1",
            "collection": "docs",
        }
    )
    assert from_text == from_json
    assert from_text.query == Query(
        "read a file",
        k=5,
        page=2,
        filter="kind:function",
        facets=("kind", "year", "tags"),
        sort="year:desc",
        signals=("bm25", "bert"),
        weights={"bm25": 0.3, "bert": 0.5},
        fusion="z_score",
        min_probability=0.25,
        correct=False,
        explain=False,
    )


def test_words_are_explained_when_asked() -> None:
    asked = Query("x", explain_words=True)
    assert search_from_arguments({"q": ["x"], "explain": ["words"]}).query == asked
    assert search_from_object({"q": "x", "explain": "words"}).query == asked


def test_defaults_are_those_of_the_query() -> None:
    assert search_from_arguments({"q": ["x"]}).query == Query("x")
    assert search_from_object({"q": "x", "filter": None, "k": None}).query == Query("x")


def test_weights_may_be_a_json_object_in_the_address() -> None:
    read = search_from_arguments({"q": ["x"], "weights": ['{"bm25": 1}']})
    assert read.query.weights == {"bm25": 1.0}


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({}, "q"),
        ({"q": [""]}, "q"),
        ({"q": ["  \t"]}, "q"),
        ({"q": ["x" * 10_001]}, "q"),
        ({"q": ["x", "y"]}, "q"),
        ({"q": ["x"], "query": ["y"]}, "query"),
        ({"q": ["x"], "unknown": ["1"]}, "unknown"),
        ({"q": ["x"], "k": ["0"]}, "k"),
        ({"q": ["x"], "k": ["-1"]}, "k"),
        ({"q": ["x"], "k": ["1000000"]}, "k"),
        ({"q": ["x"], "k": ["ten"]}, "k"),
        ({"q": ["x"], "k": ["1.5"]}, "k"),
        ({"q": ["x"], "k": ["1_0"]}, "k"),
        ({"q": ["x"], "k": ["\u0661"]}, "k"),
        ({"q": ["x"], "k": ["9" * 30]}, "k"),
        ({"q": ["x"], "k": [""]}, "k"),
        ({"q": ["x"], "page": ["0"]}, "page"),
        ({"q": ["x"], "page": ["1001"]}, "page"),
        ({"q": ["x"], "signals": ["bm25,nope"]}, "signals"),
        ({"q": ["x"], "signals": [","]}, "signals"),
        ({"q": ["x"], "weights": ["bm25"]}, "weights"),
        ({"q": ["x"], "weights": ["bm25:nan"]}, "weights"),
        ({"q": ["x"], "weights": ["bm25:1e9999"]}, "weights"),
        ({"q": ["x"], "weights": ["bm25:-1"]}, "weights"),
        ({"q": ["x"], "weights": ["bm25:1,bm25:2"]}, "weights"),
        ({"q": ["x"], "weights": ["nope:1"]}, "weights"),
        ({"q": ["x"], "weights": ['{"bm25": NaN}']}, "weights"),
        ({"q": ["x"], "weights": ["{broken"]}, "weights"),
        ({"q": ["x"], "fusion": ["best"]}, "fusion"),
        ({"q": ["x"], "min_probability": ["nan"]}, "min_probability"),
        ({"q": ["x"], "min_probability": ["1.1"]}, "min_probability"),
        ({"q": ["x"], "min_probability": ["high"]}, "min_probability"),
        ({"q": ["x"], "correct": ["no"]}, "correct"),
        ({"q": ["x"], "explain": ["maybe"]}, "explain"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, list[str]], parameter: str) -> None:
    with pytest.raises(QueryError) as caught:
        search_from_arguments(arguments)
    assert caught.value.parameter == parameter
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("{}", "q"),
        ('{"q": 1}', "q"),
        ('{"q": ["x"]}', "q"),
        ('{"q": "\\ud800"}', "q"),
        ('{"q": "x", "k": "5"}', "k"),
        ('{"q": "x", "k": 5.0}', "k"),
        ('{"q": "x", "k": true}', "k"),
        ('{"q": "x", "k": NaN}', "k"),
        ('{"q": "x", "facets": 1}', "facets"),
        ('{"q": "x", "facets": [1]}', "facets"),
        ('{"q": "x", "signals": {}}', "signals"),
        ('{"q": "x", "weights": [1]}', "weights"),
        ('{"q": "x", "weights": {"bm25": "1"}}', "weights"),
        ('{"q": "x", "weights": {"bm25": Infinity}}', "weights"),
        ('{"q": "x", "weights": {"bm25": 1e400}}', "weights"),
        ('{"q": "x", "min_probability": NaN}', "min_probability"),
        ('{"q": "x", "min_probability": "0.5"}', "min_probability"),
        ('{"q": "x", "explain": 1}', "explain"),
        ('{"q": "x", "version": 1}', "version"),
        ('{"q": "x", "nope": null}', "nope"),
        ('{"q": "x", "q": "y"}', "q"),
        ('{"q": "x", "weights": {"bm25": ' + "9" * 400 + "}}", "weights"),
        ("[]", None),
        ('"x"', None),
        ("null", None),
        ("", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"k": ' + "9" * 5000 + "}", None),
    ],
)
def test_a_bad_body_is_named(text: str, parameter: str | None) -> None:
    with pytest.raises(QueryError) as caught:
        search_from_object(read_json_object(text.encode()))
    assert caught.value.parameter == parameter
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"\xff", b"\xef\xbb\xbf{}", '{"q":"x"}'.encode("utf-16")])
def test_a_body_that_is_not_plain_utf8_is_refused(body: bytes) -> None:
    with pytest.raises(QueryError):
        read_json_object(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from([*SEARCH_PARAMETERS, "other"])


@given(st.dictionaries(_NAMES, _JSON | st.just("bm25:1"), max_size=6))
def test_any_json_gives_a_query_or_a_query_error(body: dict[str, object]) -> None:
    text = json.dumps(body)
    try:
        asked = search_from_object(read_json_object(text.encode()))
    except QueryError:
        return
    assert asked.query.text.strip() or asked.query.like
    assert all(math.isfinite(weight) for weight in (asked.query.weights or {}).values())
