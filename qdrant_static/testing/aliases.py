"""Tests of aliases, `info` and `close`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from qdrant_client import models

from qdrant_static.testing.base import Conformance, make


def create(alias: str, name: str) -> models.CreateAliasOperation:
    """Return the operation that creates an alias."""
    return models.CreateAliasOperation(
        create_alias=models.CreateAlias(alias_name=alias, collection_name=name)
    )


def delete(alias: str) -> models.DeleteAliasOperation:
    """Return the operation that deletes an alias."""
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


def rename(old: str, new: str) -> models.RenameAliasOperation:
    """Return the operation that renames an alias."""
    return models.RenameAliasOperation(
        rename_alias=models.RenameAlias(old_alias_name=old, new_alias_name=new)
    )


class AliasConformance(Conformance):
    """Tests of aliases, ``info`` and ``close``."""

    @pytest.fixture
    def alias(self, client: Any) -> Iterator[str]:
        """An unused name of an alias."""
        alias = f"f_alias_{uuid4().hex}"
        yield alias
        client.update_collection_aliases([delete(alias)])

    @pytest.fixture
    def other(self, client: Any) -> Iterator[str]:
        """Another, empty collection."""
        name = f"f_other_{uuid4().hex}"
        make(client, name)
        yield name
        client.delete_collection(name)

    def test_update_collection_aliases__creates(self, client: Any, filled: str, alias: str) -> None:
        assert client.update_collection_aliases([create(alias, filled)])
        assert client.count(alias).count == 20
        assert client.query_points(alias, query=3, using="d", limit=1).points

    def test_update_collection_aliases__writes_go_through(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        client.delete(alias, [1, 2])
        assert client.count(filled).count == 18

    def test_update_collection_aliases__switches_in_one_step(
        self, client: Any, filled: str, other: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        client.update_collection_aliases([create(alias, other)])
        assert client.count(alias).count == 0

    def test_update_collection_aliases__renames(self, client: Any, filled: str, alias: str) -> None:
        client.update_collection_aliases([create(alias + "_old", filled)])
        client.update_collection_aliases([rename(alias + "_old", alias)])
        assert client.count(alias).count == 20
        assert not client.collection_exists(alias + "_old")

    def test_update_collection_aliases__renaming_none_is_refused(
        self, client: Any, filled: str, alias: str
    ) -> None:
        with self.refused():
            client.update_collection_aliases([rename(alias + "_none", alias)])

    def test_update_collection_aliases__deletes(self, client: Any, filled: str, alias: str) -> None:
        client.update_collection_aliases([create(alias, filled)])
        client.update_collection_aliases([delete(alias)])
        assert not client.collection_exists(alias)
        assert client.count(filled).count == 20

    def test_update_collection_aliases__deleting_none_is_no_error(
        self, client: Any, alias: str
    ) -> None:
        assert client.update_collection_aliases([delete(alias)])

    def test_update_collection_aliases__a_missing_collection_is_refused(
        self, client: Any, name: str, alias: str
    ) -> None:
        with self.refused():
            client.update_collection_aliases([create(alias, name)])

    def test_update_collection_aliases__an_alias_of_an_alias_is_refused(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        with self.refused():
            client.update_collection_aliases([create(alias + "_2", alias)])

    def test_update_collection_aliases__a_collections_name_is_refused(
        self, client: Any, filled: str, other: str
    ) -> None:
        with self.refused():
            client.update_collection_aliases([create(other, filled)])

    def test_update_collection_aliases__all_or_none(
        self, client: Any, filled: str, name: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        with self.refused():
            client.update_collection_aliases([delete(alias), create(alias, "f_there_is_none")])
        assert client.count(alias).count == 20

    def test_update_collection_aliases__renaming_onto_a_collection_is_refused(
        self, client: Any, filled: str, other: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        with self.refused():
            client.update_collection_aliases([rename(alias, other)])

    def test_get_aliases__lists_all(self, client: Any, filled: str, other: str, alias: str) -> None:
        client.update_collection_aliases([create(alias, filled), create(alias + "_2", other)])
        listed = {one.alias_name: one.collection_name for one in client.get_aliases().aliases}
        assert listed.items() >= {(alias, filled), (alias + "_2", other)}
        client.update_collection_aliases([delete(alias + "_2")])

    def test_get_collection_aliases__lists_a_collections(
        self, client: Any, filled: str, other: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        listed = client.get_collection_aliases(filled).aliases
        assert [one.alias_name for one in listed] == [alias]
        assert client.get_collection_aliases(other).aliases == []

    def test_delete_collection__takes_its_aliases_along(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        client.delete_collection(filled)
        assert alias not in [one.alias_name for one in client.get_aliases().aliases]

    def test_delete_collection__an_alias_is_none(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        assert not client.delete_collection(alias)
        assert client.collection_exists(filled)

    def test_create_collection__an_alias_name_is_refused(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        with self.refused():
            make(client, alias)

    def test_collection_exists__for_an_alias(self, client: Any, filled: str, alias: str) -> None:
        client.update_collection_aliases([create(alias, filled)])
        assert client.collection_exists(alias)

    def test_update_collection__through_an_alias(
        self, client: Any, filled: str, alias: str
    ) -> None:
        client.update_collection_aliases([create(alias, filled)])
        assert client.update_collection(alias, metadata={"a": 1})
        assert client.get_collection(filled).config.metadata == {"a": 1}

    def test_info__tells_the_version(self, client: Any) -> None:
        info = client.info()
        assert info.title
        assert info.version

    def test_close__can_be_said(self, client: Any) -> None:
        client.close()
