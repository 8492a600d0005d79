"""What the explorer shows, as two scripts: a page opened from disk may load scripts, and nothing else.

``results.js`` holds what the study stored (spectra, planes, critical norms, the ledger), ``networks.js`` the small live
networks and images to try. Arrays are packed: compressed bytes as base64 with dtype and shape. Each file carries
``VERSION``, which the page compares with its own.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bioadv.data import files
from bioadv.data.datasets import Dataset
from bioadv.lab import claims, study
from bioadv.lab.runs import ROOT, stored
from bioadv.measure.critical import L2_GRID
from bioadv.pages.explorer_networks import Network, credits, sample

VERSION = 2  # raise it, here and in explorer/page/data.js, when the layout of a file changes
FOLDER = ROOT / "book" / "_static" / "explorer"
LIMIT = 5_000_000  # bytes of both files together, so that the page is ready in a second
SPECTRA = ("images_before", "images_after", "noise_before", "noise_after")
AS_CODED = ("images_float32", "images_tf32", "noise_float32", "noise_tf32")  # with the authors' estimator
# Attacks of the ledger's figure: name in the page, array of the probe.
NORMS = {
    "noise": "noise_norm",
    "FGSM": "fgsm_norm",
    "PGD": "pgd_norm",
    "PGD, recommended": "recommended_norm",
    "PGD in an L2 ball": "l2_index",
    "certificate": "certified_l2",
}
QUANTILES = np.linspace(0, 1, 401)


def pack(values: np.ndarray) -> dict[str, Any]:
    """An array as the page unpacks it: little-endian, bytes of equal significance together, deflated, base64."""
    array = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = array.view(np.uint8).reshape(-1, array.dtype.itemsize).T
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def pack_rounded(values: np.ndarray, dtype: type = np.uint16) -> dict[str, Any]:
    """A finite array on an even grid of as many levels as the dtype has: ``low + step * level``.

    Of a curve, an array with one axis, the differences of neighbouring levels are packed, modulo the dtype's range:
    spectra and quantiles are smooth, and then take up half the space.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    step = (high - low) / float(np.iinfo(dtype).max) or 1.0
    levels: np.ndarray = np.rint((values - low) / step).astype(dtype)
    differences = values.ndim == 1
    packed = pack(np.diff(levels, prepend=dtype(0)) if differences else levels)
    return {**packed, "low": low, "step": step, "differences": differences}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """What :func:`pack` or :func:`pack_rounded` was given, the latter to within half a step."""
    dtype = np.dtype(packed["dtype"])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(dtype.itemsize, -1)
    array = np.ascontiguousarray(planes.T).view(dtype.newbyteorder("<")).reshape(packed["shape"])
    if packed.get("differences"):
        array = np.cumsum(array, dtype=dtype)
    return packed["low"] + packed["step"] * array if "low" in packed else array


def results(data: str = "cifar10") -> dict[str, Any]:
    """All that the page shows of the stored runs of a dataset."""
    names = [*study.SUBJECTS, *study.EXPERIMENTS]
    found: dict[str, Any] = {
        "version": VERSION,
        "data": data,
        "spectra": [entry for name in names for entry in _spectra(name, data)],
        "planes": [entry for name in names for entry in _planes(name, data)],
        "norms": [entry for name in names for entry in _norms(name, data)],
        "claims": [_claim(claim, data) for claim in claims.read()],
    }
    shown = {entry["model"] for part in ("spectra", "planes", "norms") for entry in found[part]}
    shown |= {name for claim in found["claims"] for name in claim["models"]}
    return {**found, "models": {name: about(name) for name in names if name in shown}}


def about(name: str) -> dict[str, Any]:
    """What the registry says of a model: title, group, and how it is drawn."""
    known, look = study.EXPERIMENTS.get(name), study.look(name)
    return {
        "title": study.title(name),
        "group": known.group if known else "reference",
        "colour": look.colour,
        "marker": look.marker,
    }


def _spectra(name: str, data: str) -> list[dict[str, Any]]:
    """Natural logarithms of the positive leading eigenvalues; the authors' arithmetic at the lowest seed only."""
    entries: list[dict[str, Any]] = []
    for seed, run in stored(name, "spectra.json", data).items():
        arrays = files.read_arrays(run / "spectra.npz")
        kept = [key for key in (*SPECTRA, *(() if entries else AS_CODED)) if key in arrays]
        entries.append({"model": name, "seed": seed, **{key: _logarithms(arrays[key]) for key in kept}})
    return entries


def _logarithms(spectrum: np.ndarray) -> dict[str, Any]:
    values = spectrum.real.astype(np.float64)
    positive = values > 0
    end = len(values) if positive.all() else int(positive.argmin())
    return pack_rounded(np.log(values[:end])) | {"length": len(values)}


def _planes(name: str, data: str) -> list[dict[str, Any]]:
    """The stored maps at the lowest seed: class and confidence, and the Jacobian's norm in steps of its logarithm."""
    runs = stored(name, "landscape.json", data)
    if not runs:
        return []
    seed, run = next(iter(runs.items()))
    arrays, configuration = files.read_arrays(run / "landscape.npz"), files.read_json(run / "landscape.json")
    jacobian = arrays["map_jacobian"].astype(np.float64)
    floor = max(jacobian[jacobian > 0].min(initial=1.0), 1e-6)
    maps = {
        "classes": pack(arrays["map_classes"].astype(np.uint8)),
        "confidence": pack((arrays["map_confidence"] // 16).astype(np.uint8)),
        "jacobian": [[pack_rounded(np.log(np.maximum(one, floor)), np.uint8) for one in place] for place in jacobian],
    }
    radii = [float(coordinates[0, -1]) for coordinates in arrays["map_coordinates"]]
    return [{"model": name, "seed": seed, "source": configuration["source"][:8], "radii": radii, **maps}]


def _norms(name: str, data: str) -> list[dict[str, Any]]:
    """Quantiles of the critical L2 norms over all images of each run that fail somewhere, by attack."""
    entries = []
    for seed, run in stored(name, "perturbations.json", data).items():
        arrays = files.read_arrays(run / "perturbations.npz")
        attacks = {}
        for attack, key in NORMS.items():
            if key not in arrays:
                continue
            values = np.append(L2_GRID, np.nan)[arrays[key]] if key == "l2_index" else arrays[key].astype(np.float64)
            finite = values[np.isfinite(values) & (values > 0)]
            if not len(finite):
                continue
            quantiles = np.quantile(finite, QUANTILES, method="inverted_cdf")
            attacks[attack] = {
                "images": len(values),
                "without": len(values) - len(finite),
                **pack_rounded(np.log(quantiles)),
            }
        entries.append({"model": name, "seed": seed, "accuracy": float(arrays["accuracy"]), "attacks": attacks})
    return entries


def _claim(claim: claims.Claim, data: str) -> dict[str, Any]:
    """A claim with its verdict and what it rests on."""
    verdict = claims.judge(claim, data)
    page, _, place = claim.figure.partition("#")
    return {
        "id": claim.id,
        "text": claim.sentence,
        "where": claim.where,
        "rule": claim.rule,
        "value": claim.value,
        "tolerance": claim.tolerance,
        "statistics": list(claim.statistics),
        "models": list(claim.models),
        "why": claim.why,
        "link": f"{page}.html#{place}",
        "verdict": verdict.text,
        "label": verdict.label,
        "values": {name: [float(f"{value:.6g}") for value in column] for name, column in verdict.values.items()},
    }


def networks(data: Dataset, trained: list[Network]) -> dict[str, Any]:
    """The live networks, and the test images to try."""
    chosen = sample(data, trained)
    return {
        "version": VERSION,
        "data": data.name,
        "classes": list(data.test.classes),
        "credits": credits(data.test.classes),
        "shape": list(data.test.shape),
        "images": pack(data.test.pixels[chosen]),
        "labels": data.test.labels[chosen].tolist(),
        "networks": [
            {
                **about(network.name),
                "name": network.name,
                "power": network.power,
                "accuracy": round(network.accuracy, 4),
                **{key: pack(getattr(network, key)) for key in ("hidden", "scale", "readout", "bias")},
            }
            for network in trained
        ],
    }


def script(name: str, content: Mapping[str, Any]) -> str:
    """The text of a data file: a classic script that leaves its content where the page finds it."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return f"// Written by `python -m tools.explorer`.\n(window.bioadvData ??= {{}}).{name} = {text};\n"


def read_script(path: Path) -> dict[str, Any]:
    """The content of a data file; ``ValueError`` if it is none."""
    _, found, text = path.read_text().partition(" = ")
    if not found:
        raise ValueError(f"{path} is no data file of the explorer; write it again with python -m tools.explorer")
    content: dict[str, Any] = json.loads(text.rstrip().removesuffix(";"))
    return content


def write(name: str, content: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a data file; ``ValueError`` if both files together would be too much for a page."""
    path, text = folder / f"{name}.js", script(name, content)
    others = sum(file.stat().st_size for file in folder.glob("*.js") if file.name in FILES and file != path)
    if others + len(text.encode()) > LIMIT:
        raise ValueError(f"{path} would bring the data to {others + len(text.encode())} bytes; the limit is {LIMIT}")
    with files.atomic(path) as temporary:
        temporary.write_text(text)
    return path


FILES = ("results.js", "networks.js")
