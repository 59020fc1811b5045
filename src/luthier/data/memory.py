"""Whether a data set fits into memory, asked before it is read."""

from __future__ import annotations

from luthier.errors import DataError

_SHARE = 0.8  # of the free memory that a data set may take


def check_fits(size_bytes: float, what: str, way_out: str) -> None:
    """Raise if something would not fit into memory.

    Parameters
    ----------
    size_bytes
        What it needs.
    what, way_out
        What it is, and what can be done about it, for the message.

    Raises
    ------
    DataError
        If it needs more than four fifths of the free memory.
    """
    import psutil

    free = psutil.virtual_memory().available
    if size_bytes > _SHARE * free:
        raise DataError(
            f"{what} would need {size_bytes / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: {way_out}"
        )
