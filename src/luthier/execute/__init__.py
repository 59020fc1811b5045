"""Executors: where and how objectives run, in this process or in local worker processes."""
