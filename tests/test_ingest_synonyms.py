"""Synonym files: what a line means, and what is said of one that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.errors import CorpusError
from ingest.synonyms import read_synonyms


def test_commas_go_both_ways_and_arrows_one(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text(
        "\ufeff# vehicles\ncar, automobile , motor  vehicle\n\nnyc => new york\nnyc, gotham\n"
        "lift, hoist => elevator\n",
        "utf-8",
    )
    assert read_synonyms(path) == {
        "car": ["automobile", "motor vehicle"],
        "automobile": ["car", "motor vehicle"],
        "motor vehicle": ["car", "automobile"],
        "nyc": ["new york", "gotham"],
        "gotham": ["nyc"],
        "lift": ["elevator"],
        "hoist": ["elevator"],
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("car", "has no synonym"),
        ("car, car", "has no synonym"),
        ("car, , automobile", "without a letter"),
        ("car =>", "without a letter"),
        ("=> car", "without a letter"),
        ("a => b => c", "more than one"),
        ("car, ???", "without a letter"),
        ("car, " + "very " * 11 + "long", "more than 10 words"),
    ],
)
def test_a_bad_line_names_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text(f"good, fine\n\n{line}\n", "utf-8")
    with pytest.raises(CorpusError, match=reason) as caught:
        read_synonyms(path)
    assert f"{path}, line 3: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9, bar\n")
    for name, reason in (("latin", "not UTF-8"), ("nowhere", "cannot read")):
        with pytest.raises(CorpusError, match=reason) as caught:
            read_synonyms(tmp_path / name)
        assert name in str(caught.value)
