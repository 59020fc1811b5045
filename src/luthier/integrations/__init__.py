"""Ties to other programs: scripts in any language, TensorBoard."""
