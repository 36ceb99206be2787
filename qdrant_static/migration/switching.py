"""The alias is moved, forth and back, each time by one request; then the old generation goes.

A request of one create action moves an alias or does nothing. What was begun is written down
before it; whether it was carried out, the alias says.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any, NoReturn

from qdrant_static.clients.aliases import aliases_of, point_alias
from qdrant_static.clients.connect import is_embedded
from qdrant_static.clients.scroll import exact_count
from qdrant_static.clients.statefolder import default_state
from qdrant_static.collection.migrationstate import MigrationState, Phase, forget_state, write_state
from qdrant_static.errors import CollectionLockedError, GateRefusedError, MigrationStepError
from qdrant_static.migration.integrity import drifted
from qdrant_static.migration.migrationreport import Moved
from qdrant_static.migration.migrationsession import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The old generation stays for so long at least, unless somebody says otherwise, in seconds.
RETIRE_AFTER_S = 3600.0


class Switching(Session):
    """The steps that move the alias, and those that remove a generation."""

    def cutover(self, *, hand_over: bool = False) -> Moved:
        """Point the alias at green, when it has everything that blue has.

        Writers wait while the last changes are carried out, the points are counted once more and
        the alias is moved. Readers notice nothing.

        Args:
            hand_over: Close embedded collections before the alias moves, so that the process that
                serves can open green at once: for a process that ends with this.

        Raises:
            MigrationStepError: If the gates were not passed.
            GateRefusedError: If somebody wrote past the journal: a job, or whoever left other
                counts, or other payloads of the points that are compared once more.
            AliasMovedError: If somebody else re-pointed the alias.
        """
        with self.at_work("cutover") as state:
            blue, green = state.blue, state.green
            if state.phase == "switched" or self.target == green:
                self.require_target(green)
                return self._finished(state.at("switched"), blue, green)
            self.catch_up(green)
            suspects = self._drifted(state, None)
            return self._move(
                state, blue, green, "switching", "switched", hand_over=hand_over,
                check=lambda: self._check_blue(state, suspects),
            )  # fmt: skip

    def rollback(self, *, hand_over: bool = False) -> Moved:
        """Point the alias back at blue, which has missed nothing since.

        Args:
            hand_over: As for `cutover`.

        Raises:
            MigrationStepError: If there was no cut-over.
            AliasMovedError: If somebody else re-pointed the alias.
        """
        with self.at_work("rollback") as state:
            blue, green = state.blue, state.green
            if state.phase == "rolled_back" or self.target == blue:
                self.require_target(blue)
                return self._finished(state.at("rolled_back"), green, blue)
            self.catch_up(blue)
            return self._move(
                state, green, blue, "returning", "rolled_back", hand_over=hand_over,
                check=lambda: None,
            )  # fmt: skip

    def _move(
        self,
        state: MigrationState,
        before: str,
        after: str,
        begun: Phase,
        done: Phase,
        *,
        hand_over: bool,
        check: Callable[[], None],
    ) -> Moved:
        self.encoder(after)  # loading it is nothing that writers should wait for
        waiting = time.perf_counter()
        with self.journal.exclusive(f"moving {self.alias} to {after}"):
            replayed = self.drain(after)
            check()
            self.require_target(before)
            self.spec(after)  # says if it is not there: the alias would be lost on nothing
            write_state(self.client, state.at(begun))
            if hand_over and is_embedded(self.client):
                self.client.release()
            started = time.perf_counter()
            point_alias(self.client, self.alias, after)
            switch_s = time.perf_counter() - started
            self.journal.set_primary(after)
            write_state(self.client, state.at(done, switched=time.time()))
        return Moved(
            alias=self.alias,
            before=before,
            after=after,
            replayed=replayed,
            switch_s=switch_s,
            held_s=time.perf_counter() - waiting,
        )

    def _finished(self, state: MigrationState, before: str, after: str) -> Moved:
        """What a crash left of a move whose request was carried out."""
        with self.journal.exclusive(f"moving {self.alias} to {after}"):
            self.journal.set_primary(after)
            write_state(self.client, state.at(state.phase, switched=state.switched or time.time()))
        return Moved(alias=self.alias, before=before, after=after)

    def _check_blue(self, state: MigrationState, suspects: Sequence[Any]) -> None:
        """Within `exclusive`, with the journal applied: nothing is in blue that green lacks."""
        if late := self.late_writers(state):
            self._refuse(
                state, "jobs", f"{'; '.join(late)} wrote to {state.blue!r} past the journal"
            )
        try:
            blue, green = (exact_count(self.client, one) for one in (state.blue, state.green))
        except CollectionLockedError:  # the process that serves has it; verify counted there
            return
        if blue != green:
            self._refuse(state, "counts", f"{blue:,} points in blue and {green:,} in green")
        if differing := self._drifted(state, suspects):
            named = ", ".join(str(one.id) for one in differing[:5])
            self._refuse(
                state, "payloads", f"{len(differing):,} of the compared points differ: {named}"
            )

    def _drifted(self, state: MigrationState, points: Sequence[Any] | None) -> list[Any]:
        """Points of blue that green has otherwise; of a sample, or of some that differed before."""
        try:
            return drifted(self.client, state.blue, state.green, points)
        except CollectionLockedError:
            return []

    def _refuse(self, state: MigrationState, gate: str, problem: str) -> NoReturn:
        write_state(self.client, state.at("replaying"))
        raise GateRefusedError(
            alias=self.alias,
            green=state.green,
            gates=(gate,),
            problem=f"{problem}, since the verification: repeat `migrate start` with the options "
            "that it had, which carries over what slipped, and verify again",
        )

    # --- the end -----------------------------------------------------------------------------

    def retire(self, *, after_s: float = RETIRE_AFTER_S) -> str:
        """Delete the old generation; there is no way back from here.

        Args:
            after_s: It stays for so long after the cut-over at least, in seconds.

        Returns:
            The name of the collection that was deleted.

        Raises:
            MigrationStepError: If there was no cut-over, it was too short a time ago, or an alias
                points at the old generation.
            AliasMovedError: If the alias does not point at the new one.
        """
        with self.at_work("retire") as state:
            self.require_target(state.green)
            pointing = sorted(
                alias for alias, at in aliases_of(self.client).items() if at == state.blue
            )
            if pointing:
                raise self._refusal(
                    state, "retire", f"{', '.join(pointing)} points at {state.blue!r}"
                )
            left = (state.switched or state.changed) + after_s - time.time()
            if left > 0:
                raise self._refusal(
                    state,
                    "retire",
                    f"the cut-over was {after_s - left:,.0f} s ago and the old generation stays "
                    f"for {after_s:,.0f} s: wait {left:,.0f} s, or say a shorter time",
                )
            state = write_state(self.client, state.at("retiring"))
            with self.journal.exclusive(f"retiring {state.blue}"):
                self.journal.set_primary(state.green)
                if state.blue in self.journal.consumers():
                    self.journal.retire(state.blue)
            self._delete(state.blue)
            write_state(self.client, state.at("retired"))
        return state.blue

    def abort(self) -> str:
        """Give the migration up: green is deleted, the alias stays.

        Returns:
            The name of the collection that was deleted.

        Raises:
            MigrationStepError: If an alias points at green: roll back first.
        """
        with self.at_work("abort") as state:
            pointing = sorted(
                alias for alias, at in aliases_of(self.client).items() if at == state.green
            )
            if pointing:
                raise self._refusal(
                    state, "abort", f"{', '.join(pointing)} points at {state.green!r}: roll back"
                )
            if self.client.collection_exists(state.green):
                write_state(self.client, state.at("aborting"))
            with self.journal.exclusive(f"giving {state.green} up"):
                there = self.journal.consumers()
                if state.green in there and there[state.green].mode != "primary":
                    self.journal.retire(state.green)
            self._delete(state.green)
            forget_state(self.client, state)
        return state.green

    def _delete(self, collection: str) -> None:
        if self.client.collection_exists(collection):
            self.client.delete_collection(collection)
        shutil.rmtree(default_state(self.client, collection), ignore_errors=True)

    def _refusal(self, state: MigrationState, step: str, problem: str) -> MigrationStepError:
        return MigrationStepError(alias=self.alias, step=step, phase=state.phase, problem=problem)
