"""The pages over a real, tiny collection: what the API finds, and never any markup but ours."""

import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from search_api.overload import turning_away
from web import Settings, create_app
from web.page_request import PageRequest
from web.plain_text import safe_link


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


class _Elements(HTMLParser):
    """Every tag, its attributes, and the text of hits' titles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a" and "href" in attrs]


def _link(page: str, text: str) -> str:
    found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>(?:<[^>]*>|\s)*{text}', page)
    assert found, f"no link {text!r}"
    return html.unescape(found[1])


def _doc_ids(page: str) -> list[str]:
    found = re.findall(r'<h2 id="hit-\d+">.*?href="/documents/([^?]*)\?', page)
    return [html.unescape(entry) for entry in found]


def test_the_page_shows_the_hits_of_the_api(client: FlaskClient) -> None:
    page = client.get("/?q=read+a+file&k=20").text
    answer = client.get("/api/v1/search?q=read+a+file&k=20").get_json()
    assert _doc_ids(page) == [quote(hit["doc_id"]) for hit in answer["hits"]]
    for hit in answer["hits"]:
        assert f'aria-label="Score {hit["score"]:.3f}:' in page
    as_json = client.get(_link(page, "this answer as JSON")).get_json()
    assert [hit["doc_id"] for hit in as_json["hits"]] == [h["doc_id"] for h in answer["hits"]]
    assert as_json["facets"]


def test_words_and_sentences_are_marked_apart(client: FlaskClient) -> None:
    page = client.get("/?q=timezone+clock").text
    assert "<mark>timezone</mark>" in page
    assert '<span class="sentence">' in page


def test_a_correction_is_said_and_can_be_taken_back(client: FlaskClient) -> None:
    page = client.get("/?q=tempoary+%3Cfolder%3E&k=5").text
    assert "<strong><bdi>temporary &lt;folder&gt;</bdi></strong>" in page
    assert "<mark>temporary</mark>" in page
    # Every link that stays with this answer keeps the words as they were typed.
    assert "q=tempoary" in _link(page, "Next")
    as_typed_address = _link(page, "<bdi>tempoary &lt;folder&gt;</bdi>")
    as_typed = client.get(as_typed_address).text
    assert "Showing results for" not in as_typed
    assert "correct=false" in _link(as_typed, "Next")
    assert 'name="correct"' not in as_typed
    api = client.get(as_typed_address.replace("/?", "/api/v1/search?")).get_json()
    assert api["did_you_mean"] is None
    assert _doc_ids(as_typed) == [quote(hit["doc_id"]) for hit in api["hits"]]


def test_pages_and_facets_are_links(client: FlaskClient) -> None:
    first = client.get("/?q=read+a+file&k=5").text
    second_address = _link(first, "Next")
    assert "version=" in second_address
    second = client.get(second_address).text
    api = client.get("/api/v1/search?q=read+a+file&k=5&page=2").get_json()
    assert _doc_ids(second) == [quote(hit["doc_id"]) for hit in api["hits"]]
    assert _doc_ids(client.get(_link(second, "←")).text) == _doc_ids(first)

    chosen = client.get(_link(first, "<bdi>time</bdi>"))
    assert chosen.status_code == 200
    assert all(doc_id.startswith("time/") for doc_id in _doc_ids(chosen.text))
    filtered = client.get("/api/v1/search?q=read+a+file&filter=subject:time").get_json()
    assert f"<strong>{filtered['total']}</strong> match" in chosen.text
    back = _link(chosen.text, r"subject</span> <bdi>time</bdi>")
    assert _doc_ids(client.get(back).text) == _doc_ids(first)


def test_home_without_a_query(client: FlaskClient) -> None:
    for address in ("/", "/?q=", "/?q=+++"):
        page = client.get(address)
        assert page.status_code == 200
        assert "What are you looking for?" in page.text
        assert "<strong>65</strong> documents" in page.text
        assert "examples" not in page.text


def test_examples_suit_the_collection(tmp_path: Path, tiny_settings: IndexSettings) -> None:
    build_version(
        CollectionFolder(tmp_path, "demo"),
        [Document("json.dumps", "json.dumps", "Serialize.")],
        settings=tiny_settings.with_signals(["bm25"]),
        sources=["pydoc:stdlib"],
    )
    client = create_app(Settings(tmp_path, "demo")).test_client()
    assert "json.dumps" in client.get("/").text
    # A version of one signal is searched and shown like any other.
    assert "Keywords" in client.get("/?q=serialize").text


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        ("/?q=file&k=0", 400, "k is 0"),
        ("/?q=file&k=ten", 400, "whole number"),
        ("/?q=file&page=99999", 400, "narrow the query"),
        ("/?q=file&filter=nope:1", 400, "nope"),
        ("/?q=file&filter=((", 400, "filter"),
        ("/?q=file&q=folder", 400, "2 times"),
        ("/?q=" + "x" * 10_001, 400, "10001 characters"),
        ("/?q=file&collection=nope", 404, "nope"),
        ("/?collection=nope", 404, "nope"),
        ("/?q=file&version=nope", 404, "nope"),
        ("/documents/nope", 404, "no document"),
        ("/nothing/here", 404, "Nothing is at this address"),
        ("/problems/nope", 404, "no such kind"),
    ],
)
def test_errors_can_be_read(client: FlaskClient, address: str, status: int, text: str) -> None:
    response = client.get(address)
    assert response.status_code == status
    assert response.content_type.startswith("text/html")
    assert text in html.unescape(response.text)
    assert 'role="search"' in response.text
    assert "Traceback" not in response.text


def test_without_an_index_the_page_says_what_to_do(tmp_path: Path) -> None:
    client = create_app(Settings(tmp_path)).test_client()
    for address in ("/", "/?q=file"):
        response = client.get(address)
        assert response.status_code == 503
        assert "trine index SOURCE" in response.text


def test_unforeseen_errors_are_a_page(
    library_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Searcher, "search", fail)
    monkeypatch.setattr(Searcher, "warm", lambda _: None)
    response = create_app(Settings(library_data_dir)).test_client().get("/?q=file")
    assert response.status_code == 500
    assert "secret" not in response.text


@pytest.mark.parametrize(
    "query", ["the of and", "?!", "🎈", "ابحث", "x" * 10_000, "\0\x1b[31m", "+", '"', "a" * 9999]
)
def test_odd_queries_get_a_page(client: FlaskClient, query: str) -> None:
    response = client.get("/?q=" + quote(query))
    assert response.status_code == 200
    assert "\0" not in response.text
    assert "\x1b" not in response.text


MINUS = "\N{MINUS SIGN}"
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{7*7}}\x1b"


def test_markup_in_everything_stays_text(build: Callable[..., Searcher], tmp_path: Path) -> None:
    build(
        Document(
            "evil/" + ATTACK,
            "Evil " + ATTACK,
            f"Evil text {ATTACK} goes on.",
            url="javascript:alert(1)",
            metadata={"kind": "evil " + ATTACK, "tags": [ATTACK]},
            names=("evil.name " + ATTACK,),
        ),
        Document("other", "Other", "Evil twin.", metadata={"kind": "other", "tags": ["x"]}),
    )
    client = create_app(Settings(tmp_path / "built")).test_client()
    addresses = [
        "/?q=" + quote("evil " + ATTACK),
        "/?q=evil",
        "/?q=evil&only=" + quote("kind:evil " + ATTACK),
        "/?q=evil&filter=" + quote(ATTACK),
        "/?q=evil&collection=" + quote(ATTACK),
        "/documents/" + quote("evil/" + ATTACK, safe="/") + "?q=" + quote(ATTACK),
        "/documents/" + quote(ATTACK, safe=""),
        "/parts/answer?q=" + quote("evil " + ATTACK),
        "/lenses?q=" + quote("evil " + ATTACK),
        "/words?q=" + quote("evil " + ATTACK),
        "/words?" + "&".join(f"{name}={quote(ATTACK)}" for name in "abc"),
        "/words-of-hit?k=1&page=1&q=" + quote("evil " + ATTACK),
        "/passages?q=evil&document=" + quote("evil/" + ATTACK),
        "/?q=evil&like=other&unlike=" + quote("evil/" + ATTACK),
        "/?q=evil&weights=" + quote(ATTACK),
        "/?q=evil&weight-bm25=" + quote(ATTACK),
        "/" + quote(ATTACK, safe=""),
    ]
    for address in addresses:
        page = client.get(address).text
        elements = _Elements(page)
        tags = {tag for tag, _ in elements.tags}
        assert not tags & {"b", "iframe", "style"}, address
        scripts = [attributes.get("src") for tag, attributes in elements.tags if tag == "script"]
        assert all(re.fullmatch(r"/static/\w{12}/js/\w+\.js", str(src)) for src in scripts)
        assert all(
            not name.startswith("on") and name != "style"
            for _, attributes in elements.tags
            for name in attributes
        ), address
        images = [attributes["src"] for tag, attributes in elements.tags if tag == "img"]
        assert all(re.fullmatch(r"/static/\w{12}/icon\.svg", str(image)) for image in images)
        assert not [link for link in elements.links() if link.startswith("javascript")]
        assert "\x1b" not in page
        assert "49" not in re.sub(r"\d{3,}|\d\.\d+|%49", "", page) or "{{7*7}}" in page
    assert "evil/" in client.get(addresses[1]).text
    assert "2 matches" in re.sub(r"<[^>]*>", "", client.get(addresses[1]).text)
    assert "1 match" in re.sub(r"<[^>]*>", "", client.get(addresses[2]).text)


def test_only_web_addresses_are_links() -> None:
    assert safe_link("https://example.org/x") == "https://example.org/x"
    bad = ("javascript:alert(1)", "data:text/html,x", "//example.org", "u", "", None, "http:")
    for url in (*bad, "https://a.example\u202emoc.elgoog//:", "https://a.example/\x1b[1m"):
        assert safe_link(url) is None


def test_a_busy_server_refuses_no_page_its_style(client: FlaskClient) -> None:
    (style,) = re.findall(r'href="(/static/[^"]*/base\.css)"', client.get("/").text)
    with turning_away():
        assert client.get("/?q=file").status_code == 503
        with client.get(style) as response:
            assert response.status_code == 200


def test_every_answer_forbids_what_is_not_ours(client: FlaskClient) -> None:
    for address in ("/", "/?q=file", "/nope", "/api/v1/search?q=x", "/"):
        with client.get(address) as response:
            headers = response.headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Referrer-Policy" in headers


def test_nothing_good_is_said_plainly_and_the_weak_are_behind_a_click(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.search.searcher.GOOD_PROBABILITY", 1.0)
    page = client.get("/?q=read+a+file").text
    assert "Nothing here is likely to answer" in page
    assert page.index("Nothing here is likely") < page.index('<details class="weak">')
    assert page.index('<details class="weak">') < page.index('<ol class="hits">')


def test_no_match_at_all_is_said_plainly(client: FlaskClient) -> None:
    page = client.get("/?q=file&filter=number:[900+TO+901]").text
    assert "Nothing matches" in page
    assert "Fewer filters" in page


def test_document_page(client: FlaskClient, library: list[Document]) -> None:
    page = client.get("/documents/files/00?q=read+a+file&passage=0-10#passage").text
    assert html.escape(library[0].text[:10]) in page
    assert '<span id="passage" class="sentence">' in page
    assert _link(page, "←") == "/?q=read+a+file"
    assert "subject" in page
    assert library[0].names[0] in page
    for odd in ("?passage=9-1", "?passage=x", "?passage=0-99999999999", "?passage=-"):
        assert client.get("/documents/files/00" + odd).status_code == 200
    assert "a title and no text" in client.get("/documents/title-only").text


def test_collections_are_offered_when_there_are_several(
    tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    for name in ("docs", "notes", "evaluate-docs-x"):
        build_version(
            CollectionFolder(tmp_path, name),
            [Document("d", f"Title in {name}", "Some text.")],
            settings=tiny_settings.with_signals(["bm25"]),
        )
    client = create_app(Settings(tmp_path, "docs")).test_client()
    page = client.get("/?q=text").text
    assert "evaluate" not in page
    other = client.get(_link(page, "notes")).text
    assert "Title in notes" in other
    assert "Title in docs" not in other
    assert _link(other, "Title in notes").startswith("/documents/d?")
    assert "Title in notes" in client.get(_link(other, "Title in notes")).text


def test_addresses_survive_odd_facet_values() -> None:
    asked = PageRequest({"q": "x"}, (("kind", 'a"b\\c: d & e'),))
    assert PageRequest.read({"q": ["x"], "only": ['kind:a"b\\c: d & e']}) == asked
    narrowed = asked.narrowed(asked.search().query, ())
    assert narrowed.filter == 'kind:"a\\"b\\\\c: d & e"'


def test_a_part_is_what_the_page_shows(client: FlaskClient) -> None:
    """With and without scripts, hits are rendered by the same template."""
    for search in ("q=read+a+file&k=3", "q=file&only=subject:files", "q=tempoary", "", "q=x&k=0"):
        page, part = client.get(f"/?{search}"), client.get(f"/parts/answer?{search}")
        assert page.status_code == part.status_code
        assert "<html" not in part.text
        took = re.compile(r"(under )?\d+ ms")
        assert took.sub("", part.text.strip()) in took.sub("", page.text)


def test_while_typing_the_last_word_is_finished(client: FlaskClient) -> None:
    typing = client.get("/parts/answer?q=open+a+fil&typing=1").text
    assert "for “<bdi>open a file</bdi>”" in typing
    assert _doc_ids(typing) == _doc_ids(client.get("/parts/answer?q=open+a+file").text)
    # A finished word, and what nothing continues, are left as they are.
    for query in ("open a file", "open a fil ", "zzzz"):
        page = client.get("/parts/answer", query_string={"q": query, "typing": "1"}).text
        assert "</strong> matches for “" not in page


def test_hits_are_steered_by_links(client: FlaskClient) -> None:
    first = client.get("/?q=read+a+file").text
    toward = html.unescape(_link(first, "More like this"))
    more = client.get(toward).text
    api = client.get(toward.replace("/?", "/api/v1/search?")).get_json()
    assert _doc_ids(more) == [quote(hit["doc_id"]) for hit in api["hits"]]
    assert 'name="like"' in more
    assert client.get("/?like=files/01").status_code == 200
    assert client.get("/?q=x&like=nope").status_code == 400
    assert client.get("/?q=x&like=files/01&unlike=files/01").status_code == 400


def test_sliders_are_weights(client: FlaskClient) -> None:
    moved = "&".join(
        f"weight-{name}={value}"
        for name, value in {"bm25": 1, "tfidf": 0.15, "word2vec": 0.1, "bert": 0}.items()
    )
    page = client.get(f"/?q=read+a+file&{moved}").text
    api = client.get(
        "/api/v1/search?q=read+a+file&weights=bm25:1,tfidf:0.15,word2vec:0.1,bert:0"
    ).get_json()
    assert _doc_ids(page) == [quote(hit["doc_id"]) for hit in api["hits"]]
    assert "As it was" in page
    # Left where they are they say nothing: the ranking stays the version's own.
    own = "weight-bm25=0.25&weight-tfidf=0.15&weight-word2vec=0.1&weight-bert=0.5"
    unmoved = client.get(f"/?q=read+a+file&{own}").text
    assert "As it was" not in unmoved
    assert "weights" not in _link(unmoved, "Next")
    assert client.get("/?q=file&weight-bm25=lots").status_code == 400


def test_words_of_a_hit_add_up_to_its_scores(client: FlaskClient) -> None:
    page = client.get("/?q=read+a+file").text
    words = client.get(_link(page, "Word by word")).text
    hit = client.get("/api/v1/search?q=read+a+file&k=1&explain=words").get_json()["hits"][0]
    for name in ("bm25", "bert"):
        raw = f"{hit['explanation'][name]['raw']:.3f}".replace("-", MINUS)
        section = words[words.index(f"reading-{name} ") :]
        section = section[: section.index("</section>")]
        assert raw in section
        shares = re.findall(rf"<td>([+{MINUS}]\d+\.\d+)</td>", section)
        total = sum(float(share.replace(MINUS, "-")) for share in shares)
        assert total == pytest.approx(hit["explanation"][name]["raw"], abs=0.01)
    assert client.get("/words-of-hit?q=read&k=1&page=9999").status_code == 404
    assert client.get("/words-of-hit").status_code == 400


def test_other_passages_of_a_document(client: FlaskClient, searcher: Searcher) -> None:
    page = client.get("/?q=epsilon+chapter&k=1").text
    address = _link(page, r"\d+ more passages in this document")
    part = client.get("/parts" + address).text
    n_passages = len(searcher.passages("long"))
    assert f">{n_passages - 1} more passages" in page
    n_left_out = int(re.search(r"(\d+) more, further", part)[1])  # type: ignore[index]
    assert part.count('<p class="passage"') + n_left_out == n_passages - 1
    assert "<mark>" in part
    assert client.get("/passages?q=x&document=nope").status_code == 404
    assert client.get("/passages?q=x").status_code == 404


def test_the_document_page_leads_to_similar_ones(client: FlaskClient) -> None:
    page = client.get("/documents/files/00").text
    api = client.get("/api/v1/documents/files/00/similar?k=6").get_json()
    section = page[page.index("similar-title") :]
    assert re.findall(r'href="/documents/([^?]*)\?', section) == [
        quote(hit["doc_id"]) for hit in api["hits"]
    ]


def test_browsers_can_add_the_search(client: FlaskClient) -> None:
    page = client.get("/").text
    address = re.search(r'rel="search"[^>]*href="([^"]*)"', page)
    assert address
    described = client.get(address[1])
    assert described.content_type.startswith("application/opensearchdescription+xml")
    root = ElementTree.fromstring(described.text)  # noqa: S314 (our own)
    names = {"o": "http://a9.com/-/spec/opensearch/1.1/"}
    templates = {one.get("type"): one.get("template") for one in root.findall("o:Url", names)}
    search = str(templates["text/html"]).replace("{searchTerms}", "read+a+file")
    assert "matches" in client.get(search.removeprefix("http://localhost")).text
    suggest = str(templates["application/x-suggestions+json"]).replace("{searchTerms}", "quat")
    query, texts = client.get(suggest.removeprefix("http://localhost")).get_json()
    assert query == "quat"
    assert "Quaternion interpolation" in texts
    odd = client.get("/opensearch.xml", query_string={"collection": ATTACK})
    ElementTree.fromstring(odd.text)  # noqa: S314
    assert client.get("/suggestions?q=").get_json() == ["", []]


def test_static_files_are_kept_until_they_change(client: FlaskClient) -> None:
    address = re.search(r'href="(/static/[^"]*base\.css)"', client.get("/").text)
    assert address
    with client.get(address[1]) as response:
        assert "max-age=31536000" in response.headers["Cache-Control"]


def test_words_nearby_help_where_nothing_is_good(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.search.searcher.GOOD_PROBABILITY", 1.0)
    page = client.get("/?q=file").text
    assert "Words this collection uses near yours" in page
    near = _link(page, "<bdi>")
    assert client.get(near).status_code == 200
