"""The last steps of a migration: move the alias, back and forth, then delete a generation.

A request with one create action moves an alias or does nothing. The state is written before it, and
says what was begun; whether it happened, the alias says.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from qdrant_static.clients.aliases import aliases_of, point_alias
from qdrant_static.clients.connect import is_embedded
from qdrant_static.clients.scroll import exact_count
from qdrant_static.clients.statefolder import default_state
from qdrant_static.collection.migrationstate import (
    MigrationState,
    Phase,
    Step,
    forget_state,
    write_state,
)
from qdrant_static.errors import CollectionLockedError, GateRefusedError, MigrationStepError
from qdrant_static.migration.comparison import drifted
from qdrant_static.migration.migrationreport import Moved

if TYPE_CHECKING:
    from qdrant_static.migration.session import MigrationSession

#: The default minimum time between the cut-over and the deletion of the old generation, in seconds.
RETIRE_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A move of the alias.

    Attributes:
        before: The collection that it points at.
        after: The collection that it is to point at.
        begun: The phase before the request.
        done: The phase after it.
    """

    before: str
    after: str
    begun: Phase
    done: Phase


def cut_over(session: MigrationSession, *, hand_over: bool) -> Moved:
    """Point the alias at green; see `Migration.cutover`."""
    with session.step("cutover") as state:
        blue, green = state.blue, state.green
        move = _Move(before=blue, after=green, begun="switching", done="switched")
        if state.phase == "switched" or session.serving() == green:
            return _finish(session, state, move)
        session.catch_up(green)
        suspects = _drifted(session, state, None)

        def check() -> None:
            _check_blue(session, state, suspects)

        return _execute(session, state, move, hand_over=hand_over, check=check)


def roll_back(session: MigrationSession, *, hand_over: bool) -> Moved:
    """Point the alias back at blue; see `Migration.rollback`."""
    with session.step("rollback") as state:
        blue, green = state.blue, state.green
        move = _Move(before=green, after=blue, begun="returning", done="rolled_back")
        if state.phase == "rolled_back" or session.serving() == blue:
            return _finish(session, state, move)
        session.catch_up(blue)
        return _execute(session, state, move, hand_over=hand_over)


def _execute(
    session: MigrationSession,
    state: MigrationState,
    move: _Move,
    *,
    hand_over: bool,
    check: Callable[[], None] = lambda: None,
) -> Moved:
    client = session.client
    session.encoder(move.after)  # loaded now, so that the writers do not wait for it
    waiting = time.perf_counter()
    with session.journal.exclusive(f"moving {session.alias} to {move.after}"):
        replayed = session.drain(move.after)
        check()
        session.require_serving(move.before)
        session.spec(move.after)  # raises if the collection is gone
        write_state(client, state.at(move.begun))
        if hand_over and is_embedded(client):
            client.release()
        started = time.perf_counter()
        point_alias(client, session.alias, move.after)
        switch_s = time.perf_counter() - started
        session.journal.set_primary(move.after)
        write_state(client, state.at(move.done, switched=time.time()))
    return Moved(
        alias=session.alias,
        before=move.before,
        after=move.after,
        replayed=replayed,
        switch_s=switch_s,
        held_s=time.perf_counter() - waiting,
    )


def _finish(session: MigrationSession, state: MigrationState, move: _Move) -> Moved:
    """Complete a move whose request was executed before a crash."""
    session.require_serving(move.after)
    with session.journal.exclusive(f"moving {session.alias} to {move.after}"):
        session.journal.set_primary(move.after)
        write_state(session.client, state.at(move.done, switched=state.switched or time.time()))
    return Moved(alias=session.alias, before=move.before, after=move.after)


def _check_blue(session: MigrationSession, state: MigrationState, suspects: Sequence[Any]) -> None:
    """Check, with the journal applied and the writers waiting, that green has all that blue has."""
    if late := session.late_writers(state):
        problem = f"{'; '.join(late)} wrote to {state.blue!r} past the journal"
        _refuse(session, state, "jobs", problem)
    try:
        blue, green = (exact_count(session.client, one) for one in (state.blue, state.green))
    except CollectionLockedError:  # the process that serves has it open; verify counted it
        return
    if blue != green:
        _refuse(session, state, "counts", f"{blue:,} points in blue and {green:,} in green")
    if differing := _drifted(session, state, suspects):
        ids = ", ".join(str(one.id) for one in differing[:5])
        problem = f"{len(differing):,} of the compared points differ: {ids}"
        _refuse(session, state, "payloads", problem)


def _drifted(
    session: MigrationSession, state: MigrationState, points: Sequence[Any] | None
) -> list[Any]:
    """Return the points of blue that differ in green, of a sample or of some that differed."""
    try:
        return drifted(session.client, state.blue, state.green, points)
    except CollectionLockedError:
        return []


def _refuse(session: MigrationSession, state: MigrationState, gate: str, problem: str) -> NoReturn:
    write_state(session.client, state.at("replaying"))
    raise GateRefusedError(
        alias=session.alias,
        green=state.green,
        gates=(gate,),
        problem=f"{problem}, since the verification: repeat `migrate start` with the options that "
        "it had, which copies what is missing, and verify again",
    )


def retire(session: MigrationSession, *, after_s: float) -> str:
    """Delete the old generation; see `Migration.retire`."""
    with session.step("retire") as state:
        session.require_serving(state.green)
        pointing = _aliases_of(session, state.blue)
        if pointing:
            raise _step_error(session, state, "retire", f"{pointing} points at {state.blue!r}")
        left = (state.switched or state.changed) + after_s - time.time()
        if left > 0:
            raise _step_error(
                session,
                state,
                "retire",
                f"the cut-over was {after_s - left:,.0f} s ago and the old generation stays "
                f"for {after_s:,.0f} s: wait {left:,.0f} s, or give a shorter time",
            )
        state = write_state(session.client, state.at("retiring"))
        with session.journal.exclusive(f"retiring {state.blue}"):
            session.journal.set_primary(state.green)
            if state.blue in session.journal.consumers():
                session.journal.retire(state.blue)
        _delete(session, state.blue)
        write_state(session.client, state.at("retired"))
    return state.blue


def abort(session: MigrationSession) -> str:
    """Delete green and the state; see `Migration.abort`."""
    with session.step("abort") as state:
        pointing = _aliases_of(session, state.green)
        if pointing:
            problem = f"{pointing} points at {state.green!r}: roll back"
            raise _step_error(session, state, "abort", problem)
        if session.client.collection_exists(state.green):
            write_state(session.client, state.at("aborting"))
        with session.journal.exclusive(f"giving {state.green} up"):
            green = session.journal.consumers().get(state.green)
            if green is not None and green.mode != "primary":
                session.journal.retire(state.green)
        _delete(session, state.green)
        forget_state(session.client, state)
    return state.green


def _aliases_of(session: MigrationSession, collection: str) -> str:
    aliases = aliases_of(session.client)
    return ", ".join(sorted(alias for alias, at in aliases.items() if at == collection))


def _delete(session: MigrationSession, collection: str) -> None:
    if session.client.collection_exists(collection):
        session.client.delete_collection(collection)
    shutil.rmtree(default_state(session.client, collection), ignore_errors=True)


def _step_error(
    session: MigrationSession, state: MigrationState, step: Step, problem: str
) -> MigrationStepError:
    return MigrationStepError(alias=session.alias, step=step, phase=state.phase, problem=problem)
