"""Mutants of a module: each is the source with one small mistake in it, made from its syntax tree or by hand.

Left out on purpose: what a test could only notice as a crash (types, names, shapes by `dim`), what a message or an
assertion says, and decorators, annotations and default values, which are declarations and not steps of a computation.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.Pow: "*",
    ast.FloorDiv: "/",
}
_AUGMENTED: dict[type[ast.operator], str] = {**_BINARY, ast.Mult: "/", ast.Div: "*"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_SWAPPED = {
    "min": "max",
    "minimum": "maximum",
    "amin": "amax",
    "any": "all",
    "sum": "mean",
    "exp": "log",
    "ones": "zeros",
    "ones_like": "zeros_like",
}
_SWAPPED |= {other: name for name, other in _SWAPPED.items()}
_SWAPPED["mean"] = "sum"
_DROPPED = {"detach", "clamp", "abs", "exp", "log", "sqrt", "square", "nan_to_num", "masked_fill", "clip"}
_SHAPE = {"dim", "keepdim", "axis", "device", "dtype", "strict"}
_BOOLS = re.compile(r"(mask|actions|judged\(\w+\)|valid|possible)(\[\w+\])?$")  # these have no mean
_SHAPING = {"view", "reshape", "expand", "flatten", "squeeze", "unsqueeze", "gather", "scatter_", "scatter_add_"}


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake.

    Args:
        module: path under src/eclectus.
        name: what was changed, in the words of the source; it names the mutant as long as that code stays.
        line: where.
        source: the whole mutated module.
    """

    module: str
    name: str
    line: int
    source: str


@dataclass(frozen=True)
class _Edit:
    node: ast.expr | ast.stmt
    text: str
    label: str


def generated(module: str, source: str, skip: frozenset[str] = frozenset()) -> list[Mutant]:
    """Every mutant that the operators make of the functions of a module.

    Args:
        module: path under src/eclectus.
        source: its text.
        skip: qualified names of functions or classes that are left alone, as in "Algorithm.check".
    """
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:row])) for row in range(len(lines) + 1)]
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for function, node in _functions(ast.parse(source), "", skip):
        for edit in _edits(node):
            first = starts[edit.node.lineno - 1] + edit.node.col_offset
            last = starts[(edit.node.end_lineno or 0) - 1] + (edit.node.end_col_offset or 0)
            mutated = source.encode()[:first] + edit.text.encode() + source.encode()[last:]
            name = f"{function}: {edit.label}"
            seen[name] += 1
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            found.append(Mutant(module, name + number, edit.node.lineno, mutated.decode()))
    return found


def replaced(module: str, source: str, name: str, old: str, new: str) -> Mutant:
    """The mutant in which one piece of text stands for another.

    Raises:
        LookupError: the text is not in the module exactly once.
    """
    if source.count(old) != 1:
        raise LookupError(
            f"mutant '{name}': its text stands {source.count(old)} times in {module}, not once; bring tests/mutation/"
            f"catalogue.py up to date: {old!r}"
        )
    return Mutant(module, name, source[: source.index(old)].count("\n") + 1, source.replace(old, new))


def _functions(tree: ast.AST, prefix: str, skip: frozenset[str]) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (name := prefix + node.name) not in skip:
            if isinstance(node, ast.FunctionDef):
                yield name, node
            else:
                yield from _functions(node, f"{name}.", skip)


def _edits(function: ast.FunctionDef) -> Iterator[_Edit]:
    for statement in function.body:
        yield from _visit(statement)


def _visit(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr) or _is_text(node):
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SHAPING:
        yield from _visit(node.func)
        yield from (edit for argument in node.args if not _is_number(argument) for edit in _visit(argument))
        return
    if isinstance(node, ast.Subscript) and not any(isinstance(part, ast.Slice) for part in ast.walk(node.slice)):
        yield from _visit(node.value)
        yield from () if _is_number(node.slice) else _visit(node.slice)
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield from _of(node)
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (isinstance(child, ast.keyword) and child.arg in _SHAPE):
                yield from _visit(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _of(node: ast.expr | ast.stmt) -> Iterator[_Edit]:  # noqa: PLR0912, one case for each kind of node
    was = _short(node)
    match node:
        case ast.BinOp(left, ast.Mult(), right) if not isinstance(left, ast.List):
            # Masks, weights and signs are short, what they apply to is long.
            kept, lost = (right, left) if len(_short(left)) < len(_short(right)) else (left, right)
            yield _Edit(node, f"({ast.unparse(kept)})", f"`{was}` forgets `{_short(lost)}`")
        case ast.BinOp(left, ast.Div(), right):
            yield _Edit(node, f"({ast.unparse(left)})", f"`{was}` forgets the divisor")
        case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
            sign = _BINARY[type(operator)]
            yield _Edit(node, f"(({ast.unparse(left)}) {sign} ({ast.unparse(right)}))", f"`{was}` with {sign}")
        case ast.AugAssign(target, operator, value) if type(operator) in _AUGMENTED:
            sign = f"{_AUGMENTED[type(operator)]}="
            yield _Edit(node, f"{ast.unparse(target)} {sign} {ast.unparse(value)}", f"`{was}` with {sign}")
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield _Edit(node, f"({ast.unparse(operand)})", f"`{was}` without its sign")
        case ast.Compare(left, operators, comparators):
            yield from _comparisons(node, left, operators, comparators, was)
        case ast.BoolOp(operator, values):
            word = " or " if isinstance(operator, ast.And) else " and "
            yield _Edit(node, f"({word.join(f'({ast.unparse(v)})' for v in values)})", f"`{was}` with{word.rstrip()}")
        case ast.Constant(value) if isinstance(value, bool):
            yield _Edit(node, str(not value), f"{value} becomes {not value}")
        case ast.Constant(value) if isinstance(value, int | float):
            other = value + 1 if value in (0, 1) or isinstance(value, int) else value * 2
            yield _Edit(node, f"{other}", f"{value} becomes {other}")
        case ast.Expr(ast.Call()):
            # A function that no longer says `super` has no cell for its class and cannot be swapped for one that has.
            yield _Edit(node, "super()" if "super()" in was else "pass", f"`{was}` is left out")
        case ast.Call(ast.Attribute(receiver, name) as function):
            if name in _DROPPED and not (isinstance(receiver, ast.Name) and receiver.id in {"torch", "math", "np"}):
                yield _Edit(node, f"({ast.unparse(receiver)})", f"`{was}` forgets {name}")
            elif name in _SWAPPED and not (name == "sum" and _BOOLS.search(_short(receiver))):
                yield _Edit(function, f"({ast.unparse(receiver)}).{_SWAPPED[name]}", f"`{was}` with {_SWAPPED[name]}")
        case ast.Call(ast.Name(name) as function) if name in {"min", "max", "any", "all"}:
            yield _Edit(function, _SWAPPED[name], f"`{was}` with {_SWAPPED[name]}")
        case ast.If(test) | ast.IfExp(test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield _Edit(test, f"(not ({ast.unparse(test)}))", f"if not `{_short(test)}`")


def _comparisons(
    node: ast.Compare, left: ast.expr, operators: list[ast.cmpop], comparators: list[ast.expr], was: str
) -> Iterator[_Edit]:
    for place, operator in enumerate(operators):
        sign = _COMPARE[type(operator)]
        text = ast.unparse(left)
        for index, (other, value) in enumerate(zip(operators, comparators, strict=True)):
            text += f" {sign if index == place else _sign(other)} {ast.unparse(value)}"
        yield _Edit(node, f"({text})", f"`{was}` with {sign}")


def _sign(operator: ast.cmpop) -> str:
    return ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))[2:-2]


def _short(node: ast.AST) -> str:
    """The code on one line."""
    return re.sub(r"\s+", " ", ast.unparse(node))
