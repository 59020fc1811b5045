"""Texts as tokens, words and punctuation, by a vocabulary: in lower case to be read, as they are to be written."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from luthier.data import Dataset
from luthier.errors import DataError

_EAST = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts that put no spaces between words: a token a character
_TOKEN = re.compile(rf"[{_EAST}]|[^\W{_EAST}]+(?:'[^\W{_EAST}]+)?|[^\w\s]")
_EXACT = re.compile(rf" ?(?:{_TOKEN.pattern})")
_SHARE = 0.98  # of the texts that are kept whole
_LONGEST = 256
_HURRIED = (600.0, 128)  # seconds of budget up to which texts are shorter, and how long
_WORDS = 20_000  # at most, in the vocabulary


def words_of(text: str, *, characters: bool = False, exact: bool = False) -> list[str]:
    """Cut a text into tokens.

    Parameters
    ----------
    text
        Any.
    characters
        Into characters instead.
    exact
        So that joining them gives the text back: case is kept, and the blank before a token, also before the first.

    Examples
    --------
    >>> words_of("Don't panic: it's 42!")
    ["don't", 'panic', ':', "it's", '42', '!']
    >>> words_of("Don't panic!", exact=True)
    [" Don't", ' panic', '!']
    """
    if characters:
        return list(text)
    return _EXACT.findall(" " + " ".join(text.split())) if exact else _TOKEN.findall(text.lower())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by number: first the special ones, then words, the most frequent first.

    Parameters
    ----------
    words
        All but the special ones.
    special
        How many come before: 2 (padding, unknown), or 4 (padding, begin, end, unknown) for what is to be written.
    characters
        Whether a token is a character.
    exact
        Whether the tokens keep case and blanks, see `words_of`.
    """

    words: tuple[str, ...]
    special: int = 2
    characters: bool = False
    exact: bool = False
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {w: n for n, w in enumerate(self.words, self.special)})

    def __len__(self) -> int:
        return self.special + len(self.words)

    @classmethod
    def learn(
        cls, texts: Iterable[str], *, special: int = 2, characters: bool = False, exact: bool = False
    ) -> Self:  # fmt: skip
        """Take the most frequent words, those that occur once only where there are few."""
        counts = Counter(word for text in texts for word in words_of(text, characters=characters, exact=exact))
        least = 2 if sum(count > 1 for count in counts.values()) >= 200 else 1
        ordered = sorted((w for w, c in counts.items() if c >= least), key=lambda w: (-counts[w], w))
        return cls(tuple(ordered[:_WORDS]), special, characters, exact)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens; what is not known is the last of the special ones."""
        unknown = self.special - 1
        return [self.numbers.get(word, unknown) for word in self.tokens(text)]

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text, known ones or not."""
        return words_of(text, characters=self.characters, exact=self.exact)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens, the special ones left out."""
        known = [self.words[n - self.special] for n in tokens if n >= self.special]
        if self.exact:
            return "".join(known).strip()
        return "".join(known) if self.characters else _joined(known)

    def state(self) -> dict[str, Any]:
        """Return it as plain values."""
        named = {"special": self.special, "characters": self.characters, "exact": self.exact}
        return {"words": list(self.words), **named}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(tuple(state["words"]), state["special"], state["characters"], state.get("exact", False))


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Turn texts into (n, length) int tensors, 0 where a text has ended.

    Parameters
    ----------
    vocabulary
        Of the tokens.
    length
        Most tokens of a text.
    notes
        What was done and has to be told.
    """

    vocabulary: Vocabulary
    length: int
    notes: tuple[str, ...] = ()

    @classmethod
    def learn(cls, dataset: Dataset, *, seconds: float = math.inf) -> Self:
        """Learn the vocabulary and choose the length."""
        texts = _texts(dataset)
        sequences = dataset.task == "seq2seq"
        characters = sequences and mostly_one_word(texts)
        vocabulary = Vocabulary.learn(texts, special=4 if sequences else 2, characters=characters)
        if not vocabulary.words:
            raise DataError(f"{dataset.source}: the texts have no words: all of them are empty")
        lengths = np.array([len(words_of(text, characters=characters)) for text in texts])
        share = 1.0 if sequences else _SHARE
        longest = _HURRIED[1] if seconds <= _HURRIED[0] and not sequences else _LONGEST
        length = max(1, min(int(np.quantile(lengths, share, method="higher")), longest - sequences))
        unit = "characters" if characters else "words"
        notes = [f"texts became {unit}: {len(vocabulary.words):,} known ones, the others are one unknown"]
        longer = int((lengths > length).sum())
        if longer:
            notes.append(f"{longer} texts of more than {length} {unit} were cut there")
        return cls(vocabulary, length + sequences, tuple(notes))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from its state."""
        return cls(Vocabulary.of(state["vocabulary"]), state["length"])

    @property
    def constants(self) -> dict[str, Any]:
        """The size of the vocabulary."""
        return {"vocabulary": len(self.vocabulary)}

    def encode(self, dataset: Dataset) -> Tensor:
        """Return (n, length) int64."""
        return tokens_of(_texts(dataset), self.vocabulary, self.length)

    def state(self) -> dict[str, Any]:
        """Return the vocabulary and the length."""
        return {"vocabulary": self.vocabulary.state(), "length": self.length}

    def example(self, rows: int) -> Tensor:
        """Return a batch of the right shape."""
        return torch.arange(rows * self.length).view(rows, self.length) % (len(self.vocabulary) - 1) + 1


def tokens_of(texts: Sequence[str], vocabulary: Vocabulary, length: int) -> Tensor:
    """Return the tokens of texts, (n, length), with an end where the vocabulary has one."""
    ending = [2] if vocabulary.special == 4 else []
    tokens = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        found = vocabulary.encode(text)[: length - len(ending)] + ending
        tokens[row, : len(found)] = torch.tensor(found, dtype=torch.long)
    return tokens


def mostly_one_word(texts: Sequence[str]) -> bool:
    """Tell whether texts are single words, so that they have to be read letter by letter."""
    return bool(np.mean([len(text.split()) for text in texts]) <= 1.5)


def _texts(dataset: Dataset) -> list[str]:
    assert isinstance(dataset.inputs, list)
    return [str(text) for text in dataset.inputs]


def _joined(words: Sequence[str]) -> str:
    """Put words together again, no space before punctuation that follows a word."""
    text = ""
    for word in words:
        glued = not text or word in ".,;:!?)" or re.fullmatch(rf"[{_EAST}]", word)
        text += word if glued else f" {word}"
    return text
