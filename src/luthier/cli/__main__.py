"""``python -m luthier.cli`` is ``luthier``."""

from luthier.cli.app import main

main()
