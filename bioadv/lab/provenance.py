"""Where a result came from: the manifest that keeps its parameters with the hash of the code that made it.

That hash is :func:`bioadv.lab.hashing.source_hash`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bioadv.data import files
from bioadv.network import products

MANIFEST, LOG = "manifest.json", "log.npz"
DIGESTS = "digests"  # in a manifest or a probe's .json: SHA-256 of the files beside it that it describes, by name
UNTRAINED = "none"  # the training of what is measured without one
NO_PARAMETERS = ("title", "group")  # in older manifests; what a model is called moves no number
LATER = ("units", "layer")  # not in older manifests


def describe(value: Any) -> Any:
    """A parameter as JSON: dataclasses become dictionaries that name their kind, without what is no parameter."""
    if is_dataclass(value) and not isinstance(value, type):
        names = (one.name for one in fields(value) if one.metadata.get("parameter", True))
        return {"kind": type(value).__name__, **{name: describe(getattr(value, name)) for name in names}}
    return list(value) if isinstance(value, tuple) else value


def write_manifest(folder: Path, vouched: Iterable[str] = (), **about: Any) -> None:
    """Write a run's manifest: what is given, and the environment. It comes last, so it marks a whole run.

    vouched: names of the files in ``folder`` that it describes; their digests are kept, see :func:`intact`.
    """
    about = {name: describe(value) for name, value in about.items()}
    files.write_json(folder / MANIFEST, {**about, "environment": environment(), DIGESTS: digests(folder, vouched)})


def write_measurement(description: Path, arrays: Mapping[str, np.ndarray], **about: Any) -> None:
    """Write arrays and the description beside them, ``NAME.npz`` and ``NAME.json``, both or neither.

    about: what the description holds besides the digest of the arrays.
    """
    name = description.with_suffix(".npz").name
    with files.together(description) as new:
        files.write_arrays(new / name, arrays)
        files.write_json(new / description.name, {**about, DIGESTS: digests(new, [name])})


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files in a folder, by name."""
    return {name: files.digest(folder / name) for name in names}


def intact(description: Path, *names: str) -> bool:
    """Whether the files ``names`` beside a manifest, or beside a probe's ``.json``, are the ones that it describes.

    False if one is missing. Raises ``ValueError`` with the file and the remedy if one was damaged or replaced: its
    digest is another, or, where an earlier version kept none, it cannot be read.
    """
    kept = read_description(description).get(DIGESTS, {})
    for name in names:
        path = description.with_name(name)
        if not path.is_file():
            return False
        if name not in kept:
            files.read_tensors(path) if path.suffix == ".safetensors" else files.read_arrays(path)
        elif files.digest(path) != kept[name]:
            raise ValueError(
                f"{path} is not the file that {description} describes (other SHA-256): it was damaged or replaced; "
                "put the right one back, or remove it to make it again"
            )
    return True


def made(description: Path, wanted: dict[str, Any]) -> bool:
    """Whether a measurement is there and whole: its ``.json`` and the ``.npz`` beside it.

    Raises ``ValueError`` if it was made with other parameters than ``wanted``, or is not what it says.
    """
    if not description.is_file() or not intact(description, description.with_suffix(".npz").name):
        return False
    stored = read_description(description)["configuration"]
    for key, (before, today) in differences(stored, describe_all(wanted)).items():
        raise ValueError(f"{description} was made with {key} = {before}, not {today}; remove it to make it again")
    return True


def environment() -> dict[str, Any]:
    """What the last digits of a result can depend on: versions, threads, and the library of large products."""
    return {**files.versions(), "threads": torch.get_num_threads(), "products": products.library()}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None if there is none, that is, if nothing in it is finished.

    ``ValueError`` with the file's name if it is not one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = read_description(path, dataset=str, seconds=(int, float))
    for name, kind in {"model": str, "seed": int, "data": str}.items():
        if not isinstance(manifest["configuration"].get(name), kind):
            raise ValueError(f"{path} has no {name} in its configuration; delete it and make it again")
    for name in ("accuracy", "health"):
        values = manifest.get(name, {})
        if not isinstance(values, dict) or not all(isinstance(value, int | float) for value in values.values()):
            have = str(values)[:40]
            raise ValueError(
                f"{path} has {name} = {have}, which is not what bioadv writes; delete it and make it again"
            )
    return manifest


def read_description(path: Path, **needed: type | tuple[type, ...]) -> dict[str, Any]:
    """A manifest or a probe's ``.json``; ``ValueError`` with its name if it is neither."""
    about = files.read_object(path, configuration=dict, source=str, **needed)
    if not isinstance(about.get(DIGESTS, {}), dict):
        raise ValueError(f"{path} has {DIGESTS} that are no JSON object; delete it and make it again")
    return about


def identity(manifest: dict[str, Any]) -> str:
    """SHA-256 of what was trained, to which measurements belong: a training that is repeated bit by bit shares it.

    Taken over model, seed, images and the digest of the log, which has the losses, or the norms and wins, of every
    epoch: where all of these agree in every bit, so do the weights, whichever version of the code made them. How long
    it took, where, and on which disk the images lay do not count. Of a manifest without a log's digest as earlier
    versions had it.
    """
    configuration, log = manifest.get("configuration", {}), manifest.get(DIGESTS, {}).get(LOG)
    if log is None:
        return _by_weights(manifest)
    about = {"log": log, **{name: configuration.get(name) for name in ("model", "seed", "data")}}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _by_weights(manifest: dict[str, Any]) -> str:
    """What :func:`identity` was: over configuration, source and digest of the weights, or else accuracy and health."""
    digests = manifest.get(DIGESTS, {})
    weights = {name: digest for name, digest in digests.items() if name.endswith(".safetensors")}
    outcome = weights or {name: manifest[name] for name in ("accuracy", "health") if name in manifest}
    about = {"configuration": manifest.get("configuration"), "source": manifest.get("source"), "outcome": outcome}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def is_of(training: str | None, manifest: dict[str, Any]) -> bool:
    """Whether a measurement that keeps ``training`` is of the training that a manifest describes.

    Stored results have what earlier versions kept: first the hash of the whole manifest, seconds included, then that
    over the weights.
    """
    whole = {name: value for name, value in manifest.items() if name != DIGESTS}
    return training in (
        UNTRAINED,
        identity(manifest),
        _by_weights(manifest),
        hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest(),
    )


def same_configuration(folder: Path, wanted: dict[str, Any], *names: str) -> bool:
    """Whether a run folder holds a finished run of this configuration, with the files ``names`` intact.

    False if nothing is finished or a file is missing; ``ValueError`` naming the first difference if it is another
    configuration's, or the file that was damaged or replaced.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return False
    for name, pair in differences(manifest.get("configuration", {}), describe_all(wanted)).items():
        name, stored, value = _first_leaf(name, *pair)
        raise ValueError(
            f"{folder} holds a run with {name} = {stored}, not {value}; give another --out folder, or remove this one"
        )
    return intact(folder / MANIFEST, *names)


def _first_leaf(name: str, stored: Any, wanted: Any) -> tuple[str, Any, Any]:
    """Of two parameters that differ, and may be tables of others, the first value that does: ``recipe.epochs``."""
    while isinstance(stored, dict) and isinstance(wanted, dict):
        key = next(key for key in sorted({*stored, *wanted}) if stored.get(key) != wanted.get(key))
        name, stored, wanted = f"{name}.{key}", stored.get(key), wanted.get(key)
    return name, stored, wanted


def differences(stored: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters in which a stored configuration is another than the wanted one: by name, (stored, wanted).

    Both as JSON. What older manifests hold besides parameters, or do not hold yet, makes no difference.
    """
    pairs = {name: (_parameters(stored.get(name)), _parameters(value)) for name, value in wanted.items()}
    found = {}
    for name, (have, value) in pairs.items():
        if name in LATER and name not in stored:
            continue
        if name == "run" and isinstance(have, dict) and isinstance(value, dict):  # that a probe measured
            if differences(have, value) or not set(have) <= set(value):
                found[name] = (have, value)
        elif have != value:
            found[name] = (have, value)
    return found


def _parameters(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _parameters(inner) for key, inner in value.items() if key not in NO_PARAMETERS}
    return value


def describe_all(values: dict[str, Any]) -> dict[str, Any]:
    """:func:`describe` for every value."""
    return {name: describe(value) for name, value in values.items()}
