"""Reads and changes the aliases of collections, which are in one file.

The file is read at every use of an alias, so a change by another process is seen at the next
call. A change holds a lock file while it reads, checks and replaces the file, so that all of it is
applied or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.edge.directory import ALIASES_FILE, ALIASES_LOCK, FORMAT, check_name, held
from qdrant_static.errors import (
    AliasExistsError,
    AliasNotFoundError,
    ArgumentError,
    CollectionNotFoundError,
    StorageError,
)
from qdrant_static.files import make_private, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator


class Aliases:
    """The aliases of one directory.

    Args:
        root: The directory; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ALIASES_FILE
        self._read: tuple[bytes | None, Mapping[str, str]] = (None, {})

    def all(self) -> Mapping[str, str]:
        """Return the collections by alias, from the file.

        Raises:
            StorageError: If the file is damaged, or was written by a later version.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(path=str(self.path), problem=str(error)) from error
        known, aliases = self._read
        if raw != known:
            aliases = self._parsed(raw)
            self._read = (raw, aliases)
        return aliases

    @contextmanager
    def changing(self) -> Iterator[dict[str, str]]:
        """Lock the file for a block; write the yielded table at its end, if it was changed.

        Nothing is written after an error in the block.
        """
        make_private(self.root)
        with held(self.root / ALIASES_LOCK):
            before = self.all()
            table = dict(before)
            yield table
            if table != before:
                content = {"format": FORMAT, "aliases": dict(sorted(table.items()))}
                replace_file(self.path, json.dumps(content, indent=2, ensure_ascii=False).encode())

    def _parsed(self, raw: bytes) -> Mapping[str, str]:
        try:
            content: dict[str, Any] = json.loads(raw)
            version, aliases = content["format"], dict(content["aliases"])
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(path=str(self.path), problem=f"cannot be read ({error})") from error
        if version != FORMAT:
            raise StorageError(
                path=str(self.path),
                problem=f"has format {version}, this version reads {FORMAT}: upgrade qdrant-static",
            )
        return aliases


def apply(
    table: dict[str, str],
    actions: Sequence[Any],
    *,
    exists: Callable[[str], bool],
    missing: Callable[[str], CollectionNotFoundError],
) -> None:
    """Apply alias actions to a table, in their order.

    Args:
        table: Collections by alias; changed.
        actions: Create, rename and delete operations. As on a server, creating an existing alias
            re-points it, and deleting a missing one is no error.
        exists: Returns whether there is a collection of a name.
        missing: Makes the error for a missing collection.

    Raises:
        CollectionNotFoundError: If the target of an alias is no collection.
        AliasNotFoundError: If an alias to rename does not exist.
        AliasExistsError: If an alias would hide a collection of its name.
        CollectionNameError: If the name of an alias is not valid.
    """
    for action in actions:
        if isinstance(action, models.CreateAliasOperation):
            alias, target = action.create_alias.alias_name, action.create_alias.collection_name
            if not exists(target):
                raise missing(target)
        elif isinstance(action, models.RenameAliasOperation):
            old, alias = action.rename_alias.old_alias_name, action.rename_alias.new_alias_name
            if old not in table:
                raise AliasNotFoundError(alias=old, aliases=tuple(sorted(table)))
            target = table.pop(old)
        elif isinstance(action, models.DeleteAliasOperation):
            table.pop(action.delete_alias.alias_name, None)
            continue
        else:
            raise ArgumentError(
                field="change_aliases_operations",
                problem=f"{type(action).__name__} is neither a create, a rename nor a delete",
            )
        check_name(alias)
        if exists(alias):
            raise AliasExistsError(alias=alias)
        table[alias] = target
