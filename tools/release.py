"""The checklist of a release: ``make release`` goes through it and stops at the first step that is not done.

A step that a person must do is described, and found to be done the next time. Nothing here tags, pushes or publishes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

import bioadv
from tools.edition import ROOT, project_version


@dataclass(frozen=True)
class Step:
    """What should be so; done: an empty text if it is, and what is missing if not; who: what to do then."""

    title: str
    done: Callable[[Path], str]
    who: str


def git(root: Path, *words: str) -> str:
    """What a git command prints; empty where it fails."""
    run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


def versions(root: Path) -> dict[str, str]:
    """The version of this edition by the file that states it, and the date by those that have one."""
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    changelog = re.search(r"(?m)^## (\S+), (\d{4}-\d\d-\d\d)$", (root / "CHANGELOG.md").read_text())
    newest = re.search(r"(?m)^## (.*)$", (root / "CHANGELOG.md").read_text())
    return {
        "pyproject.toml": project_version(),
        "bioadv/__init__.py": bioadv.__version__,
        "CITATION.cff": str(citation["version"]),
        "CHANGELOG.md": newest[1].split(",")[0] if newest else "",
        "date of CITATION.cff": str(citation["date-released"]),
        "date of CHANGELOG.md": changelog[2] if changelog else "",
    }


def _agree(root: Path) -> str:
    found = versions(root)
    dates = {found.pop("date of CITATION.cff"), found.pop("date of CHANGELOG.md")}
    if len(set(found.values())) > 1 or len(dates) > 1:
        return ", ".join(f"{name} has {value or 'none'}" for name, value in versions(root).items())
    return ""


def _tested(root: Path) -> str:
    stamp = root / "_build" / "tested"
    tested, head = stamp.read_text().strip() if stamp.is_file() else "", git(root, "rev-parse", "HEAD")
    return "" if tested and tested == head else f"last tested: {tested[:10] or 'never'}, this is {head[:10]}"


def _tagged(root: Path) -> str:
    tag = f"v{project_version()}"
    at, head = git(root, "rev-list", "-n", "1", tag), git(root, "rev-parse", "HEAD")
    return "" if at and at == head else f"{tag} is {at[:10] or 'no tag'}, this is {head[:10]}"


def _doi(root: Path) -> str:
    return "" if re.search(r"type: doi", (root / "CITATION.cff").read_text()) else "CITATION.cff has no doi"


STEPS = (
    Step("pyproject, package, citation and changelog agree", _agree, "write one version and one date into all of them"),
    Step(
        "everything is committed",
        lambda root: git(root, "status", "--porcelain"),
        "commit it, or leave it out of the tree",
    ),
    Step("the tests of this commit passed", _tested, "make test"),
    Step("the commit is tagged", _tagged, "git tag -s v{version} -m 'Edition {version}'"),
    Step(
        "the edition has a DOI",
        _doi,
        "git push origin v{version}; the workflow `release` makes the release, and Zenodo, where it is switched on for "
        "the repository, archives it. Then add `identifiers: [{{type: doi, value: ...}}]` to CITATION.cff",
    ),
)


def check(root: Path = ROOT, steps: tuple[Step, ...] = STEPS) -> list[str]:
    """What is done, a line each, and at the first step that is not: what is missing, and what a person must do."""
    said = list[str]()
    for step in steps:
        missing = step.done(root)
        if missing:
            todo = step.who.format(version=project_version())
            return [*said, f"stop: {step.title}? No: {missing}", f"  {todo}"]
        said.append(f"done: {step.title}")
    return said


if __name__ == "__main__":
    lines = check()
    print("\n".join(lines))
    sys.exit(any(line.startswith("stop") for line in lines))
