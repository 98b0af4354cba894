"""Text and metadata reach one written form."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cleaning import clean_line, clean_text
from ingest.documents import Document
from ingest.metadata import flatten_metadata, web_address


@given(
    st.text(alphabet=st.characters(), max_size=60) | st.text("a \n\r\t\x00\xad\u0301", max_size=40)
)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert "\n\n\n" not in once
    assert " \n" not in once
    once.encode("utf-8")
    assert "\n" not in clean_line(text)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("co\xadoperate", "cooperate"),
        ("\ufeffstart", "start"),
        ("bell\x07", "bell"),
        ("    indented\n    code", "    indented\n    code"),
        ("\ud800", "\ufffd"),
    ],
)
def test_known_nuisances(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_metadata_values_are_plain() -> None:
    fields = {
        "day": datetime.date(2021, 3, 4),
        "when": datetime.datetime(2021, 3, 4, 5, 6, tzinfo=datetime.UTC),
        "nan": float("nan"),
        "empty": [],
        "mixed": [1, True, None, "x"],
        "objects": [{"a": 1}],
        "a": {"b": 1, "c": {"d": 2}},
    }
    assert flatten_metadata(fields) == {
        "day": "2021-03-04",
        "when": "2021-03-04T05:06:00+00:00",
        "mixed": ["1", "true", "x"],
        "objects": '[{"a": 1}]',
        "a.b": 1,
        "a.c": '{"d": 2}',
    }
    Document("d", "t", "x", metadata=flatten_metadata(fields)).content_hash  # noqa: B018


@pytest.mark.parametrize("value", [None, 3, "ftp://x", "javascript:x", "data:x", "http://a b"])
def test_unsafe_addresses_are_not_links(value: object) -> None:
    assert web_address(value) is None
