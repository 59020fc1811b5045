"""From a data set to a tuned network: `fit`, scikit-learn style estimators, and saved models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from luthier.errors import MissingExtra

if TYPE_CHECKING:
    from luthier.estimators.fitting import fit
    from luthier.estimators.net import NetClassifier, NetRegressor, NetTranslator
    from luthier.estimators.saved import SavedModel, load

_ROOMS = {
    "NetClassifier": "net", "NetRegressor": "net", "NetTranslator": "net", "SavedModel": "saved", "fit": "fitting",
    "load": "saved",
}  # fmt: skip

__all__ = ["NetClassifier", "NetRegressor", "NetTranslator", "SavedModel", "fit", "load"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: it needs PyTorch, and the estimators need scikit-learn."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'luthier.estimators' has no attribute {name!r}")
    try:
        import torch  # noqa: F401 - asked for here, so that every module below can take it for granted
    except ImportError:
        raise MissingExtra("PyTorch", "fit") from None
    return getattr(import_module(f"luthier.estimators.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
