"""The house holds to its own rules: ARCHITECTURE.md's invariants, checked."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import click
import pytest

from pipeline.command_line.main import cli

ROOT = Path(__file__).parent.parent
PACKAGES = ("ingest", "encoders", "pipeline", "search_api", "web")
FOLDERS = sorted(
    path.relative_to(ROOT).parent.as_posix() for path in ROOT.glob("pipeline/*/__init__.py")
)
# What each part of pipeline/ may import from its neighbours.
PIPELINE_NEIGHBORS = {
    "version": set(),
    "encoding": {"version"},
    "search": {"version"},
    "evaluation": {"version", "encoding", "search"},
    "command_line": {"version", "encoding", "search", "evaluation"},
}
# The one place that knows each library.
HOMES = {
    "torch": ("encoders/",),
    "transformers": ("encoders/",),
    "sentence_transformers": ("encoders/",),
    "sklearn": ("encoders/",),
    "gensim": ("encoders/",),
    "faiss": ("pipeline/version/vector_index.py", "pipeline/version/vector_codes.py"),
    "tantivy": ("pipeline/version/keyword_index.py",),
    "rapidfuzz": ("pipeline/search/spelling.py",),
    "spellchecker": ("pipeline/version/dictionaries.py",),
    "orjson": ("search_api/json_format.py",),
    "prometheus_client": ("search_api/metrics.py", "search_api/server_state.py"),
    "sqlite3": (
        "search_api/rate_limits.py",
        "pipeline/version/document_store.py",
        "pipeline/version/query_log.py",
        "pipeline/version/write_log.py",
        "pipeline/version/write_snapshot.py",
        "pipeline/version/write_tables.py",
        "pipeline/encoding/embedding_cache.py",
    ),
    "flask": ("search_api/", "web/"),
    "gunicorn": ("web/",),
    "mcp": ("search_api/mcp_server.py",),
    "uvicorn": ("search_api/mcp_server.py",),
    "watchfiles": ("pipeline/command_line/watch.py",),
}
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def modules() -> list[str]:
    """Path of every module of our packages, relative to the root."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (path.parent / "__init__.py").exists()
    )


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=path)


def imported(path: str) -> Iterator[str]:
    """Dotted names a module imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: an import names its package"
            assert node.module is not None
            yield node.module


def name_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_left(package: str) -> None:
    rightward = set(PACKAGES[PACKAGES.index(package) + 1 :])
    for path in modules():
        if path.startswith(f"{package}/"):
            for name in imported(path):
                assert name.partition(".")[0] not in rightward, f"{path} imports {name}"


def test_the_two_pipelines_share_only_the_version() -> None:
    assert {folder.partition("/")[2] for folder in FOLDERS} == set(PIPELINE_NEIGHBORS)
    for path in modules():
        if path.startswith("pipeline/") and path != "pipeline/__init__.py":
            own = path.split("/")[1]
            for name in imported(path):
                parts = name.split(".")
                if parts[0] == "pipeline" and parts[1] != own:
                    assert parts[1] in PIPELINE_NEIGHBORS[own], f"{path} imports {name}"


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_known_in_its_own_place_only(library: str) -> None:
    users = [path for path in modules() if library in {n.split(".")[0] for n in imported(path)}]
    assert users
    assert [path for path in users if not path.startswith(HOMES[library])] == []


def test_nothing_that_runs_code_when_read_is_used() -> None:
    for path in modules():
        assert not {name.split(".")[0] for name in imported(path)} & FORBIDDEN, path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path


def test_no_assert_checks_input() -> None:
    for path in modules():
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree(path))), path


@pytest.mark.parametrize("package", [*PACKAGES, "corpora"])
def test_our_package_names_are_ours_alone(package: str) -> None:
    owners = set(packages_distributions().get(package, []))
    assert owners <= {"trine"}
    module = importlib.util.find_spec(package)
    assert module is not None
    places = [module.origin] if module.origin else list(module.submodule_search_locations or [])
    assert all(Path(str(place)).is_relative_to(ROOT) for place in places)


IMPORT_EVERYTHING = """
import builtins, io, os, pathlib, sys
sys.path.insert(0, sys.argv[1])

def of_us(frame):
    name = frame.f_code.co_filename
    return name.startswith(sys.argv[1] + os.sep) and f"{os.sep}.venv{os.sep}" not in name

def ours(frame):
    "Whether a module of ours asked for this, be it through a library."
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return False
        if of_us(frame):
            return True
        frame = frame.f_back
    return False

found = []

def watch(event, arguments):
    if event == "open" and ours(sys._getframe(1)):
        found.append(f"opens {arguments[0]}")

class Watched(type(os.environ)):
    def __getitem__(self, key):
        # Ours directly, or through .get(); click asks for the language, which is its own affair.
        if of_us(sys._getframe(1)) or of_us(sys._getframe(2)) or of_us(sys._getframe(3)):
            found.append(f"reads ${key}")
        return super().__getitem__(key)

os.environ.__class__ = Watched
sys.addaudithook(watch)
for name in sys.argv[2:]:
    __import__(name)
heavy = {"torch", "transformers", "sentence_transformers", "sklearn", "gensim", "onnxruntime"}
found += [f"imports {name}" for name in sorted(heavy & set(sys.modules))]
print("\\n".join(found))
"""


def test_importing_loads_no_model_opens_no_file_and_reads_no_environment() -> None:
    # The module that holds the transformer is imported when the first text is encoded.
    names = [name_of(path) for path in modules() if path != "encoders/bert_model.py"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, str(ROOT), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["", ""]


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_stands_in_the_readme(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts[0]}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{re.escape(path[0])}\b", readme)
    assert re.search(rf"\b{re.escape(path[-1])}\b", readme)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_the_common_options(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return  # it only holds others
    options = {name for parameter in command.params for name in parameter.opts}
    # Keys belong to a data folder, not to a collection.
    of_place = {"--data-dir"} if path[0] == "keys" else {"--collection", "--data-dir"}
    assert options >= {*of_place, "--json"}


def test_every_path_in_the_architecture_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`\s]+)`", text)
    named = {
        word
        for word in quoted
        if re.fullmatch(r"(?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.(?:py|md|toml|txt)", word)
        and word.partition("/")[0] not in {"versions", "cache", "state"}
    }
    assert named
    assert [word for word in sorted(named) if not (ROOT / word).exists()] == []


@pytest.mark.parametrize("path", modules())
def test_every_module_says_what_it_exports(path: str) -> None:
    body = tree(path).body
    assert ast.get_docstring(tree(path)), f"{path} has no docstring"
    if path.endswith("/__init__.py") and len(body) == 1:
        return
    names: list[str] | None = None
    defined = set()
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    defined.add(target.id)
                    if target.id == "__all__" and node.value is not None:
                        names = ast.literal_eval(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {name.asname or name.name for name in node.names}
    assert names is not None, f"{path} has no __all__"
    assert set(names) <= defined
    # Constants, then classes, then functions, as ruff's RUF022 sorts them.
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))


def test_one_version_number() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.command_line.main", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == f"trine {project['version']}\n"
    assert version("trine") == project["version"]


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    place = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for number, line in enumerate(text.split("\n"), start=1):
            found = place.search(line)
            assert found is None or name.startswith("tests/"), f"{name}:{number}: {line.strip()}"
            assert f"{ROOT}/" not in line or str(ROOT) == "/", f"{name}:{number}"
