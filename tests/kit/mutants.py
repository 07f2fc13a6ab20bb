"""Small changes to a program, one at a time: what a slip of the hand makes of a right answer."""

import ast
import copy
from collections.abc import Callable, Iterator

OPERATORS = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div,), ast.And: (ast.Or,), ast.Or: (ast.And,), ast.Lt: (ast.LtE,), ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE,), ast.GtE: (ast.Gt,), ast.Eq: (ast.NotEq,), ast.In: (ast.NotIn,),
}  # fmt: skip


def mutants(source: str) -> Iterator[str]:
    """The source with one operator, operand, number, call or statement changed or left out; each text once."""
    tree, seen = ast.parse(source), set()
    for at, node in enumerate(ast.walk(tree)):
        for change in _changes(node):
            other = copy.deepcopy(tree)
            old = list(ast.walk(other))[at]
            new = change(old)
            if new is not None:
                other = _Replace(old, new).visit(other)
            text = ast.unparse(ast.fix_missing_locations(other))
            if text not in seen:
                seen.add(text)
                yield text


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


def _changes(node: ast.AST) -> list[Callable]:
    """Functions of a copy of the node: they change it and return None, or return what takes its place."""
    match node:
        case ast.BinOp() | ast.BoolOp():
            swaps = [lambda n, o=o: setattr(n, "op", o()) for o in OPERATORS.get(type(node.op), ())]
            return swaps + (_operands(node) if isinstance(node, ast.BinOp) else _parts(node))
        case ast.Compare():
            pairs = [(i, o) for i, op in enumerate(node.ops) for o in OPERATORS.get(type(op), ())]
            return [lambda n, i=i, o=o: n.ops.__setitem__(i, o()) for i, o in pairs]
        case ast.UnaryOp():
            return [lambda n: n.operand]
        case ast.Constant(value=bool()):
            return [lambda n: setattr(n, "value", not n.value)]
        case ast.Constant(value=int() | float()):
            return [lambda n, step=step: setattr(n, "value", n.value + step) for step in (1, -1)]
        case ast.Attribute(attr="T"):
            return [lambda n: n.value]
        case ast.Call():
            without = [lambda n: n.args[0]] if node.args else []
            return without + ([lambda n: n.func.value] if isinstance(node.func, ast.Attribute) else [])
        case ast.IfExp():
            return [lambda n: n.body, lambda n: n.orelse]
        case ast.FunctionDef() if len(node.body) > 1:
            lines = [i for i, line in enumerate(node.body) if not isinstance(line, ast.Return | ast.Expr)]
            return [lambda n, i=i: n.body.__delitem__(i) for i in lines]
    return []


def _operands(node: ast.BinOp) -> list[Callable]:
    def swap(n):
        n.left, n.right = n.right, n.left

    ordered = ast.Sub | ast.Div | ast.FloorDiv | ast.MatMult | ast.Pow
    return [lambda n: n.left, lambda n: n.right, *([swap] if isinstance(node.op, ordered) else [])]


def _parts(node: ast.BoolOp) -> list[Callable]:
    def leave_out(n, i):
        del n.values[i]
        return n.values[0] if len(n.values) == 1 else None

    return [lambda n, i=i: leave_out(n, i) for i in range(len(node.values))]
