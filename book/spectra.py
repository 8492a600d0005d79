# %% [markdown]
# (ch-spectra)=
# # Spectra
#
# ```{admonition} The question and the answer
# :class: answer
# Does the locally learned layer spread its variance over many directions as a power law, as cortex does?
#
# After the activation, yes, with an exponent near two; a layer of random weights with a plain ReLU is as straight, with a smaller exponent. Before the activation, where the paper looks and a summary of it has a power law up to rank {glue:text}`claimed-end`, there is none: the slope of the layer that the paper shows, without the units that its training left
# unfinished ({ref}`ch-pruning`), wavers between {glue:text}`kh-local-low` and {glue:text}`kh-local-high` from rank 11 to rank 100 and then rises without end, to {glue:text}`kh-local-end` at rank 500. Where it seems to reach far, rounding in single precision has lifted its end.
# ```
#
# Show a network many images and its hidden units trace out a cloud of points. How the cloud's variance is shared out among its
# directions is its *covariance spectrum*. In mouse visual cortex that spectrum falls off as a power law with an exponent close to one
# {cite}`stringer2019high`, and theory ties such an exponent to the smoothness of the code. The paper finds that a layer trained by the local rule of
# {ref}`ch-local-learning` has a power law as well, and takes this for a sign of a smooth and therefore robust representation.
#
# An exponent comes out of any straight-line fit, whether the line is straight or not. This chapter measures it so
# that one can trust it: with an estimator that is checked where the truth is known, next to what raw pixels and random weights give, before and
# after the activation, and rank by rank.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from bioadv.data.datasets import gaussian_noise, unit_lp
from bioadv.data.files import read_arrays
from bioadv.lab import live, looks, scales, study
from bioadv.lab.numbers import measured
from bioadv.lab.runs import in_folder, paper, stored
from bioadv.lab.statistics import folder
from bioadv.measure import powerlaw, spectra
from bioadv.measure.powerlaw import fit
from bioadv.network import local_learning as ll
from bioadv.network import models
from bioadv.network.models import TwoLayer
from bioadv.pages import notebook, plots, plots_spectra, wording
from bioadv.pages.notebook import Table, begin, check, glue_all, observe

data = begin(tests=40)
x_test = unit_lp(data.test)
params = scales.live_scale(data).layer
theirs = paper()

# %% [markdown]
# ## What the paper did
#
# ```{admonition} The paper
# :class: paper
# For each model the covariance of the hidden layer over the ten thousand test images of CIFAR-10, and over as many images of Gaussian noise, is
# diagonalised, for all {glue:text}`units` units and for sub-populations of the first ten, fifty, and so on. A line is fitted to the
# logarithms of eigenvalue and rank, at ranks {glue:text}`window-images` for images and {glue:text}`window-noise` for noise. The slope is printed
# in each panel, with its standard error. A summary of the second version says that the KH layer follows a power law for $n$ <
# {glue:text}`claimed-end`.
# ```

# %% tags=["hide-input"]
windows = {"images": powerlaw.IMAGES, "noise": powerlaw.NOISE}
glue_all({f"window-{k}": f"{a} to {b}" for k, (a, b) in windows.items()})
glue_all({"units": 2000, "claimed-end": theirs["power_law_end"]})
glue_all(
    {"kink": " to ".join(map(str, theirs["kink"])), "live-units": params.hidden}
)

# %% [markdown]
# ## What a spectrum says about smoothness
#
# Let $h(x)$ be the response of $H$ units to an image $x$. Its covariance over $N$ images and the eigenvalues of that are
#
# $$
# C = \frac{1}{N-1} \sum_{b=1}^{N} (h_b - \bar h)(h_b - \bar h)^\top , \qquad C\, u_n = \lambda_n u_n , \qquad \lambda_1 \ge \lambda_2 \ge \dots
# $$ (eq-spectra-covariance)
#
# $\lambda_n$ is the variance of the responses along the $n$-th principal direction. Directions of small variance usually carry fine detail: two images
# that hardly differ are told apart there or nowhere. If the variances fall off slowly, much of the response is spent on such detail, and
# a small change of the image can move the response a long way. {cite:t}`stringer2019high` make this exact. If the stimuli have $d$ dimensions, and
#
# $$
# \lambda_n \sim n^{-\alpha} \quad\text{for } n \to \infty , \qquad\text{then}\qquad \alpha > 1 + \frac{2}{d}
# $$ (eq-spectra-bound)
#
# is needed for the code to be differentiable. With many dimensions the border is near one: this is the $1/n$ law. {numref}`fig-spectra-smooth`
# shows it for stimuli on a ring, where $d = 1$ and the border is at three. Both codes have the same number of units and the same largest eigenvalue.


# %%
def ring_code(alpha, angles, terms=1000):
    """Responses whose n-th pair of principal directions has variance n^-alpha, drawn on two random directions."""
    n = np.arange(1, terms + 1)
    waves = np.concatenate(
        [np.cos(np.outer(angles, n)), np.sin(np.outer(angles, n))], 1
    )
    sizes = np.tile(n ** (-alpha / 2), 2)
    return (waves * sizes) @ np.random.default_rng(1).normal(size=(2 * terms, 2))


angles = np.linspace(0, 2 * np.pi, 6000)

# %% mystnb={"figure": {"caption": "Two synthetic codes for an angle, a thousand frequencies each, seen along two random directions (one seed): $\\alpha$ below the border of three (left) and above it (right).", "name": "fig-spectra-smooth"}, "image": {"alt": "Left, alpha 2: a jagged, tangled closed line. Right, alpha 5: a smooth closed curve."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(plots.WIDTH, 2.9))
for place, alpha in zip(axes, (2, 5), strict=True):
    place.plot(*ring_code(alpha, angles).T, color=looks.VIOLET, linewidth=0.7)
    place.set_title(rf"$\alpha$ = {alpha}")
    place.set_axis_off()

# %% [markdown]
# On the left, turning the angle a little moves the response erratically, at every scale one cares to look at. On the right it moves smoothly.
#
# ```{admonition} Our remark
# :class: remark
# Three things limit what {eq}`eq-spectra-bound` can say about the layers of this book. It is about $n \to \infty$, while a layer has as many eigenvalues as units, and a window
# of ranks is fitted. It says what a *smooth* code needs, not that a code with this exponent is smooth or robust. And the latent that the
# paper measures is the one *before* the activation, $h = xM^\top$. A linear map has the same derivative everywhere, $M$, whatever its
# spectrum; its smoothness is not in question. What its spectrum shows is how the images and $M$ fit together.
# ```
#
# ## An estimator, from scratch
#
# Equation {eq}`eq-spectra-covariance` in code takes three lines. Two of the choices are not cosmetic: subtract the mean *before* multiplying, and do it in
# double precision.


# %%
def spectrum(h):
    """Eigenvalues of the covariance of h (N, H), largest first."""
    centred = h.double() - h.double().mean(0)
    covariance = centred.T @ centred / (len(h) - 1)
    return torch.linalg.eigvalsh(covariance).flip(0)


# %% [markdown]
# {func}`bioadv.measure.spectra.moments` does the same in one pass over batches, so that no latent has to fit into memory; each batch is centred by itself and
# the batches are then merged without a loss of digits. And for a linear latent no image needs to be looked at twice: $C = M \Sigma_x M^\top$, with
# $\Sigma_x$ the covariance of the images, computed once for all models.

# %%
shape = data.train.inputs, params.hidden, len(data.train.classes)
random = models.init(TwoLayer(*shape), torch.Generator().manual_seed(0))
h = torch.cat(list(spectra.latents(random, x_test)))

plain = spectrum(h)
others = {"one pass": spectra.moments(h.split(300))}
if data.test.inputs < 5000:  # the covariance of large images does not fit
    of_images = spectra.moments(x_test)
    others["through the images"] = spectra.linear_moments(of_images, random.hidden)
for name, of in others.items():
    other = spectra.eigenspectrum(of)
    gap = (other - plain[: len(other)]).abs() / plain[0]
    check(
        f"{name}: deviation, over the first eigenvalue", float(gap.max()), high=1e-9
    )

# %% [markdown]
# ### Where the truth is known
#
# Two formulas can agree and both be wrong. So we build latents whose covariance is known. Random samples will not do: the covariance
# of a sample has a spectrum of its own, which is not that of the distribution. Cosines of different frequencies are exactly orthogonal to each other and to a
# constant; scaled and mixed, they have exactly the spectrum that we prescribe. All units also get a mean, as the units of a real layer have.


# %%
def known(alpha, mean, units=200, images=3000):
    """Latents (images, units) with eigenvalues n^-alpha; the mean of a unit is of the size ``mean``."""
    generator = torch.Generator().manual_seed(0)
    n = torch.arange(1, units + 1, dtype=torch.float64)
    i = torch.arange(images, dtype=torch.float64) + 0.5
    h = torch.cos(torch.pi / images * torch.outer(i, n))
    h *= (2 * (images - 1) / images * n**-alpha).sqrt()
    v, m = torch.randn(2, units, generator=generator, dtype=torch.float64)
    return (
        h - 2 * torch.outer(h @ v, v) / (v @ v) + mean * m
    )  # a reflection mixes the units


for alpha in (0.5, 1, 2, 4):
    found = fit(spectrum(known(alpha, mean=10)), (11, 100)).alpha
    check(f"exponent found minus the true {alpha:g}", found - alpha, -1e-3, 1e-3)

# %% [markdown]
# ### The authors' estimator
#
# The authors' code goes another way: single precision, one pass, products first and the mean subtracted at the end. To limit the damage of that order it shifts the
# latent by a number that is meant to be close to its mean. But the number is the mean *pixel* of the first batch of images, and latents are
# not pixels.


# %%
def authors_spectrum(batches, shift):
    """As ``cov_spectrum`` of the authors' code: float32, and a solver for general matrices."""
    count, total, products = 0, 0, 0
    for h in batches:
        shifted = h.float() - shift
        products = products + shifted.T @ shifted
        count, total = count + len(h), total + shifted.sum(0)
    covariance = (products - torch.outer(total, total) / count) / (count - 1)
    return torch.linalg.eigvals(covariance).real.sort(descending=True)[0]


batches = known(3, mean=3).split(1000)
mine, packaged = (
    authors_spectrum(batches, 0.1),
    spectra.published(batches, 0.1).real,
)
gap = float((mine - packaged).abs().max() / mine[0])
check("as coded: these lines minus the package", gap, high=1e-4)

# %% mystnb={"figure": {"caption": "Three estimators where the truth is known ($\\alpha$ = 3, 200 units, 3000 synthetic images, one seed): units without a mean, and units whose means scatter by three times the largest standard deviation. Faint dots: absolute values beyond the first eigenvalue that rounding made negative.", "name": "fig-spectra-known"}, "image": {"alt": "Two log-log panels. Left, without a mean: all three lines lie on the dotted truth. Right, with a mean: float64 stays on it, float32 leaves it near rank 25 and turns negative beyond rank 130; TF32 is off from the second eigenvalue on."}} tags=["hide-input"]
panels = {}
for mean in (0, 3):
    h = known(3, mean)
    panels[f"mean {mean}"] = {
        "float64": spectrum(h).numpy(),
        "float32, as coded": spectra.published(h.split(1000), 0.1).numpy(),
        "TF32 products, as coded": spectra.published(
            h.split(1000), 0.1, rounded=True
        ).numpy(),
    }
truth = np.arange(1.0, 201) ** -3
_ = plots_spectra.compare(panels, truth, floor=1e-9)

# %% [markdown]
# Follow the lines of {numref}`fig-spectra-known` from the left. Without a mean, all estimators find the truth. With one, the small eigenvalues are differences
# of large numbers. Single precision keeps about seven digits, and what is left of the tail is rounding error: a floor of values that are as often negative as positive.
#
# TF32, which graphics processors of that time used for matrix products unless told otherwise, keeps three digits of each factor; here it even invents a leading direction.
#
# A fit that reaches into the floor finds too small an exponent, and just before the floor takes over the spectrum looks straighter than it is. Keep this picture in mind.

# %%
good, bad = (panels["mean 3"][k].real for k in ("float64", "float32, as coded"))
check("exponent in float64 (true: 3)", fit(good, (11, 100)).alpha, 2.99, 3.01)
in_floor = fit(bad, (11, 100), truncate=True).alpha
check("exponent in float32, as coded (true: 3)", in_floor, 0.5, 2.9)

# %% [markdown]
# ## A line through a spectrum
#
# The exponent is minus the slope of an ordinary least-squares line,
#
# $$
# \ln \lambda_n = c - \alpha \ln n + \varepsilon_n , \qquad n = n_1, \dots, n_2 .
# $$ (eq-spectra-fit)
#
# All ranks weigh the same here, so half of the weight in the window {glue:text}`window-images` lies on its last octave. {cite:t}`stringer2019high` weigh rank $n$ with $1/n$
# instead, which gives each octave the same say. Both are in {func}`bioadv.measure.powerlaw.fit`.
#
# The standard error that is usually printed with such a slope assumes that the $\varepsilon_n$ are independent. Sorted eigenvalues never are: the residuals
# wander slowly, so a few hundred of them count as much as a handful. An honest error comes from drawing the *images* anew, the bootstrap: it is how far the exponents of such samples scatter. (They scatter about a steeper one, as a sample that has images twice has fewer different ones; how much steeper tells how much a finite set of images adds.) Patches of
# a photograph overlap, so whole blocks of them are drawn together.

# %%
layer = live.train_layer(data)
kh = TwoLayer(*shape, power=study.KH_POWER)
with torch.no_grad():
    _ = kh.hidden.copy_(ll.metric(layer.synapses, params.p))
h = torch.cat(list(spectra.latents(kh, x_test)))
lambdas = spectra.eigenspectrum(spectra.moments(h)).numpy()
window = (5, min(50, powerlaw.positive(lambdas)))
line = fit(lambdas, window)
n = np.arange(window[0], window[1] + 1)
slope, _ = np.polyfit(np.log(n), np.log(lambdas[n - 1]), 1)
check("our fit minus numpy's", abs(line.alpha + slope), high=1e-9)

# %%
residuals = np.log(lambdas[n - 1] / line.line(n))
correlation = np.corrcoef(residuals[:-1], residuals[1:])[0, 1]
observe(data, "correlation of neighbouring residuals", correlation, 0.5, 0.999)


def exponent(values):
    return torch.tensor(fit(values, window, truncate=True).alpha)


blocks = data.test.blocks
blocks = None if blocks is None else torch.tensor(blocks)
generator = torch.Generator().manual_seed(0)
resampled = spectra.bootstrap(h, exponent, 40, generator, blocks)
observe(
    data, "bootstrap error of the exponent", float(resampled.std()), 0.005, 0.15
)

# %% [markdown]
# ## Live spectra
#
# {numref}`fig-spectra-live` has the layer of {glue:text}`live-units` KH units that was just trained on photo patches, and next to it the two *nulls* that every exponent in this
# chapter is compared with: the raw pixels, and a layer of random weights. Whatever they show was not learned.


# %% tags=["hide-input"]
def pixel_spectrum(images):
    """Through the products of images where there are fewer images than pixels: the same eigenvalues but zeros."""
    if images.shape[1] < 5000:
        return spectra.eigenspectrum(spectra.moments(images))
    centred = images.double() - images.double().mean(0)
    products = centred @ centred.T / (len(images) - 1)
    return torch.linalg.eigvalsh(products).flip(0)[:-1]


# %% mystnb={"figure": {"caption": "Spectra on 2000 test patches (left) and 2000 images of Gaussian noise (right), photo patches, 100 hidden units, one seed; of the pixels the first hundred ranks.", "name": "fig-spectra-live"}, "image": {"alt": "Two log-log panels. Left: the spectra of pixels and random layer fall by two to three decades, that of the KH layer by five and, at the last ranks, more. Right: on noise pixels and random layer are almost flat, while the KH layer falls by two to three decades before the activation and by six after it."}} tags=["hide-input"]
noise = gaussian_noise(2000, data.test.inputs, torch.Generator().manual_seed(1))
panels = {}
for title, images in (("test patches", x_test), ("noise", noise)):
    taps = {"random": (random, False), "kh": (kh, False), "KH, after": (kh, True)}
    panels[title] = {"pixels": pixel_spectrum(images)[: params.hidden].numpy()} | {
        name: spectra.eigenspectrum(
            spectra.moments(spectra.latents(model, images, after))
        ).numpy()
        for name, (model, after) in taps.items()
    }
_ = plots_spectra.compare(panels)

# %%
found = {
    (title, name): fit(values, window, truncate=True).alpha
    for title, lines in panels.items()
    for name, values in lines.items()
}
observe(data, "exponent of the pixels", found["test patches", "pixels"], 0.9, 1.5)
observe(
    data, "exponent of a random layer", found["test patches", "random"], 0.9, 1.6
)
observe(data, "exponent of the KH layer", found["test patches", "kh"], 1.8, 3.2)
observe(
    data, "exponent of a random layer on noise", found["noise", "random"], 0.0, 0.4
)
observe(data, "exponent of the KH layer on noise", found["noise", "kh"], 0.4, 1.6)

# %% [markdown]
# How to read it: on patches nothing is flat, not even the pixels. Neighbouring pixels agree with each other, so natural images have a steep spectrum to begin with, and a random layer
# passes it on with hardly a change. On noise, which has no such structure, both nulls are nearly flat (not quite: a finite sample is never exactly white). So the
# *difference* to these two nulls comes with KH's weights, and there is one, on patches and on noise. Whether it takes learning is another question: {ref}`ch-mechanism` has a third null, images used as weights, that closes most of it. On noise it is the weights alone that speak: the units of the KH layer are smooth and similar to each
# other, so they agree about most noise images too.
#
# Is any of these lines straight? {numref}`fig-spectra-local` fits a line in a narrow window around each rank. A power law would be horizontal.

# %% mystnb={"figure": {"caption": "Local exponents of the spectra of the previous figure: fits over the ranks from $n/1.5$ to $1.5n$. Photo patches, one seed.", "name": "fig-spectra-local"}, "image": {"alt": "Two panels of local exponent against rank. On patches the pixels and the random layer stay between one and two, while the KH layer rises from two near rank 15 to six at the end. On noise the nulls stay near zero and the KH layer rises steeply beyond rank 20."}} tags=["hide-input"]
each = {
    title: {name: [spectrum] for name, spectrum in lines.items()}
    for title, lines in panels.items()
}
_ = plots_spectra.local_exponents(each)

# %% [markdown]
# Beyond the first ranks, where single eigenvalues matter, the KH layer's exponent grows with rank, on patches before the activation faster than after it. So a fit depends on its window, and with so few units
# no one exponent describes the layer. Now to the size that matters.
#
# ## The same at the paper's scale
#
# {numref}`fig-spectra-paper` has what the paper's two figures on spectra show: the models in one panel, so that they can be compared, and the sub-populations of two layers.
# {numref}`tab-spectra-paper` compares the exponents. "KH" is the layer as the paper has it, without the units that {ref}`ch-pruning` removes; the table has two spectral models, the published one *as logged*, which is in the figure too, and one *as stated*, whose difference {ref}`ch-regularization` explains. All spectra here are computed in double precision.

# %% tags=["hide-input"]
names = [study.PIXELS, study.LAYER, *study.members("paper")]
titles = {name: study.title(name) for name in names}
at_hand = {
    name: [read_arrays(run / "spectra.npz") for run in runs.values()]
    for name in titles
    if (runs := stored(name, "spectra.json"))
}
names_in_paper = {"pixels": "data", "specreg": None, "specreg-logged": "specreg"}


def population(arrays, source):
    """The spectra of all sub-populations, by number of units."""
    start = f"{source}_before_"
    parts = {
        int(key.removeprefix(start)): values
        for key, values in arrays.items()
        if key.startswith(start) and key[-1].isdigit()
    }
    return parts | {10**6: arrays[f"{source}_before"]}


# %% mystnb={"figure": {"caption": "Covariance spectra before the activation on the CIFAR-10 test images (left) and on Gaussian noise (right), 2000 hidden units, first seed of each model. Above: whole layers. Below: the first 10, 50, 100, 500, 1000, 1500 and all units of a random and of a KH layer, thicker for more. Shaded: the ranks that exponents are fitted over.", "name": "fig-spectra-paper"}, "image": {"alt": "Log-log panels in two columns. Above, on images: pixels and the random layer fall slowest and nearly straight, KH, Jacobian and L2 fall fastest and bend down beyond rank three hundred. On noise the pixels and the random layer are flat until the last ranks, the others fall. Below, parts of the random and of the KH layer: the fewer units, the earlier the end; where parts and whole overlap they are parallel."}} tags=["hide-input"]
whole = {
    name: tuple(seeds[0][f"{source}_before"] for source in windows)
    for name, seeds in at_hand.items()
    if name not in ("kh-layer", "specreg")
}
parts = {
    name: tuple(population(at_hand[name][0], source) for source in windows)
    for name in ("random", "kh")
}
_ = plots_spectra.populations(whole, parts)

# %% mystnb={"figure": {"caption": "Exponents on CIFAR-10, beside the authors' one seed; mean and standard deviation over training seeds, or both of two. Images: ranks 11 to 500, noise: 11 to 100; before the activation unless it says after. The standard errors of least squares that the authors print are left out: they do not measure how well an exponent is known.", "name": "tab-spectra-paper"}} tags=["hide-input"]
exponents = theirs["exponent"]


def row(name):
    found, key = at_hand.get(name, []), names_in_paper.get(name, name)

    def alphas(array, window):
        return notebook.spread(
            [fit(seed[array].real, window, truncate=True).alpha for seed in found],
            2,
        )

    printed = [exponents[s]["values"].get(key, "–") for s in windows]
    return [
        titles[name],
        alphas("images_before", powerlaw.IMAGES),
        alphas("images_float32", powerlaw.IMAGES),
        printed[0],
        alphas("images_after", powerlaw.IMAGES),
        alphas("noise_before", powerlaw.NOISE),
        printed[1],
    ]


header = ["model", "images", "images, as coded", "images, authors", "images, after"]
header += ["noise", "noise, authors"]
Table(header, [row(name) for name in titles])

# %% [markdown]
# The nulls come out as printed to within a hundredth, {glue:text}`null-pixels` for the images (the authors: {glue:text}`null-pixels-paper`) and {glue:text}`null-random` for a random layer
# ({glue:text}`null-random-paper`). So the data, their normalisation, the windows and the fit are those of the paper.
#
# About half of the KH layer's exponent is there before anything is learned. For KH the table has two answers, one in double precision and one in the authors' arithmetic, on the very same weights. The next section is about the difference. It explains {glue:text}`kh-alpha-share` of the distance to the printed
# value; it does not explain the rest, nor the smaller distances of L2 and Jacobian.

# %% tags=["hide-input"]
kh_seeds, raw_seeds = at_hand.get("kh", []), at_hand.get("kh-layer", [])


def over_seeds(seeds, array, number, digits=2):
    return notebook.spread([number(seed[array].real) for seed in seeds], digits)


def wide(values):
    return fit(values, truncate=True).alpha


def narrow(values):
    return fit(values, powerlaw.NOISE).alpha


def end_wide(values):
    return powerlaw.reach(values, fit(values))


def end_narrow(values):
    return powerlaw.reach(values, fit(values, powerlaw.NOISE))


def between(ranks):
    return " to ".join(f"{n:,}" for n in dict.fromkeys((min(ranks), max(ranks))))


def local_exponents(arrays):
    """Smallest and largest at ranks 11 to 100, and that at rank 500."""
    n, alpha = powerlaw.local_exponent(arrays["images_before"])
    early = alpha[(n >= 11) & (n <= 100)]
    return early.min(), early.max(), float(alpha[n == 500][0])


# %% tags=["hide-input"]
for name, values in (("pixels", "data"), ("random", "random")):
    glue_all(
        {f"null-{name}": over_seeds(at_hand.get(name, []), "images_before", wide)}
    )
    glue_all({f"null-{name}-paper": exponents["images"]["values"][values]})
measures = {"alpha": (wide, 2), "low": (narrow, 2), "end": (end_narrow, 0)}
for layer, seeds in (("kh", kh_seeds), ("raw", raw_seeds)):
    for name in ("before", "float32", "after"):
        for measure, (number, digits) in measures.items():
            text = over_seeds(seeds, f"images_{name}", number, digits)
            glue_all({f"{layer}-{name}-{measure}": text})


# %% tags=["hide-input"]
def of_others(name):
    """Spectra of a model that is not in the figures, by seed."""
    found = stored(name, "spectra.json").values()
    return [read_arrays(run / "spectra.npz") for run in found]


others = {"random": at_hand.get("random", []), "short": of_others("short-l2-0")}
UNTRAINED = ("exemplars", "gaussian", "kmeans", "pca", "white")
for name in UNTRAINED:
    alone = in_folder(folder("untrained", "cifar10"), name, "alignment.json")
    others[name] = [
        {"images_after": run.arrays("alignment")["after_4.5"]}
        for run in alone.values()
    ]
centred = in_folder(
    folder("untrained", "cifar10"), "gaussian-centred", "alignment.json"
)
others["centred"] = [
    {"images_after": run.arrays("alignment")["after_1"]} for run in centred.values()
]
short_seeds = wording.count(len(others["short"]), "training")
glue_all({"short-seeds": short_seeds})
for name, found in others.items():
    for measure, (number, digits) in measures.items():
        text = over_seeds(found, "images_after", number, digits)
        glue_all({f"{name}-after-{measure}": text})

# %% tags=["hide-input"]
short_end = [end_narrow(one["images_after"]) for one in others["short"]]
check("after: backpropagation that ends early, its line", min(short_end), 800)
farthest = max(
    end_narrow(one["images_after"]) for name in UNTRAINED for one in others[name]
)
own_end = min(end_narrow(seed["images_after"]) for seed in kh_seeds)
check("after: KH's line over those that nobody trained", own_end / farthest, 1.1, 3)
# %% tags=["hide-input"]
ends = [end_narrow(seed["images_float32"].real) for seed in kh_seeds]
glue_all({"kh-float32-ends": ", ".join(f"{end:,}" for end in sorted(ends))})
low, high, end = zip(*(local_exponents(seed) for seed in kh_seeds), strict=True)
glue_all({"kh-local-low": f"{np.mean(low):.1f}"})
glue_all({"kh-local-high": f"{np.mean(high):.1f}"})
glue_all({"kh-local-end": f"{np.mean(end):.1f}"})
positive = over_seeds(kh_seeds, "images_float32", powerlaw.positive, 0)
glue_all({"kh-float32-positive": positive})
kh_paper = exponents["images"]["values"]["kh"]
gaps = [wide(seed["images_before"]) - kh_paper for seed in kh_seeds]
shares = [
    wide(seed["images_before"]) - wide(seed["images_float32"].real)
    for seed in kh_seeds
]
glue_all({"kh-paper": kh_paper, "kh-alpha-gap": notebook.spread(gaps, 2)})
glue_all({"kh-alpha-arithmetic": notebook.spread(shares, 2)})
stated = over_seeds(at_hand.get("specreg", []), "images_after", wide)
glue_all({"stated-after-alpha": stated})
glue_all({"kh-alpha-share": f"{100 * np.mean(shares) / np.mean(gaps):.0f} %"})


# %%
def mean_exponent(seeds):
    return np.mean([wide(seed["images_before"]) for seed in seeds])


for name, printed in (("pixels", "data"), ("random", "random")):
    gap = mean_exponent(at_hand[name]) - exponents["images"]["values"][printed]
    check(f"{titles[name]}: exponent minus the printed one", gap, -0.01, 0.01)
share = mean_exponent(at_hand["random"]) / mean_exponent(kh_seeds)
check("exponent of a random layer over that of KH", share, 0.4, 0.6)

# %% [markdown]
# (sec-spectra-floor)=
# ## A power law, or the rounding floor of float32?
#
# The stored figures of the authors show a KH spectrum that is straight up to about rank {glue:text}`kink`, has a shoulder there, stays above the line's continuation for a while and drops
# off beyond a thousand. {numref}`fig-spectra-arithmetic` computes the spectrum of one and the same trained layer four times. The double-precision spectrum has no shoulder. The authors' estimator, on our
# weights, has this one.
# Both are <a href="explorer.html#spectra?models=kh&amp;arithmetic=float32">side by side in the explorer</a>, where the window can be moved.

# %% mystnb={"figure": {"caption": "One KH layer, pruned, on the CIFAR-10 test images (2000 units, 1000 epochs, first seed, one of those in which the rounding floor carries the line on; in others it ends early), and four ways to compute its spectrum; lines that coincide are drawn inside each other. Left: over the largest eigenvalue; faint dots are absolute values beyond the first negative one. Middle and right: over the line fitted at two windows, with a grey band of a factor 2. Dotted: the claimed end of the power law.", "name": "fig-spectra-arithmetic"}, "image": {"alt": "Left: the float64 spectrum falls smoothly over thirteen decades. The authors' estimator in float32 and with TF32 leaves it near rank 350 for a shoulder and drops to negative values beyond rank 1200. Float32 with a proper shift follows float64 down to rank 1000. Middle and right: relative to its own line the authors' spectrum stays in or near the grey band up to rank 1000, while the float64 one bends down through it."}} tags=["hide-input"]
labels = {"before": "float64", "float32": "float32, as coded"}
labels |= {
    "tf32": "TF32 products, as coded",
    "float32_centred": "float32, shifted by the mean latent",
}
if kh_seeds:
    one = {label: kh_seeds[0][f"images_{key}"] for key, label in labels.items()}
    _ = plots_spectra.arithmetic(
        one, list(windows.values()), theirs["power_law_end"]
    )

# %% mystnb={"figure": {"caption": "The KH layer on CIFAR-10 test images with each estimator: exponents, the rank up to which the spectrum stays within a factor 2 of the line fitted over each window, and how many leading eigenvalues are positive: every estimator in float32 ends in rounding, and the shift decides at which rank. Exponents: mean and standard deviation over training seeds; ranks: smallest and largest.", "name": "tab-spectra-arithmetic"}} tags=["hide-input"]
columns = {
    "exponent, 11 to 500": (wide, 2),
    "exponent, 11 to 100": (narrow, 2),
    "line of 11 to 500 holds to": (end_wide, 0),
    "line of 11 to 100 holds to": (end_narrow, 0),
    "positive": (powerlaw.positive, 0),
}


def estimator_row(seeds, layer, key, label):
    found = [seed[f"images_{key}"].real for seed in seeds]
    numbers = [
        (list(map(number, found)), digits) for number, digits in columns.values()
    ]
    return [
        layer,
        label,
        *(notebook.spread(v, n) if n else between(v) for v, n in numbers),
    ]


header = ["layer", "computed in", *columns]
rows = [
    estimator_row(seeds, layer, key, label)
    for layer, seeds in (("pruned", kh_seeds), ("not pruned", raw_seeds))
    for key, label in labels.items()
]
Table(header, rows)

# %% [markdown]
# The answer, with the figures in {numref}`tab-spectra-arithmetic`:
#
# * **The shoulder is rounding.** In double precision the spectrum bends *down*, smoothly. The authors' float32 leaves it where the eigenvalues have fallen to a few ten-millionths of the largest: a floor of the kind in
#   {numref}`fig-spectra-known`, whose height depends on the mean of the units. Beyond rank {glue:text}`kh-float32-positive` its eigenvalues are negative or complex.
# * **So is what there is of a long reach.** Extend the line that fits the leading ranks ({glue:text}`window-noise`): the authors' estimator follows it within a factor of two up to rank {glue:text}`kh-float32-ends`, one for each seed. (Where that is early, it dips to just below half of the line, before the floor lifts it again; where it is late, as in {numref}`fig-spectra-arithmetic`, it stays just above, and the floor carries it on.) In double precision
#   the spectrum leaves the line at {glue:text}`kh-before-end`, for good. The floor happens to cross the line's continuation in just the range of the claim, $n$ < {glue:text}`claimed-end`.
# * **The exponent moves.** At ranks {glue:text}`window-images` it is {glue:text}`kh-before-alpha` in double precision and {glue:text}`kh-float32-alpha` with the authors' arithmetic; they print {glue:text}`kh-paper`. So arithmetic accounts for {glue:text}`kh-alpha-arithmetic` of the
#   {glue:text}`kh-alpha-gap` between our exact value and theirs. The floor makes the tail shallower and the line straighter.
# * **Pruning matters as much.** Before pruning, the same layer has a straighter spectrum even in double precision: exponents of {glue:text}`raw-before-alpha` at ranks {glue:text}`window-images`, of {glue:text}`raw-before-low` at {glue:text}`window-noise`, and the line through the
#   leading ranks holds up to {glue:text}`raw-before-end`. Its tail ends in the same floor. {ref}`ch-pruning` shows what pruning does to the middle ranks.
# * **It is the shift, not the precision alone.** The same float32 pass, shifted by the mean latent of the first batch instead of a mean pixel, agrees with double precision over the whole window (dotted in {numref}`fig-spectra-arithmetic`). TF32
#   adds little to the floor that is already there.
#
# We do not have the authors' weights, so that *their* shoulder is this floor is an inference. It is a strong one: on weights trained by their recipe, their estimator puts the shoulder
# where their figures have it, and exact arithmetic removes it. The next cell holds us to it.

# %%
for rank in measured("rank where single precision parts", "kh").values():
    check("rank where float32 as coded leaves float64", rank, 250, 450)
for seed in kh_seeds:
    exact, rounded = seed["images_before"], seed["images_float32"].real
    # Not where the line ends for the first time: the curve dips to about half of it before the shoulder.
    check(
        "float32 as coded over float64, at rank 800", rounded[799] / exact[799], 3
    )
    check(
        "float64: rank where the line at low ranks ends",
        end_narrow(exact),
        200,
        500,
    )
    better = wide(seed["images_float32_centred"].real) - wide(exact)
    check(
        "exponent, float32 shifted by the mean minus float64", better, -0.01, 0.01
    )

# %% [markdown]
# (sec-spectra-after)=
# ## Before and after the activation
#
# So before the activation the layer that the paper shows, the pruned one, has no power law over the whole of the window. What the readout sees, though, is $a = \max(0, h)^q$ with $q$ = {glue:text}`kh-power`. None of the stored figures shows its spectrum; {numref}`fig-spectra-after` has it beside the other, rank by rank.

# %% mystnb={"figure": {"caption": "Local exponent on CIFAR-10 test images before and after the activation (fits over $n/1.5$ to $1.5n$). Lines are means over training seeds, coloured bands, where there are several, go from the smallest to the largest (hardly wider than the lines). The grey band spans the paper's window.", "name": "fig-spectra-after"}, "image": {"alt": "Left, before the activation: the nulls rise slowly from about one and a quarter; KH rises from two and a half at rank ten to more than four at rank 500. Right, after the activation: KH stays between two and two and a half from rank 20 to 500 and rises only beyond; the spectral model as stated winds around one up to about rank 300."}} tags=["hide-input"]
order = [n for n in at_hand if n not in (study.LAYER, "specreg-logged")]
panels = {
    f"{tap} the activation": {
        name: [seed[f"images_{tap}"] for seed in at_hand[name]] for name in order
    }
    for tap in ("before", "after")
}
figure = plots_spectra.local_exponents(panels)
for place in figure.axes:
    place.axvspan(*powerlaw.IMAGES, color=looks.GREY, alpha=0.12, linewidth=0)
glue_all({"kh-power": study.KH_POWER})

# %% [markdown]
# After the activation the KH spectrum *is* close to a power law, in exact arithmetic and over nearly two decades: its exponent at ranks {glue:text}`window-images` is {glue:text}`kh-after-alpha`, at {glue:text}`window-noise` it is
# {glue:text}`kh-after-low`, and the line through the latter holds within a factor of two up to rank {glue:text}`kh-after-end`. Not pruned, the layer has {glue:text}`raw-after-alpha` and follows its line a little further, up to rank {glue:text}`raw-after-end`.
#
# The claim holds, then, for a quantity that the stored figures do not show.
#
# Before one credits the local rule or the power with this, look at the nulls in the right panel. Random features behind an ordinary ReLU are as straight: the line through their ranks {glue:text}`window-noise` holds up to rank {glue:text}`random-after-end`. Their exponent is smaller ({glue:text}`random-after-alpha` at ranks {glue:text}`window-images`, {glue:text}`random-after-low` at {glue:text}`window-noise`). Gaussian rows with the covariance of the images, but without their mean, follow theirs behind such a ReLU up to rank {glue:text}`centred-after-end`, further than KH, with {glue:text}`centred-after-alpha` and {glue:text}`centred-after-low`. And backpropagation that ends early, after a tenth of the epochs and without any penalty, comes close to KH in both: {glue:text}`short-after-low` at ranks {glue:text}`window-noise`, with a line that holds up to rank {glue:text}`short-after-end` ({glue:text}`short-seeds`; but {glue:text}`short-after-alpha` at ranks {glue:text}`window-images`). So neither the exponent nor the straightness is a mark of local learning. One thing may be: with KH's own power, none of the layers that nobody trained follows its line as far (weights trained with labels were not measured behind it), images as weights up to rank {glue:text}`exemplars-after-end`, Gaussian rows up to {glue:text}`gaussian-after-end`, cluster centres up to {glue:text}`kmeans-after-end`, and random rows no further than {glue:text}`white-after-end` (rows of one length; {ref}`ch-mechanism` is about them).

# %%
for seed in kh_seeds:
    after, before = seed["images_after"], seed["images_before"]
    check("after: rank where the line at low ranks ends", end_narrow(after), 800)
    check(
        "after: exponent at ranks 11 to 500 minus at 11 to 100",
        wide(after) - narrow(after),
        -0.15,
        0.15,
    )
    check("before: the same difference", wide(before) - narrow(before), 0.2, 0.8)

# %% [markdown]
# ## What moves an exponent
#
# {numref}`fig-spectra-windows` shows the exponent for every choice of window, and {numref}`fig-spectra-moves` collects what moves it.
# The explorer lets you <a href="explorer.html#spectra">draw a window of your own</a> over any of these spectra.

# %% mystnb={"figure": {"caption": "Exponent of the KH layer (pruned, CIFAR-10 test images, float64, first seed) for four hundred windows, before and after the activation. Circles: the paper's two windows.", "name": "fig-spectra-windows"}, "image": {"alt": "Two heat maps of the exponent against first and last rank with contour lines on one colour scale. Before the activation it grows from about two and a half to nearly four towards large last ranks. After it, it is nearly constant, a little above two."}} tags=["hide-input"]
first, last = np.arange(2, 42, 2), np.linspace(100, 1050, 20).astype(int)
if kh_seeds:
    maps = {
        f"{tap} the activation": kh_seeds[0][f"images_{tap}"]
        for tap in ("before", "after")
    }
    _ = plots_spectra.window_maps(maps, first, last, list(windows.values()))

# %% tags=["hide-input"]
moves = {
    "as the paper, float64": (kh_seeds, "images_before", wide),
    "float32, as coded": (kh_seeds, "images_float32", wide),
    "TF32 products, as coded": (kh_seeds, "images_tf32", wide),
    "not pruned": (raw_seeds, "images_before", wide),
    "ranks 11 to 100": (kh_seeds, "images_before", narrow),
    "ranks 2 to 500": (kh_seeds, "images_before", lambda v: fit(v, (2, 500)).alpha),
    "weights 1/n": (
        kh_seeds,
        "images_before",
        lambda v: fit(v, weighted=True).alpha,
    ),
    "500 random units, 11 to 100": (
        kh_seeds,
        "images_before_subsets",
        lambda v: np.mean([narrow(subset) for subset in v]),
    ),
    "after the activation": (kh_seeds, "images_after", wide),
}

# %% mystnb={"figure": {"caption": "The KH layer's exponent on CIFAR-10 test images under changes of the measurement, one point per seed. Bars on the first row: twice the bootstrap error over images. Dotted: the value that the authors print.", "name": "fig-spectra-moves"}, "image": {"alt": "A list of measurements with a dot for each: estimators, pruning, windows, weights, random units and the place of measurement, spread between about two and three. The bootstrap bar is narrower than its dot."}} tags=["hide-input"]
figure, axes = plt.subplots(figsize=(plots.WIDTH, 3.4))
for place, (seeds, array, number) in enumerate(moves.values()):
    values = [number(seed[array].real) for seed in seeds]
    style = plots.points("kh") | {"label": list(moves)[place]}
    axes.plot(values, [place] * len(values), **style, markersize=6)
for seed in kh_seeds:
    error = 2 * seed["bootstrap_before"][:, 0].std(ddof=1)
    axes.errorbar(
        wide(seed["images_before"]), 0, xerr=error, color=looks.INK, capsize=4
    )
drawn = [seed["bootstrap_before"][:, 0].std(ddof=1) for seed in kh_seeds]
squares = [fit(seed["images_before"], powerlaw.IMAGES).error for seed in kh_seeds]
trained = [wide(seed["images_before"]) for seed in kh_seeds]
above = [
    seed["bootstrap_before"][:, 0].mean() - wide(seed["images_before"])
    for seed in kh_seeds
]
check("draws of images, above the exponent itself", min(above), 0.01, 0.03)
glue_all(
    {
        "moves-images": f"{np.mean(drawn):.3f}",
        "moves-bias": f"{np.mean(above):.3f}",
        "moves-least-squares": f"{np.mean(squares):.3f}",
        "moves-seeds": f"{np.std(trained, ddof=1):.3f}",
    }
)
axes.set_yticks(range(len(moves)), moves)
axes.invert_yaxis()
axes.axvline(exponents["images"]["values"]["kh"], color=looks.GREY, linestyle=":")
_ = axes.set(xlabel=r"$\alpha$")

# %% [markdown]
# How to read them: in the left map of {numref}`fig-spectra-windows` colours change all along the vertical axis; every last rank has its own exponent. The right map is almost of one colour.
#
# In {numref}`fig-spectra-moves` look at the lengths: the scatter from drawing other images, {glue:text}`moves-images`, is far smaller than what any of the choices below it does. (The samples lie {glue:text}`moves-bias` above the exponent that is drawn, in every seed; so much may ten thousand images add to that of endlessly many.) The standard error of least squares, which the paper prints, is {glue:text}`moves-least-squares` here, and other trainings move the exponent by {glue:text}`moves-seeds`. None of them tells how well the number is known, because what is uncertain is not the slope but whether there is one.
#
# ## What the authors' code does
#
# ```{admonition} The authors' code
# :class: code
# * **Where it is measured.** Spectra are those of the latent before the activation, for all models; the abstract speaks of the representation.
# * **Arithmetic.** One pass in float32, shifted by the mean pixel of the first batch, and `eigvals` for general matrices, whose real parts are sorted. On our KH layer this puts a floor under the
#   tail ({ref}`sec-spectra-floor`). For the other models, the steeper L2 and Jacobian included, it makes little or no difference: what matters is how large the
#   units' common mean is against their spread (compare the two panels of {numref}`fig-spectra-known`).
# * **Error.** The number after ± in the panels is the standard error of least squares.
# * **Windows** start at the eleventh rank because a slice starts at index ten. The defaults of the fitting function are others and are not used.
# * **Sub-populations** are the first units of the layer, not random ones.
# ```
#
# ## What we conclude
#
# * The exponents of the nulls and of BP are reproduced, and the KH layer's on noise closely. On images KH, L2 and Jacobian are steeper than printed; the authors' arithmetic explains {glue:text}`kh-alpha-share` of that for KH and next to nothing for the other two.
# * Before the activation the spectrum of the pruned KH layer is not a power law over the paper's window: beyond rank 100 its local exponent rises without end. Where it looks like one up to the thousandth rank, on our weights, the rounding floor of the estimator has lifted its end. Not pruned, the layer comes closer to one, up to rank {glue:text}`raw-before-end`.
# * After the activation it is close to a power law over nearly two decades, with an exponent near two rather than one; so, with smaller exponents, are random features, Gaussian rows and BP, and at ranks {glue:text}`window-noise`, with one nearly as large, backpropagation that ends early ({glue:text}`short-seeds`). The one model near one is the spectral one as stated ({glue:text}`stated-after-alpha` after the activation); {ref}`ch-beyond` asks whether it helps.
# * Neither says that the code is smooth. For that there are the Jacobians of {ref}`ch-regularization`.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-spectra-white
# The covariance of Gaussian noise is the identity, so its spectrum is flat. Why is the exponent of the noise "images" themselves not exactly zero, and how does it depend on the number of images?
# ```
#
# ```{solution-start} ex-spectra-white
# :class: dropdown
# ```

# %%
for count in (500, 2000, 8000):
    noise = gaussian_noise(count, 300, torch.Generator().manual_seed(0))
    alpha = fit(spectrum(noise), (11, 100)).alpha
    check(f"{count} images: α times √images", alpha * count**0.5, 7.5, 9.5)

# %% [markdown]
# A finite sample has larger and smaller eigenvalues by chance (the law of Marchenko and Pastur), and sorting turns chance into a slope. It falls with the square root of the number of images. For a *linear* latent there is a way around:
# on noise the covariance is exactly $M M^\top$, and the squared singular values of $M$ are the spectrum without any sampling. They are stored as `noise_exact` with each result.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-spectra-density
# Packages that fit power laws to weight matrices report an exponent of the *density* of eigenvalues, $\rho(\lambda) \sim \lambda^{-\beta}$. Express $\beta$ by $\alpha$.
# ```
#
# ```{solution} ex-spectra-density
# :class: dropdown
# The rank of an eigenvalue is the number of larger ones, $n(\lambda) \sim \lambda^{-1/\alpha}$, and the density is minus its derivative, $\rho(\lambda) \sim \lambda^{-1/\alpha - 1}$. So $\beta = 1 + 1/\alpha$: a steep spectrum has a $\beta$
# near one, the $1/n$ law has two. Never compare the two kinds of exponents.
# ```
#
# ```{exercise}
# :label: ex-spectra-cv
# Neurons are noisy: the same image never gives the same response twice. What does noise do to the spectrum, and how does cross-validated PCA {cite}`stringer2019high` undo it?
# ```
#
# ```{solution-start} ex-spectra-cv
# :class: dropdown
# ```

# %%
signal, generator = known(2, mean=1), torch.Generator().manual_seed(0)
first, second = (
    signal + 0.05 * torch.randn(signal.shape, generator=generator) for _ in range(2)
)
noisy = fit(spectrum(first), (5, 25)).alpha
honest = fit(spectra.cross_validated(first, second), (5, 25), ordered=False).alpha
check("plain PCA of a noisy latent (true exponent: 2)", noisy, 0.5, 1.8)
check("cross-validated PCA of two repeats (true: 2)", honest, 1.8, 2.2)

# %% [markdown]
# Noise adds its variance to every direction and so makes the tail flat. Cross-validated PCA takes the directions from one repeat and, instead of squaring a projection, multiplies the projections of both repeats. Noise is independent between repeats and averages out;
# what remains is the variance that they share. Networks answer without noise, so plain PCA is right for them. But mind the difference when you compare their exponents with those of cortex.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-spectra-shift
# In `authors_spectrum`, how should the shift be chosen so that float32 does as well as possible? Try it on `known(3, mean=3)`.
# ```
#
# ```{solution-start} ex-spectra-shift
# :class: dropdown
# ```

# %%
batches = known(3, mean=3).split(1000)
better = authors_spectrum(batches, shift=batches[0].float().mean(0))
check(
    "exponent with the first batch's mean as shift (true: 3)",
    fit(better, (11, 100)).alpha,
    2.95,
    3.05,
)

# %% [markdown]
# By the mean of each unit. Even a rough one will do, such as that of the first batch: the products are then of the size of the variances, and nothing large has to cancel.
#
# ```{solution-end}
# ```
