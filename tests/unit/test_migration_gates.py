"""Gates' arithmetic, names of generations, phases: no engine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.generations import generation_name, split_name
from qdrant_static.collection.migrationstate import NEXT, PHASES, STEPS, MigrationState
from qdrant_static.errors import ArgumentError, MigrationStepError
from qdrant_static.migration.comparison import differing_ids
from qdrant_static.migration.gates import (
    ACCEPTABLE,
    NAMES,
    Thresholds,
    at_least,
    at_most,
    check_accepted,
    judged_gate,
    latency,
    noted,
    table,
)
from qdrant_static.migration.migrationreport import Moved
from qdrant_static.migration.quality import of_shadow, spearman
from tests.fakes import FakeEncoder


def state(**changes) -> MigrationState:
    info = FakeEncoder().info
    encoder = {"name": info.name, "fingerprint": info.fingerprint}
    return MigrationState(
        alias="a", blue="a__v1", green="a__v2", source={"kind": "collection"}, encoder=encoder,
        **changes,
    )  # fmt: skip


def test_a_state_survives_json():
    one = state(phase="verified", gates=(noted("recall", 0.9, "x").to_dict(),), switched=1.5)
    back = MigrationState.from_dict(json.loads(json.dumps(one.to_dict())))
    assert back.to_dict() == one.to_dict()
    assert back.what_next == "`migrate cutover a`"


def test_a_later_versions_state_is_refused():
    with pytest.raises(MigrationStepError, match="upgrade"):
        MigrationState.from_dict({**state().to_dict(), "version": 99})


def test_every_phase_has_a_next_and_every_step_a_phase():
    assert set(NEXT) == set(PHASES)
    for step, phases in STEPS.items():
        for phase in PHASES:
            if phase in phases:
                state(phase=phase).check(step)
            else:
                with pytest.raises(MigrationStepError, match="next is"):
                    state(phase=phase).check(step)


def test_green_is_never_removed_while_it_serves_nor_blue_before():
    assert not {"switched", "retiring", "retired"} & set(STEPS["abort"])
    assert not {"building", "replaying", "verified", "rolled_back"} & set(STEPS["retire"])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("articles__v2", ("articles", 2)),
        ("articles__v12", ("articles", 12)),
        ("a__v1__v3", ("a__v1", 3)),
        ("articles", ("articles", None)),
        ("articles__v0", ("articles__v0", None)),
        ("articles__v02", ("articles__v02", None)),
        ("__v1", ("__v1", None)),
    ],
)
def test_names_of_generations(name, parts):
    assert split_name(name) == parts
    if parts[1] is not None:
        assert generation_name(*parts) == name


def test_a_gate_stands_exactly_at_its_threshold():
    assert at_least("recall", 0.95, 0.95, "").verdict == "passed"
    assert at_least("recall", 0.9499, 0.95, "").refuses
    assert at_most("keys", 0, 0, "").verdict == "passed"
    assert at_most("keys", 1, 0, "").accepted().verdict == "accepted"
    assert at_most("keys", 0, 0, "").accepted().verdict == "passed"
    assert not noted("recall", None, "").refuses


def test_only_gates_of_quality_are_accepted():
    assert check_accepted(["ranks", "overlap"]) == ("overlap", "ranks")
    guards = {"jobs", "counts", "keys", "payloads", "vectors", "indexed"}
    assert set(NAMES) - set(ACCEPTABLE) == guards
    for name in ("keys", "indexed", "x"):
        with pytest.raises(ArgumentError, match="accept"):
            check_accepted([name])


@pytest.mark.parametrize("wrong", [{"recall": 1.1}, {"ranks": -1}, {"latency_factor": "2"}])
def test_wrong_thresholds_are_refused(wrong):
    with pytest.raises(ArgumentError, match="thresholds"):
        Thresholds(**wrong)
    assert Thresholds(latency_factor=100).latency_factor == 100
    with pytest.raises(ArgumentError, match="better: 1 is neither"):
        Thresholds(better=1)


@pytest.mark.parametrize(
    ("difference", "p_value", "better", "verdict"),
    [
        (-0.009, 0.001, False, "passed"),
        (-0.011, 0.9, False, "refused"),
        (0.03, 0.01, True, "passed"),
        (0.03, 0.05, True, "refused"),
        (-0.03, 0.01, True, "refused"),
    ],
)
def test_green_is_no_worse_by_the_margin_or_better_beyond_chance(
    difference, p_value, better, verdict
):
    gate = judged_gate(difference, p_value, Thresholds(better=better), "0.5 -> 0.6")
    assert (gate.name, gate.verdict) == ("ndcg", verdict)
    assert ("must be better" in gate.words) == better
    assert ("chance alone" in gate.words) == (p_value >= 0.05)


def test_the_table_has_figures_thresholds_and_verdicts():
    lines = table([at_least("recall", 0.9, 0.95, "words"), noted("ndcg", None, "")]).splitlines()
    assert lines[1].split() == ["recall", "0.900", "0.950", "refused", "words"]
    assert lines[2].split() == ["ndcg", "-", "-", "noted"]


def test_spearman_of_known_rankings():
    assert spearman("abcd", "abcd") == 1
    assert spearman("abcd", "dcba") == -1
    assert spearman("abxcd", "baycd") == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    with pytest.raises(ArgumentError):
        spearman("ab", "bc")


ids = st.sets(st.one_of(st.integers(0, 40), st.uuids().map(str)), max_size=30)


def _ordered(some):
    whole = sorted(one for one in some if isinstance(one, int))
    return iter([*whole, *sorted(one for one in some if isinstance(one, str))])


@given(ids, ids)
def test_what_differs_of_two_sorted_sides_is_their_symmetric_difference(blue, green):
    found = list(differing_ids(_ordered(blue), _ordered(green)))
    assert len(found) == len(set(found))
    assert set(found) == blue ^ green


def test_a_shadow_refuses_when_green_failed():
    good = {"green": "g", "text": "x", "blue_s": 0.001, "green_s": 0.002, "overlap": 0.5}
    assert of_shadow([good]).verdict == "passed"
    assert "mean overlap 0.500; p95 1.0 ms -> 2.0 ms" in of_shadow([good]).words
    bad = of_shadow([good, {"green": "g", "text": "y", "blue_s": 0.1, "error": "E: no"}])
    assert (bad.figure, bad.verdict) == (1, "refused")
    assert "E: no" in bad.words


USUAL = Thresholds()
FAST, SLOW = 0.010, 0.030


def test_a_green_that_is_slower_throughout_is_refused():
    gate = latency([FAST] * 40, [SLOW] * 40, USUAL)
    assert (gate.verdict, round(gate.figure, 2)) == ("refused", 3.0)
    assert "green far slower in 40, blue in 0" in gate.words
    assert latency([FAST] * 40, [0.019] * 40, USUAL).verdict == "passed"


def test_a_busy_machine_slows_both_and_refuses_nothing():
    """Three times as slow in some pairs, one as often as the other, though p95 is apart."""
    blue = [FAST] * 36 + [SLOW] * 4
    green = [SLOW] * 2 + [0.2] * 4 + [FAST] * 34
    gate = latency(blue, green, USUAL)
    assert gate.figure > 2
    assert gate.verdict == "noted"
    assert "green far slower in 6, blue in 4: p = 0.38, so that chance alone" in gate.words


def test_a_tail_that_only_green_has_is_refused():
    assert latency([FAST] * 100, [FAST] * 90 + [0.2] * 10, USUAL).verdict == "refused"


def test_latency_needs_seven_pairs_that_say_the_same():
    assert latency([FAST] * 6, [SLOW] * 6, USUAL).verdict == "noted"
    assert latency([FAST] * 7, [SLOW] * 7, USUAL).verdict == "refused"  # 1 / 128 < 0.01


def test_what_nobody_notices_is_not_refused():
    assert latency([0.001] * 40, [0.004] * 40, USUAL).verdict == "noted"


@pytest.mark.parametrize("pair", [([], []), ([FAST], [FAST, FAST])])
def test_latency_wants_pairs(pair):
    with pytest.raises(ArgumentError, match="blue_s"):
        latency(*pair, USUAL)


def test_a_move_that_was_made_before_says_so_and_invents_no_time():
    again = Moved(alias="a", before="a__v1", after="a__v2")
    assert str(again) == "a -> a__v2 already: nothing was moved"
    assert again.to_dict()["switch_s"] is None
    told = str(Moved(alias="a", before="x", after="y", switch_s=0.0021, held_s=0.05))
    assert "took 2.1 ms, writers waited 50 ms" in told
