"""ADS: learns which dimensions to keep, by a Gumbel-softmax over their importance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.adam import Adam


class DimensionSelection:
    """The importance of every dimension, and the choice of the most important.

    A step of training samples ``z = softmax((importance + noise * G) / tau)``, G ~ Gumbel(0, 1),
    and keeps the dimensions with the greatest z. The gradient passes straight through this choice
    to z: a dimension that is not kept has one too, by what the loss would gain from it.

    Args:
        importance: float ``(dimensions,)``, at the start.
        size: How many are kept.
        temperature: tau.
        rate: The learning rate.
    """

    def __init__(
        self, importance: NDArray[np.float32], size: int, *, temperature: float, rate: float
    ) -> None:
        self.importance = np.array(importance, dtype=np.float64)
        self._size = size
        self._temperature = temperature
        self._adam = Adam(self.importance.shape, rate, dtype=np.float64)
        self._soft: NDArray[np.float64] = np.full(len(importance), 1 / len(importance))

    def sample(self, generator: np.random.Generator, noise: float) -> NDArray[np.int64]:
        """Draw noise and return the dimensions to keep, int64 ``(size,)``, ascending."""
        drawn = self.importance + noise * generator.gumbel(size=len(self.importance))
        self._soft = softmax(drawn / self._temperature)
        return most(self._soft, self._size)

    def kept(self) -> NDArray[np.int64]:
        """Return the most important dimensions, int64 ``(size,)``, ascending."""
        return most(self.importance, self._size)

    def learn(self, by_gate: NDArray[np.float32]) -> None:
        """Change the importance against a gradient.

        Args:
            by_gate: float ``(dimensions,)``: the gradient of the loss by the gate of a dimension,
                1 where it is kept and 0 elsewhere, in the last sample.
        """
        self.importance -= self._adam.step(
            importance_gradient(self._soft, by_gate, self._temperature, self._size)
        )


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of a vector."""
    raised = np.exp(x - x.max())
    return np.asarray(raised / raised.sum())


def importance_gradient(
    soft: NDArray[np.float64], by_gate: NDArray[np.float32], temperature: float, size: int
) -> NDArray[np.float64]:
    """Return the gradient by importance of a loss with the soft gates ``size * softmax(.)``.

    Args:
        soft: float64 ``(dimensions,)``, the softmax.
        by_gate: float ``(dimensions,)``, the gradient by the gates.
        temperature: The softmax's.
        size: Sum of the gates.
    """
    centered = by_gate - float(soft @ by_gate)
    return np.asarray(size / temperature * soft * centered)


def most(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the places of the greatest numbers, ascending; of equal ones the first."""
    return np.sort(np.argsort(-values, kind="stable")[:count])
