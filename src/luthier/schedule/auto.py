"""The automatic choice of a schedule: so far, every trial runs to its end."""

from luthier.schedule.full import SCHEDULE

__all__ = ["SCHEDULE"]
