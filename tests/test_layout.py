"""The five shelves of the package: data flows downwards, and nothing imports from a shelf above its own."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from bioadv.lab import hashing, runner
from bioadv.network import models

PACKAGE = Path(__file__).resolve().parent.parent / "bioadv"
SHELVES = ("data", "network", "measure", "lab", "pages")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def imported(path):
    """The shelves of bioadv that a module imports from, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("bioadv.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_lies_on_a_shelf_and_imports_downwards(path):
    shelf = path.relative_to(PACKAGE).parts[0]
    assert shelf in SHELVES
    assert imported(path) <= set(SHELVES[: SHELVES.index(shelf) + 1])


def test_base_names_are_unique_and_no_shelf_bears_a_modules_name():
    """Hashes of the code leave the shelf out, so that a module can move without making a result stale."""
    names = Counter(path.stem for path in MODULES)
    assert max(names.values()) == 1
    assert not set(names) & set(SHELVES)


def test_the_hash_does_not_know_of_shelves():
    names = hashing.sources(models.slope, runner.accuracies)
    assert {"bioadv.models.slope", "bioadv.runner.accuracies"} <= set(names)
    assert not any(name.split(".")[1] in SHELVES for name in names)
