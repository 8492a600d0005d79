"""The hash of the code that a result is made with, by which a stored one is known to be of today's."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np

# What moves no number and is not hashed: reading and writing, bars, manifests, and the registry, whose parameters are
# compared themselves (what it holds is hashed where a function is given it). By module, or by module and function.
NOT_HASHED = frozenset(
    {
        *("files", "checkpoints", "progress", "provenance", "hashing", "runs", "states", "looks"),
        *("study", "experiments", "scales"),
        *("products.library", "products.rule"),  # which of them it was is in each manifest
        *("training._diverged", "live.kept"),
        *("local_learning._identity", "local_learning._as_tensors"),
    }
)


def source_hash(*roots: Callable[..., Any]) -> str:
    """SHA-256 over the syntax trees of functions and classes and of all of bioadv that they refer to by name.

    Constants of modules count by their values, and a class that is only named in an annotation counts too, since its
    methods are called. Docstrings, comments, layout, annotations themselves and error messages do not count, nor does
    ``NOT_HASHED``. What does count is what can move a number.
    """
    seen = sources(*roots)
    return hashlib.sha256("\n".join(f"{name} {seen[name]}" for name in sorted(seen)).encode()).hexdigest()


def sources(*roots: Callable[..., Any]) -> dict[str, str]:
    """What :func:`source_hash` is taken of: the texts of functions, classes and constants by their full names."""
    pending, seen = list(roots), dict[str, str]()
    while pending:
        item = pending.pop()
        name = _name(item)
        if name in seen or _uncounted(name):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(item)))
        code, constants = _referred(tree, inspect.getmodule(item))
        pending += code
        seen |= constants
        seen[name] = _canonical(_Bare().visit(tree))
    return seen


def _name(item: Any) -> str:
    """The full name of a function or class without its shelf: moving a module makes no result stale."""
    return f"{_module(item.__module__)}.{item.__qualname__}"


def _module(name: str) -> str:
    return f"bioadv.{name.rpartition('.')[2]}"


def _uncounted(name: str) -> bool:
    """Whether a function, class or constant, by its full name, is among ``NOT_HASHED``."""
    _, module, inner = name.split(".", 2)
    return module in NOT_HASHED or f"{module}.{inner}" in NOT_HASHED


class _Bare(ast.NodeTransformer):
    """Drops what cannot move a number: docstrings, annotations, raise statements."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Pass()

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return ast.Expr(value=node.target)  # a dataclass's field: its name counts
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _canonical(node: Any) -> str:
    """A text for a syntax tree that is the same under all versions of Python that parse it alike."""
    if isinstance(node, ast.AST):
        fields = (
            (name, getattr(node, name, None)) for name in node._fields if name not in ("ctx", "kind", "type_params")
        )
        return f"{type(node).__name__}({','.join(f'{n}={_canonical(v)}' for n, v in fields if v not in (None, []))})"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    return repr(node)


def _referred(tree: ast.AST, module: ModuleType | None) -> tuple[list[Any], dict[str, str]]:
    """Functions and classes of bioadv that a tree names, directly or as an attribute of a module; and constants."""
    space, code, constants = vars(module), [], dict[str, str]()
    for node in ast.walk(tree):
        owner, name = module, ""
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, name = space.get(node.value.id), node.attr
        if not (isinstance(owner, ModuleType) and owner.__name__.startswith("bioadv.") and hasattr(owner, name)):
            continue
        value = inspect.unwrap(getattr(owner, name))  # the function in a cache
        if inspect.isfunction(value) or inspect.isclass(value):
            if value.__module__.startswith("bioadv."):
                code.append(value)
        elif name.isupper() and not _uncounted(constant := f"{_module(owner.__name__)}.{name}"):
            constants[constant] = _value(value)
    return code, constants


def _value(value: Any) -> str:
    """A text for a constant: numbers in nine digits, since the last ones of a grid can depend on the processor."""
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}{_value({f.name: getattr(value, f.name) for f in fields(value)})}"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_value(k)}:{_value(v)}' for k, v in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(map(_value, value)))}}}"
    if isinstance(value, list | tuple | np.ndarray):
        return f"[{','.join(map(_value, value))}]"
    if inspect.isfunction(value) or inspect.isclass(value):
        return _name(value)
    return f"{value:.9g}" if isinstance(value, float) else str(value)
