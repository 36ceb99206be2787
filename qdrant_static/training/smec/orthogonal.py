"""Rotations that are trained: their gradient, their step, and the principal axes to start with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.adam import Adam


def principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the uncentered principal axes, by falling share of the squared length.

    Args:
        vectors: float32 ``(n, D)``.

    Returns:
        float32 ``(D, D)``, orthogonal; an axis is a column, whose largest number is positive.
    """
    moments = vectors.T.astype(np.float64) @ vectors
    axes = np.linalg.eigh(moments)[1][:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.ascontiguousarray(axes * np.sign(largest), dtype=np.float32)


def orthogonalized(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest orthogonal matrix of one that is nearly orthogonal.

    Two steps of Newton and Schulz: ``A <- A (3 I - A'A) / 2``.
    """
    identity = np.eye(matrix.shape[1], dtype=np.float32)
    for _ in range(2):
        matrix = matrix @ (np.float32(1.5) * identity - np.float32(0.5) * (matrix.T @ matrix))
    return matrix


def angle_gradient(
    rotation: NDArray[np.float32], gradient: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the gradient by the angles between the dimensions of a rotation.

    Args:
        rotation: float32 ``(s, s)``, A, orthogonal.
        gradient: float32 ``(s, s)``, G: of a loss by A, as if its numbers were free.

    Returns:
        float32 ``(s, s)``, ``A'G - G'A``: antisymmetric. Number ij is the change of the loss where
        A becomes ``A exp(t (e_i e_j' - e_j e_i'))``, at t = 0.
    """
    product = rotation.T @ gradient
    return np.asarray(product - product.T)


class RotationTraining:
    """A rotation under training by Adam over the angles between dimensions.

    Args:
        size: Dimensions; the rotation starts as the identity.
        rate: The learning rate, in radians per step.
    """

    def __init__(self, size: int, rate: float) -> None:
        self.matrix: NDArray[np.float32] = np.eye(size, dtype=np.float32)
        self._adam = Adam((size, size), rate)

    def step(self, gradient: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        """Rotate against a gradient.

        Args:
            gradient: float32 ``(s, s)``, of the loss by the matrix.
            factor: Multiplies the learning rate.

        Returns:
            float32 ``(s, s)``, the gradient by angles.
        """
        angles = angle_gradient(self.matrix, gradient)
        turn = self._adam.step(angles, factor)
        self.matrix = orthogonalized(self.matrix - self.matrix @ turn)
        return angles
