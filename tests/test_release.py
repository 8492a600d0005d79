"""One version everywhere; a checklist that stops where a person must act; old editions that stay reachable."""

import io
import json
import tarfile

import pytest
import yaml

from tools import editions, release
from tools.edition import ROOT, project_version
from tools.release import Step


def test_pyproject_citation_and_changelog_agree():
    found = release.versions(ROOT)
    dates = {value for name, value in found.items() if name.startswith("date")}
    assert {value for name, value in found.items() if not name.startswith("date")} == {project_version()}
    assert len(dates) == 1


def test_a_tag_on_this_commit_is_of_this_version():
    tags = [tag for tag in release.git(ROOT, "tag", "--points-at", "HEAD").split() if tag.startswith("v")]
    assert set(tags) <= {f"v{project_version()}"}


def test_the_paper_is_cited_first():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["references"][0]["title"].startswith("Exploring Biologically Inspired Mechanisms")
    deposit = json.loads((ROOT / ".zenodo.json").read_text())
    assert deposit["title"] == citation["title"]
    assert {one["identifier"] for one in deposit["related_identifiers"]} == {"arXiv:2405.00679"}


def test_the_checklist_stops_at_the_first_step_that_is_not_done(tmp_path):
    (tmp_path / "a").touch()
    steps = tuple(
        Step(name, lambda root, name=name: "" if (root / name).exists() else f"no {name}", f"make {name} {{version}}")
        for name in "abc"
    )
    assert release.check(tmp_path, steps) == ["done: a", "stop: b? No: no b", f"  make b {project_version()}"]
    for name in "bc":
        (tmp_path / name).touch()
    assert release.check(tmp_path, steps) == ["done: a", "done: b", "done: c"]


def test_steps_that_look_at_git_see_what_is_there(tmp_path):
    for words in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x", "--allow-empty"]):
        release.git(tmp_path, *words)
    committed, tested, tagged = (step.done for step in release.STEPS[1:4])
    assert committed(tmp_path) == ""
    (tmp_path / "new").touch()
    assert "new" in committed(tmp_path)
    assert "never" in tested(tmp_path)
    (tmp_path / "_build").mkdir()
    (tmp_path / "_build" / "tested").write_text(release.git(tmp_path, "rev-parse", "HEAD"))
    assert tested(tmp_path) == ""
    assert "no tag" in tagged(tmp_path)
    release.git(tmp_path, "tag", f"v{project_version()}")
    assert tagged(tmp_path) == ""


def site(path, text="<p>old</p>", name="index.html"):
    with tarfile.open(path, "w:gz") as tar:
        about = tarfile.TarInfo(name)
        about.size = len(text)
        tar.addfile(about, io.BytesIO(text.encode()))
    return path


def test_old_editions_stay_reachable(tmp_path):
    (tmp_path / "site").mkdir()
    archives = [site(tmp_path / f"site-v{name}.tar.gz") for name in ("1.0.0", "1.10.0", "1.9.0")]
    assert editions.lay_out(tmp_path / "site", archives) == ["v1.10.0", "v1.9.0", "v1.0.0"]
    listed = (tmp_path / "site" / "editions.html").read_text()
    for name in ("v1.0.0", "v1.9.0", "v1.10.0"):
        assert (tmp_path / "site" / name / "index.html").read_text() == "<p>old</p>"
        assert f'href="{name}/index.html"' in listed


@pytest.mark.parametrize(
    ("name", "inside", "words"), [("x.tar.gz", "index.html", "not named"), ("site-v1.0.0.tar.gz", "a", "no index")]
)
def test_a_bad_archive_is_named(tmp_path, name, inside, words):
    with pytest.raises(ValueError, match=words):
        editions.lay_out(tmp_path, [site(tmp_path / name, name=inside)])
