"""Chapters under nbval: a notebook with a fault fails at its first cell and stops at its first failing one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.notebooks import faults

FAILED = pytest.StashKey[set[Path]]()
CHECKED = pytest.StashKey[dict[Path, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Checks leave their values out under nbval, as in the stored outputs."""
    if config.getoption("nbval", default=False):
        os.environ["BIOADV_STORED"] = "1"


def _is_cell(item: pytest.Item) -> bool:
    return item.path.suffix == ".ipynb"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stored outputs are of the photo patches and of the book's results: with others they cannot agree."""
    for name in ("BIOADV_DATA", "BIOADV_RESULTS"):
        if os.environ.get(name, "photo-patches") != "photo-patches" and any(map(_is_cell, items)):
            raise pytest.UsageError(
                f"{name} = {os.environ[name]!r} is set, and the stored notebooks were made without it: unset it "
                "(`make nbval` does), or run the chapters with other images by `make lab`"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a notebook that has a fault; skip what follows a failure."""
    if not _is_cell(item):
        return
    if item.path in item.session.stash.setdefault(FAILED, set()):
        pytest.skip("an earlier cell of this notebook failed")
    checked = item.session.stash.setdefault(CHECKED, {})
    if item.path not in checked:
        checked[item.path] = faults(item.path)
    if checked[item.path]:
        pytest.fail("\n".join(checked[item.path]), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Remember which notebooks have failed."""
    report = yield
    if _is_cell(item) and report.failed:
        item.session.stash.setdefault(FAILED, set()).add(item.path)
    return report
