"""Buttons of the pages, with a made-up repository: which there are, where they lead, and none without an address."""

import html
import json
import os
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from tools import build_book, edition, page_links, reader_notebooks
from tools.edition import ROOT, Edition

KNOWN = Edition(
    "1.0.0", "someone/some-book", "https://someone.github.io/some-book/", "https://hub.example.org/", tagged=True
)


@pytest.fixture
def variables(monkeypatch):
    """A function that sets what the edition is read from, and unsets the rest."""

    def given(**values):
        for name in (
            "GITHUB_REPOSITORY",
            "GITHUB_SHA",
            *(n for n in vars(edition).values() if str(n)[:7] == "BIOADV_"),
        ):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return edition.current()

    return given


def shown(page, about):
    found = page_links.buttons(page, about, lambda uri, resource: f"../{uri}")
    return {label: {button["text"]: html.unescape(button["url"]) for button in group} for label, group in found.items()}


def test_without_an_address_only_downloads_are_offered(variables):
    found = shown("book/spectra", variables())
    assert not found["launch"]
    assert not found["repository"]
    assert found["download"] == {
        ".ipynb": "../_static/notebooks/spectra.ipynb",
        "all .ipynb": "../_static/notebooks/bioadv-notebooks.zip",
    }


def test_what_an_address_has_of_its_own_is_escaped():
    """The theme's templates put it between quotes as it is."""
    button = page_links.link("x", "tip", 'https://x.org/?a=1&b="2"', "icon")
    assert button["url"] == "https://x.org/?a=1&amp;b=&quot;2&quot;"
    found = page_links.buttons("book/spectra", KNOWN, lambda uri, resource: uri)["launch"]
    [hub] = [one for one in found if one["text"] == "JupyterHub"]
    assert "&amp;branch=notebooks" in hub["url"]


def test_a_made_up_repository_has_working_addresses():
    found = shown("book/spectra", KNOWN)
    path = "v1.0.0/spectra.ipynb"
    assert found["launch"] == {
        "Colab": f"https://colab.research.google.com/github/someone/some-book/blob/notebooks/{path}",
        "Binder": f"https://mybinder.org/v2/gh/someone/some-book/notebooks?urlpath=lab/tree/{path}",
        "JupyterHub": "https://hub.example.org/hub/user-redirect/git-pull?repo=https://github.com/someone/some-book"
        f"&branch=notebooks&urlpath=lab/tree/some-book/{path}",
    }
    assert found["repository"]["Suggest an edit"] == "https://github.com/someone/some-book/edit/main/book/spectra.py"
    assert "issues/new?template=fault.yml" in found["repository"]["Report an error"]
    page = shown("book/running", KNOWN)
    assert page["repository"]["Suggest an edit"].endswith("/edit/main/book/running.md")
    assert not page["launch"]
    assert not page["download"]


@pytest.mark.parametrize("page", build_book.pages())
def test_what_is_edited_and_reported_is_there(page):
    """The source of every page is a file of this tree, and the form that its address fills in has these fields."""
    found = shown(page, KNOWN)["repository"]
    assert (ROOT / found["Suggest an edit"].removeprefix(f"{KNOWN.url}/edit/main/")).is_file()
    asked = parse_qs(urlsplit(found["Report an error"]).query)
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / asked.pop("template")[0]).read_text())
    assert asked.pop("title") == [f"Page {page}"]
    assert asked == {"where": [f"{page}, edition 1.0.0"]}
    assert "where" in {field.get("id") for field in form["body"]}


GH = """#!/bin/sh
[ "$1 $2" = "run download" ] && cp -r "$MADE" made
"""
SHARED = "https://x-access-token:word@github.com/someone/some-book.git"


@pytest.mark.parametrize("folder", ["v1.0.0", "latest"])
def test_the_branch_has_what_the_buttons_open(tmp_path, folder):
    """The job that fills it is run here: its GitHub is a folder, and the command ``gh`` copies."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    (step,) = workflow["jobs"]["notebooks"]["steps"]
    made, shared, tool = tmp_path / "made", tmp_path / "shared.git", tmp_path / "bin" / "gh"
    about = Edition("1.0.0", "someone/some-book", tagged=folder != "latest")
    names = [path.stem for path in reader_notebooks.generate(made, about)]
    shutil.copytree(ROOT / "binder", made / "binder")  # as the job before this one does
    subprocess.run(["git", "init", "-q", "--bare", shared], check=True)
    tool.parent.mkdir()
    tool.write_text(GH)
    tool.chmod(0o755)
    (tmp_path / "gitconfig").write_text(f'[url "{shared}"]\ninsteadOf = {SHARED}\n')
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT")},
        "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
        "MADE": str(made),
        "FOLDER": folder,
        "GITHUB_REPOSITORY": "someone/some-book",
        "GITHUB_RUN_ID": "1",
        "GH_TOKEN": "word",
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    for run in ("first", "second"):  # the branch is made, and then added to
        (tmp_path / run).mkdir()
        command = ["bash", "-e", "-c", step["run"]]
        done = subprocess.run(command, cwd=tmp_path / run, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    listed = ["git", "--git-dir", shared, "ls-tree", "-r", "--name-only", edition.NOTEBOOKS_BRANCH]
    branch = set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
    assert {"binder/requirements.txt", "binder/runtime.txt"} <= branch
    assert len(names) > 8
    for name in names:
        found = about.launch(name)
        colab = found["Colab"].partition(f"/blob/{edition.NOTEBOOKS_BRANCH}/")[2]
        binder = parse_qs(urlsplit(found["Binder"]).query)["urlpath"][0].removeprefix("lab/tree/")
        assert {colab, binder} <= branch, name


def test_the_edition_is_read_from_the_environment(variables):
    about = variables(GITHUB_REPOSITORY="someone/some-book", GITHUB_SHA="abc123")
    assert (about.site, about.hub) == ("https://someone.github.io/some-book/", "")
    assert variables(BIOADV_SITE="https://x.org/book").site == "https://x.org/book/"
    for name, value in (("GITHUB_REPOSITORY", "a b/c"), ("BIOADV_HUB", "hub.org"), ("BIOADV_SITE", 'https://x"y')):
        with pytest.raises(ValueError, match=f"{name} = .*; correct it"):
            variables(**{name: value})


def test_what_pip_installs():
    wheel = "https://github.com/someone/some-book/releases/download/v1.0.0/bioadv-1.0.0-py3-none-any.whl"
    assert KNOWN.requirement == f"bioadv @ {wheel}"
    later = Edition("1.1.0", "someone/some-book", commit="abc123")
    assert later.requirement == "bioadv @ https://github.com/someone/some-book/archive/abc123.zip"
    assert later.folder == "latest"
    assert Edition("1.0.0").requirement == "bioadv==1.0.0"
    assert Edition("1.0.0", package="bioadv @ file:///x.whl").requirement == "bioadv @ file:///x.whl"


def test_the_footer_says_which_edition():
    assert "This is edition 1.0.0." in page_links.footer(Edition("1.0.0", tagged=True))
    later = page_links.footer(Edition("1.1.0", "a/b", "https://a.github.io/b/", commit="0123456789abcdef"))
    assert "This is the working version of edition 1.1.0, commit 0123456789." in later
    assert 'href="https://a.github.io/b/editions.html"' in later


TOC = "format: jb-book\nroot: book/intro\nchapters:\n" + "".join(
    f"  - file: book/{name}\n" for name in ("running", "spectra", "notation")
)
CELL = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Spectra\n\nText."}
NOTEBOOK = {"cells": [CELL], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}


def rendered(folder, **given):
    """The links of two pages that Sphinx renders in that environment with the settings of the book."""
    (folder / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_static", folder / "book" / "_static")
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "_toc.yml").write_text(TOC)
    for name in ("intro", "running", "notation"):  # the first and last are what settings refer to
        (folder / "book" / f"{name}.md").write_text("# A page\n\nText.\n")
    (folder / "book" / "spectra.ipynb").write_text(json.dumps(NOTEBOOK))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "BIOADV_"))}
    main = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", main, "build", "-q", "--path-output", folder / "out", folder]
    environment = {**kept, "PYTHONPATH": str(ROOT), **given}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for name in ("running", "spectra"):
        soup = BeautifulSoup((folder / "out" / "_build" / "html" / "book" / f"{name}.html").read_text(), "html.parser")
        found[name] = {str(link["href"]) for link in soup.select("a[href]")}
        assert f"edition {edition.project_version()}" in soup.select_one(".edition").text
    return found


def test_the_buttons_of_a_rendered_site_lead_to_the_made_up_repository(tmp_path):
    version = edition.project_version()
    known = {
        "GITHUB_REPOSITORY": "someone/some-book",
        "GITHUB_REF_TYPE": "tag",
        "BIOADV_HUB": "https://hub.example.org",
    }
    links = rendered(tmp_path / "site", **known)
    about = Edition(
        version, "someone/some-book", "https://someone.github.io/some-book/", "https://hub.example.org", tagged=True
    )
    launch = set(about.launch("spectra").values())
    assert len(launch) == 3
    assert {*launch, about.url, about.edit("book/spectra.py"), about.report("book/spectra")} <= links["spectra"]
    assert {about.url, about.edit("book/running.md"), about.report("book/running")} <= links["running"]
    assert not launch & links["running"]
    assert f"{about.site}editions.html" in links["running"]
