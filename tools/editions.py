"""The site with its old editions: ``python -m tools.editions SITE ARCHIVE...``

SITE is the built site of today. Each ARCHIVE, ``site-vX.Y.Z.tar.gz`` of a release, is unpacked into ``SITE/vX.Y.Z``,
and ``SITE/editions.html`` lists them, the newest first. Addresses of an edition stay what they were.
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

NAME = re.compile(r"site-(v\d+\.\d+\.\d+)\.tar\.gz")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Editions</title><style>body {{ font: 18px/1.5 sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }}
:root {{ color-scheme: light dark }}</style></head>
<body><main><h1>Editions</h1><ul>
<li><a href="index.html">The working version</a>, with the results of today</li>
{lines}
</ul></main></body></html>
"""


def lay_out(site: Path, archives: Sequence[Path]) -> list[str]:
    """Unpack the archives and list them; returns the editions, newest first. ``ValueError`` names a bad archive."""
    found = {}
    for archive in archives:
        match = NAME.fullmatch(archive.name)
        if not match:
            raise ValueError(f"{archive} is not named site-vX.Y.Z.tar.gz; give the sites of releases")
        found[match[1]] = archive
    order = sorted(found, key=lambda name: [int(part) for part in name[1:].split(".")], reverse=True)
    for name in order:
        with tarfile.open(found[name]) as tar:
            tar.extractall(site / name, filter="data")
        if not (site / name / "index.html").is_file():
            raise ValueError(f"{found[name]} has no index.html; make it of a whole site")
    lines = [f'<li><a href="{name}/index.html">Edition {name[1:]}</a></li>' for name in order]
    (site / "editions.html").write_text(PAGE.format(lines="\n".join(lines)))
    return order


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        print("editions:", *lay_out(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
    except (OSError, ValueError) as error:
        sys.exit(f"editions: {error}")
