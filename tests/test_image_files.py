"""The user's own images, as careless as they come: used rightly, or refused with file, reason and remedy."""

import contextlib
import io
import os
import re
import resource
import signal
import socket
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioadv.data import datasets, image_arrays, image_files, pictures
from bioadv.data.datasets import load
from bioadv.lab import cli, jobs, provenance, runner

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(1, 255, (4, 5, 3)).astype(np.uint8)
GREY = COLOUR[..., 0]
DEEP = (np.arange(20).reshape(4, 5) * 3000 + 5).astype(np.uint16)


@contextlib.contextmanager
def within(seconds):
    """Fail rather than hang."""

    def late(*_):
        raise AssertionError(f"nothing came back within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def folder(root, picture=None, name="x.png", count=5):
    """Two classes of ``count`` pictures; ``picture`` is saved as one more of the second, or written, if it is bytes."""
    for label in ("cats", "dogs"):
        (root / label).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.roll(COLOUR, i, 0)).save(root / label / f"{i}.png")
    if isinstance(picture, bytes):
        (root / "dogs" / name).write_bytes(picture)
    elif picture is not None:
        picture.save(root / "dogs" / name)
    return root


def read(tmp_path, picture, name="x.png", **options):
    picture.save(tmp_path / name, **options)
    return pictures.read(tmp_path / name)


def refusal(function, file):
    """The message with which a file is refused; empty if it is used, and any other error comes through."""
    try:
        function(file)
    except ValueError as error:
        return str(error)
    return ""


def png(bits, kind, samples, *more, size=None):
    """The bytes of a PNG of any depth: kind 0 grey, 2 RGB, 4 grey and alpha; samples (H, W * channels)."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in samples)
    width, height = size or (samples.shape[1] // {0: 1, 2: 3, 4: 2}[kind], len(samples))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *(chunk(*one) for one in more), chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(data, size, bits, photometric=1, kind=1, orientation=1):
    """The bytes of an uncompressed grey TIFF; kind: 1 unsigned, 2 signed, 3 float."""
    tags = [(256, size[0]), (257, size[1]), (258, bits), (259, 1), (262, photometric), (273, 8), (274, orientation)]
    tags += [(277, 1), (278, size[1]), (279, len(data)), (339, kind)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


# Depth


def test_deep_grey_is_scaled_by_its_documented_range(tmp_path):
    def pixels(data, name):
        (tmp_path / name).write_bytes(data)
        return pictures.read(tmp_path / name)

    expected = (DEEP / 65535).astype(np.float32)[..., None]
    found = pixels(png(16, 0, DEEP), "sixteen.png")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(pixels(tiff(DEEP.tobytes(), (5, 4), 16), "sixteen.tif"), expected)
    np.testing.assert_allclose(read(tmp_path, Image.fromarray(DEEP), "saved.tif"), expected)
    # Twelve bits: two values in three bytes.
    twelve = np.arange(0, 4096, 4095 // 7)[:8].reshape(2, 4)
    pairs = twelve.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    found = pixels(tiff(packed.astype(np.uint8).tobytes(), (4, 2), 12), "twelve.tif")
    np.testing.assert_allclose(found[..., 0], twelve / 4095, rtol=1e-6)
    ten = pixels(b"P5 2 1 1023\n" + struct.pack(">HH", 1023, 512), "ten.pgm")
    np.testing.assert_allclose(ten[0, :, 0], [1, 512 / 1023], atol=1e-5)
    unit = (DEEP / 65535).astype(np.float32)
    np.testing.assert_array_equal(pixels(tiff(unit.tobytes(), (5, 4), 32, kind=3), "unit.tif")[..., 0], unit)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(DEEP.astype(np.int32).tobytes(), (5, 4), 32, kind=2), "32-bit integers.*no documented range.*save it"),
        (tiff(DEEP.astype(np.uint32).tobytes(), (5, 4), 32), "32-bit integers.*no documented range"),
        (tiff(DEEP.view(np.int16).tobytes(), (5, 4), 16, kind=2), "signed.*no documented range"),
        (tiff(DEEP.astype(np.float32).tobytes(), (5, 4), 32, kind=3), r"span \[5, 57005\], not \[0, 1\]; scale"),
        (tiff(np.full(20, np.nan, np.float32).tobytes(), (5, 4), 32, kind=3), r"span \[nan, nan\]"),
        (tiff(DEEP.tobytes(), (5, 4), 16, photometric=0), "0 is white; invert"),
        (png(16, 0, DEEP, (b"tRNS", b"\0\x05")), "transparent value; remove"),
    ],
)
def test_depth_without_a_documented_range_is_refused(tmp_path, data, words):
    name = "x.png" if data[1:4] == b"PNG" else "x.tif"
    with pytest.raises(ValueError, match=f"dogs/{name} .*{words}"):
        load(folder(tmp_path / "mine", data, name))


def test_a_deep_picture_does_not_turn_white(tmp_path):
    """The same picture in 8 and in 16 bits, in one folder: the same image, and the rest of the set in its scale."""
    eight = folder(tmp_path / "mine", Image.fromarray(GREY))
    (eight / "dogs" / "y.png").write_bytes(png(16, 0, GREY.astype(np.uint16) * 257))
    data = load(eight)
    everything = np.concatenate([data.train.pixels, data.test.pixels])
    assert everything.dtype == np.float32
    same = [np.allclose(one, (GREY / 255)[..., None], atol=1e-6) for one in everything]
    assert sum(same) == 2
    assert any(np.allclose(one, COLOUR / 255, atol=1e-6) for one in everything)


# Kinds of picture


def test_kinds_of_picture(tmp_path):
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    np.testing.assert_array_equal(read(tmp_path, grey), GREY[..., None])
    np.testing.assert_array_equal(read(tmp_path, colour), COLOUR)
    bits = Image.fromarray(GREY > 100)
    assert bits.mode == "1"
    np.testing.assert_array_equal(read(tmp_path, bits), 255 * (GREY > 100)[..., None])
    palette = colour.quantize(256)
    np.testing.assert_array_equal(read(tmp_path, palette), np.asarray(palette.convert("RGB")))
    cmyk = Image.merge("CMYK", [Image.new("L", (5, 4), v) for v in (0, 255, 255, 0)])
    np.testing.assert_array_equal(read(tmp_path, cmyk, "x.tif"), np.full((4, 5, 3), (255, 0, 0)))
    assert np.abs(read(tmp_path, cmyk, "x.jpg").astype(int) - (255, 0, 0)).max() < 10
    deep = np.repeat(COLOUR.astype(np.uint16) * 256 + 7, 1).reshape(4, 15)
    (tmp_path / "deep.png").write_bytes(png(16, 2, deep))
    np.testing.assert_array_equal(pictures.read(tmp_path / "deep.png"), COLOUR)
    np.testing.assert_array_equal(read(tmp_path, palette, "x.gif"), np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(read(tmp_path, colour, "x.webp", lossless=True), COLOUR)


def test_transparent_parts_show_white(tmp_path):
    alpha = np.zeros((4, 5), np.uint8)
    alpha[:, :2], alpha[:, 2] = 255, 128
    rgba = Image.fromarray(np.dstack([COLOUR, alpha]))
    half = np.round(COLOUR[:, 2] * (128 / 255) + 127)
    found = read(tmp_path, rgba)
    np.testing.assert_array_equal(found[:, :2], COLOUR[:, :2])
    np.testing.assert_array_equal(found[:, 3:], 255)
    np.testing.assert_allclose(found[:, 2], half, atol=1)
    found = read(tmp_path, rgba.convert("LA"))
    assert found.shape == (4, 5, 1)
    np.testing.assert_array_equal(found[:, 3:], 255)
    palette = Image.fromarray(COLOUR).quantize(4)
    found = read(tmp_path, palette, transparency=0)
    hidden = np.asarray(palette) == 0
    assert hidden.any()
    np.testing.assert_array_equal(found[hidden], 255)
    np.testing.assert_array_equal(found[~hidden], np.asarray(palette.convert("RGB"))[~hidden])
    named = read(tmp_path, Image.fromarray(COLOUR), transparency=tuple(map(int, COLOUR[0, 0])))
    assert (named[0, 0] == 255).all()
    np.testing.assert_array_equal(named[1:], COLOUR[1:])


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.webp", "x.jpg"])
def test_the_orientation_that_a_camera_notes_is_applied(tmp_path, name):
    pixels = np.zeros((16, 24, 3), np.uint8) + 9
    pixels[:8, :12] = 200  # the upper left quarter
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    found = read(tmp_path, Image.fromarray(pixels), name, exif=exif)
    assert found.shape == (24, 16, 3)
    assert (found.mean((0, 2)) > 60).tolist() == [False] * 8 + [True] * 8


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(np.roll(COLOUR, i, 0)) for i in range(3)]
    for name in ("x.gif", "x.tif", "x.png", "x.webp"):
        with pytest.raises(ValueError, match=f"{name} holds 3 frames; save each"):
            read(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    big = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    phone = read(tmp_path, big[0], "x.mpo", save_all=True, append_images=big[1:])
    os.rename(tmp_path / "x.mpo", tmp_path / "phone.jpg")
    assert (pictures.read(tmp_path / "phone.jpg") == phone).all()
    assert phone.mean((0, 1))[0] > 200


def test_grey_sets_have_one_channel(tmp_path):
    for label in "ab":
        (tmp_path / "grey" / label).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(np.roll(GREY, i)).save(tmp_path / "grey" / label / f"{i}.png")
    assert load(tmp_path / "grey").train.shape == (4, 5, 1)
    Image.fromarray(COLOUR).save(tmp_path / "grey" / "b" / "9.png")
    mixed = load(tmp_path / "grey")
    assert mixed.train.shape == (4, 5, 3)
    assert any((one == GREY[..., None]).all() for one in mixed.train.pixels)


# What else lies in folders


def test_what_systems_leave_in_folders_is_skipped(tmp_path):
    root = folder(tmp_path / "mine")
    before = load(root).content_hash
    for name in ("._0.png", ".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini", "notes.txt"):
        (root / "dogs" / name).write_bytes(b"\0\5\x16\7 no picture")
        (root / name).write_bytes(b"no picture")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        for parent in (root, root / "dogs"):
            (parent / name).mkdir()
            (parent / name / "._0.png").write_bytes(b"no picture")
    assert load(root).content_hash == before


def make_fifo(file):
    os.mkfifo(file)


def make_socket(file):
    before = os.getcwd()
    os.chdir(file.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(file.name)
    os.chdir(before)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_fifo, "is a pipe, socket or device.*remove"),
        (make_socket, "is a pipe, socket or device.*remove"),
        (lambda file: file.symlink_to("/dev/zero"), "is a pipe, socket or device.*remove"),
        (lambda file: file.mkdir(), "is a folder, not an image file.*remove"),
        (lambda file: file.symlink_to("nowhere.png"), "No such file.*mend the link"),
        (lambda file: file.symlink_to(file), "symbolic links.*mend the link"),
        (lambda file: file.touch(), "cannot be read as an image.*remove"),
    ],
)
def test_what_is_no_regular_file_is_not_opened(tmp_path, make, words):
    root = folder(tmp_path / "mine")
    make(root / "dogs" / "x.png")
    with within(10), pytest.raises(ValueError, match=f"dogs/x.png .*{words}"):
        load(root)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: (root / "dogs" / "more").mkdir(), "dogs/more is a folder within a class; make CLASS"),
        (lambda root: (root / "dogs" / "x.heic").touch(), "dogs/x.heic is a kind of picture that is not read; save"),
        (lambda root: (root / "dogs" / "X.EPS").touch(), "dogs/X.EPS is a kind of picture that is not read"),
        (lambda root: (root / "x.png").touch(), "x.png lies beside the folders of the classes; move"),
        (lambda root: (root / "empty").mkdir(), "class 'empty' holds no image; make one sub-folder of images"),
    ],
)
def test_pictures_are_not_left_out_without_a_word(tmp_path, make, words):
    root = folder(tmp_path / "mine")
    make(root)
    with pytest.raises(ValueError, match=words):
        load(root)


def test_an_image_folder_that_cannot_be_listed(tmp_path_factory):
    root = folder(tmp_path_factory.mktemp("open", numbered=True) / "mine")
    closed = root / "dogs"
    for parent in [root, *root.parents][:-2]:
        parent.chmod(0o755)
    closed.chmod(0)
    other = os.geteuid() == 0  # nothing is closed to root
    try:
        if other:
            os.seteuid(65534)
        with pytest.raises(ValueError, match="dogs cannot be listed.*Permission denied.*chmod"):
            load(root)
    finally:
        if other:
            os.seteuid(0)
        closed.chmod(0o755)


# Damage


def saved(kind):
    target = io.BytesIO()
    Image.fromarray(COLOUR).save(target, kind)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_damaged_pictures_are_named(tmp_path, kind):
    """Cut off anywhere, or with bytes changed anywhere: a picture, or a message with the file's name."""
    whole, rng, refused = saved(kind), np.random.default_rng(0), 0
    file = tmp_path / "x.png"
    damaged = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 60))]
    for _ in range(200):
        other = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 120), 3):
            other[place] = rng.integers(256)
        damaged.append(bytes(other))
    for data in damaged:
        file.write_bytes(data)
        message = refusal(pictures.read, file)
        assert not message or (message.startswith(str(file)) and "; " in message)
        refused += bool(message)
    assert refused > 20


@pytest.mark.parametrize("side", [10_000, 20_000, 2**31 - 1])
def test_decompression_bombs_are_refused(tmp_path, side):
    bomb = png(8, 0, np.zeros((1, 1)), size=(side, side))
    with pytest.raises(ValueError, match=r"dogs/x.png .*(too large an image.*resize|cannot be read as an image)"):
        load(folder(tmp_path / "mine", bomb))


def test_only_pictures_are_opened(tmp_path):
    target = io.BytesIO()
    Image.fromarray(COLOUR).save(target, "EPS")
    with pytest.raises(ValueError, match="dogs/x.png cannot be read as an image.*cannot identify.*remove"):
        load(folder(tmp_path / "mine", target.getvalue()))
    assert read(tmp_path, Image.fromarray(COLOUR).resize((16, 16)), "x.jpg").shape == (16, 16, 3)
    os.rename(tmp_path / "x.jpg", tmp_path / "x.png")
    assert pictures.read(tmp_path / "x.png").shape == (16, 16, 3)


def test_untidy_metadata_is_no_reason_to_refuse(tmp_path):
    """Pillow warns of it; a warning is an error in these tests and a line of noise for everyone else."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0"
    found = read(tmp_path, Image.fromarray(COLOUR).resize((16, 16)), "x.jpg", exif=exif)
    assert found.shape == (16, 16, 3)


def test_black_and_foreign_sizes_are_named_by_file(tmp_path):
    with pytest.raises(ValueError, match="dogs/x.png is all zero.*remove"):
        load(folder(tmp_path / "black", Image.new("RGB", (5, 4))))
    with pytest.raises(ValueError, match=r"dogs/x.png is 5 x 3 pixels, .*cats/0.png is 5 x 4; resize"):
        load(folder(tmp_path / "sizes", Image.fromarray(COLOUR[:3])))


# Arrays


def arrays(count=6, **changes):
    rng = np.random.default_rng(0)
    result = {}
    for split in ("train", "test"):
        result[f"x_{split}"] = rng.integers(1, 255, (count, 4, 4, 3)).astype(np.uint8)
        result[f"y_{split}"] = np.arange(count) % 3
    return {**result, **changes}


def own(tmp_path, **changes):
    np.savez(tmp_path / "own.npz", **arrays(**changes))
    return load(tmp_path / "own.npz")


def with_pixel(value, *index, dtype=float):
    x = np.full((6, 4, 4, 3), 0.5 if dtype is float else 9, dtype)
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": np.ones((6, 3, 8, 8), np.uint8)}, r"x_train has shape \(6, 3, 8, 8\).*\(N, C, H, W\).*transpose"),
        ({"x_test": np.ones((6, 1, 28, 28), np.uint8)}, r"x_test has shape.*\(N, C, H, W\).*transpose"),
        ({"x_train": np.ones((8, 8, 3, 6), np.uint8)}, r"\(H, W, C, N\).*transpose\(3, 0, 1, 2\)"),
        ({"x_train": np.ones((6, 8, 8, 4), np.uint8)}, r"x_train has shape \(6, 8, 8, 4\).*alpha"),
        ({"x_train": np.ones((6, 8, 8, 7), np.uint8)}, r"x_train has shape \(6, 8, 8, 7\); give \(N, H, W\)"),
        ({"x_train": np.ones((6, 48), np.uint8)}, r"x_train has shape \(6, 48\).*reshape"),
        ({"x_train": np.ones((6, 16, 3), np.uint8)}, r"x_train has shape \(6, 16, 3\).*\(N, H, 3, 1\)"),
        ({"x_train": np.zeros((0, 4, 4, 3), np.uint8)}, r"x_train has shape \(0, 4, 4, 3\); give at least one image"),
        ({"x_train": np.uint8(3)}, r"x_train has shape \(\)"),
        ({"x_train": np.ones((6, 1, 1, 1), np.uint8)}, "all alike at unit norm; give at least two pixels"),
        ({"x_train": np.ones((6, 4, 4, 3), np.int64)}, "x_train has dtype int64; give uint8.*astype"),
        ({"x_train": np.ones((6, 4, 4, 3), bool)}, "x_train has dtype bool"),
        ({"x_train": np.ones((6, 4, 4, 3), complex)}, "x_train has dtype complex128"),
        ({"x_train": np.full((6, 4, 4, 3), "a")}, "x_train has dtype <U1"),
        ({"x_train": with_pixel(np.nan, 4, 1, 1, 1)}, "x_train: image 4 has a pixel that is NaN or infinite; repair"),
        ({"x_test": with_pixel(np.inf, slice(3, 5))}, r"x_test: image 3 \(and 1 more\) has a pixel that is NaN"),
        ({"x_train": with_pixel(200.0, 2)}, r"x_train: image 2 has pixels outside \[0, 1\] \(all: 0.5 to 200\); scale"),
        ({"x_train": with_pixel(-0.1, 5, 3, 3, 2)}, "x_train: image 5 has pixels outside"),
        ({"x_train": with_pixel(0, 4)}, r"x_train: image 4 is all zero \(black\).*remove"),
        ({"x_train": with_pixel(1e-20, 4)}, "x_train: image 4 is all zero"),
        ({"x_test": with_pixel(0, 1, dtype=np.uint8)}, "x_test: image 1 is all zero"),
        ({"x_test": np.ones((6, 5, 4, 3), np.uint8)}, r"training images are \(4, 4, 3\).*\(5, 4, 3\).*make them alike"),
        ({"y_train": np.zeros(6, int)}, "all images of x_train have the label 0; add images of another class"),
        ({"y_train": np.arange(6)}, "6 images of x_train have 6 different labels.*class of an image"),
        ({"y_train": np.int64(3)}, r"y_train has shape \(\); give shape \(N,\), one label per image"),
        ({"y_train": np.eye(6, dtype=int)}, r"y_train has shape \(6, 6\).*argmax"),
        ({"y_train": np.zeros(0, int)}, r"y_train has shape \(0,\)"),
        ({"y_train": np.zeros(5, int)}, "x_train holds 6 images, y_train 5 labels; give one label per image"),
        ({"y_train": np.array([0, 1, 1.5, 0, 1, 2])}, r"y_train\[2\] = 1.5; give integers"),
        ({"y_train": np.array([0, 1, np.nan, 0, 1, 2])}, r"y_train\[2\] = nan; give integers"),
        ({"y_train": np.ones(6, "datetime64[D]")}, "y_train has dtype datetime64.*give integers or texts"),
        ({"y_test": np.array([0, 1, 2, 7, 1, 2])}, r"y_test has labels that y_train lacks \(7\); add training images"),
        ({"y_test": np.array(["0", "1", "cow"] * 2)}, r"y_train lacks \(cow\)"),
        ({"y_train": np.array([None] * 6)}, "y_train.npy holds Python objects; give it a dtype"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_by_their_own_index(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words) as error:
        own(tmp_path, **changes)
    assert "own.npz" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([1, 2, 3] * 2), ("1", "2", "3")),
        (np.array([9, 2, 9, 5, 2, 9]), ("2", "5", "9")),
        (np.array([20240101, 20250101] * 3), ("20240101", "20250101")),
        (np.array([2**62, -(2**62)] * 3), (str(-(2**62)), str(2**62))),
        (np.array([2**64 - 1, 0, 1] * 2, np.uint64), ("0", "1", str(2**64 - 1))),
        (np.array([-1, 1] * 3, np.int8), ("-1", "1")),
        (np.array([True, False] * 3), ("False", "True")),
        (np.array([2.0, 1.0, 3.0] * 2), ("1", "2", "3")),
        (np.array(["dog", "cat"] * 3), ("cat", "dog")),
        (np.array([b"dog", b"caf\xe9"] * 3), ("caf\\xe9", "dog")),
        (np.array([[1], [2], [3]] * 2), ("1", "2", "3")),
    ],
)
def test_labels_are_mapped_to_classes_by_value(tmp_path, labels, classes):
    made = arrays(y_train=labels, y_test=labels)
    np.savez(tmp_path / "own.npz", **made)
    data = load(tmp_path / "own.npz")
    assert data.train.classes == classes
    whose = {x.tobytes(): y for x, y in zip(made["x_train"], labels.ravel(), strict=True)}
    for x, y in zip(data.train.pixels, data.train.labels, strict=True):
        value = whose[x.tobytes()]
        named = value.decode("utf-8", "backslashreplace") if labels.dtype.kind == "S" else str(value)
        assert named.removesuffix(".0") == classes[y]


def test_labels_of_the_two_sets_may_have_different_dtypes(tmp_path):
    """Signed and unsigned integers have no common type but float, in which 2**63 and its neighbours are one."""
    y = np.array([2**63 - 1, 2**63 - 2] * 3)
    data = own(tmp_path, y_train=y.astype(np.uint64), y_test=y)
    assert data.test.classes == (str(2**63 - 2), str(2**63 - 1))
    assert sorted(data.test.labels) == [0, 0, 0, 1, 1, 1]
    assert own(tmp_path, y_test=np.array([2, 2, 2, 2, 2, 2.0])).test.labels.tolist() == [2] * 6


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((6, 7, 9), 5, np.uint8),
        np.full((6, 7, 9, 1), 0.25, np.float16),
        np.full((6, 1, 1, 3), 9, np.uint8),
        np.full((6, 1, 2), 9, np.uint8),
        np.full((6, 3, 5, 3), 1.0, ">f8"),
        np.asfortranarray(np.full((6, 8, 4, 3), 3, np.uint8)),
        np.full((6, 500, 400, 3), 3, np.uint8),
    ],
)
def test_images_of_any_size_are_used(tmp_path, pixels):
    data = own(tmp_path, x_train=pixels, x_test=pixels)
    assert data.train.shape == (pixels.shape[1:] if pixels.ndim == 4 else (*pixels.shape[1:], 1))
    assert data.train.pixels.dtype in (np.uint8, np.float32)
    np.testing.assert_allclose(datasets.unit_lp(data.test).double().norm(3, dim=1), 1, rtol=1e-5)


# Files of arrays


def write(path, **members):
    """An ``.npz`` of whole arrays, and of bytes as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            target = io.BytesIO()
            if not isinstance(member, bytes):
                np.save(target, member, allow_pickle=True)
            archive.writestr(f"{name}.npy", member if isinstance(member, bytes) else target.getvalue())
    return path


def npy(shape, dtype="|u1", data=bytes(64)):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000000000, 32, 32, 3)"),
        npy("(4611686018427387904, 4, 4, 3)"),
        npy("(-6, -4, 4, 3)"),
        npy("(-1, 4, 4, 3)"),
        npy("(6, 4, 4, 3)"),
        npy("(True, 64)"),
        npy("(" * 500),
        npy("(6, 4", data=b""),
        npy("(64,)", "|O"),
        npy("(64,)", "(1000000,1000000)u1"),
        b"\x93NUMPY\7\0" + bytes(80),
        b"\x93NUMPY\1\0\xff\xff{",
        b"no array",
        b"",
    ],
)
def test_absurd_headers_are_refused_before_anything_is_allocated(tmp_path, member):
    path = write(tmp_path / "own.npz", **arrays(x_train=member))
    with within(10), pytest.raises(ValueError, match=r"own.npz (cannot be read as an .npz file \(.*make it again|: x)"):
        load(path)


def test_arrays_that_are_not_needed_are_not_read(tmp_path):
    """They may be anything: larger than the memory, of objects, damaged."""
    extra = {"weights": npy("(1000000000000, 1000)"), "notes": np.array([{"a": 1}], object), "junk": b"no array"}
    assert len(load(write(tmp_path / "own.npz", **arrays(), **extra)).train) == 6


@pytest.mark.parametrize("place", ["start", "x_train", "directory"])
def test_damaged_archives_are_named(tmp_path, place):
    path = write(tmp_path / "own.npz", **arrays(count=50))
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    low, high = {"start": (0, 60), "x_train": (60, 4000), "directory": (len(whole) - 250, len(whole))}[place]
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for index in rng.integers(low, high, 4):
            damaged[index] = rng.integers(256)
        path.write_bytes(damaged)
        message = refusal(load, path)
        assert not message or "own.npz" in message
        refused += bool(message)
    assert refused > 20


def test_cut_archives_and_other_files_are_named(tmp_path):
    path = write(tmp_path / "own.npz", **arrays())
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(5))
    for data in (whole[: len(whole) // 2], whole[:-5], b"", b"\x89PNG", (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="own.npz cannot be read as an .npz file.*make it again"):
            load(path)


def test_images_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    memory = 100_000
    monkeypatch.setattr(image_arrays.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}.get)
    bomb = write(tmp_path / "own.npz", **arrays(x_train=np.zeros((100, 20, 20, 3), np.uint8)))
    assert bomb.stat().st_size < memory / 10
    with pytest.raises(ValueError, match="x_train.npy: 0.00012 GB are more than this machine's memory.*smaller images"):
        load(bomb)
    with pytest.raises(ValueError, match="x_train as float32: .* more than this machine's memory"):
        own(tmp_path, x_train=np.ones((20, 30, 30, 3), np.uint8), y_train=np.arange(20) % 3)
    big = Image.fromarray(np.resize(COLOUR, (60, 60, 3)))
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            big.save(tmp_path / "photos" / name / f"{i}.png")
    with pytest.raises(ValueError, match="photos as float32: .* more than this machine's memory"):
        load(tmp_path / "photos")


# Names


def test_a_path_is_good_to_the_end(tmp_path):
    """Through training, which writes the name of the images down, and reading it again."""
    root = folder(tmp_path / 'it\'s a "test" {x} $(y)', count=20)
    out = tmp_path / "out"
    where = jobs.Where(out, progress=False, device="cpu", dtype="float32")
    run = runner.train("random", load(root), 0, where, 2)
    manifest = provenance.read_manifest(run)
    assert manifest["dataset"] == str(root)
    assert load(manifest["dataset"]).content_hash == manifest["configuration"]["data"]


def test_classes_whose_folder_is_not_text(tmp_path):
    root = folder(tmp_path / "mine")
    os.rename(os.fsencode(root / "dogs"), os.fsencode(root) + b"/caf\xe9")
    assert load(root).train.classes == ("caf\\xe9", "cats")


@pytest.mark.parametrize("name", ["", "  ", "x" * 5000, "a\0b", "nowhere/", "own.npy"])
def test_names_that_name_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(folder(tmp_path / "mine"))  # which an empty name would be taken for
    Path("own.npy").touch()
    with pytest.raises(ValueError, match="dataset .*(give one of)"):
        load(name)


def test_npz_in_capitals(tmp_path):
    np.savez(tmp_path / "own.npz", **arrays())
    os.rename(tmp_path / "own.npz", tmp_path / "OWN.NPZ")
    assert len(load(tmp_path / "OWN.NPZ").train) == 6


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    def command(data):
        monkeypatch.setattr(
            sys, "argv", ["bioadv", "train", "random", "--data", str(data), "--out", str(tmp_path / "o")]
        )
        with pytest.raises(SystemExit) as error:
            cli.main()
        assert error.value.code == 2
        return capsys.readouterr().err

    assert "bioadv: " in command(tmp_path / "absent.npz")
    assert "dogs/x.png is too large" in command(
        folder(tmp_path / "mine", png(8, 0, np.zeros((1, 1)), size=(20_000,) * 2))
    )
    assert "own.npz: x_train has shape" in command(write(tmp_path / "own.npz", **arrays(x_train=np.ones((6, 3, 9, 9)))))
    assert not (tmp_path / "o").exists()


def test_the_command_says_what_to_do_when_the_memory_is_full(tmp_path, monkeypatch, capsys):
    big = np.full((600, 400, 400), 9, np.uint8)
    path = write(tmp_path / "big.npz", x_train=big, y_train=np.arange(600) % 2, x_test=big[:2], y_test=np.arange(2))
    monkeypatch.setattr(sys, "argv", ["bioadv", "train", "random", "--data", str(path), "--out", str(tmp_path / "o")])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for room in (300e6, 30e6):  # too little for the images as float32, and to read them
        resource.setrlimit(resource.RLIMIT_AS, (used + int(room), limits[1]))
        try:
            with pytest.raises(SystemExit):
                cli.main()
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
        assert re.search(
            "bioadv: .*(more memory, or smaller or fewer|cannot be read as an .npz)", capsys.readouterr().err
        )


# CIFAR-10 and MNIST


def test_a_damaged_archive_of_mnist_is_named(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for data in (b"no gzip", b"\x1f\x8b\x08" + bytes(7), b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\7" * 30):
        (raw / "train-images-idx3-ubyte.gz").write_bytes(data)
        with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte.gz is damaged.*delete"):
            load("mnist", tmp_path, download=False)


def test_readers_state_what_they_return(tmp_path):
    write(tmp_path / "own.npz", **arrays())
    for sets, classes in (
        image_arrays.from_npz(tmp_path / "own.npz"),
        image_files.from_folder(folder(tmp_path / "mine")),
    ):
        assert set(sets) == {"train", "test"}
        assert all(len(pixels) == len(labels) for pixels, labels in sets.values())
        assert len(classes) >= 2
