"""Says which software a model was made with, for its card."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from qdrant_static._version import __version__

#: Packages whose versions can change the numbers of a fit, or the tokens of a text.
_PACKAGES = ("numpy", "scipy", "numba", "tokenizers", "onnxruntime", "model2vec")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of this package, and of what it computes with.

    Args:
        more: Other packages that took part.

    Returns:
        Package -> version; a package that is not installed is left out.
    """
    found = {"qdrant-static": __version__, "python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
