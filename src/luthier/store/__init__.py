"""Stores: the durable log of a study, in SQLite or in memory, behind one protocol."""
