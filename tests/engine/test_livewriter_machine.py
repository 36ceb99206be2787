"""Writers, crashes and migrations in any order: nothing is lost, nothing comes back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.journal_machine import JournalMachine


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(14, 30, id="short"),
        pytest.param(300, 60, id="long", marks=pytest.mark.full),
    ],
)
def test_every_generation_holds_what_was_acknowledged(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        JournalMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
        ),
    )
