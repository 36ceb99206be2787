"""What was done to shipments on purpose, what noticed it, and what was left behind: data.

`test_ship_traps.py` sets each trap and holds it against its line here, but for those of a cluster,
which `test_ship_cluster.py` has; docs/ship.md has the lines as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What is left behind.
NOTHING = "nothing: no collection, no alias"
AS_IT_WAS = "the target as it was"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """A line of the table.

    Attributes:
        done: What was done to the shipment.
        noticed: What noticed it: a check before anything is sent, the server's answer, or a
            proof, by its name.
        left: What was left behind.
        elsewhere: The test of a cluster that sets it, in test_ship_cluster.py.
    """

    done: str
    noticed: str
    left: str = NOTHING
    elsewhere: str | None = None

    def __str__(self) -> str:
        return f"| {self.done} | {self.noticed} | {self.left} |"


TRAPS = {
    "operation numbers": Trap(
        done="the server's operation numbers left below the built ones",
        noticed="proof `edits`",
    ),
    "another field": Trap(
        done="an empty target that differs in one field of the graph (`m` 8, built 16)",
        noticed="preparing, which names the field",
        left=AS_IT_WAS,
    ),
    "another field on the server": Trap(
        done="the same, its check skipped",
        noticed="proof `indexed`, which names the field",
        left=AS_IT_WAS,
    ),
    "other words": Trap(
        done="the segments' settings left in the words of Edge",
        noticed="proof `indexed`, which names the field",
    ),
    "another dimension": Trap(
        done="an empty target of another dimension",
        noticed="preparing, which names the vector",
        left=AS_IT_WAS,
    ),
    "another dimension on the server": Trap(
        done="the same, its check skipped: the server says ok",
        noticed="proof `vectors`",
        left=AS_IT_WAS,
    ),
    "another name": Trap(
        done="an empty target with another vector name",
        noticed="preparing, which names the vector",
        left=AS_IT_WAS,
    ),
    "another name on the server": Trap(
        done="the same, its check skipped: the server says ok",
        noticed="proof `vectors`",
        left=AS_IT_WAS,
    ),
    "not empty": Trap(
        done="a target with one point",
        noticed="preparing",
        left=AS_IT_WAS,
    ),
    "cut once": Trap(
        done="the upload of a shard cut in the middle, once",
        noticed="sending: the shard was sent again, alone",
        left="the shipment, proved",
    ),
    "cut always": Trap(
        done="the upload of a shard cut in the middle, every time",
        noticed="sending",
        left="the mark of a shipment under way; the same command, with the network well again, "
        "finished it",
    ),
    "killed and back": Trap(
        done="the server killed (SIGKILL) in the middle of an upload and started again",
        noticed="sending: the shard was sent again",
        left="the shipment, proved",
    ),
    "killed": Trap(
        done="the server killed (SIGKILL) in the middle of an upload",
        noticed="sending",
        left="the mark of a shipment under way; the same command, with the server started again, "
        "finished it",
    ),
    "killed before the proofs": Trap(
        done="the server killed (SIGKILL) when all shards were there and nothing was proved",
        noticed="the proofs, which nobody answered",
        left="the mark of a shipment under way; the same command, with the server started again, "
        "finished it",
    ),
    "killed after": Trap(
        done="the server killed (SIGKILL) when the shipment was live, and again after edits",
        noticed="nothing was to be noticed: points and edits are there after the start, and the "
        "same command proves it again",
        left="the shipment, proved",
    ),
    "node killed and back": Trap(
        done="in a cluster of two nodes and two replicas, either node killed (SIGKILL) in the "
        "middle and started again",
        noticed="sending, and the wait for the replicas",
        left="the shipment, proved on both",
        elsewhere="test_a_node_that_comes_back_is_waited_for",
    ),
    "node killed": Trap(
        done="the same, and the node stays away",
        noticed="sending, or the wait for the replicas",
        left="the mark of a shipment under way; the same command, with the node started again, "
        "finished it",
        elsewhere="test_the_same_command_finishes_what_a_dead_node_ended",
    ),
    "clocks": Trap(
        done="in a cluster, the server's clocks left in what is sent: its own repair then copies "
        "nothing to the other replica and calls it Active",
        noticed="proof `count`, on the replica",
        elsewhere="test_a_shipment_with_clocks_leaves_replicas_empty_and_is_refused",
    ),
    "disk full": Trap(
        done="a server whose disk is full in the middle of a shard",
        noticed="the server's answer, explained",
    ),
    "wrong shard": Trap(
        done="points built into a shard where the server does not look for them",
        noticed="proof `route`",
    ),
    "swapped shards": Trap(
        done="two shards of equal size sent in each other's place",
        noticed="proof `edits`",
    ),
    "lost segment": Trap(
        done="a segment left out of a shard",
        noticed="proof `count`",
    ),
    "lost payloads": Trap(
        done="the payloads' files left out of a segment",
        noticed="proof `payloads`",
    ),
    "another vector": Trap(
        done="a vector's bytes changed on the way",
        noticed="proof `vectors`",
    ),
    "other codes": Trap(
        done="a vector's codes changed on the way, its numbers whole",
        noticed="proof `searches`",
    ),
    "unknown version": Trap(
        done="a segment of a version that nobody has proved",
        noticed="preparing",
    ),
    "unknown version on the server": Trap(
        done="the same, with `--untested`: the server cannot read it",
        noticed="the server's answer",
    ),
    "alias moved": Trap(
        done="the alias pointed at another collection meanwhile",
        noticed="the look at the alias after the proofs",
        left="the proved collection, and the alias where it was put",
    ),
}


def table() -> str:
    """The table in Markdown."""
    head = ("| what was done | what noticed it | what was left behind |", "|---|---|---|")
    return "\n".join((*head, *map(str, TRAPS.values())))
