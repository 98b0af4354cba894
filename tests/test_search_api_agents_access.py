"""What a key may not see is not there for agents either, whichever tool they use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hidden_documents import MARKERS, PUBLIC, build_hidden

from ingest.errors import TrineError
from pipeline.encoding.settings import IndexSettings
from search_api.access import Asker
from search_api.agent_tools import TOOLS, AgentTool
from search_api.keys import KeyStore
from search_api.reach import Reach
from search_api.searchers import SearcherPool

# What each tool is asked, of a document or a word that is hidden and of one that is not there.
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "search": [
        {"q": "read a file", "k": 50, "facets": ["subject", "level"]},
        {"q": "{word} level:secret"},
        {"q": "file -{field}:a", "page": 2},
        {"q": "+{word} file"},
        {"q": "file", "filter": "{field}:[a TO z] OR level:secret"},
        {"q": "file", "facets": ["{field}"]},
        {"q": "file", "sort": "{field}"},
        {"q": "file", "collection": "{other}"},
        {"q": "file", "collection": ["mixed", "{other}"]},
    ],
    "similar_documents": [
        {"doc_id": "{id}/1"},
        {"doc_id": "files/01", "k": 50, "facets": ["subject"]},
        {"doc_id": "{id}/1", "collection": "{other}"},
    ],
    "get_document": [{"doc_id": "{id}/1"}, {"doc_id": "{id}/1", "collection": "{other}"}],
    "get_passages": [{"doc_id": "{id}/1"}, {"doc_id": "{id}/1", "collection": "{other}"}],
    "list_collections": [{}],
    "describe_collection": [{}, {"collection": "{other}"}],
}
HIDDEN = {"id": "zzident", "word": "zzword", "field": "zzfield", "other": "zzother"}
ABSENT = {"id": "zzidxnt", "word": "zzwoxd", "field": "zzfixld", "other": "zzotxer"}


@pytest.fixture(scope="module")
def reach(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> Iterator[Reach]:
    """What somebody reaches whose key is bound to two collections and a filter."""
    folder = tmp_path_factory.mktemp("agents")
    build_hidden(folder, tiny_settings)
    key, _ = KeyStore(folder).create("f", ["search"], collections=["clean", "mixed"], filter=PUBLIC)
    pool = SearcherPool(folder, "mixed")
    yield Reach(pool, lambda: Asker(key))
    pool.close()


def filled(question: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(question)
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    found: dict[str, Any] = json.loads(text)
    return found


def told(reach: Reach, tool: AgentTool, question: dict[str, Any]) -> str:
    try:
        content, text = tool.answer(reach, question)
    except TrineError as error:
        return f"{type(error).__name__}: {error}"
    return re.sub(r'"took_ms": [0-9.]+', "", json.dumps(content)) + "\n" + text


def test_every_tool_is_asked() -> None:
    assert QUESTIONS.keys() == {tool.name for tool in TOOLS}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))
def test_no_tool_tells_of_what_is_hidden(reach: Reach, tool: AgentTool) -> None:
    for question in QUESTIONS[tool.name]:
        asked = filled(question, HIDDEN)
        answer = told(reach, tool, asked).lower()
        for marker in MARKERS:
            assert marker in json.dumps(asked) or marker not in answer, (asked, marker)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))
def test_what_is_hidden_is_as_what_is_not_there(reach: Reach, tool: AgentTool) -> None:
    for question in QUESTIONS[tool.name]:
        hidden = told(reach, tool, filled(question, HIDDEN))
        absent = told(reach, tool, filled(question, ABSENT))
        for name, value in HIDDEN.items():
            hidden = hidden.replace(value, ABSENT[name])
        if "{word}" in str(question):
            # Every word is another to a transformer; the others' scores hang on it.
            hidden, absent = (re.sub(r"\d\.\d+(e-?\d+)?", "", one) for one in (hidden, absent))
        assert hidden == absent, question
