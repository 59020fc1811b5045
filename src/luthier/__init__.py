"""Luthier tunes deep-learning models.

The four ideas are `Space` (what may be tried), `Run` (what an objective reports to), `tune` (the loop) and `Study`
(what it leaves behind).
"""

from typing import TYPE_CHECKING, Any

from luthier.budget import Budget
from luthier.condition import Condition
from luthier.errors import LuthierError
from luthier.parameter import Choice, Float, Int, Ordinal, Parameter
from luthier.reader import StudyReader, load
from luthier.space import Space
from luthier.spacefile import load_space
from luthier.study import Study
from luthier.trial import Curve, Failure, Resumes, State, Trial
from luthier.tune import tune

if TYPE_CHECKING:
    from luthier.estimators import fit as fit
    from luthier.execute.run import Run

__version__ = "0.1.0"

__all__ = [
    "Budget", "Choice", "Condition", "Curve", "Failure", "Float", "Int", "LuthierError", "Ordinal", "Parameter",
    "Resumes", "Run", "Space", "State", "Study", "StudyReader", "Trial", "__version__", "load",
    "load_space", "tune",
]  # fmt: skip

# `fit` is not in __all__: a star import needs no PyTorch.
_LATER = {"Run": "luthier.execute.run", "fit": "luthier.estimators"}


def __getattr__(name: str) -> Any:
    """Load what is not needed to tune: `Run`, and `fit` with PyTorch and scikit-learn behind it."""
    if name not in _LATER:
        raise AttributeError(f"module 'luthier' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
