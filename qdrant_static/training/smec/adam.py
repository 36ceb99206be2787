"""Adam: steps scaled by running means of the gradient and of its square.

Source: Kingma and Ba, 2015 (arXiv:1412.6980).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MEAN, _SQUARE = 0.9, 0.999


class Adam:
    """The state of Adam for one array.

    Args:
        shape: Of the array.
        rate: The learning rate.
        dtype: Of the state.
    """

    def __init__(self, shape: tuple[int, ...], rate: float, dtype: Any = np.float32) -> None:
        self._mean = np.zeros(shape, dtype)
        self._square = np.zeros(shape, dtype)
        self._rate = rate
        self._steps = 0

    def step(self, gradient: NDArray[Any], factor: float = 1.0) -> NDArray[Any]:
        """Return what to subtract from the array.

        Args:
            gradient: Of the array's shape.
            factor: Multiplies the learning rate.
        """
        self._steps += 1
        self._mean *= _MEAN
        self._mean += (1 - _MEAN) * gradient
        self._square *= _SQUARE
        self._square += (1 - _SQUARE) * gradient * gradient
        mean = self._mean / (1 - _MEAN**self._steps)
        square = self._square / (1 - _SQUARE**self._steps)
        return np.asarray(self._rate * factor * mean / (np.sqrt(square) + 1e-12))
