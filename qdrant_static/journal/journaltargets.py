"""What becomes of a journal's targets; pure, for every kind of journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qdrant_static.errors import ArgumentError
from qdrant_static.journal.entries import Target

Targets = Mapping[str, Target]


def known(targets: Targets, name: str, place: str) -> Target:
    """The target of a name.

    Raises:
        ArgumentError: If there is none.
    """
    if name not in targets:
        raise ArgumentError(
            field="target",
            problem=f"the journal {place} knows no {name!r}; it knows "
            f"{', '.join(targets) or 'none'}. activate() it first",
        )
    return targets[name]


def primary(targets: Targets) -> str | None:
    """The name of the primary."""
    return next((one.name for one in targets.values() if one.mode == "primary"), None)


def with_primary(targets: Targets, name: str, last: int) -> Targets:
    """A collection is the primary; see `WriteJournal.set_primary`.

    Args:
        targets: The targets before.
        name: The collection.
        last: The last entry, where a target without any history begins.
    """
    before = primary(targets)
    if before == name:
        return targets
    after = dict(targets)
    if name in after:
        if before:
            after[before] = replace(after[before], mode="follow")
        after[name] = replace(after[name], mode="primary", problem=None)
        return after
    position = after.pop(before).position if before else last
    after[name] = Target(name=name, mode="primary", start=position, position=position)
    return after


def with_built(targets: Targets, name: str) -> Targets:
    """A collection is being built; see `WriteJournal.activate`.

    Raises:
        ArgumentError: If it is the primary.
    """
    blue = primary(targets)
    there = targets.get(name)
    if blue is None or name == blue:
        raise ArgumentError(field="green", problem=f"{name!r} is what the writers write to")
    if there is not None and there.mode == "hold":
        return targets
    position = targets[blue].position
    return {**targets, name: Target(name=name, mode="hold", start=position, position=position)}


def rewound(targets: Targets, target: Target) -> Targets:
    """A collection that is being built is to be filled again.

    Raises:
        ArgumentError: If it is not being built.
    """
    if target.mode != "hold":
        raise ArgumentError(
            field="green", problem=f"{target.name!r} is in use, and not being built"
        )
    return {**targets, target.name: replace(target, position=target.start)}


def retired(targets: Targets, name: str) -> Targets:
    """A collection is no target any more.

    Raises:
        ArgumentError: If it is the primary.
    """
    if primary(targets) == name:
        raise ArgumentError(field="target", problem=f"{name!r} is what the writers write to")
    return {one: target for one, target in targets.items() if one != name}


def advanced(targets: Targets, target: Target, seq: int) -> Targets:
    """A target has everything up to an entry."""
    if target.position >= seq:
        return targets
    return {**targets, target.name: replace(target, position=seq, problem=None)}


def needed(targets: Targets) -> int | None:
    """The last entry that nobody needs any more; None if nobody is known."""
    return min(
        (one.start if one.mode == "hold" else one.position for one in targets.values()),
        default=None,
    )
