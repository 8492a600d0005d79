"""Where a result came from: the hash of the code that made it, and the manifest that keeps it with the parameters."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from bioadv.data import files
from bioadv.network import products

MANIFEST = "manifest.json"
DIGESTS = "digests"  # in a manifest or a probe's .json: SHA-256 of the files beside it that it describes, by name
# What moves no number and is not hashed: reading and writing, bars, manifests, and the registry, whose parameters are
# compared themselves (what it holds is hashed where a function is given it). By module, or by module and function.
NOT_HASHED = frozenset(
    {
        *("files", "progress", "provenance", "runs", "states", "study", "looks"),
        *("training._diverged", "live.kept"),
        *("local_learning._identity", "local_learning._as_tensors"),
    }
)
UNTRAINED = "none"  # the training of what is measured without one
NO_PARAMETERS = ("title", "group")  # in older manifests; what a model is called moves no number
LATER = ("units", "layer")  # not in older manifests


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
        value = getattr(owner, name)
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


def describe(value: Any) -> Any:
    """A parameter as JSON: dataclasses become dictionaries that name their kind, without what is no parameter."""
    if is_dataclass(value) and not isinstance(value, type):
        names = (one.name for one in fields(value) if one.metadata.get("parameter", True))
        return {"kind": type(value).__name__, **{name: describe(getattr(value, name)) for name in names}}
    return list(value) if isinstance(value, tuple) else value


def write_manifest(folder: Path, vouched: Iterable[str] = (), **about: Any) -> None:
    """Write a run's manifest: what is given, and the environment. It comes last, so it marks a whole run.

    vouched: names of the files in ``folder`` that it describes; their digests are kept, see :func:`intact`.
    """
    about = {name: describe(value) for name, value in about.items()}
    files.write_json(folder / MANIFEST, {**about, "environment": environment(), DIGESTS: digests(folder, vouched)})


def write_measurement(description: Path, arrays: Mapping[str, np.ndarray], **about: Any) -> None:
    """Write arrays and the description beside them, ``NAME.npz`` and ``NAME.json``, both or neither.

    about: what the description holds besides the digest of the arrays.
    """
    name = description.with_suffix(".npz").name
    with files.together(description) as new:
        files.write_arrays(new / name, arrays)
        files.write_json(new / description.name, {**about, DIGESTS: digests(new, [name])})


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files in a folder, by name."""
    return {name: files.digest(folder / name) for name in names}


def intact(description: Path, *names: str) -> bool:
    """Whether the files ``names`` beside a manifest, or beside a probe's ``.json``, are the ones that it describes.

    False if one is missing. Raises ``ValueError`` with the file and the remedy if one was damaged or replaced: its
    digest is another, or, where an earlier version kept none, it cannot be read.
    """
    kept = read_description(description).get(DIGESTS, {})
    for name in names:
        path = description.with_name(name)
        if not path.is_file():
            return False
        if name not in kept:
            files.read_tensors(path) if path.suffix == ".safetensors" else files.read_arrays(path)
        elif files.digest(path) != kept[name]:
            raise ValueError(
                f"{path} is not the file that {description} describes (other SHA-256): it was damaged or replaced; "
                "put the right one back, or remove it to make it again"
            )
    return True


def made(description: Path, wanted: dict[str, Any]) -> bool:
    """Whether a measurement is there and whole: its ``.json`` and the ``.npz`` beside it.

    Raises ``ValueError`` if it was made with other parameters than ``wanted``, or is not what it says.
    """
    if not description.is_file() or not intact(description, description.with_suffix(".npz").name):
        return False
    stored = read_description(description)["configuration"]
    for key, (before, today) in differences(stored, describe_all(wanted)).items():
        raise ValueError(f"{description} was made with {key} = {before}, not {today}; remove it to make it again")
    return True


def environment() -> dict[str, Any]:
    """What the last digits of a result can depend on: versions, threads, and the library of large products."""
    return {**files.versions(), "threads": torch.get_num_threads(), "products": products.library()}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None if there is none, that is, if nothing in it is finished.

    ``ValueError`` with the file's name if it is not one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = read_description(path, dataset=str, seconds=(int, float))
    for name, kind in {"model": str, "seed": int, "data": str}.items():
        if not isinstance(manifest["configuration"].get(name), kind):
            raise ValueError(f"{path} has no {name} in its configuration; delete it and make it again")
    return manifest


def read_description(path: Path, **needed: type | tuple[type, ...]) -> dict[str, Any]:
    """A manifest or a probe's ``.json``; ``ValueError`` with its name if it is neither."""
    about = files.read_object(path, configuration=dict, source=str, **needed)
    if not isinstance(about.get(DIGESTS, {}), dict):
        raise ValueError(f"{path} has {DIGESTS} that are no JSON object; delete it and make it again")
    return about


def identity(manifest: dict[str, Any]) -> str:
    """SHA-256 of what was trained, to which measurements belong: two trainings that gave the same weights share it.

    Taken over configuration, source and outcome: the digest of the weights, or, where an earlier version kept none,
    accuracy and health. How long it took, where, and on which disk the images lay do not count.
    """
    digests = manifest.get(DIGESTS, {})
    weights = {name: digest for name, digest in digests.items() if name.endswith(".safetensors")}
    outcome = weights or {name: manifest[name] for name in ("accuracy", "health") if name in manifest}
    about = {"configuration": manifest.get("configuration"), "source": manifest.get("source"), "outcome": outcome}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def is_of(training: str | None, manifest: dict[str, Any]) -> bool:
    """Whether a measurement that keeps ``training`` is of the training that a manifest describes.

    Earlier versions kept the hash of the whole manifest, seconds included; stored results still have that one.
    """
    whole = {name: value for name, value in manifest.items() if name != DIGESTS}
    return training in (
        UNTRAINED,
        identity(manifest),
        hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest(),
    )


def same_configuration(folder: Path, wanted: dict[str, Any], *names: str) -> bool:
    """Whether a run folder holds a finished run of this configuration, with the files ``names`` intact.

    False if nothing is finished or a file is missing; ``ValueError`` naming the first difference if it is another
    configuration's, or the file that was damaged or replaced.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return False
    for name, pair in differences(manifest.get("configuration", {}), describe_all(wanted)).items():
        name, stored, value = _first_leaf(name, *pair)
        raise ValueError(
            f"{folder} holds a run with {name} = {stored}, not {value}; give another --out folder, or remove this one"
        )
    return intact(folder / MANIFEST, *names)


def _first_leaf(name: str, stored: Any, wanted: Any) -> tuple[str, Any, Any]:
    """Of two parameters that differ, and may be tables of others, the first value that does: ``recipe.epochs``."""
    while isinstance(stored, dict) and isinstance(wanted, dict):
        key = next(key for key in sorted({*stored, *wanted}) if stored.get(key) != wanted.get(key))
        name, stored, wanted = f"{name}.{key}", stored.get(key), wanted.get(key)
    return name, stored, wanted


def differences(stored: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters in which a stored configuration is another than the wanted one: by name, (stored, wanted).

    Both as JSON. What older manifests hold besides parameters, or do not hold yet, makes no difference.
    """
    pairs = {name: (_parameters(stored.get(name)), _parameters(value)) for name, value in wanted.items()}
    found = {}
    for name, (have, value) in pairs.items():
        if name in LATER and name not in stored:
            continue
        if name == "run" and isinstance(have, dict) and isinstance(value, dict):  # that a probe measured
            if differences(have, value) or not set(have) <= set(value):
                found[name] = (have, value)
        elif have != value:
            found[name] = (have, value)
    return found


def _parameters(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _parameters(inner) for key, inner in value.items() if key not in NO_PARAMETERS}
    return value


def describe_all(values: dict[str, Any]) -> dict[str, Any]:
    """:func:`describe` for every value."""
    return {name: describe(value) for name, value in values.items()}
