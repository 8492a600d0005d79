"""Trainings of live cells are kept for the next chapter: found again bit by bit, and never mistaken for another."""

import errno
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from bioadv.data import checkpoints, datasets, downloads, files
from bioadv.lab import live, scales
from bioadv.network import local_learning


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "live"


def images(folder, seed=0):
    rng, name = np.random.default_rng(seed), folder / f"own-{seed}.npz"
    arrays = {f"x_{part}": rng.integers(1, 256, (40, 4, 4, 1), np.uint8) for part in ("train", "test")}
    np.savez(name, **arrays, y_train=np.arange(40) % 2, y_test=np.arange(40) % 2)
    return datasets.load(name)


@pytest.fixture
def data(tmp_path):
    return images(tmp_path)


@pytest.fixture
def sizes(data):
    found = scales.live_scale(data)
    return replace(found, layer=replace(found.layer, hidden=8, epochs=3), epochs=3)


@pytest.fixture
def untrainable(monkeypatch):
    """Call it, and a step of any training fails: nothing draws an order of images any more."""

    def refuse(*_, **__):
        raise AssertionError("this trains")

    return lambda: monkeypatch.setattr(torch, "randperm", refuse)


def weights(model):
    return list(model.state_dict().values())


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_was_trained_once_is_found_again(cache, data, sizes, untrainable):
    layer = live.train_layer(data, sizes)
    models = {name: live.train(name, data, layer.synapses, sizes) for name in ("kh", "bp", "l2")}
    assert len(list(cache.iterdir())) == 4
    untrainable()
    again = live.train_layer(data, sizes)
    assert torch.equal(again.synapses, layer.synapses)
    assert all((again.history[name] == values).all() for name, values in layer.history.items())
    for name, fitted in models.items():
        found = live.train(name, data, layer.synapses, sizes)
        assert equal(weights(found.model), weights(fitted.model))
        assert found.log.keys() == fitted.log.keys()
        torch.testing.assert_close(found.log, fitted.log, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("what", ["seed", "sizes", "model", "layer", "images", "threads", "code"])
def test_anything_else_is_another_training(cache, data, sizes, tmp_path, what, monkeypatch, untrainable):
    layer = live.train_layer(data, sizes).synapses
    live.train("kh", data, layer, sizes)
    untrainable()
    given = {"name": "kh", "data": data, "layer": layer, "sizes": sizes, "seed": 0}
    if what == "seed":
        given["seed"] = 1
    if what == "sizes":
        given["sizes"] = replace(sizes, epochs=4)
    if what == "model":
        given["name"] = "kh-linear"
    if what == "layer":
        given["layer"] = layer + 1
    if what == "images":
        given["data"] = images(tmp_path, seed=1)
    if what == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    if what == "code":
        monkeypatch.setattr(local_learning, "SMALLEST_MAXIMUM", 1e-3)
    with pytest.raises(AssertionError, match="this trains"):
        live.train(**given)


def test_a_damaged_file_is_made_again(cache, data, sizes):
    layer = live.train_layer(data, sizes).synapses
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert torch.equal(live.train_layer(data, sizes).synapses, layer)
    files.read_tensors(file)  # whole again


def test_without_a_cache_it_trains_each_time(tmp_path, data, sizes, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path / "a file"))
    assert torch.equal(live.train_layer(data, sizes).synapses, live.train_layer(data, sizes).synapses)


@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_no_more_costs_no_training(cache, data, sizes, monkeypatch, problem):
    """It is full, or fails, at the end of the training: that is returned all the same, and kept next time."""
    layer = live.train_layer(data, sizes).synapses
    model = live.train("kh", data, layer, sizes).model
    for file in cache.iterdir():
        file.unlink()

    def refuse(*_, **__):
        raise OSError(problem, os.strerror(problem))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", refuse)
        assert torch.equal(live.train_layer(data, sizes).synapses, layer)
        assert equal(weights(live.train("kh", data, layer, sizes).model), weights(model))
        assert list(cache.iterdir()) == []
        with pytest.raises(OSError, match=os.strerror(problem)[1:]):  # what a run needs to go on from is another matter
            checkpoints.write(cache / "x.safetensors", {}, 1, 0.0, {})
    live.train_layer(data, sizes)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("harm", ["unreadable", "damaged"])
def test_a_file_that_cannot_be_read_or_removed_is_passed_over(cache, data, sizes, monkeypatch, harm):
    layer = live.train_layer(data, sizes).synapses
    (file,) = cache.iterdir()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    if harm == "unreadable":
        monkeypatch.setattr(files.Path, "read_bytes", refuse)
    else:
        file.write_bytes(b"damaged")
    monkeypatch.setattr(files.Path, "unlink", refuse)
    assert torch.equal(live.train_layer(data, sizes).synapses, layer)


def test_what_nobody_asked_for_in_a_month_leaves(cache, data, sizes):
    live.train_layer(data, sizes)
    (old,) = cache.iterdir()
    month = time.time() - (live.DAYS + 1) * 24 * 3600
    os.utime(old, (month, month))
    live.train_layer(data, sizes, seed=1)
    (kept,) = cache.iterdir()
    assert kept != old
