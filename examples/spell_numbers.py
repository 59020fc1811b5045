"""Learn to spell numbers out, "347" to "three hundred forty seven", from 1,500 of the numbers below 10,000.

python examples/spell_numbers.py [budget]: tunes the sequence-to-sequence recipe, then spells numbers it has never seen.
"""

import functools
import sys

import torch

import luthier as lt
from luthier.recipes import recipe

NAMES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"""
ONES, TENS = NAMES.split()[:20], NAMES.split()[20:]
WORDS = ["", "", "", "", *ONES, *TENS, "hundred", "thousand"]  # padding, begin, end and unknown come first
DIGITS, END = 14, 2  # four special tokens and ten digits


def spelled(number):
    """The words of a number below a million."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = spelled(number % size) if number % size else []
            return [*spelled(number // size), name, *rest]
    if number < 20:
        return [ONES[number]]
    return [TENS[number // 10 - 2], *([ONES[number % 10]] if number % 10 else [])]


def tokens(numbers, *, longest=5, words=9):
    """Digits (n, longest) and words (n, words) as tokens, ended by END and padded by 0."""
    source, target = torch.zeros(len(numbers), longest).long(), torch.zeros(len(numbers), words).long()
    for row, number in enumerate(numbers):
        read = [4 + int(digit) for digit in str(number)] + [END]
        written = [WORDS.index(word) for word in spelled(number)] + [END]
        source[row, : len(read)], target[row, : len(written)] = torch.tensor(read), torch.tensor(written)
    return source, target


def text(row):
    """Tokens as words."""
    return " ".join(WORDS[token] for token in row.tolist() if token > END)


@functools.cache
def data():
    numbers = torch.randperm(10_000, generator=torch.Generator().manual_seed(0)).tolist()
    return tokens(numbers[:1500]), tokens(numbers[1500:2000])


speller = recipe("seq2seq", vocabulary=DIGITS, target_vocabulary=len(WORDS), epochs=8)


def train(config, run):
    known, unknown = data()
    plan = speller.plan(config, known, seed=run.seed, device=run.device)
    plan.fit(unknown, run=run)


if __name__ == "__main__":
    budget = sys.argv[1] if sys.argv[1:] else "3m"
    study = lt.tune(train, speller.space, maximize="exact_match", budget=budget, dir="runs/spell_numbers", seed=1)
    print(study.summary())
    plan = speller.plan(study.best.config, data()[0], seed=study.best.seed)
    plan.fit()
    source, target = data()[1]
    for digits, written, true in zip(source[:10], plan.predict(source[:10]), target, strict=False):
        number = "".join(str(token - 4) for token in digits.tolist() if token > END)
        print(f"{number:>6}  {text(written)}{'' if text(written) == text(true) else f'   (it is {text(true)})'}")
