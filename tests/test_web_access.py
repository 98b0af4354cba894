"""Keys, limits, origins and proxies over HTTP: signing in, and servers with several workers."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest.errors import QueryError
from search_api.keys import KeyStore
from search_api.rate_limits import RateLimit, RateLimiter
from web import Settings, create_app
from web.app import checked_origin

API = "/api/v1"
HERE = "http://localhost"
KEY_IN = re.compile(r"trine_[0-9a-f]{12}_")


@pytest.fixture
def data_dir(copied_data_dir: Path) -> Path:
    return copied_data_dir


def _closed(data_dir: Path, **settings: object) -> FlaskClient:
    options: dict[str, object] = {"keys_required": True, **settings}
    return create_app(Settings(data_dir, **options)).test_client()  # type: ignore[arg-type]


def _key(data_dir: Path, *scopes: str, **bounds: object) -> str:
    made = KeyStore(data_dir).create("a test", scopes or ("search",), **bounds)  # type: ignore[arg-type]
    return made[1]


def _sign_in(client: FlaskClient, key: str, *, to: str = "/?q=file") -> TestResponse:
    return client.post(
        "/sign-in", query_string={"next": to}, data={"key": key}, headers={"Origin": HERE}
    )


# Keys


def test_without_keys_all_stays_as_it_was(data_dir: Path) -> None:
    client = _closed(data_dir, keys_required=False)
    assert client.get(f"{API}/search?q=file").status_code == 200
    assert client.get("/?q=file").status_code == 200
    assert client.get(f"{API}/versions").status_code == 403


def test_a_key_counts_where_none_is_asked_for(data_dir: Path) -> None:
    client = _closed(data_dir, keys_required=False)
    narrow = {"X-API-Key": _key(data_dir, filter="subject:time")}
    subjects = client.get(f"{API}/search?q=file&facets=subject", headers=narrow).get_json()
    assert [entry["value"] for entry in subjects["facets"]["subject"]] == ["time"]
    admin = {"Authorization": f"Bearer {_key(data_dir, 'admin')}"}
    assert client.get(f"{API}/versions", headers=admin).status_code == 200
    assert client.get(f"{API}/search?q=file", headers=admin).status_code == 403
    wrong = {"Authorization": "Bearer no-key"}
    assert client.get(f"{API}/search?q=file", headers=wrong).status_code == 401
    basic = {"Authorization": "Basic dXNlcjpwYXNz"}
    assert client.get(f"{API}/search?q=file", headers=basic).status_code == 200


def test_a_revoked_key_is_refused_with_the_next_request(data_dir: Path) -> None:
    client, store = _closed(data_dir), KeyStore(data_dir)
    made, key = store.create("a test", ["search"])
    headers = {"Authorization": f"bearer  {key}"}
    assert client.get(f"{API}/search?q=file", headers=headers).status_code == 200
    KeyStore(data_dir).revoke(made.key_id)
    assert client.get(f"{API}/search?q=file", headers=headers).status_code == 401


def test_an_answer_kept_for_one_key_is_not_taken_for_anothers(data_dir: Path) -> None:
    client = _closed(data_dir)
    wide, narrow = (
        {"X-API-Key": key} for key in (_key(data_dir), _key(data_dir, filter="subject:time"))
    )
    first = client.get(f"{API}/search?q=file", headers=wide)
    assert {"Authorization", "X-API-Key", "Cookie"} <= {*first.headers["Vary"].split(", ")}
    assert first.headers["Cache-Control"].startswith("private")
    known = {"If-None-Match": first.headers["ETag"]}
    assert client.get(f"{API}/search?q=file", headers=wide | known).status_code == 304
    assert client.get(f"{API}/search?q=file", headers=narrow | known).status_code == 200


def test_the_contract_and_whether_the_server_lives_are_told_to_anybody(data_dir: Path) -> None:
    client = _closed(data_dir)
    for path in ("/openapi.json", "/docs", "/health/live", "/health/ready"):
        assert client.get(API + path).status_code == 200
    assert client.get("/problems/unauthorized").status_code == 200
    assert client.get("/nowhere").status_code == 404
    schemes = client.get(f"{API}/openapi.json").get_json()["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}


def test_no_key_stands_in_the_log(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = _closed(data_dir)
    key = _key(data_dir, filter="subject:time")
    (data_dir / "default" / "CURRENT").write_text("gone")
    for path in (f"{API}/search?q=file", f"{API}/documents/x", "/?q=file", f"{API}/health"):
        told = client.get(path, headers={"Authorization": f"Bearer {key}"})
        assert key not in told.text
        assert key not in client.get(path, headers={"X-API-Key": key + "0"}).text
    assert not KEY_IN.search(caplog.text)


# Signing in


def test_pages_ask_to_sign_in_and_then_come_back(data_dir: Path) -> None:
    client, key = _closed(data_dir), _key(data_dir)
    asked = client.get("/?q=open+file&k=3")
    assert asked.status_code == 303
    form = client.get(asked.headers["Location"])
    assert form.status_code == 200
    assert 'type="password"' in form.text
    (action,) = re.findall(r'action="([^"]*)"', form.text)
    signed = client.post(action.replace("&amp;", "&"), data={"key": key}, headers={"Origin": HERE})
    assert (signed.status_code, signed.headers["Location"]) == (303, "/?q=open+file&k=3")
    cookie = signed.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {*cookie.split("; ")}
    assert key not in cookie
    shown = client.get("/?q=open+file&k=3")
    assert (shown.status_code, shown.headers["Cache-Control"]) == (200, "private, no-cache")
    assert client.get(f"{API}/search?q=file").status_code == 200
    client.post("/sign-out", headers={"Origin": HERE})
    assert client.get("/?q=open+file").status_code == 303


def test_a_part_is_refused_as_a_part(data_dir: Path) -> None:
    client = _closed(data_dir)
    for path in ("/parts/answer?q=file", "/parts/lenses?q=file", "/parts/passages?q=a&document=b"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert "<html" not in refused.text


def test_places_and_the_way_out_are_shown_to_those_who_may_use_them(data_dir: Path) -> None:
    client = _closed(data_dir)
    assert "Lenses" not in client.get("/sign-in").text
    shown = client.get("/", headers={"X-API-Key": _key(data_dir)}).text
    assert "Lenses" in shown
    assert "/sign-out" not in shown
    _sign_in(client, _key(data_dir))
    assert "/sign-out" in client.get("/").text
    assert "/sign-out" not in _closed(data_dir, keys_required=False).get("/").text


def test_a_key_that_only_administers_is_led_to_the_console(data_dir: Path) -> None:
    client = _closed(data_dir)
    signed = _sign_in(client, _key(data_dir, "admin"), to="/")
    start = client.get(signed.headers["Location"])
    assert (start.status_code, start.headers["Location"]) == (303, "/console")
    console = client.get("/console")
    assert console.status_code == 200
    places = re.search(r'<nav class="places".*?</nav>', console.text, re.DOTALL)
    assert places is not None
    assert re.findall(r">(\w+)</a>", places[0]) == ["Console"]
    assert client.get("/lenses?q=file").status_code == 403


def test_judging_is_shown_to_who_may_search_and_write(data_dir: Path) -> None:
    shown = {}
    for scopes in (("search",), ("search", "write"), ("write", "admin")):
        client = _closed(data_dir)
        _sign_in(client, _key(data_dir, *scopes))
        page = client.get("/console" if "admin" in scopes else "/")
        shown[scopes] = ">Judge</a>" in page.text
    assert shown == {("search",): False, ("search", "write"): True, ("write", "admin"): False}


def test_who_may_not_see_a_page_is_offered_to_sign_in(data_dir: Path) -> None:
    client = _closed(data_dir, keys_required=False)
    refused = client.get("/console?a=1&b=2")
    assert refused.status_code == 403
    assert 'href="/sign-in?next=%2Fconsole%3Fa%3D1%26b%3D2"' in refused.text
    _sign_in(client, _key(data_dir))
    assert "/sign-in" not in client.get("/console").text


def test_who_signed_in_sees_what_the_key_may_see(data_dir: Path) -> None:
    client = _closed(data_dir)
    _sign_in(client, _key(data_dir, filter="subject:time"))
    assert client.get("/documents/files/01").status_code == 404
    assert client.get("/documents/time/01").status_code == 200
    page = client.get("/?q=file+folder").text
    assert "files/0" not in page
    assert "time/0" in page


def test_a_revoked_key_is_signed_out_at_once(data_dir: Path) -> None:
    client = _closed(data_dir)
    made, key = KeyStore(data_dir).create("a test", ["search"])
    _sign_in(client, key)
    assert client.get("/?q=file").status_code == 200
    KeyStore(data_dir).revoke(made.key_id)
    assert client.get("/?q=file").status_code == 303


def test_a_session_is_good_in_every_worker_and_cannot_be_forged(data_dir: Path) -> None:
    first, second = _closed(data_dir), _closed(data_dir)
    cookie = _sign_in(first, _key(data_dir)).headers["Set-Cookie"].split(";")[0]
    value = cookie.partition("=")[2]
    second.set_cookie("trine_session", value)
    assert second.get("/?q=file").status_code == 200
    for forged in (value[:-2] + "xx", value.split(".")[0], "", "x.y.z", "é"):
        stranger = _closed(data_dir)
        stranger.set_cookie("trine_session", forged)
        assert stranger.get("/?q=file").status_code == 303
    assert (data_dir / "state" / "session-secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://localhost:81"])
def test_other_sites_cannot_use_a_session(data_dir: Path, origin: str | None) -> None:
    client = _closed(data_dir)
    theirs = {} if origin is None else {"Origin": origin}
    refused = client.post("/sign-in", data={"key": _key(data_dir)}, headers=theirs)
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers
    _sign_in(client, _key(data_dir, "search", "write", "admin"))
    version = client.get(f"{API}/versions").get_json()["versions"][0]["version"]
    for method, path in (
        ("DELETE", f"{API}/documents/files/01"),
        ("POST", f"{API}/versions/{version}/activate"),
        ("POST", "/sign-out"),
    ):
        answer = client.open(path, method=method, json={}, headers=theirs)
        assert answer.status_code == 403
    mine = client.post(f"{API}/versions/{version}/activate", json={}, headers={"Origin": HERE})
    assert mine.status_code == 200


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "", "/\r\nX: y"]
)
def test_signing_in_leads_to_no_other_site(data_dir: Path, wanted: str) -> None:
    signed = _sign_in(_closed(data_dir), _key(data_dir), to=wanted)
    assert (signed.status_code, signed.headers["Location"]) == (303, "/")


# Rates


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_limit_holds_over_several_workers_and_is_gained_again(tmp_path: Path) -> None:
    clock = _Clock()
    path = tmp_path / "rates.sqlite"
    workers = [RateLimiter(path, RateLimit(10, 60_000), clock=clock) for _ in range(2)]
    spent = [workers[number % 2].check("a") for number in range(12)]
    assert [found.retry_after_s is None for found in spent] == [True] * 10 + [False] * 2
    assert [found.remaining for found in spent[:10]] == list(range(9, -1, -1))
    assert spent[-1].retry_after_s == pytest.approx(6)
    assert workers[0].check("b").remaining == 9
    clock.now_s += 6
    assert workers[1].check("a").retry_after_s is None
    assert workers[0].check("a").retry_after_s is not None
    clock.now_s += 60
    assert workers[0].check("a").remaining == 9


def test_a_clock_that_was_set_back_locks_nobody_out(tmp_path: Path) -> None:
    clock = _Clock()
    limiter = RateLimiter(tmp_path / "rates.sqlite", RateLimit(2, 1000), clock=clock)
    assert limiter.check("a").retry_after_s is None
    clock.now_s -= 86_400
    waits = [limiter.check("a").retry_after_s or 0.0 for _ in range(3)]
    assert max(waits) <= 1
    clock.now_s += 1
    assert limiter.check("a").retry_after_s is None


def test_what_is_kept_does_not_grow_with_clients_that_are_gone(tmp_path: Path) -> None:
    clock = _Clock()
    path = tmp_path / "rates.sqlite"
    limiter = RateLimiter(path, RateLimit(2, 1000), clock=clock)
    for number in range(500):
        limiter.check(f"client {number}")
    clock.now_s += 3600
    limiter.check("last")
    (kept,) = sqlite3.connect(path).execute("SELECT count(*) FROM spent").fetchone()
    assert kept == 1


def test_who_asks_too_much_is_told_when_to_ask_again(data_dir: Path) -> None:
    client = _closed(data_dir, keys_required=False, rate_limit=RateLimit(3, 60_000))
    answers = [client.get(f"{API}/search?q=file&k=1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit"] == '"requests";r=2;t=20'
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=3;w=60'
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20
    assert answers[3].get_json(force=True)["type"] == "/problems/too-many-requests"
    assert client.get("/?q=file").status_code == 429
    # A key has its own, and whoever watches is not counted.
    mine = {"X-API-Key": _key(data_dir)}
    assert client.get(f"{API}/search?q=file", headers=mine).status_code == 200
    assert client.get(f"{API}/health/live").status_code == 200
    # Keys that are none are the address's.
    wrong = {"X-API-Key": "trine_0"}
    assert client.get(f"{API}/search?q=file", headers=wrong).status_code == 429
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get(f"{API}/search?q=file", environ_base=elsewhere).status_code == 200


def test_an_address_is_a_whole_network_where_one_client_has_that(data_dir: Path) -> None:
    client = _closed(data_dir, keys_required=False, rate_limit=RateLimit(2, 60_000))
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8:0:1::1"]
    statuses = [
        client.get(f"{API}/search?q=file&k=1", environ_base={"REMOTE_ADDR": address}).status_code
        for address in addresses
    ]
    assert statuses == [200, 200, 429, 200]


def test_searching_goes_on_where_requests_cannot_be_counted(data_dir: Path) -> None:
    (data_dir / "state").mkdir(exist_ok=True)
    (data_dir / "state" / "rates.sqlite").mkdir()
    client = _closed(data_dir, keys_required=False, rate_limit=RateLimit(1, 60_000))
    assert [client.get(f"{API}/search?q=x").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "text", ["", "5", "0/minute", "-1/minute", "5/year", "5 / minute", "٣/day"]
)
def test_a_limit_that_cannot_be_read(text: str) -> None:
    with pytest.raises(QueryError, match="100/minute"):
        RateLimit.parse(text)


# Pages of other sites


def test_pages_of_other_sites_may_ask_only_where_that_was_allowed(data_dir: Path) -> None:
    shop = {"Origin": "https://shop.example"}
    plain = _closed(data_dir, keys_required=False)
    assert "Access-Control-Allow-Origin" not in plain.get(f"{API}/health", headers=shop).headers
    client = _closed(data_dir, cors_origins=("https://shop.example",))
    wanted = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = client.options(f"{API}/documents/x", headers=shop | wanted)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    asked = client.get(f"{API}/search?q=file", headers=shop | {"X-API-Key": _key(data_dir)})
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Access-Control-Allow-Credentials" not in asked.headers
    assert "RateLimit" in asked.headers["Access-Control-Expose-Headers"]
    refused = client.get(f"{API}/search?q=file", headers=shop)
    assert refused.status_code == 401
    # The script that asked can read why.
    assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    for other in ("https://evil.example", "https://shop.example.evil.example", "null"):
        told = client.get(f"{API}/health", headers={"Origin": other})
        assert "Access-Control-Allow-Origin" not in told.headers
    assert "Access-Control-Allow-Origin" not in client.get("/", headers=shop).headers


@pytest.mark.parametrize(
    "text", ["shop.example", "https://", "https://*.example", ".*", "https://a.b/", "null", "^.$"]
)
def test_an_origin_that_cannot_be_read(text: str) -> None:
    with pytest.raises(QueryError, match="origin"):
        checked_origin(text)


# Proxies

FORWARDED = {
    "X-Forwarded-For": "198.51.100.1, 192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "search.example",
    "X-Forwarded-Prefix": "/trine",
}


def test_what_proxies_say_counts_only_where_there_are_some(data_dir: Path) -> None:
    key = _key(data_dir)
    alone = _sign_in(_closed(data_dir), key)
    assert "secure" not in alone.headers["Set-Cookie"].lower()
    client = _closed(data_dir)
    ignored = client.get("/?q=file", headers=FORWARDED)
    assert ignored.headers["Location"].startswith("/sign-in")
    behind = _closed(data_dir, n_proxies=1)
    sent = behind.get("/?q=file", headers=FORWARDED)
    assert sent.headers["Location"] == "/trine/sign-in?next=%2F%3Fq%3Dfile"
    signed = behind.post(
        "/sign-in?next=/%3Fq%3Dfile",
        data={"key": key},
        headers={**FORWARDED, "Origin": "https://search.example"},
    )
    assert signed.headers["Location"] == "/trine/?q=file"
    assert {"Secure", "Path=/trine/"} <= {*signed.headers["Set-Cookie"].split("; ")}


def test_every_link_and_address_has_the_prefix(data_dir: Path) -> None:
    client = _closed(data_dir, n_proxies=1)
    headers = {**FORWARDED, "X-API-Key": _key(data_dir, "search", "write")}
    pages = ("/", "/?q=open+file&k=3", "/documents/files/01?q=file", f"{API}/docs", "/?k=x")
    others = (
        "/lenses?q=file",
        "/words?q=file",
        "/map",
        "/map?q=file",
        "/passages?document=long&q=a",
    )
    for path in (*pages, *others):
        page = client.get(path, headers=headers)
        addresses = re.findall(r'(?:href|action|src|data-map-address)="(/[^"]*)"', page.text)
        assert addresses, path
        assert [found for found in addresses if not found.startswith("/trine/")] == []
    told = client.get("/opensearch.xml", headers=headers).text
    named = re.findall(r"https://search\.example(/[^/?<\"]*)", told)
    assert set(named) == {"/trine"}
    assert len(named) == 4
    contract = client.get(f"{API}/openapi.json", headers=headers).get_json()
    assert contract["servers"] == [{"url": "/trine/"}]
    assert (
        "https://search.example/trine/api/v1/search"
        in client.get(f"{API}/docs", headers=headers).text
    )
    problem = client.get(f"{API}/documents/none", headers=headers).get_json(force=True)
    assert problem["instance"] == "/trine/api/v1/documents/none"
    written = client.delete(f"{API}/documents/none", headers=headers)
    assert written.headers["Location"].startswith("/trine/api/v1/tasks/")


def test_the_client_behind_a_proxy_is_the_one_counted(data_dir: Path) -> None:
    def statuses(client: FlaskClient, *forwarded: str) -> list[int]:
        return [
            client.get(f"{API}/search?q=x", headers={"X-Forwarded-For": text}).status_code
            for text in forwarded
        ]

    limited = {"keys_required": False, "rate_limit": RateLimit(1, 3_600_000)}
    behind = _closed(data_dir, n_proxies=1, **limited)
    # What the client itself wrote stands before what the proxy added.
    assert statuses(behind, "192.0.2.1", "192.0.2.2", "9.9.9.9, 192.0.2.1") == [200, 200, 429]
    alone = _closed(data_dir, **limited)
    assert statuses(alone, "192.0.2.3", "192.0.2.4") == [200, 429]


def test_a_client_behind_a_proxy_is_not_of_this_machine(data_dir: Path) -> None:
    local = _closed(data_dir, keys_required=False, admin=True, n_proxies=1)
    far = {"X-Forwarded-For": "192.0.2.7"}
    assert local.get(f"{API}/versions").status_code == 200
    assert local.get(f"{API}/versions", headers=far).status_code == 403
