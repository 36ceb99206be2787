"""Fits static embedding models to a corpus, with NumPy, SciPy and Numba; no PyTorch.

Every function writes a folder in model2vec's format with a card: where the model comes from, how
it was made, and what was measured.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: Name -> the module that holds it; a module is imported when its name is first used.
_HOMES: dict[str, str] = {
    "Distillation": "distillation",
    "MiningOptions": "pairoptions",
    "MiningReport": "mining",
    "Pair": "pairset",
    "PairFit": "pairs",
    "PairOptions": "pairoptions",
    "TrainingProgress": "trainingprogress",
    "TrainingTexts": "texts",
    "distill": "distillation",
    "fit_pairs": "pairs",
    "mine_negatives": "mining",
    "read_pairs": "pairfile",
}

__all__: list[str] = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        from qdrant_static.suggestions import suggestion

        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{suggestion(name, __all__)}"
        )
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
