"""The automatic choice of a search."""

from luthier.search.random import RandomSearch

SEARCH = RandomSearch
