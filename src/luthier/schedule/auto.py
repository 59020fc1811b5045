"""The automatic choice of a schedule."""

from luthier.schedule.full import Full

SCHEDULE = Full
