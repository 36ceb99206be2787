"""What holds of a migration on any engine: a subclass gives the fixture ``client``."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, RunOptions, create_collection, ingest
from qdrant_static.clients.aliases import aliases_of, point_alias, resolve_alias
from qdrant_static.collection import migrationstate as states
from qdrant_static.collection.create import read_spec, write_spec
from qdrant_static.errors import (
    AliasMovedError,
    ArgumentError,
    CollectionNotFoundError,
    GateRefusedError,
    MigrationNotFoundError,
    MigrationRunningError,
    MigrationStepError,
)
from qdrant_static.ids import point_id
from qdrant_static.journal.changes import Record
from qdrant_static.journal.livewriter import LiveWriter
from qdrant_static.journal.serverjournal import JournalCollection
from qdrant_static.migration.catalog import list_collections
from qdrant_static.migration.gates import Thresholds
from qdrant_static.migration.livesearcher import LiveSearcher
from qdrant_static.migration.migration import Migration
from qdrant_static.migration.session import migration_lock
from tests.fakes import FakeEncoder, write_jsonl

OLD = FakeEncoder(dimension=32)
NEW = FakeEncoder(dimension=32, salt="new")
WORDS = "cat dog fish sea moon tide bread yeast lava ash book ship whale river red blue".split()
#: What another encoder of random words cannot hold to; the gates have tests of their own.
LOOSE = Thresholds(
    overlap_mean=0, overlap_median=0, overlap_p5=0, overlap_min=0, ranks=0, latency_factor=1000,
    recall=0.5,
)  # fmt: skip
QUERIES = ["cat dog", "sea moon tide", "bread yeast", "red river", "blue whale", "book ash lava"]


def record(number: int, version: int = 0) -> dict:
    dice = np.random.default_rng(1000 * version + number)
    text = " ".join([*dice.choice(WORDS, 5), f"n{number}v{version}"])
    return {"id": number if number % 2 else f"key-{number}", "text": text, "version": version}


def written(number: int, version: int) -> Record:
    row = record(number, version)
    return Record(key=row["id"], text=row["text"], payload={"version": version})


def everything(client, collection: str) -> dict:
    """All points: id -> payload and full vector."""
    points, more = client.scroll(collection, limit=10_000, with_payload=True, with_vectors=["full"])
    assert more is None
    return {str(one.id): (one.payload, np.asarray(one.vector["full"])) for one in points}


def assert_generation(client, collection: str, encoder: FakeEncoder, expected: dict) -> None:
    """The collection holds the expected payloads, each with its encoder's own vector."""
    found = everything(client, collection)
    assert {one: payload for one, (payload, _) in found.items()} == expected
    if found:
        rows = encoder.encode([payload["text"] for payload, _ in found.values()])
        assert np.allclose(rows, [row for _, row in found.values()], atol=1e-5)


def model(numbers, version: int = 0) -> dict:
    return {str(point_id(row["id"])): row for row in (record(one, version) for one in numbers)}


class Place:
    """An alias of its own, filled by the old encoder, and everything that goes with it."""

    def __init__(self, client, folder, *, rows: int = 60) -> None:
        self.client, self.folder = client, folder
        self.alias = f"articles-{uuid4().hex[:6]}"
        self.blue, self.green = f"{self.alias}__v1", f"{self.alias}__v2"
        self.source = write_jsonl(folder / "rows.jsonl", map(record, range(rows)))
        spec = CollectionSpec.for_encoder(OLD, matryoshka=(8,), quantization=None)
        ingest(
            client,
            self.blue,
            self.source,
            spec=spec,
            encoder=OLD,
            run_options=RunOptions(state=folder / "s1"),
        )
        point_alias(client, self.alias, self.blue)

    def migration(self) -> Migration:
        return Migration(
            self.client, self.alias, journal=self.folder / "journal.sqlite", encoders=[OLD, NEW],
            state=self.folder / "migrate",
        )  # fmt: skip

    def writer(self) -> LiveWriter:
        return LiveWriter(
            self.client, self.alias, journal=self.folder / "journal.sqlite", encoders=[OLD, NEW]
        )

    def start(self, encoder=NEW, **options):
        options.setdefault("run_options", RunOptions(state=self.folder / "s2"))
        with self.migration() as one:
            return one.start(encoder, **options)

    def verify(self, **options):
        options.setdefault("thresholds", LOOSE)
        options.setdefault("queries", QUERIES)
        with self.migration() as one:
            return one.verify(**options)

    def step(self, name: str, **options):
        with self.migration() as one:
            return getattr(one, name)(**options)

    @property
    def phase(self) -> str:
        return self.step("state").phase

    def whole_way(self) -> None:
        self.start()
        assert self.verify().passed
        self.step("cutover")

    def clear(self) -> None:
        for one in self.client.get_collections().collections:
            if one.name.startswith(self.alias):
                self.client.delete_collection(one.name)


class MigrationSuite:
    """The whole way, exclusion, wrong greens, third parties, readers."""

    @pytest.fixture
    def place(self, client, tmp_path):
        made = Place(client, tmp_path)
        yield made
        made.clear()

    # --- the whole way -----------------------------------------------------------------------

    @pytest.mark.parametrize("source", ["collection", "files"])
    def test_the_whole_way_there_and_retired(self, client, place, source):
        report = place.start(source=place.source if source == "files" else None)
        assert (report.read, report.stored, report.points_after) == (60, 60, 60)
        assert place.phase == "replaying"
        assert resolve_alias(client, place.alias) == place.blue
        found = place.verify()
        assert [one.name for one in found.gates] == [
            "jobs", "counts", "keys", "payloads", "vectors", "indexed", "recall", "empty",
            "overlap", "ranks", "latency",
        ]  # fmt: skip
        assert found.passed, str(found)
        assert place.phase == "verified"
        moved = place.step("cutover")
        assert (moved.before, moved.after) == (place.blue, place.green)
        assert resolve_alias(client, place.alias) == place.green
        assert place.phase == "switched"
        assert read_spec(client, place.alias).encoder == NEW.info
        assert_generation(client, place.alias, NEW, model(range(60)))
        with pytest.raises(MigrationStepError, match="wait"):
            place.step("retire")
        assert place.step("retire", after_s=0) == place.blue
        assert not client.collection_exists(place.blue)
        with pytest.raises(MigrationNotFoundError):
            place.step("status")
        # The next one begins where this one ended.
        place.start(OLD)
        assert place.step("state").green == f"{place.alias}__v3"

    def test_writes_meanwhile_are_there_before_and_after(self, client, place):
        expected = model(range(60))
        with place.writer() as writer:

            def change(numbers, version, gone) -> None:
                writer.upsert([written(number, version) for number in numbers])
                writer.delete([record(number)["id"] for number in gone])
                expected.update(model(numbers, version))
                for number in gone:
                    expected.pop(str(point_id(record(number)["id"])), None)

            change(range(3), 1, [50, 51])
            place.start()
            assert_generation(client, place.green, NEW, expected)
            change([2, 3, 70, 71], 2, [4, 52])
            assert place.verify().passed
            assert_generation(client, place.green, NEW, expected)
            change([5, 72], 3, [6, 70])
            place.step("cutover")
            assert_generation(client, place.green, NEW, expected)
            change([6, 7], 4, [8])
            assert_generation(client, place.alias, NEW, expected)
            assert_generation(client, place.blue, OLD, expected)
            place.step("rollback")
            assert resolve_alias(client, place.alias) == place.blue
            assert_generation(client, place.alias, OLD, expected)
            change([9, 10], 5, [11])
            assert place.phase == "rolled_back"
            assert place.verify().passed
            place.step("cutover")
            assert_generation(client, place.alias, NEW, expected)

    def test_the_journal_may_be_a_collection(self, client, place):
        name = f"{place.alias}-journal"
        options = {"encoders": [OLD, NEW], "state": place.folder / "migrate"}
        expected = model(range(60))
        with (
            Migration(client, place.alias, journal=f"collection:{name}", **options) as migration,
            LiveWriter(
                client, place.alias, journal=JournalCollection(client, name), encoders=[OLD, NEW]
            ) as writer,
        ):
            for number, step in enumerate(("start", "verify", "cutover", "rollback")):
                writer.upsert([written(number, 8)])
                writer.delete([record(40 + number)["id"]])
                expected.update(model([number], 8))
                del expected[str(point_id(record(40 + number)["id"]))]
                if step == "start":
                    migration.start(NEW, run_options=RunOptions(state=place.folder / "s2"))
                elif step == "verify":
                    assert migration.verify(thresholds=LOOSE, queries=QUERIES).passed
                else:
                    getattr(migration, step)()
        assert_generation(client, place.blue, OLD, expected)
        assert_generation(client, place.green, NEW, expected)

    def test_a_second_start_fills_again_and_no_newer_write_is_lost(self, client, place):
        place.start()
        with place.writer() as writer:
            writer.upsert([written(1, 9)])
            writer.delete([record(2)["id"]])
        place.verify()
        place.start()
        expected = {**model(range(60)), **model([1], 9)}
        del expected[str(point_id(record(2)["id"]))]
        assert_generation(client, place.green, NEW, expected)

    def test_files_filled_again_do_not_bring_old_rows_back(self, client, place):
        place.start(source=place.source)
        with place.writer() as writer:
            writer.upsert([written(1, 9)])
            writer.delete([record(2)["id"]])
        assert place.verify().passed
        place.start(source=place.source)
        assert place.verify().passed

    def test_the_layout_of_blue_is_kept_for_another_encoder(self, client, place):
        place.start(FakeEncoder(dimension=48, salt="wide"))
        spec = read_spec(client, place.green)
        assert {one.name: one.size for one in spec.vectors} == {"full": 48, "mrl_8": 8}
        assert spec.sparse is not None
        assert spec.fields == read_spec(client, place.blue).fields

    def test_a_spec_and_other_fields_may_be_given(self, client, place):
        spec = CollectionSpec.for_encoder(NEW, sparse=None, quantization=None)
        place.start(spec=spec)
        assert [one.name for one in read_spec(client, place.green).vectors] == ["full"]
        with pytest.raises(MigrationRunningError, match="another spec"):
            place.start(spec=CollectionSpec.for_encoder(NEW, matryoshka=(4,)))

    # --- who may do what ---------------------------------------------------------------------

    def test_two_migrations_of_one_alias_exclude_each_other(self, client, place):
        place.start()
        with pytest.raises(MigrationRunningError, match=r"with fake"):
            place.start(OLD)
        with pytest.raises(MigrationRunningError, match="from collection"):
            place.start(source=place.source)
        with migration_lock(place.folder / "migrate", place.alias):
            for name in ("verify", "cutover", "rollback", "retire", "abort"):
                with pytest.raises(MigrationRunningError, match="process"):
                    place.step(name)
            with pytest.raises(MigrationRunningError):
                place.start()
        assert place.step("abort") == place.green
        place.start(OLD)

    def test_steps_come_in_order(self, client, place):
        for name in ("verify", "cutover", "rollback", "retire", "abort", "status"):
            with pytest.raises(MigrationNotFoundError):
                place.step(name)
        place.start()
        for name in ("cutover", "rollback", "retire"):
            with pytest.raises(MigrationStepError, match="next is"):
                place.step(name)
        place.verify()
        for name in ("rollback", "retire"):
            with pytest.raises(MigrationStepError, match="cutover"):
                place.step(name)
        place.step("cutover")
        for name in ("verify", "abort"):
            with pytest.raises(MigrationStepError):
                place.step(name)
        place.step("rollback")
        with pytest.raises(MigrationStepError):
            place.step("retire", after_s=0)
        assert place.step("abort") == place.green
        assert not client.collection_exists(place.green)
        assert resolve_alias(client, place.alias) == place.blue

    def test_a_third_party_that_moves_the_alias_is_an_error_at_every_step(self, client, place):
        other = f"{place.alias}-other"
        create_collection(client, other, CollectionSpec.for_encoder(OLD))
        place.start()
        point_alias(client, place.alias, other)
        for call in (place.verify, place.start):
            with pytest.raises(AliasMovedError, match=other):
                call()
        assert "somebody else" in (place.step("status").problem or "")
        point_alias(client, place.alias, place.blue)
        place.verify()
        point_alias(client, place.alias, other)
        with pytest.raises(AliasMovedError, match="somebody else"):
            place.step("cutover")
        assert resolve_alias(client, place.alias) == other
        point_alias(client, place.alias, place.blue)
        place.step("cutover")
        point_alias(client, place.alias, other)
        for name in ("rollback", "retire"):
            with pytest.raises(AliasMovedError):
                place.step(name)
        assert client.collection_exists(place.blue)

    def test_retire_refuses_while_an_alias_points_at_the_old_generation(self, client, place):
        place.whole_way()
        name = f"{place.alias}-old"
        point_alias(client, name, place.blue)
        with pytest.raises(MigrationStepError, match=name):
            place.step("retire", after_s=0)
        assert client.collection_exists(place.blue)

    def test_abort_refuses_while_an_alias_points_at_green(self, client, place):
        place.start()
        point_alias(client, f"{place.alias}-eager", place.green)
        with pytest.raises(MigrationStepError, match="eager"):
            place.step("abort")

    def test_another_journal_is_refused(self, client, place, tmp_path):
        place.start()
        place.folder = tmp_path / "elsewhere"
        place.folder.mkdir()
        with pytest.raises(MigrationStepError, match="another journal"):
            place.verify()

    def test_an_alias_is_needed(self, client, place):
        place.alias = place.blue
        with pytest.raises(ArgumentError, match="adopt"):
            place.start()
        place.alias = "nothing-there"
        with pytest.raises(CollectionNotFoundError):
            place.start()

    # --- wrong greens ------------------------------------------------------------------------

    def refused(self, place, **options) -> tuple[str, ...]:
        found = place.verify(**options)
        assert place.phase == "replaying"
        with pytest.raises(MigrationStepError):
            place.step("cutover")
        assert resolve_alias(place.client, place.alias) == place.blue
        assert place.client.collection_exists(place.green)
        return found.refused

    def test_missing_rows_are_caught_by_counts_and_keys(self, client, place):
        place.start()
        client.delete(place.green, [point_id(record(n)["id"]) for n in (3, 8)])
        assert self.refused(place)[:2] == ("counts", "keys")
        assert str(point_id(record(8)["id"])) in place.verify().gate("keys").words
        # As many rows, and not the same.
        client.upsert(
            place.green,
            [
                models.PointStruct(id=900 + n, vector={"full": [1.0] * 32}, payload={"text": "x"})
                for n in (1, 2)
            ],
        )
        found = place.verify()
        assert "counts" not in found.refused
        assert found.gate("keys").figure == 4
        place.start()  # filling it again mends what was lost, and removes what blue has not
        client.delete(place.green, [901, 902])
        assert place.verify().passed

    def test_the_wrong_encoder_is_caught_by_vectors(self, client, place):
        place.start()
        wrong = FakeEncoder(dimension=32, salt="wrong")
        rows = everything(client, place.green)
        vectors = wrong.encode([payload["text"] for payload, _ in rows.values()])
        points, _ = client.scroll(place.green, limit=1000)
        by_id = dict(zip(rows, vectors, strict=True))
        client.update_vectors(
            place.green,
            [
                models.PointVectors(id=one.id, vector={"full": by_id[str(one.id)].tolist()})
                for one in points
            ],
        )
        assert self.refused(place) == ("vectors",)

    def test_a_damaged_payload_is_caught_by_payloads(self, client, place):
        place.start()
        client.set_payload(place.green, {"version": 7}, points=[point_id(record(5)["id"])])
        assert self.refused(place) == ("payloads",)
        assert " 5" in place.verify().gate("payloads").words

    def test_a_low_recall_is_caught_by_recall(self, client, place):
        place.start()
        plan = {"kind": "cascade", "stages": [
            {"vector": "mrl_8", "limit": 10}, {"vector": "full"},
        ]}  # fmt: skip
        write_spec(client, place.green, replace(read_spec(client, place.green), plan=plan))
        assert self.refused(place, thresholds=replace(LOOSE, recall=0.95)) == ("recall",)

    def test_a_gate_of_quality_may_be_accepted_and_one_of_loss_may_not(self, client, place):
        place.start()
        strict = replace(LOOSE, overlap_mean=1.0)
        assert self.refused(place, thresholds=strict) == ("overlap",)
        found = place.verify(thresholds=strict, accept=["overlap"])
        assert found.passed
        assert found.gate("overlap").verdict == "accepted"
        assert [one["verdict"] for one in place.step("state").gates].count("accepted") == 1
        for name in ("keys", "nothing"):
            with pytest.raises(ArgumentError, match="accept"):
                place.verify(accept=[name])

    def test_what_slipped_between_proof_and_cutover_is_found(self, client, place):
        place.start()
        assert place.verify().passed
        client.delete(place.blue, [point_id(record(3)["id"])])  # past the journal
        with pytest.raises(GateRefusedError, match="59 points in blue and 60"):
            place.step("cutover")
        assert resolve_alias(client, place.alias) == place.blue
        assert place.phase == "replaying"
        place.start()
        assert place.verify().passed
        place.step("cutover")

    # --- crashes -----------------------------------------------------------------------------

    @pytest.mark.parametrize("after", [False, True])
    def test_every_step_may_be_cut_short_wherever_it_writes(
        self, client, place, monkeypatch, after
    ):
        """An error at the n-th write of a step, for every n, then the step again."""
        expected, crashes = model(range(60)), 0
        with place.writer() as writer:
            for name in ("start", "verify", "cutover", "rollback", "verify", "cutover", "retire"):
                writer.upsert([written(1, 3)])
                expected.update(model([1], 3))
                options = {"after_s": 0} if name == "retire" else {}
                call = {
                    "start": lambda: place.start(),
                    "verify": lambda: place.verify(),
                }.get(name, lambda name=name, options=options: place.step(name, **options))
                crashes += self.until_it_survives(place, monkeypatch, call, after=after)
        assert crashes >= 20
        assert_generation(client, place.alias, NEW, expected)
        assert not client.collection_exists(place.blue)

    def until_it_survives(self, place, monkeypatch, call, *, after: bool) -> int:
        """Repeat a step until it comes to its end; it dies at its n-th write, six times for each n.

        What an attempt wrote stays, so that dying after the first write, again and again, dies
        after every write of the way.
        """
        for number in range(6, 120):
            counter = [number // 6]
            with monkeypatch.context() as patched:
                for name in (
                    "create_collection", "update_collection", "delete_collection",
                    "update_collection_aliases", "upsert", "batch_update_points",
                ):  # fmt: skip
                    crashing(patched, place.client, name, counter, after=after)
                crashing(patched, states, "replace_file", counter, after=after)
                try:
                    call()
                except CrashError:
                    continue
                except MigrationNotFoundError:  # it had come to its end before the crash
                    return number - 6
                return number - 6
        raise AssertionError("it never survives")

    # --- readers -----------------------------------------------------------------------------

    def test_readers_see_no_error_no_gap_and_no_mixture(self, client, place):
        with reading(client, place.alias, place.folder) as seen, place.writer() as writer:
            place.start()
            assert place.verify().passed
            for number in range(7):
                place.step("cutover" if number % 2 == 0 else "rollback")
                writer.upsert([written(1, number)])
                if number % 2:
                    assert place.verify().passed
                seen.wait_for_more()
            place.step("retire", after_s=0)
            seen.wait_for_more()
        assert not seen.problems, seen.problems[:3]
        assert seen.count > 20

    def test_sampled_searches_are_asked_of_green_too(self, client, place):
        place.start()
        with LiveSearcher(
            client, place.alias, encoders=[OLD, NEW], shadow=1.0, state=place.folder / "migrate"
        ) as searcher:
            texts = [f"{a} {b}" for a in WORDS[:5] for b in WORDS[5:10]]
            for text in texts:
                assert len(searcher.search(text)) == 10
        found = place.verify(queries=None)
        assert found.gate("shadow").verdict == "passed"
        assert "of 25 searches that applications made; mean overlap" in found.gate("shadow").words
        assert "of applications" in found.gate("recall").words
        client.delete_collection(place.green)

    def test_a_search_that_fails_in_green_alone_refuses(self, client, place):
        place.start()
        path = place.folder / "migrate" / "shadow.jsonl"
        with LiveSearcher(
            client, place.alias, encoders=[OLD], shadow=1.0, state=path.parent
        ) as searcher:
            searcher.search("cat")  # green's encoder cannot be loaded here: "fake" is no model
        found = place.verify()
        assert found.refused == ("shadow",)
        assert "EncoderNotFoundError" in found.gate("shadow").words
        with path.open("a") as file:
            file.write('{"torn')
        assert place.verify(accept=["shadow"]).passed

    def test_collections_are_listed_with_their_generation(self, client, place):
        place.whole_way()
        by_name = {one.name: one for one in list_collections(client)}
        blue, green = by_name[place.blue], by_name[place.green]
        assert (blue.number, blue.aliases, blue.rows, blue.encoder) == (1, (), 60, OLD.info.name)
        assert (green.number, green.aliases, green.rows) == (2, (place.alias,), 60)
        assert green.migration == "switched"
        assert green.created is not None
        assert aliases_of(client)[place.alias] == place.green


class CrashError(Exception):
    """The process died here."""


def crashing(patched, holder, name: str, counter: list[int], *, after: bool) -> None:
    real = getattr(holder, name)

    def call(*arguments, **options):
        counter[0] -= 1
        if counter[0] == 0 and not after:
            raise CrashError(name)
        result = real(*arguments, **options)
        if counter[0] == 0:
            raise CrashError(name)
        return result

    patched.setattr(holder, name, call)


class _Seen:
    """What readers saw."""

    def __init__(self) -> None:
        self.count, self.problems = 0, []
        self.more = threading.Condition()

    def wait_for_more(self) -> None:
        """Until every reader has asked a few times more."""
        with self.more:
            wanted = self.count + 6
            assert self.more.wait_for(lambda: self.count >= wanted or self.problems, timeout=60)


@contextmanager
def reading(client, alias: str, folder, *, readers: int = 2):
    """Readers that search through the alias all the while, as applications do."""
    seen, ended = _Seen(), threading.Event()

    def read(searcher: LiveSearcher) -> None:
        while not ended.is_set():
            text = QUERIES[seen.count % len(QUERIES)]
            problem = None
            try:
                hits = searcher.search(text, plan="exact")
                problem = None if len(hits) == 10 else f"{len(hits)} hits"
                scores = [one.score for one in hits]
                # Each score is that of one encoder, the same for all: no mixture. Row 1 is left
                # out: a server scores a point, then reads its payload, and it is rewritten here.
                kept = [place for place, one in enumerate(hits) if one.id != 1]
                if not any(
                    np.allclose(
                        np.array(scores)[kept], _cosines(encoder, text, hits)[kept], atol=1e-4
                    )
                    for encoder in (OLD, NEW)
                ):
                    problem = f"scores of neither encoder: {scores}"
            except Exception as error:
                problem = repr(error)
            with seen.more:
                seen.count += 1
                if problem:
                    seen.problems.append(problem)
                seen.more.notify_all()
            time.sleep(0.001)

    with LiveSearcher(client, alias, encoders=[OLD, NEW], state=folder) as searcher:
        threads = [threading.Thread(target=read, args=(searcher,)) for _ in range(readers)]
        for one in threads:
            one.start()
        try:
            yield seen
        finally:
            ended.set()
            for one in threads:
                one.join()


def _cosines(encoder: FakeEncoder, text: str, hits) -> np.ndarray:
    rows = encoder.encode([text, *(one.text for one in hits)])
    return rows[1:] @ rows[0]
