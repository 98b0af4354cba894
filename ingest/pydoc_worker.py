"""Gathers documentation strings; run as a script of its own, because importing has side effects.

``python pydoc_worker.py OUTPUT MODULE...`` imports each module and all its public submodules and
writes JSON lines: an object with ``failed`` for a module that cannot be imported, one with
``name`` for each distinct text, and ``{"end": true}`` last. It needs only the standard library.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

__all__ = ["gather", "sort_key"]

# Their own page documents them under another name; ids come from there.
_IMPLEMENTATIONS = frozenset({"builtins", "genericpath", "nt", "ntpath", "posix", "posixpath"})
_SKIPPED_SUBMODULES = frozenset({"conftest", "idle_test", "test", "tests"})
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# What the enum module writes where nobody did.
_EMPTY_TEXTS = frozenset({"An enumeration."})
_MAX_DEFAULT_CHARACTERS = 40
_MAX_SIGNATURE_CHARACTERS = 160
_ROUTINES = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodType,
)
_DATA = (types.GetSetDescriptorType, types.MemberDescriptorType, functools.cached_property)


def gather(modules: list[str]) -> Iterator[dict[str, object]]:
    """Yield what each public module, class, function, method and property says about itself.

    Objects with the same text are one; it goes by the most canonical of their names.

    Parameters
    ----------
    modules
        Modules to import and walk.
    """
    named = _Named()
    for module_name in modules:
        for name, error in _import_tree(module_name):
            yield {"failed": name, "error": error}
    tops = {name.partition(".")[0] for name in modules}
    # Modules known by a second name, as posixpath is by os.path, stand in this table only.
    for name in sorted(sys.modules):
        module = sys.modules[name]
        wanted = any(name == asked or name.startswith(asked + ".") for asked in modules)
        if wanted and name.partition(".")[0] in tops and isinstance(module, types.ModuleType):
            if not _is_public_path(name):
                continue
            # A package may call something else by a submodule's name, as unittest does main.
            parent, _, last = name.rpartition(".")
            if not parent or getattr(sys.modules.get(parent), last, module) is module:
                named.add(name, module)
            named.add_members(name, module)
    named.add_class_members()
    yield from named.records()


def sort_key(name: str, own_name: str) -> tuple[bool, int, bool, int, str]:
    """Order the names of one object, the most canonical first.

    Parameters
    ----------
    name
        One of its names.
    own_name
        What the object calls itself.

    Examples
    --------
    >>> min(["posixpath.join", "os.path.join"], key=lambda n: sort_key(n, "posixpath.join"))
    'os.path.join'
    """
    implementation = name.partition(".")[0] in _IMPLEMENTATIONS
    return implementation, name.count("."), name != own_name, len(name), name


class _Named:
    """Every public object met, and the names it goes by."""

    def __init__(self) -> None:
        self.objects: dict[int, object] = {}
        self.names: defaultdict[int, set[str]] = defaultdict(set)
        self.owners: dict[int, type] = {}

    def add(self, name: str, value: object, owner: type | None = None) -> None:
        self.objects[id(value)] = value
        self.names[id(value)].add(name)
        if name.startswith("builtins."):
            self.names[id(value)].add(name.removeprefix("builtins."))
        if owner is not None:
            self.owners[id(value)] = owner

    def add_members(self, name: str, module: types.ModuleType) -> None:
        declared = getattr(module, "__all__", None)
        for key, value in sorted(vars(module).items()):
            if key.startswith("_") or not isinstance(value, (type, *_ROUTINES)):
                continue
            if key in declared if isinstance(declared, list | tuple) else _is_own(value, module):
                self.add(f"{name}.{key}", value)

    def add_class_members(self) -> None:
        pending = [value for value in self.objects.values() if isinstance(value, type)]
        while pending:
            owner = pending.pop()
            # Members go by the class's best name and its own, not by every alias.
            own = _own_name(owner)
            best = min(self.names[id(owner)], key=lambda name: sort_key(name, own))
            prefixes = {best, own} & self.names[id(owner)]
            for key, value in sorted(vars(owner).items()):
                if key.startswith("_") or not _is_member(value, owner):
                    continue
                if isinstance(value, type) and id(value) not in self.objects:
                    pending.append(value)
                for prefix in prefixes:
                    self.add(f"{prefix}.{key}", value, owner)

    def records(self) -> Iterator[dict[str, object]]:
        """One for each distinct text, by its best name."""
        by_text: defaultdict[str, list[int]] = defaultdict(list)
        for key, value in self.objects.items():
            text = _own_text(value)
            if text:
                by_text[text].append(key)
        found = [self._record(text, keys) for text, keys in by_text.items()]
        yield from sorted(found, key=lambda record: str(record["name"]))

    def _record(self, text: str, keys: list[int]) -> dict[str, object]:
        candidates = [
            (sort_key(name, _own_name(self.objects[key])), key)
            for key in keys
            for name in self.names[key]
        ]
        best, key = min(candidates)
        value = self.objects[key]
        name = best[-1]
        return {
            "name": name,
            "names": sorted({candidate[-1] for candidate, _ in candidates}),
            "kind": _kind(value, key in self.owners),
            "signature": _signature(value, is_member=key in self.owners),
            "text": text,
            "exception": isinstance(value, type) and issubclass(value, BaseException),
            "in": _containing_module(name),
        }


def _import_tree(name: str) -> Iterator[tuple[str, str]]:
    """Import a module and its public submodules; yield those that fail."""
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        yield name, f"{type(error).__name__}: {' '.join(str(error).split())}"
        return
    for entry in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not entry.name.startswith("_") and entry.name not in _SKIPPED_SUBMODULES:
            yield from _import_tree(f"{name}.{entry.name}")


def _is_public_path(name: str) -> bool:
    parts = name.split(".")
    return not any(part.startswith("_") or part in _SKIPPED_SUBMODULES for part in parts)


def _is_own(value: object, module: types.ModuleType) -> bool:
    """True for what a module without ``__all__`` defines itself or in its private twin."""
    if module.__name__ == "builtins":
        return True
    home = getattr(value, "__module__", None)
    if home is None:
        home = getattr(type(getattr(value, "__self__", None)), "__module__", "")
    return str(home).partition(".")[0].lstrip("_") == module.__name__.partition(".")[0].lstrip("_")


def _is_member(value: object, owner: type) -> bool:
    if isinstance(value, type):
        return value.__qualname__.startswith(owner.__qualname__ + ".")
    return isinstance(value, (staticmethod, classmethod, property, *_DATA, *_ROUTINES))


def _own_name(value: object) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    value = getattr(value, "fget", None) or getattr(value, "func", None) or value
    home = getattr(value, "__module__", None)
    if home is None:
        home = getattr(getattr(value, "__objclass__", None), "__module__", None)
    qualname = getattr(value, "__qualname__", "")
    return str(qualname) if home in {None, "builtins"} else f"{home}.{qualname}"


def _own_text(value: object) -> str:
    if isinstance(value, type):
        text = vars(value).get("__doc__")
        fields = getattr(value, "_fields", None)
        if "__dataclass_fields__" in vars(value) or isinstance(fields, tuple):
            # Generated from the fields, unless somebody wrote more than one line.
            generated = isinstance(text, str) and text.startswith(f"{value.__name__}(")
            text = None if generated and "\n" not in str(text) else text
    else:
        text = getattr(value, "__doc__", None)
    if not isinstance(text, str) or text == getattr(type(value), "__doc__", None):
        return ""
    cleaned = _ADDRESS.sub("", inspect.cleandoc(text)).strip()
    return "" if cleaned in _EMPTY_TEXTS else cleaned


def _kind(value: object, is_member: bool) -> str:
    if isinstance(value, types.ModuleType):
        return "module"
    if isinstance(value, type):
        return "class"
    if isinstance(value, property | functools.cached_property):
        return "property"
    if isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
        return "data"
    return "method" if is_member else "function"


def _signature(value: object, *, is_member: bool) -> str | None:
    """Arguments as in a call, ``None`` for what is not called."""
    if _kind(value, is_member) in {"module", "property", "data"}:
        return None
    bound = is_member and not isinstance(value, staticmethod | type)
    value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    try:
        signature = inspect.signature(cast(Callable[..., object], value))
        parameters = list(signature.parameters.values())
        starred = parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL
        if bound and not starred and not isinstance(value, types.ClassMethodDescriptorType):
            parameters = parameters[1:]
        plain = [_plain_parameter(parameter) for parameter in parameters]
        signature = signature.replace(parameters=plain, return_annotation=signature.empty)
        shown = str(signature)
        if len(shown) > _MAX_SIGNATURE_CHARACTERS:
            bare = [parameter.replace(default=parameter.empty) for parameter in plain]
            shown = str(signature.replace(parameters=bare))
    except Exception:
        # Any object may stand behind a name, and may raise anything when asked.
        return _written_signature(value)
    return shown if len(shown) <= _MAX_SIGNATURE_CHARACTERS else "(...)"


def _written_signature(value: object) -> str:
    """Arguments as the text itself begins with, in the way of much that is written in C."""
    name = re.escape(str(getattr(value, "__name__", "")))
    match = re.match(rf"(?:\w+\.)*{name}(\([^()]*\))", _own_text(value))
    if match and len(match[1]) <= _MAX_SIGNATURE_CHARACTERS:
        return match[1]
    return "" if isinstance(value, type) else "(...)"


class _Elided:
    def __repr__(self) -> str:
        return "..."


def _plain_parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter without annotation, its default shown only if it is the same everywhere."""
    default = parameter.default
    if default is not parameter.empty:
        shown = repr(default)
        varies = shown.startswith("<") or " at 0x" in shown or os.sep in shown.strip("'/")
        if varies or len(shown) > _MAX_DEFAULT_CHARACTERS:
            default = _Elided()
    return parameter.replace(annotation=parameter.empty, default=default)


def _containing_module(name: str) -> str:
    while name and not isinstance(sys.modules.get(name), types.ModuleType):
        name = name.rpartition(".")[0]
    return name or "builtins"


def _main(output: str, modules: list[str]) -> None:
    with Path(output).open("w", encoding="utf-8", errors="replace") as stream:
        for record in gather(modules):
            stream.write(json.dumps(record) + "\n")
        stream.write('{"end": true}\n')
    # Threads that an imported module started must not keep the process alive.
    with contextlib.suppress(Exception):
        os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
