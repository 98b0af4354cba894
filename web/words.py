"""The words of a collection: what is near a word, and what words make when added up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, request

from encoders.protocol import Embeddings
from ingest.errors import QueryError, TrineError
from pipeline.search.embedding_space import EmbeddingSpace, Point
from pipeline.search.searcher import Searcher
from search_api.problems import problem_of
from search_api.snapshot import current_pool
from web.constellation import Star, constellation
from web.layout import problem_page, render_page
from web.page_request import PageRequest, own
from web.plain_text import readable

__all__ = ["Sum", "WordsView", "blueprint", "init_app", "read_sum", "words_view"]

_N_WORDS = 18
_N_DOCUMENTS = 5
_MOST_TERMS = 20
_MOST_CHARACTERS = 500
# A sign stands alone or before its word; the hyphen of e-mail is none.
_TERM = re.compile(
    "(?:(?<!\\S)|(?<=[+\N{MINUS SIGN}]))([+\\-\N{MINUS SIGN}]?)\\s*([^\\s+\N{MINUS SIGN}]+)"
)
_PYTHON_EXAMPLES = ("socket", "json - parse", "encode - bytes + text", "thread + process")

blueprint = Blueprint("words", __name__)


@dataclass(frozen=True, slots=True)
class Sum:
    """Words to add up and to take away."""

    added: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()

    def __str__(self) -> str:
        signed = [("+", word) for word in self.added] + [("-", word) for word in self.taken]
        text = " ".join(f"{sign} {word}" for sign, word in signed)
        return text.removeprefix("+ ")

    def plus(self, word: str) -> Sum:
        """With one more word added."""
        bare = self.without(word)
        return Sum((*bare.added, word), bare.taken)

    def minus(self, word: str) -> Sum:
        """With one more word taken away."""
        bare = self.without(word)
        return Sum(bare.added, (*bare.taken, word))

    def without(self, word: str) -> Sum:
        """With a word neither added nor taken away."""
        return Sum(
            tuple(one for one in self.added if one != word),
            tuple(one for one in self.taken if one != word),
        )


@dataclass(frozen=True, slots=True)
class NearWord:
    """A word near a sum; ``width`` in percent of the nearest one's cosine."""

    word: str
    similarity: float
    width: float
    alone: str
    plus: str
    minus: str
    search: str


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the sum, and the address of the sum without it."""

    sign: str
    word: str
    without: str


@dataclass(frozen=True, slots=True)
class NearDocument:
    """A document near a sum."""

    title: str
    address: str
    similarity: float


@dataclass(frozen=True, slots=True)
class WordsView:
    """What is near a sum; ``problem`` says why nothing is."""

    terms: list[Term]
    words: list[NearWord]
    documents: list[NearDocument]
    stars: list[Star]
    problem: str | None = None


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/words")
def words_page() -> Response:
    """Show what is near a word or a sum of words."""
    return _words("words.html", "problem.html")


@blueprint.get("/parts/words")
def words_part() -> Response:
    """What the page shows below its box, for a script to put there."""
    return _words("words_part.html", "problem_part.html")


def _words(template: str, problem_template: str) -> Response:
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False), "/words")
    except QueryError as error:
        return problem_page(problem_of(error), template=problem_template)
    try:
        searcher = current_pool().get(asked.arguments.get("collection"))
        encoder = next((name for name in ("word2vec", "tfidf") if name in searcher.signals), None)
        if encoder is None:
            raise QueryError("this collection has no vectors of words: word2vec was not indexed")
        asked_for = _asked_for(asked)
        view = words_view(searcher, encoder, asked_for, asked) if asked_for.added else None
    except TrineError as error:
        return problem_page(problem_of(error), asked, problem_template)
    state = current_pool().state(asked.arguments.get("collection"))
    from_pydoc = any(source.startswith("pydoc:") for source in state.sources)
    return render_page(
        template,
        asked,
        view=view,
        sum_text=readable(str(asked_for)),
        analogy={name: readable(request.args.get(name, "")) for name in "abc"},
        examples=[(text, _address(text, asked)) for text in _PYTHON_EXAMPLES if from_pydoc],
        kept_names=("collection",),
    )


def _asked_for(asked: PageRequest) -> Sum:
    """The sum in the box; or a is to b as c is to what: b - a + c."""
    a, b, c = (request.args.get(name, "").strip() for name in "abc")
    if not asked.text and a and b and c:
        return Sum((b, c), (a,))
    return read_sum(asked.text)


def read_sum(text: str) -> Sum:
    """Read words with signs.

    Raises
    ------
    QueryError
        If there are too many.

    Examples
    --------
    >>> read_sum("king - man +woman e-mail")
    Sum(added=('king', 'woman', 'e-mail'), taken=('man',))
    """
    found = _TERM.findall(text[:_MOST_CHARACTERS])
    signed = {word.strip("-"): sign for sign, word in found if word.strip("-")}
    if len(signed) > _MOST_TERMS:
        raise QueryError(f"{len(signed)} words are given; at most {_MOST_TERMS} are allowed")
    return Sum(
        tuple(word for word, sign in signed.items() if sign in {"", "+"}),
        tuple(word for word, sign in signed.items() if sign not in {"", "+"}),
    )


def words_view(searcher: Searcher, encoder: str, asked_for: Sum, asked: PageRequest) -> WordsView:
    """Find what is near a sum of words."""
    space = searcher.space(encoder)
    terms = [
        Term(sign, readable(word), _address(str(asked_for.without(word)), asked))
        for sign, words in (("+", asked_for.added), ("\N{MINUS SIGN}", asked_for.taken))
        for word in words
    ]
    positive, negative = (
        [Point("word", word) for word in words] for words in (asked_for.added, asked_for.taken)
    )
    try:
        target = space.combine(positive, negative)
    except QueryError as error:
        return WordsView(terms, [], [], [], readable(str(error)))
    given = [*asked_for.added, *asked_for.taken]
    near = space.nearest_words(target, _N_WORDS, without=given)
    best = near[0].similarity if near else 1.0
    words = [
        NearWord(
            readable(one.name),
            one.similarity,
            round(max(100 * one.similarity / best, 0.0), 1) if best > 0 else 0.0,
            _address(one.name, asked),
            _address(str(asked_for.plus(one.name)), asked),
            _address(str(asked_for.minus(one.name)), asked),
            PageRequest({**_place(asked), "q": one.name}).address(),
        )
        for one in near
    ]
    names = [one.name for one in near]
    embeddings = [space.embed(Point("word", name)) for name in names]
    documents = _documents(searcher, space, target, asked)
    return WordsView(terms, words, documents, constellation(names, embeddings, target))


def _documents(
    searcher: Searcher, space: EmbeddingSpace, target: Embeddings, asked: PageRequest
) -> list[NearDocument]:
    found = space.nearest_documents(target, _N_DOCUMENTS)
    return [
        NearDocument(
            readable(searcher.document(one.name).title.strip() or one.name),
            PageRequest(_place(asked)).document_address(one.name, 0, 0),
            one.similarity,
        )
        for one in found
    ]


def _place(asked: PageRequest) -> dict[str, str]:
    named = asked.arguments.get("collection")
    return {"collection": named} if named else {}


def _address(text: str, asked: PageRequest) -> str:
    pairs = {"q": text, **_place(asked)} if text else _place(asked)
    return own("/words" + (f"?{urlencode(pairs)}" if pairs else ""))
