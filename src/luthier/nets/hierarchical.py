"""Hierarchical softmax for many classes (Morin & Bengio 2005): the cost of a step grows like the log of their number.

Classes are leaves of a tree (Mikolov et al. 2013 made it popular). At each inner node a small softmax chooses among its
children, and a class's probability is the product of the choices on its path. A step of training computes, and with
sparse gradients changes, only the paths of the batch. Nodes have up to ``branching`` children rather than two: there is
more to compute, but less that can go wrong on a path, and the accuracy is nearer to the flat softmax's.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from luthier.errors import SettingError, did_you_mean

TREES = ("balanced", "frequency", "similarity")
_RARE = 64.0  # a class counts as at most so many times rarer than the mean, which keeps paths short
_FLAT, _BRANCHING = 128, 64  # measured: benchmarks/classifiers.py
_HIGH = 32  # nodes near the root, in whole levels, whose scores are computed for every row
Node = list[Any]  # of int (a class) and Node; Any: mypy has no recursive lists of both


class HierarchicalSoftmax(nn.Module):  # type: ignore[misc] # torch has no types here
    """The last layer and the loss of a classifier of many classes.

    Parameters
    ----------
    inputs
        Features of a row.
    classes
        How many, at least two.
    tree
        ``"balanced"``: in the order of their numbers, all paths about equally long; ``"frequency"``: frequent classes
        have short paths (Huffman 1952); ``"similarity"``: balanced, similar classes near each other.
    guide : (classes,) or (classes, e) array-like
        For ``"frequency"`` how often each class occurs; for ``"similarity"`` a vector of each class, such as the mean
        of its rows' inputs or features (`class_means`).
    branching
        Children of a node at most. By default up to 128 classes hang on one node, which is the flat softmax: a tree
        would be no faster there and less accurate; otherwise 64.
    sparse
        Make gradients that hold the paths of the batch only, for ``torch.optim.SparseAdam``, ``Adagrad`` or ``SGD``.
        With ordinary gradients the optimizer changes every weight at every step, which costs as much as there are
        classes.

    Raises
    ------
    SettingError
        If there are fewer than two classes, no such tree, or the guide does not fit.

    Examples
    --------
    >>> head = HierarchicalSoftmax(16, 1000)
    >>> features, y = torch.randn(4, 16), torch.tensor([1, 10, 100, 999])
    >>> head.loss(features, y).shape, head.log_probabilities(features).shape, head.predict(features).shape
    (torch.Size([]), torch.Size([4, 1000]), torch.Size([4]))
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        tree: str = "balanced",
        guide: ArrayLike | None = None,
        branching: int | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        if tree not in TREES:
            raise SettingError(f"no tree {tree!r}{did_you_mean(tree, TREES)}: use {', '.join(TREES)}")
        if branching is None:
            branching = classes if 2 <= classes <= _FLAT else _BRANCHING
        if classes < 2 or branching < 2:
            raise SettingError(f"a tree needs two classes and two branches at least, got {classes} and {branching}")
        self.inputs, self.classes, self.sparse = inputs, classes, sparse
        self._lay_out(_tree(classes, tree, guide, branching))
        nodes, width = self.child_class.shape
        self.weight = nn.Parameter(torch.zeros(nodes, width * (inputs + 1)))  # of each child: a vector and a bias
        bound = 1.0 / math.sqrt(inputs)
        self.weight.data.view(nodes, width, inputs + 1)[..., :-1].uniform_(-bound, bound)

    def _lay_out(self, root: Node) -> None:
        """Number the inner nodes level by level; what each child is; the path of each class."""
        levels: list[list[tuple[Node, list[tuple[int, int]]]]] = [[(root, [])]]
        children: list[list[tuple[int, int]]] = []  # of each node (inner node or -1, class or -1)
        paths: list[list[tuple[int, int]]] = [[] for _ in range(self.classes)]  # (node, which child)
        first = 0
        while levels[-1]:
            below: list[tuple[Node, list[tuple[int, int]]]] = []
            next_first = first + len(levels[-1])
            for number, (node, path) in enumerate(levels[-1], first):
                children.append([])
                for place, child in enumerate(node):
                    way = [*path, (number, place)]
                    if isinstance(child, list):
                        children[-1].append((next_first + len(below), -1))
                        below.append((child, way))
                    else:
                        children[-1].append((-1, child))
                        paths[child] = way
            first = next_first
            levels.append(below)
        self.sizes = tuple(len(level) for level in levels[:-1])
        through = np.cumsum(self.sizes)
        self.high = int(through[through <= max(_HIGH, 1)].max())
        self._keep(children, paths)

    def _keep(self, children: list[list[tuple[int, int]]], paths: list[list[tuple[int, int]]]) -> None:
        width, depth = max(map(len, children)), max(map(len, paths))
        child = torch.full((len(children), width, 2), -1)
        for number, held in enumerate(children):
            child[number, : len(held)] = torch.tensor(held)
        path = torch.full((self.classes, depth, 2), -1)
        for place, way in enumerate(paths):
            path[place, : len(way)] = torch.tensor(way)
        self.register_buffer("child_node", child[..., 0])  # (nodes, width), -1 for a class or nothing
        self.register_buffer("child_class", child[..., 1])  # (nodes, width), -1 for a node or nothing
        self.register_buffer("path", path)  # (classes, depth, 2): node and child, -1 after the end
        slot = child.new_full((self.classes,), 0)
        leaf = child[..., 1].flatten()
        slot[leaf[leaf >= 0]] = (leaf >= 0).nonzero()[:, 0]
        self.register_buffer("slot", slot)  # (classes,): the child that each class is, of all children in a row

    def loss(self, features: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy.

        Parameters
        ----------
        features : (B, inputs) float tensor
        y : (B,) int tensor of classes

        Returns
        -------
        () float tensor
        """
        way = self.path[y]  # (B, depth, 2)
        row, step = (way[..., 0] >= 0).nonzero(as_tuple=True)  # (M,): all decisions on all paths
        node, chosen = way[row, step].unbind(1)
        high = node < self.high
        total = features.new_zeros(())
        for part, scored in ((high, self._high_scores), (~high, self._scores)):
            rows, nodes = row[part], node[part]
            if len(rows):
                total = total + functional.cross_entropy(scored(features, rows, nodes), chosen[part], reduction="sum")
        return total / len(y)

    def log_probabilities(self, features: Tensor) -> Tensor:
        """Return the log probability of every class, (B, classes); costs as much as the flat softmax."""
        nodes, width = self.child_class.shape
        weight = self.weight.view(nodes * width, -1)
        scores = _with_one(features) @ weight.T  # (B, nodes * width)
        steps = self._masked(scores.view(-1, nodes, width), slice(None)).log_softmax(2)
        sums, first = [steps[:, 0]], 1  # log probability of each child, level by level
        for size in self.sizes[1:]:
            inner = self.child_node[first - sums[-1].shape[1] // width : first].flatten() >= 0
            above = sums[-1][:, inner]  # (B, size): the nodes are numbered in the order of the children that they are
            sums.append((above[:, :, None] + steps[:, first : first + size]).flatten(1))
            first += size
        return torch.cat(sums, 1)[:, self.slot]

    def forward(self, features: Tensor) -> Tensor:  # (B, inputs) -> (B, classes), which serve as scores
        return self.log_probabilities(features)

    @torch.no_grad()  # type: ignore[untyped-decorator] # torch has no types here
    def predict(self, features: Tensor, *, beam: int = 4) -> Tensor:
        """Return the likeliest class of each row, by descending the tree along its best paths.

        Probabilities only fall on the way down, so a class that is likelier than all that was left aside is the best of
        all; the few rows of which that cannot be said are computed in full. So the answer is always the best class.

        Parameters
        ----------
        features : (B, inputs) float tensor
        beam
            Paths that are followed at once.

        Returns
        -------
        (B,) int tensor
        """
        rows = len(features)
        node = torch.zeros(rows, 1, dtype=torch.long, device=features.device)
        sure = features.new_zeros(rows, 1)  # log probability of each node that is followed
        best, said = features.new_full((rows,), -math.inf), node[:, 0].clone()
        aside = best.clone()  # the likeliest that is not followed
        width = self.child_class.shape[1]
        for level in range(len(self.sizes)):
            row = torch.arange(rows, device=node.device).repeat_interleave(node.shape[1])
            scored = self._high_scores if sum(self.sizes[: level + 1]) <= self.high else self._scores
            steps = scored(features, row, node.clamp(min=0).flatten()).log_softmax(1)
            sums = (sure[:, :, None] + steps.view(rows, -1, width)).flatten(1)  # (B, followed * width)
            sums = torch.where((node >= 0).repeat_interleave(width, 1), sums, -math.inf)
            leaf = self.child_class[node.clamp(min=0)].flatten(1)
            inner = self.child_node[node.clamp(min=0)].flatten(1)
            top, place = torch.where(leaf >= 0, sums, -math.inf).max(1)
            said = torch.where(top > best, leaf.gather(1, place[:, None])[:, 0], said)
            best = torch.maximum(best, top)
            ranked, order = torch.where(inner >= 0, sums, -math.inf).sort(1, descending=True)
            if ranked.shape[1] > beam:
                aside = torch.maximum(aside, ranked[:, beam])
            sure, kept = ranked[:, :beam], order[:, :beam]
            node = torch.where(sure > -math.inf, inner.gather(1, kept), -1)
        unsure = (aside >= best).nonzero()[:, 0]
        if len(unsure):
            said[unsure] = self.log_probabilities(features[unsure]).argmax(1)
        return said

    def _scores(self, features: Tensor, row: Tensor, node: Tensor) -> Tensor:
        """Scores (M, width) of the children of one node for one row each: the weights of each are fetched."""
        weight = self._weights(node)  # (M, width, inputs + 1)
        return self._masked(torch.bmm(weight, _with_one(features)[row, :, None])[..., 0], node)

    def _high_scores(self, features: Tensor, row: Tensor, node: Tensor) -> Tensor:
        """The same for nodes near the root, which most rows pass: one product of all rows and all of these nodes."""
        nodes = torch.arange(self.high, device=node.device)
        scores = _with_one(features) @ self._weights(nodes).flatten(0, 1).T  # (B, high * width)
        return self._masked(scores.view(len(features), self.high, -1)[row, node], node)

    def _weights(self, node: Tensor) -> Tensor:
        weight = functional.embedding(node, self.weight, sparse=self.sparse and torch.is_grad_enabled())
        return weight.view(len(node), -1, self.inputs + 1)

    def _masked(self, scores: Tensor, node: Tensor | slice) -> Tensor:
        """Minus infinity where a node has no such child."""
        nothing = (self.child_node[node] < 0) & (self.child_class[node] < 0)
        return scores.masked_fill(nothing, -math.inf)


def _with_one(features: Tensor) -> Tensor:
    """The features and a constant for the biases, (B, inputs + 1)."""
    return functional.pad(features, (0, 1), value=1.0)


def class_means(values: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return the mean of each class's rows, for `HierarchicalSoftmax`'s ``"similarity"``.

    Parameters
    ----------
    values : (n, ...) tensor
        Inputs or features; flattened.
    y : (n,) int tensor
    classes
        How many; one without rows gets the mean of all.

    Returns
    -------
    (classes, e) float tensor
    """
    flat = values.flatten(1).float()
    sums = flat.new_zeros(classes, flat.shape[1]).index_add_(0, y, flat)
    counts = torch.bincount(y, minlength=classes)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), flat.mean(0))


def _tree(classes: int, kind: str, guide: ArrayLike | None, branching: int) -> Node:
    if kind == "balanced":
        return _balanced(np.arange(classes), branching)
    wanted = "how often each class occurs" if kind == "frequency" else "a vector of each class"
    given = np.asarray(guide if guide is not None else [], dtype=np.float64)
    fits = given.ndim == (1 if kind == "frequency" else 2) and len(given) == classes and np.isfinite(given).all()
    if not fits or (kind == "frequency" and (given < 0).any()):
        raise SettingError(f"tree={kind!r} needs guide=, {wanted} ({classes} of them), got shape {given.shape}")
    if kind == "similarity":
        return _balanced(_alike(given), branching)
    return _huffman(np.maximum(given, max(given.mean() / _RARE, 1e-9)), branching)


def _balanced(order: NDArray[np.int64], branching: int) -> Node:
    """As few levels as the branching allows, and on each level as few children as that takes."""
    depth = 1
    while branching**depth < len(order):
        depth += 1

    def part(of: NDArray[np.int64], left: int) -> Node | int:
        if len(of) == 1:
            return int(of[0])
        wide = len(of) if left == 1 else math.ceil(len(of) ** (1.0 / left) - 1e-9)
        return [part(piece, left - 1) for piece in np.array_split(of, wide)]

    root = part(order, depth)
    assert isinstance(root, list)
    return root


def _huffman(counts: NDArray[np.float64], branching: int) -> Node:
    """Join the rarest until one is left; the first join takes fewer so that all others are full."""
    heap: list[tuple[float, int, Node | int]] = [(float(count), place, place) for place, count in enumerate(counts)]
    heapq.heapify(heap)
    joined = (len(heap) - 2) % (branching - 1) + 2
    number = len(heap)
    while len(heap) > 1:
        parts = [heapq.heappop(heap) for _ in range(min(joined, len(heap)))]
        heapq.heappush(heap, (sum(part[0] for part in parts), number, [part[2] for part in parts]))
        number, joined = number + 1, branching
    root = heap[0][2]
    assert isinstance(root, list)
    return root


def _alike(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """An order of the classes with similar ones side by side: halves along the direction in which they differ most."""
    waiting, order = [np.arange(len(vectors))], []
    while waiting:
        part = waiting.pop()
        if len(part) == 1:
            order.append(int(part[0]))
            continue
        around = vectors[part] - vectors[part].mean(0)
        along = around @ np.linalg.svd(around, full_matrices=False)[2][0]
        ranked = part[np.argsort(along, kind="stable")]
        waiting += [ranked[len(ranked) // 2 :], ranked[: len(ranked) // 2]]
    return np.array(order)
