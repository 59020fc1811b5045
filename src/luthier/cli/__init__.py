"""The command line: ``luthier tune``, ``run``, ``show`` and so on."""

from luthier.cli.app import cli, main

__all__ = ["cli", "main"]
