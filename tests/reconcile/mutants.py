"""Mutants: single changes of the syntax tree of a function, selected by function, kind of node and ordinal.

A mutant names no variable and no column, so renaming either leaves it valid. `Select("BitAnd", 1)` is the second `&` of the
function in the order of `ast.walk`; see `kind_of` for the names of kinds.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Change = Callable[[ast.AST], ast.AST]
_OPERATORS = (ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
"""Nodes that cannot be selected: an operation is selected as a whole, by the name of its operator."""


@dataclass(frozen=True)
class Select:
    """The node that a mutant replaces: the `ordinal`-th node of `kind` in the function."""

    kind: str
    ordinal: int


@dataclass(frozen=True)
class Mutant:
    """One change of one function, and the test files that must fail with it.

    Parameters
    ----------
    file:
        The file, relative to `trueup/reconcile`.
    function:
        The qualified name of the function; empty for the statements of the module itself.
    select:
        The node that is replaced.
    change:
        Makes the replacement from the node.
    tests:
        The test files that must fail with the change.
    """

    file: str
    function: str
    select: Select
    change: Change
    tests: tuple[str, ...]


def apply(mutant: Mutant, text: str) -> str:
    """Return the source text with the mutant's change; raise `LookupError` where its function or node is absent."""
    tree = ast.parse(text)
    scope = _find_scope(tree, mutant.function)
    nodes = [node for node in _walk_nodes(scope, with_definitions=bool(mutant.function)) if kind_of(node) == mutant.select.kind]
    if mutant.select.ordinal >= len(nodes):
        raise LookupError(
            f"{mutant.file}: {mutant.function} has {len(nodes)} {mutant.select.kind}, not {mutant.select.ordinal + 1}"
        )
    node = nodes[mutant.select.ordinal]
    replacement = mutant.change(node)
    for parent in ast.walk(scope):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, replacement)
            elif isinstance(value, list):
                setattr(parent, name, [replacement if item is node else item for item in value])
    return ast.unparse(ast.fix_missing_locations(tree))


def kind_of(node: ast.AST) -> str:
    """Return the kind of a node: the operator of an operation or comparison, else the name of its type."""
    match node:
        case ast.BinOp() | ast.BoolOp() | ast.UnaryOp():
            return type(node.op).__name__
        case ast.Compare():
            return type(node.ops[0]).__name__
        case _:
            return type(node).__name__


def _find_scope(tree: ast.Module, function: str) -> ast.AST:
    scope: ast.AST = tree
    for name in function.split(".") if function else ():
        definitions = [n for n in ast.iter_child_nodes(scope) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        scope = next((n for n in definitions if n.name == name), None) or _refuse_absent(function)
    return scope


def _refuse_absent(function: str) -> ast.AST:
    raise LookupError(f"there is no function {function}")


def _walk_nodes(scope: ast.AST, *, with_definitions: bool) -> Iterator[ast.AST]:
    definitions = () if with_definitions else (ast.FunctionDef, ast.ClassDef)
    for statement in ast.iter_child_nodes(scope):
        if not isinstance(statement, definitions):
            yield from (node for node in ast.walk(statement) if not isinstance(node, _OPERATORS))


# --- changes ----------------------------------------------------------------------------------------------------------


def part(*path: str | int) -> Change:
    """Replace a node by one of its own parts: field names and list indices, from the node down."""

    def change(node: ast.AST) -> ast.AST:
        selected: object = node
        for step in path:
            selected = selected[step] if isinstance(step, int) else getattr(selected, step)  # type: ignore[index]
        assert isinstance(selected, ast.AST)
        return copy.deepcopy(selected)

    return change


def source(text: str) -> Change:
    """Replace a node by an expression of constants and library names."""
    return lambda _: ast.parse(text, mode="eval").body


def without(field: str, *indices: int) -> Change:
    """Remove items of a list: arguments, keywords, elements."""

    def change(node: ast.AST) -> ast.AST:
        setattr(node, field, [item for index, item in enumerate(getattr(node, field)) if index not in indices])
        return node

    return change


def compared_by(operator: ast.cmpop) -> Change:
    """Replace the operator of a comparison."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Compare)
        node.ops = [operator]
        return node

    return change


def method(name: str) -> Change:
    """Replace the name of an attribute, such as the function of a library."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Attribute)
        node.attr = name
        return node

    return change


def with_source(template: str, **paths: tuple[str | int, ...]) -> Change:
    """Replace a node by an expression in which names stand for parts of the node, given by their paths."""

    def change(node: ast.AST) -> ast.AST:
        parts = {name: part(*path)(node) for name, path in paths.items()}

        class _Fill(ast.NodeTransformer):
            def visit_Name(self, name: ast.Name) -> ast.AST:
                return parts.get(name.id, name)

        return _Fill().visit(ast.parse(template, mode="eval").body)

    return change
