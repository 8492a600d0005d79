"""Digests for results that an earlier version made: into each manifest, and each probe's file, that has none.

``python -m tools.vouch results`` takes what lies there now for right; look at it first. Results of today's version
have their digests from the moment they are written and are left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bioadv.data import files
from bioadv.lab import provenance, runs, stale


def vouch(description: Path) -> list[str]:
    """Write the digests of the files that a manifest or a probe's ``.json`` describes into it; returns their names."""
    about = provenance.read_description(description)
    if provenance.DIGESTS in about:
        return []
    manifest = description.name == provenance.MANIFEST
    wanted = (provenance.LOG, runs.WEIGHTS, runs.SYNAPSES) if manifest else (f"{description.stem}.npz",)
    names = [name for name in wanted if (description.parent / name).is_file()]
    provenance.intact(description, *names)  # at least they can be read
    files.write_json(description, {**about, provenance.DIGESTS: provenance.digests(description.parent, names)})
    return names


def main(roots: list[str]) -> int:
    """Command line: roots of results."""
    for description in (file for root in roots for file in stale.stored(Path(root))):
        if names := vouch(description):
            print(f"{description}: {', '.join(names)}")
    return 0 if roots else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
