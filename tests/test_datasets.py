import math
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bioadv.data import datasets, photos
from bioadv.data.datasets import Dataset, Images, gaussian_noise, load, unit_lp
from bioadv.pages import notebook


def images(pixels=None, labels=None, classes=("a", "b")):
    pixels = np.full((4, 2, 2, 3), 7, np.uint8) if pixels is None else pixels
    labels = np.array([0, 1, 0, 1]) if labels is None else labels
    return Images(pixels, labels, classes, "mine")


def test_photo_patches_are_balanced_real_and_disjoint(patches):
    for part, per_class in ((patches.train, photos.TRAIN_PER_PHOTO), (patches.test, photos.TEST_PER_PHOTO)):
        assert part.pixels.shape == (10 * per_class, 32, 32, 3)
        assert np.bincount(part.labels).tolist() == [per_class] * 10
        assert not photos.featureless(part.pixels).any()
        assert len(np.unique(part.pixels.reshape(len(part), -1), axis=0)) == len(part)
    assert not set(patches.train.blocks) & set(patches.test.blocks)


def test_photo_patches_lie_where_they_should(patches):
    """Every test patch is found in its photograph inside one test block, pixel for pixel."""
    for label, photo in enumerate(photos.PHOTOS[:3]):
        image = photos.photograph(photo)
        index = int(np.flatnonzero(patches.test.labels == label)[5])
        columns = image.shape[1] // photos.BLOCK
        row, column = divmod(int(patches.test.blocks[index]) % 10_000, columns)
        block = image[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        found = [
            np.array_equal(block[y : y + 32, x : x + 32], patches.test.pixels[index])
            for y in range(0, 33, 8)
            for x in range(0, 33, 8)
        ]
        assert sum(found) == 1
        assert (2 * row + column) % 4 == 0


def test_photo_patches_are_the_same_everywhere(patches):
    assert patches.content_hash == "387e9f86e3fd5fd7601588297622873299ff7b111f2e8e52e09c2a4c085f5c1e"


def test_featureless_patches_are_recognised():
    rng = np.random.default_rng(0)
    dark, flat, good = np.full((32, 32, 3), 3), np.full((32, 32, 3), 200), rng.integers(0, 255, (32, 32, 3))
    dark = dark + rng.integers(0, 12, dark.shape)  # dark but not flat
    assert photos.featureless(np.stack([dark, flat, good]).astype(np.uint8)).tolist() == [True, True, False]


def test_images_cannot_be_changed():
    mine = images()
    with pytest.raises(ValueError, match="read-only"):
        mine.pixels[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        mine.labels[0] = 1
    with pytest.raises(AttributeError):
        mine.name = "yours"


def test_content_hash_sees_every_part():
    base = images().content_hash
    assert images().content_hash == base
    pixels = np.full((4, 2, 2, 3), 7, np.uint8)
    pixels[3, 1, 1, 2] = 8
    assert images(pixels).content_hash != base
    assert images(labels=np.array([0, 1, 1, 1])).content_hash != base
    assert images(np.full((4, 2, 3, 2), 7, np.uint8)).content_hash != base


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (np.zeros((4, 2, 2), np.uint8), None, ["pixels", "(4, 2, 2)", "(N, H, W, C)"]),
        (np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0, int), ["pixels", "(0, 2, 2, 3)"]),
        (np.zeros((4, 2, 2, 3), np.int32), None, ["dtype int32", "uint8"]),
        (np.full((4, 2, 2, 3), np.nan), None, ["4 images are NaN", "remove"]),
        (np.full((4, 2, 2, 3), 2.0), None, ["[2, 2]", "scale"]),
        (np.full((4, 2, 2, 3), -0.5), None, ["[-0.5, -0.5]", "scale"]),
        (None, np.array([0, 1]), ["labels", "(2,)", "(4,)"]),
        (None, np.array([0.0, 1, 0, 1]), ["labels", "float64", "integer"]),
        (None, np.array([0, 1, 2, 0]), ["0..2", "2 classes", "0 to 1"]),
        (None, np.array([0, -1, 1, 0]), ["-1..1", "2 classes"]),
    ],
)
def test_bad_images_are_refused(pixels, labels, words):
    with pytest.raises(ValueError, match="mine") as error:
        images(pixels, labels)
    assert all(word in str(error.value) for word in words), error.value


def test_training_and_test_images_must_be_alike():
    with pytest.raises(ValueError, match="make them alike"):
        Dataset("mine", images(), images(np.zeros((4, 2, 2, 1), np.uint8) + 1))


def test_first_names_the_count():
    assert len(images().first(3)) == 3
    with pytest.raises(ValueError, match="count = 5.*holds 4"):
        images().first(5)


@given(arrays(np.uint8, (3, 2, 4, 3), elements=st.integers(1, 255)), st.sampled_from([1.0, 2.0, 3.0, 4.5]))
def test_unit_lp_has_unit_norm_and_keeps_direction(pixels, p):
    x = unit_lp(Images(pixels, np.zeros(3, int), ("a",), "any"), p).double()
    raw = torch.from_numpy(pixels.reshape(3, -1)).double()
    torch.testing.assert_close((x.abs() ** p).sum(1), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(x * raw.max(1, keepdim=True)[0], raw * x.max(1, keepdim=True)[0], atol=1e-3, rtol=1e-5)


def test_unit_lp_does_not_depend_on_the_range():
    pixels = np.random.default_rng(1).integers(1, 255, (3, 2, 2, 3)).astype(np.uint8)
    as_float = Images(pixels / 255, np.zeros(3, int), ("a",), "float")
    torch.testing.assert_close(unit_lp(as_float), unit_lp(Images(pixels, np.zeros(3, int), ("a",), "bytes")))


def test_unit_lp_refuses_black_images_and_bad_orders():
    pixels = np.ones((4, 2, 2, 3), np.uint8)
    pixels[2] = 0
    with pytest.raises(ValueError, match="image 2 of 'mine' is all zero.*remove"):
        unit_lp(images(pixels))
    for p in (0.5, float("nan")):
        with pytest.raises(ValueError, match=f"p = {p}.*p >= 1"):
            unit_lp(images(), p)


def test_gaussian_noise(generator):
    noise = gaussian_noise(2000, 300, generator)
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01
    with pytest.raises(ValueError, match="count = 0"):
        gaussian_noise(0, 3, generator)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="'cifar100'.*photo-patches, cifar10, mnist"):
        load("cifar100")
    for name in ("cifar10", "mnist"):
        with pytest.raises(FileNotFoundError, match=f"{name}.*BIOADV_DATA_DIR"):
            load(name, tmp_path, download=False)


@pytest.mark.parametrize(("name", "module"), [("cifar10", "cifar"), ("mnist", "mnist")])
def test_failed_downloads_say_so_and_leave_nothing(tmp_path, monkeypatch, name, module):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", offline)
    with pytest.raises(FileNotFoundError, match=rf"{name}: could not be downloaded.*no network.*BIOADV_DATA_DIR"):
        load(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cifar10_is_the_real_one(cifar10):
    assert cifar10.train.pixels.shape == (50_000, 32, 32, 3)
    assert np.bincount(cifar10.test.labels).tolist() == [1000] * 10
    assert cifar10.train.classes[6] == "frog"
    assert cifar10.train.labels[0] == 6  # the first training image is a frog
    x = unit_lp(cifar10.test)  # public code: L2 norm of unit-L3 test images, mean 3.546, maximum 3.807
    norms = torch.linalg.vector_norm(x, dim=1)
    assert abs(float(norms.mean()) - 3.546) < 5e-4
    assert abs(float(norms.max()) - 3.807) < 5e-4
    assert abs(float(x.mean()) - 0.0578) < 5e-5


def test_mnist_is_the_real_one(mnist):
    assert mnist.train.pixels.shape == (60_000, 28, 28, 1)
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_damaged_cifar10_is_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"half a file")
    with pytest.raises(FileNotFoundError, match="data_batch_1 is missing or damaged.*MD5.*delete"):
        load("cifar10", tmp_path, download=False)


def test_damaged_mnist_is_refused(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"half a file")
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte is missing or damaged"):
        load("mnist", tmp_path, download=False)


def own_arrays(count=6, **changes):
    rng = np.random.default_rng(0)
    result = {}
    for split in ("train", "test"):
        result[f"x_{split}"] = rng.integers(1, 255, (count, 4, 4, 3)).astype(np.uint8)
        result[f"y_{split}"] = np.arange(count) % 3
    return {**result, **changes}


def test_own_npz(tmp_path):
    np.savez(tmp_path / "own.npz", **own_arrays())
    own = load(str(tmp_path / "own.npz"))
    assert own.train.classes == ("0", "1", "2")
    assert own.test.shape == (4, 4, 3)
    np.savez(tmp_path / "grey.npz", **own_arrays(x_train=np.ones((6, 4, 4)), x_test=np.ones((6, 4, 4))))
    assert load(str(tmp_path / "grey.npz")).train.shape == (4, 4, 1)


def test_npz_without_all_arrays_is_refused(tmp_path):
    path = tmp_path / "own.npz"
    arrays_ = own_arrays()
    del arrays_["y_test"]
    np.savez(path, **arrays_)
    with pytest.raises(ValueError, match="own.npz lacks y_test.*x_train"):
        load(str(path))


def save_images(folder, classes, count, size=(5, 4)):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(1, 255, (*size[::-1], 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_own_folder_with_and_without_split(tmp_path):
    save_images(tmp_path / "flat", ["cats", "dogs"], 10)
    own = load(str(tmp_path / "flat"))
    assert (len(own.train), len(own.test)) == (16, 4)
    assert own.train.classes == ("cats", "dogs")
    assert own.train.shape == (4, 5, 3)
    for split, count in (("train", 3), ("test", 2)):
        save_images(tmp_path / "split" / split, ["cats", "dogs"], count)
    own = load(str(tmp_path / "split"))
    assert (len(own.train), len(own.test)) == (6, 4)
    assert sorted(own.test.labels.tolist()) == [0, 0, 1, 1]


def test_own_images_are_not_sorted_by_class(tmp_path):
    """A validation set is the end of the training images, and probes look at the first: both need all classes."""
    save_images(tmp_path / "sorted", ["a", "b", "c", "d"], 50)
    own = load(str(tmp_path / "sorted"))
    assert set(own.train.labels[-16:]) == set(own.train.labels[:16]) == {0, 1, 2, 3}
    again = load(str(tmp_path / "sorted"))
    assert again.content_hash == own.content_hash
    # Each image keeps its label.
    pixels = {tuple(np.asarray(Image.open(f)).ravel()) for f in (tmp_path / "sorted" / "c").iterdir()}
    assert {tuple(p.ravel()) for p in own.train.pixels[own.train.labels == 2]} < pixels
    x, y = np.repeat(np.arange(1, 41, dtype=np.uint8), 3 * 16).reshape(40, 4, 4, 3), np.arange(40) // 10
    np.savez(tmp_path / "sorted.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    train = load(str(tmp_path / "sorted.npz")).train
    assert len(set(train.labels[-10:])) == 4
    np.testing.assert_array_equal((train.pixels[:, 0, 0, 0] - 1) // 10, train.labels)


def test_own_images_do_not_take_a_known_name(tmp_path):
    save_images(tmp_path / "cifar10", ["cats", "dogs"], 5)
    with pytest.raises(ValueError, match="has the name of cifar10, whose results.*rename"):
        load(str(tmp_path / "cifar10"))


def test_every_dataset_has_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    names = ("photos.a", "photos.b", "mine", "mine.npz", "my photos/", "it's {x} $(y)", "cifar10")
    assert [datasets.folder_name(name) for name in names] == [*names[:4], "my photos", *names[5:]]
    assert datasets.folder_name(".") == datasets.folder_name("../here/") == "here"
    assert datasets.folder_name("..") == tmp_path.name
    with pytest.raises(ValueError, match="dataset '/' has no name to file its results under; give a folder below it"):
        datasets.folder_name("/")
    assert datasets.results_folder(Path("../out"), ".") == Path("../out") / "here"
    for name, out in (("mine", "."), ("mine.npz", "../here"), (".", ".."), (".", "out"), ("..", "out"), ("in", "in")):
        with pytest.raises(ValueError, match="would put the results into the images, .*; give another folder"):
            datasets.results_folder(Path(out), name)
    assert datasets.results_folder(Path("."), "cifar10") == Path("cifar10")


def test_bad_folders_are_refused(tmp_path):
    save_images(tmp_path / "few", ["cats", "dogs"], 3)
    with pytest.raises(ValueError, match="class 'cats' has fewer than 5 images"):
        load(str(tmp_path / "few"))
    save_images(tmp_path / "sizes", ["cats", "dogs"], 5)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "sizes" / "dogs" / "9.png")
    with pytest.raises(ValueError, match=r"9\.png is 9 x 9 pixels.*5 x 4.*resize"):
        load(str(tmp_path / "sizes"))
    save_images(tmp_path / "broken", ["cats", "dogs"], 5)
    (tmp_path / "broken" / "dogs" / "2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"2\.png cannot be read as an image.*remove"):
        load(str(tmp_path / "broken"))
    save_images(tmp_path / "one", ["cats"], 5)
    with pytest.raises(ValueError, match="1 class folders.*one sub-folder"):
        load(str(tmp_path / "one"))
    for split, names in (("train", ["cats", "dogs"]), ("test", ["cats", "cows"])):
        save_images(tmp_path / "other" / split, names, 2)
    with pytest.raises(ValueError, match="train/ has classes.*dogs.*cows.*make them alike"):
        load(str(tmp_path / "other"))


def test_data_folder_prefers_argument_then_variable(tmp_path, monkeypatch):
    given, named = tmp_path / "given", tmp_path / "named"
    given.mkdir()
    named.mkdir()
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(named))
    assert datasets.data_folder(given) == given
    assert datasets.data_folder() == named
    monkeypatch.delenv(datasets.DATA_DIR_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert datasets.data_folder() == tmp_path / "bioadv"
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # as good as not set
    assert datasets.data_folder().is_absolute()


@pytest.mark.parametrize("value", ["", "nowhere", __file__])
def test_a_slip_in_the_data_folder_does_not_start_a_download(monkeypatch, value):
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", pytest.fail)
    with pytest.raises(FileNotFoundError, match=f"data_dir = '{value}' is no folder; make it"):
        load("cifar10", value)
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, value)
    with pytest.raises(FileNotFoundError, match=f"BIOADV_DATA_DIR = '{value}' is no folder; make it"):
        load("mnist")


def test_a_data_folder_without_the_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(tmp_path))
    for name in ("cifar10", "mnist"):
        with pytest.raises(FileNotFoundError, match=f"{name}: no folder {tmp_path}.*BIOADV_DATA_DIR"):
            load(name, download=False)


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_name_is_not_the_default(monkeypatch, value):
    monkeypatch.setenv(notebook.DATA_VARIABLE, value)
    with pytest.raises(ValueError, match="BIOADV_DATA is set but empty; unset it"):
        notebook.begin()


def test_ceiling_is_full_scale():
    pixels = torch.randint(0, 256, (5, 4, 4, 3), dtype=torch.uint8).numpy()
    images = Images(pixels, torch.zeros(5, dtype=torch.int64).numpy(), ("a",), "test")
    raw = torch.from_numpy(pixels.reshape(5, -1) / 255.0)
    torch.testing.assert_close(unit_lp(images) / datasets.ceiling(images), raw.float())


def test_a_norm_beyond_float32_is_refused():
    images = Images(np.full((2, 32, 32, 3), 200, np.uint8), np.array([0, 1]), ("a", "b"), "mine")
    assert float(torch.linalg.vector_norm(datasets.unit_lp(images, 14), 14, dim=1)[0]) == pytest.approx(1, rel=1e-5)
    assert float(datasets.unit_lp(images, math.inf).max()) == 1
    with pytest.raises(ValueError, match="p = 20: the norms of 'mine' are beyond float32; give a smaller p"):
        datasets.unit_lp(images, 20)
    faint = Images(np.full((2, 32, 32, 3), 0.1), np.array([0, 1]), ("a", "b"), "mine")
    with pytest.raises(ValueError, match="p = 50: the norm of image 0 of 'mine' is below float32; give a smaller p"):
        datasets.unit_lp(faint, 50)
