"""Collects the texts of the demo: the documentation of the running Python.

One row per documented module, class and function of the standard library and of the packages
that this one installs. Python sources are parsed, not imported; modules compiled into the
interpreter or beside it are imported, which has no effect beyond the import.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "testing", "site-packages", "__pycache__", "idlelib", "lib2to3"}
)
_EXTENSION = re.compile(r"^([a-z]\w*)\.(?:cpython|abi3|cp3|pyd|so)")
_MAX_SIGNATURE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DocEntry:
    """A documented module, class or function.

    Attributes:
        name: Qualified name, which is unique in a corpus.
        kind: ``"module"``, ``"class"`` or ``"function"``.
        signature: Its signature, cut to 200 characters; empty for a module.
        module: The module that defines it.
        package: The first part of the module's name.
        doc: The docstring.
    """

    name: str
    kind: str
    signature: str
    module: str
    package: str
    doc: str


def collect() -> list[DocEntry]:
    """Return all documented objects by name; of a name that comes twice, the first."""
    entries: dict[str, DocEntry] = {}
    for entry in (*_standard_library(), *_compiled(), *_packages()):
        entries.setdefault(entry.name, entry)
    return sorted(entries.values(), key=lambda entry: entry.name)


def _standard_library() -> Iterator[DocEntry]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).parts
        if not _SKIPPED_FOLDERS.intersection(parts):
            yield from _parsed(file, _module_name(parts))


def _packages() -> Iterator[DocEntry]:
    for name in sorted(_dependencies("qdrant-static")):
        for file in metadata.distribution(name).files or ():
            if file.suffix == ".py" and not _SKIPPED_FOLDERS.intersection(file.parts):
                yield from _parsed(Path(str(file.locate())), _module_name(file.parts))


def _dependencies(distribution: str) -> set[str]:
    """Return the installed distributions that one requires, recursively, without extras."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        try:
            requirements = metadata.requires(waiting.pop()) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
            if "extra ==" in requirement or name in found:
                continue
            try:
                metadata.distribution(name)
            except metadata.PackageNotFoundError:  # for another system or version
                continue
            found.add(name)
            waiting.append(name)
    return found


def _module_name(parts: tuple[str, ...]) -> str:
    names = [*parts[:-1], parts[-1].removesuffix(".py")]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def _parsed(file: Path, module: str) -> Iterator[DocEntry]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # a template, or a file for another version of Python
    if not module:
        return
    yield from _entry(module, "module", "", module, ast.get_docstring(tree))
    yield from _members(tree.body, module, module)


def _members(body: Iterable[ast.stmt], prefix: str, module: str) -> Iterator[DocEntry]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            name = f"{prefix}.{node.name}"
            bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
            yield from _entry(
                name, "class", f"class {node.name}{bases}", module, ast.get_docstring(node)
            )
            yield from _members(node.body, name, module)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                signature = f"{node.name}({ast.unparse(node.args)})"
                name = f"{prefix}.{node.name}"
                yield from _entry(name, "function", signature, module, ast.get_docstring(node))


def _compiled() -> Iterator[DocEntry]:
    """Yield modules without a Python source: built-in ones, and compiled extensions."""
    names = {name for name in sys.builtin_module_names if not name.startswith("_")}
    folder = sysconfig.get_config_var("DESTSHARED")
    if folder:
        matches = (_EXTENSION.match(file.name) for file in Path(folder).glob("*"))
        names |= {match[1] for match in matches if match}
    for name in sorted(names - {"xxlimited", "xxlimited_35", "xxsubtype"}):
        try:
            module = import_module(name)
        except ImportError:
            continue
        yield from _entry(name, "module", "", name, inspect.getdoc(module))
        for member, value in sorted(vars(module).items()):
            if not member.startswith("_"):
                yield from _inspected(f"{name}.{member}", value, name)


def _inspected(name: str, value: Any, module: str) -> Iterator[DocEntry]:
    if inspect.isclass(value):
        yield from _entry(name, "class", _signature(value), module, inspect.getdoc(value))
        for member, inner in sorted(vars(value).items()):
            if not member.startswith("_") and callable(inner):
                doc = inspect.getdoc(inner)
                yield from _entry(f"{name}.{member}", "function", _signature(inner), module, doc)
    elif callable(value):
        yield from _entry(name, "function", _signature(value), module, inspect.getdoc(value))


def _signature(value: Any) -> str:
    try:
        return f"{getattr(value, '__name__', '')}{inspect.signature(value)}"
    except (ValueError, TypeError):
        return ""


def _entry(
    name: str, kind: str, signature: str, module: str, doc: str | None
) -> Iterator[DocEntry]:
    if doc and doc.strip():
        yield DocEntry(
            name=name,
            kind=kind,
            signature=signature[:_MAX_SIGNATURE],
            module=module,
            package=module.partition(".")[0],
            doc=doc,
        )
