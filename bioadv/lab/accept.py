"""Accepting a stale result on purpose: that a change of the code moves no number is written down, with a reason.

What makes a result stale says :mod:`bioadv.lab.stale`. A change of parameters cannot be accepted.

``python -m bioadv.lab.accept results/cifar10/bp/seed-0 --reason "..."``  accept what is stale in these run folders
``python -m bioadv.lab.accept results``                                   list what is stale; exit 1 if anything is
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from bioadv.data import files
from bioadv.lab import stale
from bioadv.lab.stale import Fault


def accept(found: list[Fault], root: Path, reason: str, date: str) -> list[dict[str, str]]:
    """Write down that these changes of the code move no number; returns the new entries, one per pair of hashes."""
    if not reason.strip():
        raise ValueError("reason is empty; say why the change moves no number, or by what that was shown")
    fixed = [fault for fault in found if not fault.new]
    if fixed:
        raise ValueError(f"this cannot be accepted: {fixed[0]}")
    pairs = {
        (fault.old, fault.new): fault.file.resolve().relative_to(root.resolve()).as_posix() for fault in reversed(found)
    }
    new = [
        {"old": pair[0], "new": pair[1], "date": date, "reason": reason, "result": file} for pair, file in pairs.items()
    ]
    files.write_json(root / stale.ACCEPTED, stale.accepted(root) + new)
    return new


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def command(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")],
    reason: Annotated[str | None, typer.Option(help="Why the change of the code moves no number.")] = None,
    root: Annotated[Path, typer.Option(help="Root of the results.")] = stale.ROOT,
) -> None:
    """Accept stale results; without a reason, list what is stale."""
    described = sorted({file for folder in folders for file in stale.stored(folder)})
    if not described:
        raise typer.BadParameter(f"no results in {', '.join(map(str, folders))}")
    outside = [file for file in described if root.resolve() not in file.resolve().parents]
    if outside:
        raise typer.BadParameter(
            f"{outside[0]} is not below {root}; give --root, the folder that holds DATASET/MODEL/seed-S"
        )
    try:
        found = [fault for file in described for fault in stale.faults(file, root, stale.data_of(file))]
        new = accept(found, root, reason, datetime.date.today().isoformat()) if reason is not None else []
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    for entry in new:
        typer.echo(f"accepted {entry['old'][:8]} -> {entry['new'][:8]} ({entry['result']})")
    if reason is None:
        for fault in found:
            typer.echo(fault)
        typer.echo(f"{len(described)} results, {len({fault.file for fault in found})} stale")
        raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    app()
