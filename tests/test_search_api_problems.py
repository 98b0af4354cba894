"""Every error has a status, and a body that says no more than it should."""

import importlib
import pkgutil

import pytest

import ingest.errors
from ingest.errors import DuplicateDocumentError, EmptyCorpusError, NotFittedError, TrineError
from search_api.problems import ERROR_KINDS, HTTP_KINDS, INTERNAL_ERROR, kind_of


def _subclasses(cls: type[TrineError]) -> set[type[TrineError]]:
    found = set(cls.__subclasses__())
    return found.union(*(_subclasses(child) for child in found))


def test_every_error_has_a_status_of_its_own_or_of_an_ancestor() -> None:
    for name in ("ingest", "encoders", "pipeline", "search_api", "web"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, name + "."):
            importlib.import_module(module.name)
    for error in _subclasses(TrineError):
        assert kind_of(error) is not INTERNAL_ERROR, f"{error.__name__} has no HTTP status"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ingest.errors.QueryError, 400),
        (ingest.errors.CorpusError, 400),
        (DuplicateDocumentError, 400),
        (EmptyCorpusError, 400),
        (ingest.errors.DocumentNotFoundError, 404),
        (ingest.errors.IndexNotFoundError, 503),
        (ingest.errors.IndexVersionError, 503),
        (ingest.errors.IndexCorruptError, 503),
        (ingest.errors.IndexFolderError, 503),
        (ingest.errors.IndexLockedError, 409),
        (ingest.errors.DimensionMismatchError, 500),
        (ingest.errors.ModelNotFoundError, 503),
        (NotFittedError, 500),
        (ingest.errors.EncoderError, 500),
    ],
)
def test_status_of(error: type[TrineError], status: int) -> None:
    assert kind_of(error).status == status


def test_types_are_stable_paths_and_titles_are_one_line() -> None:
    kinds = [*ERROR_KINDS.values(), *HTTP_KINDS.values(), INTERNAL_ERROR]
    by_type = {}
    for kind in kinds:
        assert kind.type == f"/problems/{kind.slug}"
        assert by_type.setdefault(kind.type, kind) == kind
