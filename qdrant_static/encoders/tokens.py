"""Token ids of a block of texts, as every route hands them to pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenRows:
    """Token ids of a block: those of row i are ``ids[starts[i] : starts[i] + counts[i]]``.

    ``ids`` may belong to a workspace and hold only until its next use. Rows need not follow one
    another in it: a row with an unknown chunk is scanned again after the others.

    Attributes:
        ids: int32.
        starts: int64 (rows,).
        counts: int64 (rows,).
        unknown: int64 (rows,), how many tokens were unknown, left out or not.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]
