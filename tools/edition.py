"""Which edition of the book this is, and where it can be reached: version, repository, site, what readers install.

The address is known where ``GITHUB_REPOSITORY`` names it at build time (GitHub Actions sets it). Without it the book
has no buttons that lead elsewhere, and no link to edit a page. Reads files and the environment; needs no package.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY, COMMIT, TYPE = "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_REF_TYPE"
SITE, HUB, BINDER, PACKAGE = "BIOADV_SITE", "BIOADV_HUB", "BIOADV_BINDER", "BIOADV_PACKAGE"
NOTEBOOKS_BRANCH = "notebooks"  # of the repository: what .github/workflows/pages.yml puts there for the buttons


@dataclass(frozen=True)
class Edition:
    """version: of the package; repository: OWNER/NAME or empty; site: where the newest pages lie, or empty, ends in /.

    hub: address of a JupyterHub, or empty; binder: of a BinderHub; commit: what was built, or empty; package: what pip
    installs instead of the release; tagged: whether a tag is built, which makes a release.
    """

    version: str
    repository: str = ""
    site: str = ""
    hub: str = ""
    binder: str = "https://mybinder.org"
    commit: str = ""
    package: str = ""
    tagged: bool = False

    def __post_init__(self) -> None:
        if self.repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise ValueError(f"{REPOSITORY} = {self.repository!r} is not OWNER/NAME; correct it, or unset it")
        for name, url in ((SITE, self.site), (HUB, self.hub), (BINDER, self.binder)):
            if url and not re.fullmatch(r"https?://[^\s\"'<>]+", url):
                raise ValueError(f"{name} = {url!r} is not an address that begins with https://; correct it")

    @property
    def released(self) -> bool:
        """Whether this is a release, and not a version before or after one."""
        return self.tagged and re.fullmatch(r"\d+\.\d+\.\d+", self.version) is not None

    @property
    def url(self) -> str:
        """Address of the repository, or empty."""
        return self.repository and f"https://github.com/{self.repository}"

    @property
    def folder(self) -> str:
        """Folder of this edition on the site and in the branch of notebooks."""
        return f"v{self.version}" if self.released else "latest"

    @property
    def pages(self) -> str:
        """Address of this edition's own pages, or empty; those of a release keep it, see ``tools.editions``."""
        return f"{self.site}{self.folder}/" if self.site and self.released else self.site

    @property
    def requirement(self) -> str:
        """What pip installs for this edition: the wheel of the release, or the commit, or the package's name.

        A file of the repository's own release needs no name on a registry, which could be somebody else's.
        """
        if self.package:
            return self.package
        if self.url and self.released:
            return f"bioadv @ {self.url}/releases/download/v{self.version}/bioadv-{self.version}-py3-none-any.whl"
        if self.url:
            return f"bioadv @ {self.url}/archive/{self.commit or 'main'}.zip"
        return f"bioadv=={self.version}"

    def launch(self, notebook: str) -> dict[str, str]:
        """Addresses that open a chapter's generated notebook, by the name of the service; none without a repository."""
        if not self.url:
            return {}
        path = f"{self.folder}/{notebook}.ipynb"
        found = {
            "Colab": f"https://colab.research.google.com/github/{self.repository}/blob/{NOTEBOOKS_BRANCH}/{path}",
            "Binder": f"{self.binder}/v2/gh/{self.repository}/{NOTEBOOKS_BRANCH}?urlpath=lab/tree/{path}",
        }
        if self.hub:
            name = self.repository.partition("/")[2]
            found["JupyterHub"] = (
                f"{self.hub.rstrip('/')}/hub/user-redirect/git-pull?repo={self.url}&branch={NOTEBOOKS_BRANCH}"
                f"&urlpath=lab/tree/{name}/{path}"
            )
        return found

    def edit(self, source: str) -> str:
        """Address to edit a source file of the book."""
        return f"{self.url}/edit/main/{source}"

    def report(self, page: str) -> str:
        """Address to report an error of a page."""
        return f"{self.url}/issues/new?template=fault.yml&title=Page+{page}&where={page},+edition+{self.version}"


def project_version() -> str:
    """The version that ``pyproject.toml`` states."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def current() -> Edition:
    """The edition that is being built, by ``pyproject.toml`` and the environment; ``ValueError`` for a bad address."""
    given = {name: os.environ.get(name, "").strip() for name in (REPOSITORY, COMMIT, TYPE, SITE, HUB, BINDER, PACKAGE)}
    owner, _, name = given[REPOSITORY].partition("/")
    site = given[SITE] or (f"https://{owner}.github.io/{name}/" if name else "")
    return Edition(
        project_version(),
        given[REPOSITORY],
        site and site.rstrip("/") + "/",
        given[HUB],
        given[BINDER] or "https://mybinder.org",
        given[COMMIT],
        given[PACKAGE],
        given[TYPE] == "tag",
    )
