"""The package as its users meet it: examples in docstrings, the page of reference, types for their own checkers."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from bioadv.lab import runs

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "bioadv").rglob("*.py")
    if not path.name.startswith("_")
)
WITH_EXAMPLES = [name for name in MODULES if ">>> " in (ROOT / f"{name.replace('.', '/')}.py").read_text()]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_hold(name, monkeypatch):
    monkeypatch.delenv(runs.RESULTS_VARIABLE, raising=False)
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_modules_that_teach_have_examples():
    assert {name.rpartition(".")[2] for name in WITH_EXAMPLES} >= {"datasets", "models", "recipes", "powerlaw"}


def test_the_reference_documents_every_module_once():
    pages = (ROOT / "book").glob("reference_*.md")
    listed = [(page, name) for page in pages for name in re.findall(r"automodule:: (\S+)", page.read_text())]
    assert sorted(name for _, name in listed) == MODULES
    assert all(page.stem == f"reference_{name.split('.')[1]}" for page, name in listed)


def test_users_type_checkers_may_read_our_types():
    """PEP 561: without this file they take everything in the package for ``Any``."""
    assert (ROOT / "bioadv" / "py.typed").is_file()
