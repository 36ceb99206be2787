"""A writer, crashes and migrations, in any order, against a dictionary.

The dictionary is what was acknowledged: id -> whole payload. Whatever happens, the collection that
the alias points at holds exactly that; so does, once it has caught up, every other generation,
with vectors of its own encoder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from qdrant_client import models

from qdrant_static import CollectionSpec, LiveWriter, Record, create_collection
from qdrant_static.collection.spec import Fields
from qdrant_static.ids import point_id
from qdrant_static.journal.changes import Change
from qdrant_static.journal.collectionwriter import CollectionWriters
from qdrant_static.journal.replay import replay
from tests.fakes import FakeEncoder
from tests.faulty_edge import Faults, FaultyEdge, FaultyJournal, Killed

SIZE = 16
ENCODERS = [FakeEncoder(f"fake-{n}", salt=str(n), dimension=SIZE) for n in range(2)]
KEYS = st.sampled_from([1, 2, 3, 4, 5, "a", "b", "c"])
SOME_KEYS = st.lists(KEYS, min_size=1, max_size=4, unique=True)
TEXTS = st.sampled_from(["cat", "dog sea", "moon tide", "red ship", "slow river lava", "one two"])
VALUES = st.integers(0, 3)
PAYLOADS = st.dictionaries(st.sampled_from(["n", "m"]), VALUES, max_size=2)
#: After how many steps of a write to die: before and behind the journal, the engine, the mark.
DIES = st.sampled_from([*[None] * 9, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7])
Model = dict[Any, dict[str, Any]]


def matches(value: int) -> models.Filter:
    condition = models.FieldCondition(key="n", match=models.MatchValue(value=value))
    return models.Filter(must=[condition])


def point_at(client: Any, alias: str, target: str) -> None:
    create = models.CreateAlias(alias_name=alias, collection_name=target)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])


def read(client: Any, name: str) -> tuple[Model, dict[Any, np.ndarray]]:
    """Payloads and vectors by id."""
    records, _ = client.scroll(name, limit=10_000, with_vectors=True)
    assert client.count(name, exact=True).count == len(records)
    return (
        {one.id: one.payload for one in records},
        {one.id: np.asarray(one.vector["full"]) for one in records},
    )


def check(client: Any, name: str, model: Model, encoder: FakeEncoder) -> None:
    """A collection holds exactly the model, with the encoder's vectors."""
    payloads, vectors = read(client, name)
    assert payloads == model, name
    wanted = encoder.encode([model[one]["text"] for one in model])
    for one, row in zip(model, wanted, strict=True):
        np.testing.assert_allclose(vectors[one], row, atol=2e-6, err_msg=f"{name} {one}")


class JournalMachine(RuleBasedStateMachine):
    """Two writers with a journal object each, and a migration that goes through its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.faults = Faults()
        self.client = FaultyEdge(f"{self.folder.name}/db", self.faults)
        self.encoder_of: dict[str, FakeEncoder] = {}
        self.blue = self.create(0)
        point_at(self.client, "live", self.blue)
        self.green: str | None = None
        self.old: str | None = None
        self.backfilled = False
        self.offset: Any = None
        self.model: Model = {}
        self.source: Model | None = None
        self.writers: list[LiveWriter] = []
        self.open_writers()
        self.upsert(0, [1, 2, "a", "b"], "cat", {"n": 1}, None)

    def create(self, number: int) -> str:
        name = f"v{len(self.encoder_of) + 1}"
        encoder = ENCODERS[number % 2]
        spec = CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
        spec = spec.with_source(fields=Fields(key="id", text=("text",)), mean_length=None)
        create_collection(self.client, name, spec)
        self.encoder_of[name] = encoder
        return name

    def open_writers(self) -> None:
        for writer in self.writers:
            writer.journal.close()
        path = f"{self.folder.name}/state/journal.sqlite"
        self.writers = [
            LiveWriter(
                self.client, "live", journal=FaultyJournal(path, self.faults), encoders=ENCODERS
            )
            for _ in range(2)
        ]

    @property
    def journal(self) -> FaultyJournal:
        return self.writers[0].journal  # type: ignore[return-value]

    def teardown(self) -> None:
        try:
            self.faults.disarm()
            self.faults.away.clear()
            self.everything_agrees()
        finally:
            for writer in self.writers:
                writer.journal.close()
            self.client.close()
            self.folder.cleanup()

    # --- writers -------------------------------------------------------------------------------

    def write(self, call: Callable[[], object], after: Model, dies: int | None) -> None:
        """A write that leads to a state, or dies before, on the way, or behind it."""
        if dies is not None:
            self.faults.arm(dies)
        before = self.journal.last()
        try:
            call()
        except Killed:
            # Whoever writes next finishes what is in the journal, and nothing else.
            self.open_writers()
            if self.journal.last() > before:
                self.model = after
        else:
            self.model = after
        self.faults.disarm()

    @rule(which=st.integers(0, 1), keys=SOME_KEYS, text=TEXTS, payload=PAYLOADS, dies=DIES)
    def upsert(
        self, which: int, keys: list[Any], text: str, payload: dict[str, Any], dies: int | None
    ) -> None:
        records = [Record(key=key, text=f"{text} {key}", payload=payload) for key in keys]
        stored = {point_id(key): {**payload, "id": key, "text": f"{text} {key}"} for key in keys}
        after = {**self.model, **stored}
        self.write(lambda: self.writers[which].upsert(records), after, dies)

    def chosen(self, which: list[Any] | int) -> tuple[Any, list[Any]]:
        """What a call is given, keys or a filter, and the ids that it means."""
        if isinstance(which, int):
            return matches(which), [i for i, one in self.model.items() if one.get("n") == which]
        there = [key for key in which if point_id(key) in self.model]
        return there, [point_id(key) for key in there]

    def edit(
        self, which: Any, name: str, given: Any, dies: int | None, new: Callable[[Any], Any]
    ) -> None:
        selector, ids = self.chosen(which)
        after = {one: new(old) if one in ids else old for one, old in self.model.items()}
        self.write(lambda: getattr(self.writers[0], name)(selector, given), after, dies)

    @rule(which=SOME_KEYS | VALUES, payload=PAYLOADS, text=st.none() | TEXTS, dies=DIES)
    def set_payload(
        self, which: Any, payload: dict[str, Any], text: str | None, dies: int | None
    ) -> None:
        given = payload if text is None else {**payload, "text": text}
        self.edit(which, "set_payload", given, dies, lambda old: {**old, **given})

    @rule(which=SOME_KEYS | VALUES, payload=PAYLOADS, dies=DIES)
    def overwrite_payload(self, which: Any, payload: dict[str, Any], dies: int | None) -> None:
        self.edit(
            which,
            "overwrite_payload",
            payload,
            dies,
            lambda old: {"id": old["id"], "text": old["text"], **payload},
        )

    @rule(which=SOME_KEYS | VALUES, name=st.sampled_from(["n", "m"]), dies=DIES)
    def delete_payload(self, which: Any, name: str, dies: int | None) -> None:
        def new(old: dict[str, Any]) -> dict[str, Any]:
            return {field: value for field, value in old.items() if field != name}

        self.edit(which, "delete_payload", [name], dies, new)

    @rule(which=SOME_KEYS | VALUES, dies=DIES)
    def delete(self, which: Any, dies: int | None) -> None:
        selector, ids = self.chosen(which)
        writer = self.writers[1]
        call = writer.delete_by_filter if isinstance(which, int) else writer.delete
        after = {one: old for one, old in self.model.items() if one not in ids}
        self.write(lambda: call(selector), after, dies)

    @rule(
        ops=st.lists(
            st.tuples(SOME_KEYS, st.none() | TEXTS, PAYLOADS, DIES, st.booleans()),
            min_size=2,
            max_size=8,
        )
    )
    def burst(self, ops: list[tuple[list[Any], str | None, dict[str, Any], Any, bool]]) -> None:
        """Several writes, and steps of a migration between them."""
        for number, (keys, text, payload, dies, on) in enumerate(ops):
            if on and (text or len(keys) > 1 or self.green is None):
                self.migrate_on(1 + len(keys), 1 + number, dies, bool(number % 2), number % 3 == 0)
            elif text is not None:
                self.upsert(number % 2, keys, text, payload, dies)
            elif payload:
                self.set_payload(keys, payload, None, dies)
            else:
                self.delete(keys, dies)

    @rule()
    def the_process_ends(self) -> None:
        self.open_writers()

    @precondition(lambda self: self.old is not None)
    @rule(away=st.booleans())
    def the_follower_goes_or_comes(self, away: bool) -> None:
        self.faults.away = {self.old} if away and self.old else set()

    # --- a migration ---------------------------------------------------------------------------

    @rule(
        rows=st.integers(1, 6),
        entries=st.integers(1, 8),
        dies=DIES,
        marks=st.booleans(),
        files=st.booleans(),
    )
    def migrate_on(
        self, rows: int, entries: int, dies: int | None, marks: bool, files: bool
    ) -> None:
        """The next step: start, read some rows, replay some entries, or switch."""
        if self.green is None:
            self.start(files)
        elif not self.backfilled:
            self.backfill(rows)
        elif self.journal.lag(self.green).entries > 3:  # the rest is done while the writers wait
            self.replay_some(entries, dies)
        else:
            self.cut_over(marks)

    def start(self, files: bool) -> None:
        """A migration from files, which are as the collection was, or from the collection."""
        self.green = self.create(len(self.encoder_of))
        self.backfilled, self.offset = False, None
        with self.journal.exclusive():
            self.journal.activate(self.green, primary=self.blue)
            self.source = dict(self.model) if files else None

    def backfill(self, rows: int) -> None:
        """Some rows as they are now; what the last crash left unfinished may be among them."""
        if self.source is None:
            points, self.offset = self.client.scroll(self.blue, limit=rows, offset=self.offset)
            batch = {one.id: one.payload for one in points}
        else:
            begin = self.offset or 0
            batch = dict(list(self.source.items())[begin : begin + rows])
            self.offset = begin + rows if begin + rows < len(self.source) else None
        CollectionWriters(self.client, ENCODERS).of(self.green or "").apply(
            [Change(op="upsert", ids=tuple(batch), payloads=tuple(batch.values()))]
        )
        self.backfilled = self.offset is None

    @precondition(lambda self: self.green is not None)
    @rule()
    def backfill_anew(self) -> None:
        with self.journal.exclusive():
            self.journal.rewind(self.green or "")
        self.backfilled, self.offset = False, None

    def replay(self, name: str, upto: int | None = None) -> None:
        done = replay(self.client, name, self.journal, encoders=ENCODERS, upto=upto, batch=5)
        assert upto is not None or done.left == 0

    def replay_some(self, entries: int, dies: int | None) -> None:
        if dies is not None:
            self.faults.arm(dies)
        position = self.journal.consumers()[self.green or ""].position
        try:
            self.replay(self.green or "", upto=position + entries)
        except Killed:
            self.open_writers()
        self.faults.disarm()

    @precondition(lambda self: self.green is not None and self.backfilled)
    @rule(marks=st.booleans())
    def cut_over(self, marks: bool) -> None:
        assert self.green is not None
        self.retire()
        with self.journal.exclusive("cut-over"):
            self.replay(self.blue)
            self.replay(self.green)
            check(self.client, self.green, self.model, self.encoder_of[self.green])
            point_at(self.client, "live", self.green)
            if marks:  # else the process died here, and the next writer sees it
                self.journal.set_primary(self.green)
        self.old, self.blue, self.green = self.blue, self.green, None

    @precondition(lambda self: self.old is not None)
    @rule()
    def roll_back(self) -> None:
        assert self.old is not None
        self.faults.away.clear()
        with self.journal.exclusive("roll back"):
            self.journal.set_primary(self.blue)
            self.replay(self.blue)
            self.replay(self.old)
            check(self.client, self.old, self.model, self.encoder_of[self.old])
            point_at(self.client, "live", self.old)
        self.old, self.blue = self.blue, self.old

    @precondition(lambda self: self.old is not None)
    @rule()
    def retire(self) -> None:
        if self.old is None:
            return
        self.faults.away.clear()
        with self.journal.exclusive():
            self.journal.set_primary(self.blue)
            self.journal.retire(self.old)
        self.client.delete_collection(self.old)
        self.old = None

    @precondition(lambda self: self.green is not None)
    @rule()
    def abort(self) -> None:
        assert self.green is not None
        with self.journal.exclusive():
            self.journal.retire(self.green)
        self.client.delete_collection(self.green)
        self.green = None

    # --- what must hold ------------------------------------------------------------------------

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        if not self.journal.consumers() or not self.journal.lag(self.blue).entries:
            check(self.client, self.blue, self.model, self.encoder_of[self.blue])

    @rule()
    def everything_agrees(self) -> None:
        lags = {one.collection: one for one in self.writers[0].flush()}
        check(self.client, self.blue, self.model, self.encoder_of[self.blue])
        if self.old is not None and self.old not in self.faults.away:
            assert lags[self.old].entries == 0
            check(self.client, self.old, self.model, self.encoder_of[self.old])
        if self.green is not None and self.backfilled:
            self.replay(self.green)
            check(self.client, self.green, self.model, self.encoder_of[self.green])
        if self.green is None and not self.faults.away:
            assert len(self.journal) == 0
