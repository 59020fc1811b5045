"""Conditions on parameters: a safe, printable subset of Python expressions.

``"opt == 'sgd' and depth >= 3"`` is the one form; mappings such as ``{"opt": "sgd"}`` are written into it. Allowed are
names, constants, comparisons, ``in``, ``and``/``or``/``not`` and the arithmetic ``+ - * / // %``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.errors import SpaceError

_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Eq, ast.NotEq,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
)  # fmt: skip


class Condition:
    """An expression over parameter names that holds or does not hold.

    A condition that names an inactive parameter does not hold.

    Parameters
    ----------
    given
        An expression, or a mapping of name to value or to a list of values (all entries must hold).

    Raises
    ------
    SpaceError
        If the expression uses anything beyond the subset above.

    Examples
    --------
    >>> Condition({"opt": ["sgd", "nesterov"]})
    Condition("opt in ('sgd', 'nesterov')")
    >>> Condition("batch_size * width > 8192").holds({"batch_size": 256, "width": 64})
    True
    """

    __slots__ = ("_scalar", "_vector", "names", "source")

    def __init__(self, given: str | Mapping[str, Any] | Condition) -> None:
        if isinstance(given, Condition):
            given = given.source
        source = _written(given) if isinstance(given, Mapping) else given
        if not isinstance(source, str):
            raise SpaceError(f"a condition is an expression or a mapping, got {given!r}: write when=\"opt == 'sgd'\"")
        tree = _parse(source)
        self.source: str = ast.unparse(tree)
        self.names: frozenset[str] = frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
        if not self.names:
            raise SpaceError(f"the condition {self.source!r} names no parameter: it always or never holds")
        self._scalar: CodeType = compile(tree, "<condition>", "eval")
        vector = ast.fix_missing_locations(_Vectorize().visit(_parse(source)))
        self._vector: CodeType = compile(vector, "<condition>", "eval")

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Tell whether the condition holds; parameters missing from `config` count as inactive."""
        if not config.keys() >= self.names:
            return False
        return bool(eval(self._scalar, {"__builtins__": {}}, dict(config)))  # noqa: S307 - the tree was whitelisted

    def mask(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Tell it for many configurations at once.

        Parameters
        ----------
        columns : mapping of name to (n,) array
            Values of (at least) the parameters that the condition names; all active.

        Returns
        -------
        (n,) bool array
        """
        try:
            with np.errstate(invalid="ignore", divide="ignore"):
                found = eval(self._vector, {"__builtins__": {}, **_VECTOR}, dict(columns))  # noqa: S307
            return np.asarray(found, dtype=bool)
        except TypeError:  # "clip != None and clip > 2": arrays compare all rows, also where the first part has decided
            rows = zip(*(columns[name].tolist() for name in self.names), strict=True)
            return np.array([self.holds(dict(zip(self.names, row, strict=True))) for row in rows], dtype=bool)

    def __repr__(self) -> str:
        return f'Condition("{self.source}")'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __reduce__(self) -> tuple[type[Condition], tuple[str]]:
        return Condition, (self.source,)


def _written(mapping: Mapping[str, Any]) -> str:
    if not mapping:
        raise SpaceError("a condition needs at least one entry, got {}: leave when= out instead")
    parts = []
    for name, value in mapping.items():
        if isinstance(value, (list, tuple, set, frozenset)):
            parts.append(f"{name} in {tuple(value)!r}")
        else:
            parts.append(f"{name} == {value!r}")
    return " and ".join(parts)


def _parse(source: str) -> ast.Expression:
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError as error:
        raise SpaceError(f"cannot read the condition {source!r}: {error.msg}; write it like \"opt == 'sgd'\"") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise SpaceError(
                f"the condition {source!r} uses {type(node).__name__.lower()}, which is not allowed: "
                "only names, constants, comparisons, 'in', and/or/not and + - * / // %"
            )
        if isinstance(node, ast.Compare):
            _check_compare(node, source)
    return ast.fix_missing_locations(_Tuples().visit(tree))  # type: ignore[no-any-return]


def _check_compare(node: ast.Compare, source: str) -> None:
    """Refuse what would mean one thing to Python and another to arrays."""
    terms = [node.left, *node.comparators]
    for op, left, right in zip(node.ops, terms, terms[1:], strict=False):
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List):
                raise SpaceError(f"the condition {source!r} needs a list after 'in', such as opt in ('sgd', 'adam')")
        elif isinstance(left, ast.Tuple | ast.List) or (
            isinstance(right, ast.Tuple | ast.List) and not isinstance(op, ast.Eq | ast.NotEq)
        ):
            raise SpaceError(f"the condition {source!r} can only compare a list as in kernel == (3, 3)")


class _Tuples(ast.NodeTransformer):
    """Writes lists as tuples, which is what options are."""

    def visit_List(self, node: ast.List) -> ast.AST:
        return ast.Tuple([self.visit(part) for part in node.elts], ast.Load())


class _Vectorize(ast.NodeTransformer):
    """Rewrites and/or/not/in and chained comparisons into calls that work on arrays."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        name = "_all" if isinstance(node.op, ast.And) else "_any"
        return _call(name, [self.visit(value) for value in node.values])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        operand = self.visit(node.operand)
        return _call("_not", [operand]) if isinstance(node.op, ast.Not) else ast.UnaryOp(node.op, operand)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        terms = [self.visit(term) for term in (node.left, *node.comparators)]
        pairs: list[ast.expr] = []
        for left, op, right in zip(terms, node.ops, terms[1:], strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                inside = _call("_in", [left, right])
                pairs.append(inside if isinstance(op, ast.In) else _call("_not", [inside]))
            elif isinstance(right, ast.Tuple):
                same = _call("_is", [left, right])
                pairs.append(same if isinstance(op, ast.Eq) else _call("_not", [same]))
            else:
                pairs.append(ast.Compare(left, [op], [right]))
        return pairs[0] if len(pairs) == 1 else _call("_all", pairs)


def _call(name: str, args: list[ast.expr]) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), args, [])


def _all(*parts: Any) -> Any:
    return np.logical_and.reduce(np.broadcast_arrays(*parts))


def _any(*parts: Any) -> Any:
    return np.logical_or.reduce(np.broadcast_arrays(*parts))


def _in(values: Any, options: tuple[Any, ...]) -> Any:
    return _any(*(_is(values, option) for option in options)) if options else np.zeros(len(values), dtype=bool)


def _is(values: Any, option: Any) -> Any:
    if isinstance(option, tuple):  # an array would compare with its parts
        return np.fromiter((value == option for value in values), dtype=bool, count=len(values))
    return np.asarray(values == option, dtype=bool)


_VECTOR = {"_all": _all, "_any": _any, "_in": _in, "_is": _is, "_not": np.logical_not}
