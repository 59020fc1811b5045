"""Softmax classifiers to the end: calibration, ensembles, and what a person looks at; arrays in, arrays out."""

from luthier.classifiers.calibration import Temperature, VectorScaling, calibration_error, log_loss
from luthier.classifiers.ensemble import Ensemble, select
from luthier.classifiers.queue import Answers, read_answers
from luthier.classifiers.review import Estimate, Review
from luthier.classifiers.track import TrackRecord
from luthier.maths.scores import softmax

__all__ = [
    "Answers", "Ensemble", "Estimate", "Review", "Temperature", "TrackRecord", "VectorScaling", "calibration_error",
    "log_loss", "read_answers", "select", "softmax",
]  # fmt: skip
