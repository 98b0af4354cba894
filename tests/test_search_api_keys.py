"""API keys: how they are kept, and the command that makes them."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import IndexFolderError, QueryError
from search_api.command_line import keys as keys_command
from search_api.keys import KEY_PREFIX, KeyStore


def test_a_key_is_found_again_and_nothing_like_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    made, key = store.create("shop", ["write", "search"], collections=["a", "b", "a"])
    assert key.startswith(KEY_PREFIX)
    assert (made.scopes, made.collections) == (("search", "write"), ("a", "b"))
    assert store.find(key) == KeyStore(tmp_path).find(key) == made
    other = "0" if key[-1] != "0" else "1"
    for wrong in ("", key[:-1] + other, key[:-1], key + "0", key.upper(), f" {key}", made.sha256):
        assert store.find(wrong) is None


def test_keys_are_long_and_never_the_same(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    secrets = {store.create(f"key {n}", ["search"])[1].rpartition("_")[2] for n in range(20)}
    assert len(secrets) == 20
    assert all(len(bytes.fromhex(secret)) * 8 == 256 for secret in secrets)


def test_the_file_is_its_owners_alone_and_holds_no_key(tmp_path: Path) -> None:
    _, key = KeyStore(tmp_path).create("shop", ["search"])
    written = [path for path in (tmp_path / "state").iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    for path in written:
        assert key not in path.read_text()
        assert key.rpartition("_")[2] not in path.read_text()


def test_a_revoked_key_is_unknown_to_every_store_at_once(tmp_path: Path) -> None:
    store, other = KeyStore(tmp_path), KeyStore(tmp_path)
    made, key = store.create("shop", ["search"])
    kept, kept_key = store.create("site", ["search"])
    assert other.find(key) == made
    store.revoke(made.key_id)
    assert other.find(key) is None
    assert other.find(kept_key) == kept
    with pytest.raises(QueryError, match="no key"):
        store.revoke(made.key_id)


def _create(data_dir: Path, number: int) -> None:
    KeyStore(data_dir).create(f"key {number}", ["search"])


def test_keys_made_by_several_processes_at_once_are_all_kept(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        pool.starmap(_create, [(tmp_path, number) for number in range(24)])
    assert sorted(key.label for key in KeyStore(tmp_path).all()) == sorted(
        f"key {number}" for number in range(24)
    )


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 2, "keys": []}', "\x00"])
def test_nobody_is_let_in_where_the_file_cannot_be_read(tmp_path: Path, content: str) -> None:
    store = KeyStore(tmp_path)
    _, key = store.create("shop", ["search"])
    (tmp_path / "state" / "keys.json").write_text(content)
    with pytest.raises(IndexFolderError, match="cannot be used"):
        store.find(key)
    with pytest.raises(IndexFolderError):
        store.create("another", ["search"])
    assert (tmp_path / "state" / "keys.json").read_text() == content


@pytest.mark.parametrize(
    ("label", "scopes", "bounds"),
    [
        (" ", ["search"], {}),
        ("x" * 101, ["search"], {}),
        ("two\nlines", ["search"], {}),
        ("x", [], {}),
        ("x", ["root"], {}),
        ("x", ["search"], {"collections": ["../y"]}),
        ("x", ["search"], {"filter": ""}),
        ("x", ["search"], {"filter": "kind:"}),
        ("x", ["search", "write"], {"filter": "kind:public"}),
        ("x", ["admin"], {"filter": "kind:public"}),
    ],
)
def test_what_a_key_cannot_be(
    tmp_path: Path, label: str, scopes: list[str], bounds: dict[str, object]
) -> None:
    with pytest.raises(QueryError):
        KeyStore(tmp_path).create(label, scopes, **bounds)  # type: ignore[arg-type]
    assert KeyStore(tmp_path).all() == []


@given(st.text(max_size=200))
def test_no_text_is_a_key_by_chance(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    store = KeyStore(tmp_path_factory.getbasetemp() / "keys-by-chance")
    made = store.all()[0] if store.all() else store.create("x", ["search"])[0]
    assert store.find(text) is None
    assert store.find(f"{KEY_PREFIX}{made.key_id}_{text}") is None


def test_the_command_shows_a_key_once(tmp_path: Path) -> None:
    runner = CliRunner()
    place = ["--data-dir", str(tmp_path), "--json"]
    created = runner.invoke(
        keys_command,
        ["create", "the shop", "--collection", "a", "--filter", "kind:public", *place],
    )
    made = json.loads(created.stdout)
    key = made.pop("key")
    found = KeyStore(tmp_path).find(key)
    assert found is not None
    assert found.to_json() == made
    assert (made["label"], made["scopes"], made["filter"]) == (
        "the shop",
        ["search"],
        "kind:public",
    )
    listed = runner.invoke(keys_command, ["list", *place])
    assert json.loads(listed.stdout) == [made]
    assert key not in listed.output + runner.invoke(keys_command, ["list", *place[:2]]).output
    revoked = runner.invoke(keys_command, ["revoke", made["id"], *place])
    assert json.loads(revoked.stdout) == {"revoked": made}
    assert KeyStore(tmp_path).all() == []


def test_the_command_prints_the_key_alone_for_scripts(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path)]
    scopes = ["--scope", "write", "--scope", "admin"]
    made = CliRunner().invoke(keys_command, ["create", "cron", *scopes, *place])
    found = KeyStore(tmp_path).find(made.stdout.strip())
    assert found is not None
    assert found.scopes == ("write", "admin")
