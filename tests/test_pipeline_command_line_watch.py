"""Watching: what counts as a change, and that nothing but a signal ends it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import fork_server
import pytest
from fork_server import PIPE, Forked

from ingest.options import SourceOptions
from pipeline.command_line import watch
from pipeline.command_line.main import main
from pipeline.command_line.watch import run_on_changes, take_snapshot, watchable
from pipeline.version.collection import CollectionFolder

OPTIONS = SourceOptions()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for word in ("apple", "bridge", "cloud"):
        (folder / f"{word}.md").write_text(f"# The {word}\n\nAll about the {word}.\n")
    (folder / ".gitignore").write_text("*.log\nbuild/\n")
    return folder


def _save_as_editors_do(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text)
    beside.replace(path)


def test_only_what_would_be_read_counts(notes: Path) -> None:
    data_dir = notes / "data"

    def now() -> object:
        return take_snapshot([str(notes)], OPTIONS, data_dir)

    before = now()
    assert isinstance(before, frozenset)
    assert len(before) == 3
    (notes / "debug.log").write_text("ignored")
    (notes / ".hidden.md.swp").write_text("an editor's own")
    (notes / "build").mkdir()
    (notes / "build" / "page.md").write_text("ignored")
    (data_dir / "default" / "versions").mkdir(parents=True)
    (data_dir / "default" / "versions" / "x.md").write_text("ours")
    assert now() == before
    link = notes.parent / "link"
    link.symlink_to(notes)
    assert len(take_snapshot([str(link)], OPTIONS, data_dir)) == 3
    _save_as_editors_do(notes / "apple.md", "# The apple\n\nAll about the other.\n")
    assert now() != before
    (notes / ".gitignore").write_text("")
    assert len(now()) == 5  # type: ignore[arg-type]
    shutil.rmtree(notes)
    assert "no such file or folder" in str(now())


def test_modules_are_not_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert watchable(["pydoc:json", "notes"]) == ["notes"]
    with pytest.raises(SystemExit) as ended:
        main(["index", "pydoc:json", "--watch", "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "--watch needs a SOURCE that is a file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["index", str(tmp_path / "nope"), "--watch", "--data-dir", str(tmp_path)])
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_run_ends_the_watch(
    notes: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    handlers = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)]
    runs: list[str] = []

    def run() -> bool:
        runs.append("began")
        os.kill(os.getpid(), kind)
        runs.append("went on")  # pragma: no cover
        return True

    run_on_changes([str(notes)], OPTIONS, tmp_path, run)
    assert runs == ["began"]
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_changes_during_a_run_make_one_more(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run that asks for it is tried again ten looks later.
    monkeypatch.setattr(watch, "_LOOK_EVERY_MS", 100)
    runs: list[int] = []

    def run() -> bool:
        runs.append(len(list(notes.glob("*.md"))))
        if len(runs) == 1:
            for number in range(5):
                _save_as_editors_do(notes / f"new-{number}.md", f"# New {number}\n")
        if len(runs) == 2:
            return False  # locked, say: to be tried again without any change
        if len(runs) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    run_on_changes([str(notes)], OPTIONS, tmp_path / "data", run)
    assert runs == [3, 8, 8]


def test_a_file_by_itself_is_followed_through_replacement(tmp_path: Path) -> None:
    file, folder = tmp_path / "one.md", tmp_path / "gone"
    file.write_text("# One\n")
    folder.mkdir()
    (folder / "two.md").write_text("# Two\n")
    for sources in ([str(file)], [str(file), str(folder)]):
        runs: list[str] = []

        def run(runs: list[str] = runs, both: bool = len(sources) > 1) -> bool:
            runs.append(file.read_text())
            if len(runs) == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            if both and len(runs) == 2:
                shutil.rmtree(folder)
            elif both and len(runs) == 3:
                folder.mkdir()
                (folder / "two.md").write_text("# Two, again\n")
            else:
                _save_as_editors_do(file, f"# One, {len(runs)}\n")
            return True

        run_on_changes(sources, OPTIONS, tmp_path / "data", run)
        assert len(runs) == 4


@contextmanager
def _watching(*arguments: object) -> Iterator[tuple[Forked, IO[str], IO[str]]]:
    with fork_server.start("index", *arguments, "--watch", stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process, process.stdout, process.stderr
        finally:
            process.kill()


def test_watching_from_the_first_file_to_sigterm(notes: Path) -> None:
    # The data folder lies in what is watched: its own changes must start no run.
    data_dir = notes / "data"
    folder = CollectionFolder(data_dir, "default")
    options = (notes, "--signals", "bm25", "--data-dir", data_dir)
    with _watching(*options) as (process, out, err):
        first = out.readline()
        assert first.startswith("default: published version")
        assert "3 documents (3 added, 0 changed, 0 removed)" in first
        (notes / "ignored.log").write_text("nobody reads this")
        _save_as_editors_do(notes / "apple.md", "# The apple\n\nAnother text.\n")
        assert "(0 added, 1 changed, 0 removed)" in out.readline()
        version = folder.current()
        bad = notes / "bad.jsonl"
        bad.write_text('{"id": "a", "text": "One"}\n{"id": "a", "text": "Two"}\n')
        told = err.readline()
        assert told.startswith("trine: two documents have the id 'a'")
        assert folder.current() == version
        bad.write_text('{"id": "a", "text": "One"}\n')
        assert "4 documents (1 added" in out.readline()
        for path in [bad, *notes.glob("[ab]*.md")]:
            path.unlink()
        assert "--allow-shrink" in err.readline()
        # A disk that is mounted again, say.
        (notes / "apple.md").write_text("# The apple\n\nAnother text.\n")
        assert "2 documents (0 added, 0 changed, 2 removed)" in out.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert out.read() == ""
        assert err.read() == ""
    assert not list(data_dir.rglob("*.building"))


def test_watching_tells_json_lines(notes: Path, tmp_path: Path) -> None:
    options = (notes, "--signals", "bm25", "--data-dir", tmp_path / "data", "--json")
    with _watching(*options) as (process, out, _):
        assert json.loads(out.readline())["added"] == 3
        (notes / "drum.md").write_text("# The drum\n")
        assert json.loads(out.readline())["added"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
