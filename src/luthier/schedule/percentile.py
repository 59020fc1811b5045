"""The percentile rule by its name: the best quarter goes on."""

from __future__ import annotations

from functools import partial

from luthier.schedule.median import Median

SCHEDULE = partial(Median, 25.0)
