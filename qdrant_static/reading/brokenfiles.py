"""Files that break off: the reject that stands for what could not be read of one."""

from __future__ import annotations

from qdrant_static.reading.inputs import Input, problem_of
from qdrant_static.reading.rejects import Reject


def unreadable_file(file: Input, error: Exception, read: int = 0) -> Reject:
    """Make the reject of a file that cannot be read to its end.

    Args:
        file: The file.
        error: What reading it raised.
        read: Lines or rows before the break.
    """
    problem = problem_of(error)
    last = read if file.unit == "line" else read - 1  # lines are counted from 1, rows from 0
    return Reject(
        reason="unreadable_file",
        message=f"cannot be read after {file.unit} {last}: {problem}" if read else problem,
        file=file.name,
        unit=file.unit,
    )
