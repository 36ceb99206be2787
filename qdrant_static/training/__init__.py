"""Fits static embedding models to a corpus, with NumPy, SciPy and Numba; no PyTorch.

Every function writes a folder in model2vec's format with a card: where the model comes from, how
it was made, and what was measured.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: Name -> the module that holds it, here or in the package; imported when the name is first used.
_HOMES: dict[str, str] = {
    "AdaptOptions": "adaptoptions",
    "Adaptation": "adaptreport",
    "CompressedSize": "compression",
    "Compression": "compression",
    "Distillation": "distillation",
    "FitSettings": "fitsettings",
    "Head": "compressing",
    "HeadEncoder": "compressing",
    "LossWeights": "refineloss",
    "MadePairs": "madepairs",
    "MiningOptions": "pairoptions",
    "MiningReport": "mining",
    "ModelVersion": "encoders.modelversions",
    "Pair": "pairset",
    "PairFit": "pairs",
    "PairOptions": "pairoptions",
    "Rotation": "rotation",
    "SmecSettings": "smec.settings",
    "TrainingProgress": "trainingprogress",
    "TrainingTexts": "texts",
    "adapt": "adaptation",
    "compress": "compressing",
    "distill": "distillation",
    "find_model": "encoders.modelversions",
    "fit_pairs": "pairs",
    "list_models": "encoders.modelversions",
    "load_head": "compressing",
    "mine_negatives": "mining",
    "read_pairs": "pairfile",
    "read_stored_vectors": "vectorsource",
    "read_vectors": "vectorsource",
    "register_model": "encoders.modelregistry",
    "remove_model": "encoders.modelregistry",
    "rotate": "rotation",
    "save_head": "compressing",
    "use_model": "encoders.modelregistry",
}

__all__: list[str] = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        from qdrant_static.suggestions import suggestion

        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{suggestion(name, __all__)}"
        )
    value = globals()[name] = getattr(import_module(_path(home)), name)
    return value


def _path(home: str) -> str:
    return f"qdrant_static.{home}" if home.startswith("encoders.") else f"{__name__}.{home}"


def __dir__() -> list[str]:
    return __all__
