"""A process that writes through `LiveWriter` until it is killed.

What it does follows from a seed, so that the parent knows it: it only has to hear which changes
were acknowledged. ``python -m tests.livewriter_child TARGET ALIAS JOURNAL SEED START`` prints the
number of a change as soon as it is acknowledged. Now and then it replays to the collection
``<ALIAS>__v2``, as a migration in the process does.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from qdrant_client import models

from qdrant_static import LiveWriter, Record, connect
from qdrant_static.journal.replay import replay
from tests.fakes import FakeEncoder

ENCODERS = [FakeEncoder(f"fake-{n}", salt=str(n), dimension=16) for n in range(2)]
WORDS = ("cat", "dog", "sea", "moon", "tide", "bread", "river")
Model = dict[Any, dict[str, Any]]


def operation(seed: int, number: int) -> tuple[str, list[int], int]:
    """The change of a number: what, which keys, and a value."""
    dice = random.Random(seed * 1_000_003 + number)  # noqa: S311
    kind = dice.choice(["upsert"] * 5 + ["set", "text", "overwrite", "delete", "filter"])
    return kind, sorted(dice.sample(range(400), dice.choice([1, 5, 200]))), dice.randrange(20)


def text_of(key: int, number: int) -> str:
    return f"{WORDS[key % 7]} {WORDS[number % 7]} {number}"


def expected(before: Model, seed: int, number: int) -> Model:
    """What is there after a change."""
    kind, keys, value = operation(seed, number)
    after = dict(before)
    there = [key for key in keys if key in before]
    if kind == "upsert":
        after |= {key: {"id": key, "text": text_of(key, number), "n": value} for key in keys}
    elif kind == "set":
        after |= {key: {**before[key], "m": number} for key in there}
    elif kind == "text":
        after |= {key: {**before[key], "text": f"edited {number}"} for key in there}
    elif kind == "overwrite":
        after |= {key: {"id": key, "text": before[key]["text"], "k": number} for key in there}
    elif kind == "delete":
        after = {key: one for key, one in before.items() if key not in keys}
    else:
        after = {key: one for key, one in before.items() if one.get("n") != value}
    return after


def carry_out(writer: LiveWriter, before: Model, seed: int, number: int) -> None:
    """The change, through a writer."""
    kind, keys, value = operation(seed, number)
    there = [key for key in keys if key in before]
    if kind == "upsert":
        writer.upsert(
            Record(key=key, text=text_of(key, number), payload={"n": value}) for key in keys
        )
    elif kind == "set":
        writer.set_payload(there, {"m": number})
    elif kind == "text":
        writer.set_payload(there, {"text": f"edited {number}"})
    elif kind == "overwrite":
        writer.overwrite_payload(there, {"k": number})
    elif kind == "delete":
        writer.delete(keys)
    else:
        condition = models.FieldCondition(key="n", match=models.MatchValue(value=value))
        writer.delete_by_filter(models.Filter(must=[condition]))


def main(target: str, alias: str, journal: str, seed: int, start: int) -> None:
    state: Model = {}
    for number in range(start):
        state = expected(state, seed, number)
    client = connect(target)
    writer = LiveWriter(client, alias, journal=journal, encoders=ENCODERS)
    writer.flush()
    print("ready", flush=True)  # noqa: T201
    number = start
    while True:
        carry_out(writer, state, seed, number)
        print(number, flush=True)  # noqa: T201
        state = expected(state, seed, number)
        if number % 5 == 0:
            replay(client, f"{alias}__v2", writer.journal, encoders=ENCODERS)
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
