"""What agents may ask, whatever protocol they speak: tools over what an asker can reach.

Each takes one flat object and answers with JSON-ready values and the same as text to read. Answers
are smaller than the API's: no explanation, no highlights, since a model reads every word of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_api.agent_answers import (
    describe_collection,
    get_document,
    get_passages,
    list_collections,
    search,
    similar_documents,
)
from search_api.agent_models import (
    AgentCollection,
    AgentCollections,
    AgentDocument,
    AgentFound,
    AgentPassages,
    DocumentQuestion,
    NoQuestion,
    PassagesQuestion,
    SearchQuestion,
    SimilarQuestion,
)
from search_api.agent_texts import (
    text_of_collection,
    text_of_collections,
    text_of_document,
    text_of_found,
    text_of_passages,
)
from search_api.answer_models import Answer
from search_api.parameters import from_object
from search_api.reach import Reach
from search_api.request_models import Place, Request

__all__ = ["TOOLS", "AgentTool"]


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One thing an agent may ask.

    Parameters
    ----------
    asks, answers
        Models of what it takes and gives.
    content
        Answers, JSON-ready.
    text
        Such an answer, to read.
    """

    name: str
    title: str
    description: str
    asks: type[Request]
    answers: type[Answer]
    content: Callable[[Reach, Any], dict[str, Any]]
    text: Callable[[Mapping[str, Any]], str]

    def answer(self, reach: Reach, arguments: Mapping[str, object]) -> tuple[dict[str, Any], str]:
        """Answer, JSON-ready and as text.

        Raises
        ------
        TrineError
            If it cannot be answered; the message is one line.
        """
        content = self.content(reach, from_object(self.asks, arguments))
        return content, self.text(content)


TOOLS = (
    AgentTool(
        "search",
        "Search documents",
        "Find documents by meaning and by words. Every hit has a probability that it is relevant; "
        "`no_good_result` is true when none is likely to be.",
        SearchQuestion,
        AgentFound,
        search,
        text_of_found,
    ),
    AgentTool(
        "similar_documents",
        "Find similar documents",
        "Find documents like one that is known. The probability says how alike they are.",
        SimilarQuestion,
        AgentFound,
        similar_documents,
        text_of_found,
    ),
    AgentTool(
        "get_document",
        "Read a document",
        "Read a document whole, or a long one part by part.",
        DocumentQuestion,
        AgentDocument,
        get_document,
        text_of_document,
    ),
    AgentTool(
        "get_passages",
        "Read a document's passages",
        "Read the passages a document was cut into.",
        PassagesQuestion,
        AgentPassages,
        get_passages,
        text_of_passages,
    ),
    AgentTool(
        "list_collections",
        "List collections",
        "Tell which collections can be searched.",
        NoQuestion,
        AgentCollections,
        list_collections,
        text_of_collections,
    ),
    AgentTool(
        "describe_collection",
        "Describe a collection",
        "Tell which metadata fields a collection has to filter, count and sort by.",
        Place,
        AgentCollection,
        describe_collection,
        text_of_collection,
    ),
)
"""Every tool."""
