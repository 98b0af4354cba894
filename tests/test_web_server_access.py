"""Keys and limits where several processes serve, and when keys are asked for at all."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_web_server import _serving

from search_api.keys import KeyStore
from web import command_line
from web.app import Settings

LIMIT = 30


@pytest.fixture
def served(copied_data_dir: Path) -> Iterator[tuple[Path, str]]:
    options = ("--workers", "2", "--require-keys", "--rate-limit", f"{LIMIT}/day")
    with _serving(copied_data_dir, *options) as (_process, url):
        yield copied_data_dir, url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _ask(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str]:
    asked = urllib.request.Request(url, headers=headers, data=body)  # noqa: S310
    try:
        with urllib.request.build_opener(_NoRedirect).open(asked, timeout=60) as response:
            return response.status, str(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.headers)


def _statuses(url: str, key: str, n_requests: int) -> list[int]:
    with ThreadPoolExecutor(8) as clients:
        asked = [f"{url}/api/v1/health"] * n_requests
        return [status for status, _ in clients.map(lambda a: _ask(a, {"X-API-Key": key}), asked)]


def test_limits_and_revocation_are_right_over_two_workers(served: tuple[Path, str]) -> None:
    data_dir, url = served
    store = KeyStore(data_dir)
    # Made while the server runs.
    made, key = store.create("a test", ["search"])
    _, other = store.create("another", ["search"])
    statuses = _statuses(url, key, LIMIT + 10)
    assert sorted(statuses) == [200] * LIMIT + [429] * 10
    assert set(_statuses(url, other, 10)) == {200}
    store.revoke(made.key_id)
    # The key's requests are now nobody's: the address's own.
    assert set(_statuses(url, key, 10)) == {401}
    assert set(_statuses(url, other, 10)) == {200}
    # Nothing that a client says of proxies counts where none was configured.
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9", "Origin": url}
    status, headers = _ask(f"{url}/sign-in", forwarded, f"key={other}".encode())
    assert status == 303
    assert "trine_session=" in headers
    assert "secure" not in headers.lower()


@pytest.mark.parametrize(
    ("options", "required"),
    [
        ([], False),
        (["--host", "localhost"], False),
        (["--host", "::1"], False),
        (["--require-keys"], True),
        (["--host", "0.0.0.0"], True),  # noqa: S104
        (["--host", "::"], True),
        (["--host", "search.example"], True),
        (["--proxy", "1"], True),
        (["--host", "0.0.0.0", "--insecure-no-auth"], False),  # noqa: S104
        (["--proxy", "1", "--insecure-no-auth"], False),
        (["--host", "0.0.0.0", "--writable"], True),  # noqa: S104
    ],
)
def test_keys_are_asked_for_wherever_others_can_reach(
    library_data_dir: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], required: bool
) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(command_line, "serve_forever", lambda told, **_: served.append(told))
    place = ["--data-dir", str(library_data_dir)]
    done = CliRunner().invoke(command_line.serve, [*options, *place])
    assert done.exit_code == 0, done.output
    (told,) = served
    assert told.keys_required is required
    assert ("there is no key yet" in done.stderr) is required
    assert ("no key is asked for" in done.stderr) is ("--insecure-no-auth" in options)


@pytest.mark.parametrize(
    "options",
    [
        ["--rate-limit", "many"],
        ["--cors-origin", "shop.example"],
        ["--require-keys", "--insecure-no-auth"],
        ["--proxy", "-1"],
    ],
)
def test_options_that_cannot_be_are_refused(library_data_dir: Path, options: list[str]) -> None:
    place = ["--data-dir", str(library_data_dir)]
    assert CliRunner().invoke(command_line.serve, [*options, *place]).exit_code != 0
