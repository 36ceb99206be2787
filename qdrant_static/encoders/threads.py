"""Threads over blocks of texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Block = TypeVar("_Block")
_Result = TypeVar("_Result")


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_blocks(
    work: Callable[[_Block], _Result], blocks: Iterable[_Block], threads: int
) -> list[_Result]:
    """Call ``work`` with every block and return the results in the order of the blocks.

    Args:
        work: Should release the GIL, as kernels do.
        blocks: Its arguments.
        threads: How many to use; 1 or less calls it in this thread.
    """
    if threads <= 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        return list(pool.map(work, blocks))
