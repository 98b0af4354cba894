"""What requests may say: the models that check them, and that the contract is written from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.search.embedding_space import NEIGHBOR_KINDS
from pipeline.search.fusion import FUSIONS
from pipeline.search.query import MAX_K, MAX_QUERY_CHARACTERS, RESULT_WINDOW
from pipeline.search.suggesting import MAX_SUGGESTIONS
from search_api.request_fields import (
    ENCODERS,
    Boolean,
    Collapse,
    DocIds,
    Explain,
    Integer,
    Names,
    Number,
    OnePoint,
    OptionalNumber,
    OptionalText,
    Points,
    Rows,
    SignalNames,
    Text,
    Weights,
    within,
    written_names,
)

__all__ = [
    "MAX_BATCH",
    "MAX_MAP_ROWS",
    "MAX_TASKS",
    "MAX_TEXTS",
    "MAX_WAIT_S",
    "BatchRequest",
    "CollectionRequest",
    "EncodeRequest",
    "JudgeRequest",
    "JudgmentsImport",
    "MapDocumentsRequest",
    "NeighborsRequest",
    "Place",
    "RankingParameters",
    "RecommendRequest",
    "Request",
    "SearchParameters",
    "SimilarParameters",
    "SimilarityRequest",
    "SuggestParameters",
    "TaskRequest",
    "TasksRequest",
    "WriteRequest",
]

MAX_BATCH = 100
MAX_TEXTS = 100
MAX_TASKS = 1000
MAX_WAIT_S = 60
MAX_MAP_ROWS = 100
_NAME_CHARACTERS = 1000
_COLLECTION = "The collection; the server's when left out."


def _nullable(schema: dict[str, Any]) -> None:
    """Say that ``null`` is as good as leaving an optional member out."""
    required = schema.get("required", ())
    for name, wanted in schema.get("properties", {}).items():
        wanted.pop("title", None)
        if name in required:
            continue
        told = {key: wanted.pop(key) for key in ("description", "default") if key in wanted}
        forms = [form for form in wanted.pop("anyOf", [{}]) if form != {"type": "null"}]
        # What else is said, bounds and names, is of the value alone.
        forms = [{**form, **wanted} for form in forms]
        schema["properties"][name] = {"anyOf": [*forms, {"type": "null"}], **told}


class Request(BaseModel):
    """What a request says; nothing unknown, and nothing of another type, is taken."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        # The first model that is built looks for pydantic's plugins on disk: not at import.
        defer_build=True,
        json_schema_extra=_nullable,
    )


class Place(Request):
    """Where to ask."""

    collection: OptionalText = Field(None, description=_COLLECTION)
    version: OptionalText = Field(
        None, description="The version, as an answer named it; the current one when left out."
    )


class _Window(Request):
    """Which part of the hits."""

    k: Integer = Field(
        10, description="Hits on a page.", json_schema_extra={"minimum": 1, "maximum": MAX_K}
    )
    page: Integer = Field(
        1,
        description=f"Page number from 1; page times k reaches at most {RESULT_WINDOW:,}.",
        json_schema_extra={"minimum": 1, "maximum": RESULT_WINDOW},
    )


class RankingParameters(_Window):
    """What every search may say."""

    filter: OptionalText = Field(
        None, description="Condition on metadata: `kind:function AND year:[2020 TO 2024]`."
    )
    facets: Names = Field((), description="Fields whose values to count over all that matches.")
    sort: OptionalText = Field(
        None, description="`field`, `field:asc` or `field:desc` instead of relevance."
    )
    signals: SignalNames = Field(None, description="Signals to use; all when left out.")
    weights: Weights = Field(
        None, description="Weight of each signal; the version's own when left out."
    )
    fusion: OptionalText = Field(
        None,
        description="How scores are joined; as the version says when left out.",
        json_schema_extra={"enum": written_names(FUSIONS)},
    )
    min_probability: OptionalNumber = Field(
        None,
        description="Leave out hits less likely relevant than this.",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    explain: Explain = Field(
        True, description="Whether hits carry their explanation; `words`: also word by word."
    )
    map_region: OptionalText = Field(
        None,
        description="Only documents in a part of the map: `DRAWING:cluster:NUMBER`, or "
        "`DRAWING:polygon:x,y,x,y,...` in the units of `GET /map`, which names the drawing.",
    )
    diversity: Number = Field(
        0.0,
        description="How much the best 100 are ordered to differ from each other.",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    collapse: Collapse = Field(
        False,
        description="Whether one hit stands for its near-duplicates, or the cosine from which "
        "documents count as such.",
    )


class SimilarParameters(RankingParameters, Place):
    """How to look for documents like one."""


class SearchParameters(RankingParameters):
    """A query."""

    q: OptionalText = Field(
        None,
        description=f"The words to search for, at most {MAX_QUERY_CHARACTERS:,} characters; may "
        'hold `"phrases"`, `+required`, `-excluded` and `field:value`.',
        json_schema_extra={"maxLength": MAX_QUERY_CHARACTERS},
    )
    query: OptionalText = Field(
        None,
        description="Another name of `q`.",
        json_schema_extra={"maxLength": MAX_QUERY_CHARACTERS},
    )
    like: DocIds = Field((), description="Ids of documents to find more like.")
    unlike: DocIds = Field((), description="Ids of documents to find less like.")
    correct: Boolean = Field(True, description="Whether misspelt words are corrected.")
    rerank: Boolean = Field(
        False, description="Whether the server's re-ranker orders the best hits anew."
    )
    collection: Names = Field(
        (), description="The collection, or several; the server's when left out."
    )
    version: Names = Field(
        (),
        description="The version, as an answer named it; of several collections one each, in "
        "their order. The current ones when left out.",
    )


class BatchRequest(Request):
    """Several queries."""

    # Each is checked by itself: one that is wrong has a problem of its own.
    queries: list[dict[str, Any]] = Field(
        description="Each as the body of `POST /search`; together they may ask for at most "
        f"{RESULT_WINDOW:,} hits.",
        min_length=1,
        max_length=MAX_BATCH,
    )


class SuggestParameters(Place):
    """What is being typed."""

    q: Text = Field(
        description="What was typed so far.", json_schema_extra={"maxLength": MAX_QUERY_CHARACTERS}
    )
    limit: Integer = Field(
        8,
        description="How many at most.",
        json_schema_extra={"minimum": 1, "maximum": MAX_SUGGESTIONS},
    )
    filter: OptionalText = Field(
        None, description="Condition on metadata: only titles of such documents are told."
    )


class MapDocumentsRequest(Place):
    """Documents of the map."""

    rows: Rows = Field(
        description="Their rows, in the order of `positions`.",
        min_length=1,
        max_length=MAX_MAP_ROWS,
    )


class CollectionRequest(Request):
    """Which collection."""

    collection: OptionalText = Field(None, description=_COLLECTION)


class JudgeRequest(CollectionRequest):
    """One judgment."""

    query: Text = Field(
        description="The words that were searched for.", min_length=1, max_length=10_000
    )
    doc_id: Text = Field(description="The document judged.", min_length=1)
    relevance: int | None = Field(
        None,
        description="0: not relevant, up to 3; left out, the judgment is taken back.",
        ge=0,
        le=3,
    )


class JudgmentsImport(CollectionRequest):
    """Judgments in BEIR's layout."""

    queries: Text = Field(description="Lines of JSON with `_id` and `text`: `queries.jsonl`.")
    qrels: Text = Field(description="Query, document and relevance by tabs: `qrels/test.tsv`.")


class EncodeRequest(Place):
    """Texts to encode."""

    texts: list[Text] = Field(description="The texts.", min_length=1, max_length=MAX_TEXTS)
    encoder: Text = Field(
        "bert", description="Whose embeddings.", json_schema_extra={"enum": ENCODERS}
    )


class NeighborsRequest(Place):
    """A sum of texts, documents and words."""

    positive: Points = Field(
        description='What to add up: `{"text": ...}`, `{"document": id}` or `{"word": ...}`, '
        "each with an optional `weight`; a string alone is a word.",
        json_schema_extra={"minItems": 1},
    )
    negative: Points = Field((), description="What to subtract.")
    among: Text = Field(
        "documents",
        description="What to find.",
        json_schema_extra={"enum": written_names(NEIGHBOR_KINDS)},
    )
    k: Integer = Field(
        10, description="How many at most.", json_schema_extra={"minimum": 1, "maximum": MAX_K}
    )
    encoder: OptionalText = Field(
        None,
        description="Whose embeddings; when left out `word2vec` where words are given or looked "
        "for, `bert` otherwise.",
        json_schema_extra={"enum": ENCODERS},
    )
    exact: Boolean = Field(
        False,
        description="Whether every document is compared. Otherwise, beyond 200,000 of them, a few "
        "are proposed by compressed embeddings, which may miss some that are near.",
    )


class SimilarityRequest(Place):
    """Two texts, documents or words."""

    first: OnePoint = Field(description="One of the two, written as in `POST /neighbors`.")
    second: OnePoint = Field(description="The other one, written as in `POST /neighbors`.")
    encoder: OptionalText = Field(
        None, description="As in `POST /neighbors`.", json_schema_extra={"enum": ENCODERS}
    )


class RecommendRequest(RankingParameters, Place):
    """What somebody liked, and what not."""

    liked: DocIds = Field(
        description="Ids of documents to find more like; at least one.",
        json_schema_extra={"minItems": 1},
    )
    disliked: DocIds = Field((), description="Ids of documents to find less like.")
    q: OptionalText = Field(
        None,
        description="Words to search for at the same time.",
        json_schema_extra={"maxLength": MAX_QUERY_CHARACTERS},
    )


class WriteRequest(CollectionRequest):
    """Where to write, and how long to wait for it."""

    wait: Annotated[Number, within(0, MAX_WAIT_S)] = Field(
        0.0,
        description="Seconds to wait for searches to see it; 200 where that is enough.",
        json_schema_extra={"minimum": 0, "maximum": MAX_WAIT_S},
    )


class TaskRequest(CollectionRequest):
    """Whose task, and how long to wait for it."""

    wait: Annotated[Number, within(0, MAX_WAIT_S)] = Field(
        0.0,
        description="Seconds to wait until it is done.",
        json_schema_extra={"minimum": 0, "maximum": MAX_WAIT_S},
    )


class TasksRequest(CollectionRequest):
    """Whose tasks."""

    limit: Annotated[Integer, within(1, MAX_TASKS)] = Field(
        20,
        description="How many at most.",
        json_schema_extra={"minimum": 1, "maximum": MAX_TASKS},
    )
