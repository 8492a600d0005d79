"""One look per model: told apart by colour-blind readers, on white and on dark paper, and without any colour."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from bioadv.lab import looks, study

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as seen without one kind of cone.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
MODELS = {n: getattr(looks, n) for n in ("BLUE", "ORANGE", "GREEN", "RED", "PURPLE", "SKY", "INK", "GREY")}
OTHERS = {n: getattr(looks, n) for n in ("VIOLET", "OLIVE", "WINE", "TEAL")}
PAPERS = {
    "light": ("#ffffff", looks.INK),
    "dark": ("#14181e", looks.DARK_INK),
    "dark, book": ("#121212", looks.DARK_INK),
}
ENOUGH = 8.0  # CIEDE2000; one is just visible side by side


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def seen(colour, matrix):
    values = np.clip(np.asarray(matrix) @ linear(colour), 0, 1)
    encoded = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded[None, None])[0, 0]


def contrast(one, other):
    """As WCAG defines it."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ink", [looks.INK, looks.DARK_INK])
@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [MODELS, OTHERS], ids=["models", "others"])
def test_colours_are_told_apart(palette, sight, ink):
    here = [ink if colour == looks.INK else colour for colour in palette.values()]
    places = [seen(colour, SIGHT[sight]) for colour in here]
    assert min(float(deltaE_ciede2000(a, b)) for a, b in itertools.combinations(places, 2)) > ENOUGH


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("colour", [*MODELS.values(), *OTHERS.values()])
def test_colours_stand_out_from_the_page(colour, paper):
    ground, ink = PAPERS[paper]
    assert contrast(ink if colour == looks.INK else colour, ground) >= 2.95


def test_the_palettes_share_nothing():
    assert not set(MODELS.values()) & set(OTHERS.values())
    assert {one.colour for one in looks.THINGS.values()} <= set(OTHERS.values())
    assert {study.look(name).colour for name in [*study.EXPERIMENTS, *study.SUBJECTS]} <= set(MODELS.values())


def test_models_are_told_apart_without_colour():
    """In grey, where two models lie in one figure: by the dash of their lines and by their markers."""
    together = ["kh", "bp", "l2", "jreg", "specreg", "specreg-logged", "random"]
    assert len({study.look(name).dash for name in together}) == len(together)
    assert len({study.look(name).marker for name in together}) == len(together)
    every = [(study.look(n).colour, study.look(n).marker, study.look(n).dash) for n in study.EXPERIMENTS]
    assert len(set(every)) == len(every)
    assert len({study.look(n).short for n in study.EXPERIMENTS}) == len(study.EXPERIMENTS)


def test_what_has_no_look_gets_a_spare_one():
    assert looks.thing("PGD") is looks.THINGS["PGD"]
    found = [looks.thing("mine", number) for number in range(4)]
    assert len({one.colour for one in found}) == len({one.dash for one in found}) == 4
    assert found[0].short == "mine"
