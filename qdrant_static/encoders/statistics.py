"""Statistics of encoded texts, gathered in the same pass, to detect drift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from qdrant_static.encoders.textblocks import TokenRows

BIN_EDGES: npt.NDArray[np.float64] = 2.0 ** (np.arange(-48, 49) / 4)
"""Edges of the norms' histogram, float64 (97,): quarters of octaves from 2^-12 to 2^12.

They are fixed, so that histograms of different runs, models and machines can be added and compared.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingStatistics:
    """Counts over encoded texts, and the norms of their vectors before normalization.

    Statistics of parts add up with ``+`` to those of the whole.

    Attributes:
        rows: Texts.
        empty_rows: Texts without tokens: their vectors are zero, and not counted in the norms.
        tokens: Tokens that were pooled.
        unknown_tokens: Tokens that the vocabulary lacks, pooled or not.
        norm_mean: Mean of the norms; 0.0 without any.
        norm_squares: Sum of the norms' squared deviations from their mean.
        norm_histogram: Norms below the first of ``BIN_EDGES``, between two of them, and above the
            last.
    """

    rows: int = 0
    empty_rows: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    norm_mean: float = 0.0
    norm_squares: float = 0.0
    norm_histogram: tuple[int, ...] = (0,) * (len(BIN_EDGES) + 1)

    @property
    def norm_deviation(self) -> float:
        """Standard deviation of the norms (of the population)."""
        filled = self.rows - self.empty_rows
        return math.sqrt(self.norm_squares / filled) if filled else 0.0

    def __add__(self, other: Any) -> EncodingStatistics:
        """Return the statistics of both parts together (Chan, Golub, LeVeque 1979)."""
        if not isinstance(other, EncodingStatistics):
            return NotImplemented
        mine, theirs = self.rows - self.empty_rows, other.rows - other.empty_rows
        filled = max(mine + theirs, 1)
        apart = other.norm_mean - self.norm_mean
        return EncodingStatistics(
            rows=self.rows + other.rows,
            empty_rows=self.empty_rows + other.empty_rows,
            tokens=self.tokens + other.tokens,
            unknown_tokens=self.unknown_tokens + other.unknown_tokens,
            norm_mean=(mine * self.norm_mean + theirs * other.norm_mean) / filled,
            norm_squares=self.norm_squares
            + other.norm_squares
            + apart * apart * mine * theirs / filled,
            norm_histogram=tuple(
                a + b for a, b in zip(self.norm_histogram, other.norm_histogram, strict=True)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedTexts:
    """Vectors of texts.

    Attributes:
        vectors: Width -> float32 (n, width); the full width is always among them.
        statistics: The statistics, if they were requested.
    """

    vectors: dict[int, npt.NDArray[np.float32]]
    statistics: EncodingStatistics | None


def observe(tokens: TokenRows, norms: npt.NDArray[np.float32]) -> EncodingStatistics:
    """Return the statistics of one block.

    Args:
        tokens: Its token ids.
        norms: float32 (rows,), before normalization.
    """
    filled = norms[tokens.counts > 0].astype(np.float64)
    mean = float(filled.mean()) if len(filled) else 0.0
    bins = np.bincount(
        np.searchsorted(BIN_EDGES, filled, side="right"), minlength=len(BIN_EDGES) + 1
    )
    return EncodingStatistics(
        rows=len(norms),
        empty_rows=len(norms) - len(filled),
        tokens=int(tokens.counts.sum()),
        unknown_tokens=int(tokens.unknown.sum()),
        norm_mean=mean,
        norm_squares=float(((filled - mean) ** 2).sum()),
        norm_histogram=tuple(bins.tolist()),
    )
