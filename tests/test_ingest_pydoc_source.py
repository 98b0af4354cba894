"""Python's documentation strings become documents under the names people use."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.pydoc_source import read_pydoc
from ingest.sources import IngestReport


@pytest.fixture(scope="module")
def stdlib() -> dict[str, Document]:
    documents = list(read_pydoc("stdlib"))
    counts = Counter(document.doc_id for document in documents)
    assert counts.most_common(1)[0][1] == 1
    return {document.doc_id: document for document in documents}


def test_standard_library_has_thousands_of_distinct_texts(stdlib: dict[str, Document]) -> None:
    assert 4_500 < len(stdlib) < 8_000
    assert len({document.text for document in stdlib.values()}) == len(stdlib)
    assert list(stdlib) == sorted(stdlib)


@pytest.mark.parametrize(
    ("doc_id", "title", "kind"),
    [
        ("os.path.join", "os.path.join(a, *p)", "function"),
        ("len", "len(obj, /)", "function"),
        ("open", "open(file, mode='r', buffering=-1, encoding=None, errors=None, newline=None, "
         "closefd=True, opener=None)", "function"),
        ("str.join", "str.join(iterable, /)", "method"),
        ("random.randint", "random.randint(a, b)", "function"),
        ("os.path", "os.path", "module"),
        ("pathlib.PurePath.name", "pathlib.PurePath.name", "property"),
    ],
)  # fmt: skip
def test_names_people_use_are_canonical(
    stdlib: dict[str, Document], doc_id: str, title: str, kind: str
) -> None:
    document = stdlib[doc_id]
    assert document.title == title
    assert document.metadata["kind"] == kind
    assert doc_id in document.names


def test_objects_with_one_text_are_one_document(stdlib: dict[str, Document]) -> None:
    assert "posixpath.join" in stdlib["os.path.join"].names
    assert "os.error" in stdlib["OSError"].names
    assert "unittest.case.TestCase" in stdlib["unittest.TestCase"].names
    assert "unittest.case.TestCase" not in stdlib


def test_nothing_depends_on_the_machine(stdlib: dict[str, Document]) -> None:
    shown = "\n".join(document.title for document in stdlib.values())
    assert " at 0x" not in shown
    assert sys.prefix not in shown
    assert str(Path.home()) + "/" not in shown


def test_special_methods_and_dangerous_modules_are_left_out(stdlib: dict[str, Document]) -> None:
    names = [name for document in stdlib.values() for name in document.names]
    assert not any(part.startswith("_") for name in names for part in name.split(".")[1:])
    assert not any(name.split(".")[0] in {"this", "antigravity", "test"} for name in names)


def test_addresses_lead_to_the_documentation(stdlib: dict[str, Document]) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = f"https://docs.python.org/{version}/library"
    assert stdlib["os.path.join"].url == f"{base}/os.path.html#os.path.join"
    assert stdlib["str.join"].url == f"{base}/stdtypes.html#str.join"
    assert stdlib["json"].url == f"{base}/json.html#module-json"


def test_named_modules_only() -> None:
    tops = {str(d.metadata["module"]) for d in read_pydoc("json, email")}
    assert tops == {"json", "email"}


@pytest.mark.parametrize("spec", ["", "no_such_module_here", "json,,email", "../x", "this", "-c"])
def test_bad_module_names_are_clear_errors(spec: str) -> None:
    with pytest.raises(CorpusError, match="pydoc:"):
        list(read_pydoc(spec))


def test_modules_that_print_exit_or_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "noisy_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        '"""A noisy package."""\nimport os\nprint("noise")\nos.write(1, b"{}\\n")\n'
        'class A:\n    """Class A."""\n    @property\n    def size(self):\n        """How big."""\n'
        'def f(x=object()):\n    """Do f."""\n'
    )
    (package / "leaves.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = IngestReport()
    documents = {d.doc_id: d for d in read_pydoc("noisy_package", report=report)}
    assert list(documents) == [
        "noisy_package",
        "noisy_package.A",
        "noisy_package.A.size",
        "noisy_package.f",
    ]
    assert documents["noisy_package.f"].title == "noisy_package.f(x=...)"
    assert documents["noisy_package"].url is None
    assert report.skipped == {"unimportable module": ["noisy_package.leaves"]}
    assert capfd.readouterr() == ("", "")


def test_module_that_ends_the_process_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos._exit(0)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CorpusError, match="ended the process"):
        list(read_pydoc("deadly"))
