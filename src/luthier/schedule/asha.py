"""Asynchronous successive halving by its usual name."""

from luthier.schedule.halving import Halving

SCHEDULE = Halving
