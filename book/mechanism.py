# %% [markdown]
# (ch-mechanism)=
# # Where the spectrum comes from
#
# ```{admonition} The question and the answer
# :class: answer
# Is it the local rule that makes the steep spectrum of its layer, or was that in the images all along?
#
# At the paper's size and parameters it was in the images. Where weights are aligned with the images, the exponent of a layer is that of the images plus that of its weights, whatever rule they came from; and there its weights have the images' exponent, so that the layer has it twice. Two thousand training images, drawn at random and used as weights, give the
# exponent of such a layer without any learning, and on MNIST four hundred do. (Of the layer as the paper prunes it: the units that its training left unfinished do not look like images.) And where the spectrum of the images is flat, that of a small layer that learned from them is as well, before its activation. With other parameters the rule makes other exponents out of the same images.
# ```
#
# {ref}`ch-spectra` ends with an exponent: on images, the spectrum of a layer trained by the local rule falls about twice as steeply as that of the images themselves. The paper reads it as the mark
# of a mechanism, a rule that brings forth power laws as they are found in cortex. This chapter takes the exponent apart, into two numbers that can be measured on their own, and asks what is left for learning to explain. The weights of a hidden unit are called its *row* here, a row of the matrix $M$; it has as many
# entries as an image has pixels, and can be looked at as one.
#
# ```{admonition} Our remark
# :class: remark
# This chapter is ours and not the authors'. Its predictions were written down, each with the rule that decides it, before the runs that they are about (`book/predictions.yaml`), and no verdict in it was typed. The authors are invited to reply.
# ```

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import torch

from bioadv.data.datasets import unit_lp
from bioadv.data.files import read_json
from bioadv.lab import alone, layers, live, predictions, scales, statistics, study
from bioadv.lab.layers import Layer
from bioadv.lab.looks import INK, OLIVE
from bioadv.lab.runs import at_hand, in_folder, paper
from bioadv.lab.statistics import Subject, alpha
from bioadv.measure.powerlaw import fit, reach
from bioadv.network import kh_params
from bioadv.network import local_learning as ll
from bioadv.pages import notebook, plots_mechanism, prediction_table, wording
from bioadv.pages.notebook import Table, begin, check, glue_all, observe

data = begin(tests=40)
x, x_test = unit_lp(data.train), unit_lp(data.test)[:2000]

# %% [markdown]
# ## Two lines
#
# First the picture. Photographs differ from each other most in broad strokes: bright or dark, light above or below. They differ less and less in ever finer detail. That is a list of directions with falling variances, and it is
# where the power law of pixels comes from. A hidden layer looks at each image through its rows, and rows have favourite directions, too: noise comes out of the layer larger along some than along others. Now let the two lists meet.
# If the rows amplify most what the images have most of, and so on down the list, then variance and amplification *multiply*, rank by rank. If images have the variance $1/n$ in direction $n$, and rows that look like images amplify it by $1/n$ as well, the response has $1/n^2$: the exponent counts twice.
#
# In symbols, let $\Sigma_x$ be the covariance of the images and $M$ the rows, with singular value decomposition $M = P \Lambda^{1/2} Q^\top$. The covariance of $h = x M^\top$ is
#
# $$
# C = M \Sigma_x M^\top = P\, \Lambda^{1/2}\, (Q^\top \Sigma_x Q)\, \Lambda^{1/2}\, P^\top ,
# $$ (eq-mech-product)
#
# and where the right singular vectors $Q$ are the principal components of the images, in the same order, $Q^\top \Sigma_x Q$ is diagonal, so that
#
# $$
# \lambda_n(C) = \lambda_n(M M^\top)\, \lambda_n(\Sigma_x) \qquad\Longrightarrow\qquad \alpha_\text{images} = \alpha_\text{rows} + \alpha_\text{pixels} .
# $$ (eq-mech-sum)
#
# $\lambda_n(MM^\top)$ is nothing new: it is the spectrum of the layer on white noise. If the two are turned against each other, {eq}`eq-mech-sum` fails, and for the eigenvalues always to the same side: the product of the first $n$ of $C$ is at most the product of those of
# $M M^\top$ and of $\Sigma_x$ {cite}`horn1950singular`. (Exponents are slopes and have no such side: a loss at the first ranks makes them smaller, at the last ones larger.) How much is missing measures how well rows and images are aligned. We call
#
# $$
# \frac1n \sum_{m \le n} \log_{10} \frac{\lambda_m(C)}{\lambda_m(MM^\top)\, \lambda_m(\Sigma_x)} \;\le\; 0
# $$ (eq-mech-loss)
#
# the *loss per rank*, in decades: zero where they are aligned, minus one if a tenth of each eigenvalue is left on average. In the text its size is quoted, without the sign.
#
# A second step would leave nothing free. Suppose that *rows look like images*. Then $M^\top M$, which has the eigenvalues of $M M^\top$, is a sum over rows that is proportional to the covariance of the images, up to their mean. The rows then have the
# pixels' own spectrum, are aligned with it, and $\alpha_\text{images} = 2\, \alpha_\text{pixels}$.


# %%
def eigenvalues(rows):
    """Of the products of rows with each other, largest first."""
    products = rows.double() @ rows.double().T
    return torch.linalg.eigvalsh(products).flip(0)


def turn(size):
    return torch.linalg.qr(torch.randn(size, size, generator=generator).double())[0]


def exponents(m, components):
    """On images of exponent 1.5, and the sum that is predicted, for rows m."""
    root = components * torch.arange(1, 61) ** -0.75  # root of the covariance
    found = fit(eigenvalues(m @ root).numpy(), (3, 50)).alpha
    return found, fit(eigenvalues(m).numpy(), (3, 50)).alpha + 1.5


generator = torch.Generator().manual_seed(0)
components, left = turn(60), turn(60)
rows = left * torch.arange(1, 61) ** -0.6  # singular values
for name, right in (("aligned", components), ("turned at random", turn(60))):
    measured, predicted = exponents(rows @ right.T, components)
    band = (-1e-6, 1e-6) if name == "aligned" else (-2, -0.05)
    check(f"{name}, measured less sum", measured - predicted, *band)

# %% [markdown]
# ## On photo patches
#
# Three layers, and the images that they see. *Random* rows know nothing of images and are nearly flat: the sum says that such a layer has the pixels' spectrum. *Gaussian* rows have the mean and the covariance of the patches and nothing else of theirs; nothing is learned. The third is a small layer
# trained by the local rule, {glue:text}`live-units` units. {numref}`fig-mech-live` shows for each the two factors, their product, and what the images make of it.

# %%
params = scales.live_scale(data).layer
learned = ll.metric(live.train_layer(data).synapses, params.p)

# %%
size = kh_params.KHParams(hidden=400)
m = {
    "random rows": layers.untrained(Layer("white", size, None), x, 0),
    "Gaussian rows": layers.untrained(Layer("gaussian", size, None), x, 0),
    "KH": learned,
}
glue_all({"live-units": params.hidden})

centred = x_test - x_test.mean(0)
pixels = eigenvalues(centred)[:-1]  # of the covariance, but for a factor
panels = {}
for name, rows in m.items():
    h = centred @ rows.T
    three = (eigenvalues(rows), pixels, eigenvalues(h.T))
    panels[name] = tuple(values.clamp_min(0).numpy() for values in three)

# %% mystnb={"figure": {"caption": "Eigenvalues of the rows, of the pixels, their products rank by rank (broad grey line), and those of the layer on 2000 test patches. Photo patches; 400 rows that nobody trained, and 100 units of a KH layer; one seed.", "name": "fig-mech-live"}, "image": {"alt": "Three log-log panels. Random rows: their dotted line is nearly flat, and the line on images runs parallel to the pixels, a decade below the product. Gaussian rows: product and images coincide down to rank fifty and fall twice as fast as the pixels. KH: images a little below the product, both dropping off at the hundredth rank."}} tags=["hide-input"]
_ = plots_mechanism.products(panels)

# %%
gaps, slopes = {}, {}
for name, spectra in panels.items():
    found = [fit(values, (5, 50), truncate=True).alpha for values in spectra]
    gaps[name] = found[2] - found[0] - found[1]
    slopes[name] = found[2] - found[1]
observe(data, "random rows, measured less sum", gaps["random rows"], -0.4, 0)
observe(data, "random rows, measured less pixels", slopes["random rows"], -0.3, 0.2)
observe(data, "Gaussian rows, measured less sum", gaps["Gaussian rows"], 0, 0.4)
observe(data, "KH, measured less sum", gaps["KH"], 0, 0.7)
observe(data, "KH, measured less pixels", slopes["KH"], 0.7, 1.6)

# %% [markdown]
# The main effect is there: both layers whose rows look like patches fall much more steeply than the pixels, the one that learned and the one that did not, while the random one does not. The rows have their share in it, which the dotted lines show on their own: Gaussian rows fall about as the patches do, those of KH less.
#
# The sum is not exact. For rows like patches the measured spectrum is a
# little steeper than the product, the more so the fewer rows there are: a few hundred rows are a small sample, and their singular vectors are principal components only on average. With more of them, the sum gets better.


# %%
def left_over(units):
    """Measured less sum for Gaussian rows, at ranks 5 to 50."""
    kind = Layer("gaussian", kh_params.KHParams(hidden=units), None)
    rows = layers.untrained(kind, x, 1)
    spectra = (eigenvalues(rows), eigenvalues((centred @ rows.T).T))
    of_rows, on_images = (
        fit(s.numpy(), (5, 50), truncate=True).alpha for s in spectra
    )
    return on_images - of_rows - fit(pixels.numpy(), (5, 50), truncate=True).alpha


observe(
    data,
    "left over, 100 less 1000 Gaussian rows",
    left_over(100) - left_over(1000),
    0.05,
    0.5,
)

# %% [markdown]
# ## The same at the paper's scale
#
# {numref}`tab-mech-sums` has the sum for every model of the study on CIFAR-10.

# %% tags=["hide-input"]
WIDE, NARROW = (11, 500), (11, 100)
FEW, LEADING = (5, 50), (5, 20)  # for a hundred units
exponents = statistics.exponents


def accuracy(name):
    """Test accuracy in per cent, over seeds."""
    found = [100 * run.accuracy for run in at_hand(name).values()]
    return wording.of_seeds(found, places=1)


SAME = ("short-kh", "kh-linear", "kh-unpruned", "random-power")  # of another one
names = [n for n in (study.LAYER, *study.EXPERIMENTS) if n not in SAME]
wide = {name: exponents(name, WIDE) for name in names}
wide = {name: by_seed for name, by_seed in wide.items() if by_seed}

# %% tags=["hide-input"]
text = {}
for name, by_seed in wide.items():
    images, rows, pixel = np.array(list(by_seed.values())).T
    lost = np.mean([statistics.loss(Subject(name, seed))[0] for seed in by_seed])
    text |= {
        f"{name}-images": f"{images.mean():.2f}",
        f"{name}-rows": f"{rows.mean():.2f}",
        f"{name}-sum": f"{(rows + pixel).mean():.2f}",
        f"{name}-first": f"{10**-lost:.0f}",
    }
    if name != study.LAYER:
        text[f"{name}-accuracy"] = accuracy(name)
pixel_alpha = {
    w: alpha(Subject("kh", 0, window=w), "pixels") for w in (WIDE, NARROW)
}
narrow = np.array(list(exponents("kh", NARROW).values()))
text |= {
    "pixels-wide": f"{pixel_alpha[WIDE]:.2f}",
    "pixels-narrow": f"{pixel_alpha[NARROW]:.2f}",
    "twice-wide": f"{2 * pixel_alpha[WIDE]:.2f}",
    "twice-narrow": f"{2 * pixel_alpha[NARROW]:.2f}",
    "kh-images-narrow": f"{narrow[:, 0].mean():.2f}",
    "kh-rows-narrow": f"{narrow[:, 1].mean():.2f}",
    "kh-printed": paper()["exponent"]["images"]["values"]["kh"],
}
glue_all(text)

# %% mystnb={"figure": {"caption": "Exponents at ranks 11 to 500 on CIFAR-10, 2000 units, before the activation: of the rows (that is, on white noise), their sum with that of the pixels, and measured on the test images; and the loss per rank against perfect alignment, in decades, mean over these ranks. A power $q$ counts only after the activation. L2 of strength 0 is backpropagation without decay, for a tenth of the epochs. Of two seeds both, of more their mean and standard deviation.", "name": "tab-mech-sums"}} tags=["hide-input"]


def line(name):
    images, rows, pixel = np.array(list(wide[name].values())).T
    lost = [statistics.deficit(Subject(name, seed)) for seed in wide[name]]
    columns = (rows, rows + pixel, images, images - rows - pixel, lost)
    return [study.title(name), *(notebook.spread(column, 2) for column in columns)]


header = ["model", "rows", "sum", "on images", "difference", "loss per rank"]
Table(header, [line(name) for name in wide])

# %% [markdown]
# For KH the sum is {glue:text}`kh-sum` and the measured exponent {glue:text}`kh-images`; for the layers that weight decay and the Jacobian penalty shape, {glue:text}`l2-sum` and {glue:text}`l2-images`, {glue:text}`jreg-sum` and {glue:text}`jreg-images`. These models were trained with labels, by other rules, and to other
# exponents: the sum is no matter of local learning. For plain backpropagation it falls short of {glue:text}`bp-images` by a little, and for random rows, which know nothing of images, it is too large: they have the pixels' exponent, {glue:text}`pixels-wide`, and only a little more.
#
# The sum leaves the rows' exponent free, and KH's could be anything. It is not. At ranks 11 to 100, where a spectrum on noise is usually fitted, that of the rows is {glue:text}`kh-rows-narrow`, and that of the pixels {glue:text}`pixels-narrow`. On images KH has {glue:text}`kh-images-narrow`, twice the pixels' would be {glue:text}`twice-narrow`; over the paper's wide window it has
# {glue:text}`kh-images` against {glue:text}`twice-wide`. The rows have the exponent of the images that they were trained on, and the spectrum of our layer, of the paper's size and trained by its rule, is close to that of the images, squared. It is no straighter than these two: from the narrow window to the wide one the exponent of the rows grows to {glue:text}`kh-wide-rows`, that of the pixels to {glue:text}`pixels-wide`. (The authors print {glue:text}`kh-printed` for theirs, a smaller number than any of ours; {ref}`ch-spectra` has what is known of the difference.)
#
# A sum of slopes can come out right by accident. The loss per rank in the last column looks at the eigenvalues themselves, and is zero only where rows and images are aligned. The same loss at every rank leaves exponents alone; that is why the sum holds for L2 and Jacobian, too, which lose nearly as much as BP. {numref}`fig-mech-alignment` follows it down the ranks.


# %% tags=["hide-input"]
OTHER = alone.VARIED | alone.SETTLED_VARIED  # parameters than elsewhere


def short(name):
    """A layer's name in a legend, without its power: these layers have no readout."""
    parts = {"units-100": "KH, all units", "settled-100": "KH, units at their norm"}
    learned = name in (*parts, *OTHER)
    look = study.look("kh" if learned else name.removesuffix("-100"))
    plain = look.short.split(", q")[0].removesuffix(", KH's lengths")
    return replace(look, short=parts.get(name, plain))


def stored(model, images="cifar10", scale="small"):
    """The arrays of a hidden layer alone, by seed."""
    found = in_folder(statistics.folder(scale, images), model, "alignment.json")
    return [run.arrays("alignment") for run in found.values()]


# %% tags=["hide-input"]
in_small = ("settled-100", "exemplars-100", "gaussian-100", "white-100")
shown = [n for n in (study.LAYER, *study.members("live")) if n in wide]
deficits, ranks = {}, {}
for name in shown:
    lost = [statistics.loss(Subject(name, seed)) for seed in wide[name]]
    deficits[name] = study.look(name), lost
for name in in_small:
    if found := stored(name):
        ranks[name] = short(name), [one["rank"] for one in found]

# %% mystnb={"figure": {"caption": "How well rows and images are aligned, CIFAR-10. Left: mean loss per rank up to rank $n$, in decades, against perfect alignment (zero); 2000 units. Right: for the $n$-th singular vector of the rows the mean rank (geometric) of the principal components that it is made of, layers of 100 units at small scale; the straight line is perfect alignment. Mean over the seeds that are stored; bands, where there are several, from the smallest to the largest.", "name": "fig-mech-alignment"}, "image": {"alt": "Two panels. Left: KH rises to zero within ten ranks and stays close to it; BP, L2 and Jacobian come to about minus 0.15; random rows stay near minus 0.6; the KH layer that is not pruned starts below minus 2, in a wide band, and joins the others after thirty ranks. Right: beyond the first three ranks KH, images and Gaussian rows follow the diagonal, a factor of two above it, KH in its middle a little more; white rows lie flat above rank 1000."}} tags=["hide-input"]
_ = plots_mechanism.alignment(deficits, ranks)

# %%
for name, low, high in (
    ("kh", -0.1, 0),
    ("random", -0.7, -0.5),
    ("l2", -0.2, -0.1),
):
    for seed in wide[name]:
        lost = statistics.deficit(Subject(name, seed))
        check(f"{name}, loss per rank, decades", lost, low, high)


# %% tags=["hide-input"]
def left(name, window=WIDE, scale="paper", images_name="cifar10"):
    """Measured less sum, by seed."""
    by_seed = exponents(name, window, scale, images_name)
    return {seed: one[0] - one[1] - one[2] for seed, one in by_seed.items()}


LONG = 5  # units start with norms near 17, and end at 1
unpruned, never, dropped = left(study.LAYER), {}, {}
for seed, run in at_hand(study.LAYER, "pruning.json").items():
    norms = run.arrays("pruning")["norms"]
    never[seed] = int((norms > LONG).sum())
    dropped[seed] = int((abs(norms - 1) > layers.SETTLED).sum()) - never[seed]
by_number = sorted(dropped, key=dropped.get)
few, most = by_number[0], by_number[-1]
text = {
    "never-fewest": min(never.values()),
    "never-most": max(never.values()),
    "dropped-fewest": dropped[few],
    "dropped-most": dropped[most],
    "unpruned-fewest": f"{unpruned[few]:.2f}",
    "unpruned-most": f"{unpruned[most]:.2f}",
    "pruned-gap": notebook.spread(list(left("kh").values()), 2),
}
glue_all(text)

# %% tags=["hide-input"]
raised = {
    what: np.array(
        [
            run.arrays("spectra")[key][:1000]
            / at_hand("kh", "spectra.json")[seed].arrays("spectra")[key][:1000]
            for seed, run in at_hand(study.LAYER, "spectra.json").items()
        ]
    )
    for what, key in (("noise", "noise_exact"), ("images", "images_before"))
}
for rank in (200, 1000):
    for what, by_seed in raised.items():
        low, high = by_seed[:, rank - 1].min(), by_seed[:, rank - 1].max()
        glue_all({f"raised-{what}-{rank}": f"{low:.1f} to {high:.1f}"})
later = raised["noise"][:, 199] / raised["images"][:, 199]
check("at rank 200, raised on noise over images", later.min(), 1.2)
grows = np.diff([unpruned[seed] for seed in by_number])
check("least growth with the number that dropped out", grows.min(), 0, 0.2)
check("long units in the layer with the most of these", never[most], 0, 1)


# %% tags=["hide-input"]
def lost_first(name):
    """Factor lost at the first rank by untrained rows of one length; mean over seeds."""
    layers = stored(name, scale="untrained")
    return np.mean(
        [one["rows"][0] * one["pixels"][0] / one["images"][0] for one in layers]
    )


pca = {"pca-loss": "paper", "pca-loss-alike": "untrained"}
text = {}
for name, scale in pca.items():
    subjects = [
        Subject("pca", s, scale=scale) for s in exponents("pca", WIDE, scale)
    ]
    size = abs(np.mean([statistics.deficit(one) for one in subjects]))
    text[name] = f"{size:.2f}"
text |= {
    "mean-first": f"{lost_first('exemplars'):.1f}",
    "mean-first-gaussian": f"{lost_first('gaussian'):.1f}",
    "mean-first-centred": f"{lost_first('gaussian-centred'):.2f}",
}
glue_all(text)

# %% [markdown]
# KH before pruning stands out: at the first rank it loses a factor of {glue:text}`kh-layer-first`, after pruning one of {glue:text}`kh-first`. Two kinds of units that {ref}`ch-pruning` found not to have converged are behind that. A few, {glue:text}`never-fewest` to {glue:text}`never-most` in a layer, are still the noise that they started from, and long, so that on *noise* they own the first ranks. On images they find no variance to match.
#
# The others, {glue:text}`dropped-fewest` to {glue:text}`dropped-most`, dropped out on their way, with a norm not far from one. They raise the spectrum on noise sooner than that on images: at rank 200 by factors of {glue:text}`raised-noise-200` and {glue:text}`raised-images-200`, at rank 1000 of {glue:text}`raised-noise-1000` and {glue:text}`raised-images-1000`. It is this delay that the sum misses: measured less sum, it is {glue:text}`unpruned-fewest` in the layer with the fewest and {glue:text}`unpruned-most` in that with the most of them, with the others in the order of their number, while the layer with the most has a single long one. After pruning {glue:text}`pruned-gap` is left.
#
# And the factor at the first rank that stays? It is the mean image. Rows that look like images have it in common, so that it is the first singular vector of $M$; but a covariance does not know of a mean. Images as rows lose as much there, a factor of {glue:text}`mean-first`, and so do Gaussian rows with the images' mean, {glue:text}`mean-first-gaussian`. Without the mean these lose none: {glue:text}`mean-first-centred`.
#
# {numref}`fig-mech-scatter` puts all runs together, with layers that nobody trained and layers at small scale. Look whether a point lies in the band, where the sum holds.

# %% tags=["hide-input"]
SETS = {
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "photo-patches": "photo patches",
    "cifar10-scrambled": "scrambled phases",
    "cifar10-whitened": "whitened",
}
large, small = [], []


def suffix(images_name):
    """Behind a layer's name, where its images are not CIFAR-10."""
    return "" if images_name == "cifar10" else f", {SETS[images_name]}"


def add(groups, look, by_seed, images_name=""):
    if by_seed:
        images, rows, pixel = np.array(list(by_seed.values())).T
        name = SETS.get(images_name, "")
        groups.append(plots_mechanism.Points(look, rows + pixel, images, name))


# %% tags=["hide-input"]
for name in wide:
    look = study.look(name)
    look = replace(look, short=look.short.split(", q")[0])
    add(large, look, exponents(name, NARROW))
for name in layers.UNTRAINED:
    add(large, short(name), exponents(name, NARROW, "untrained"))
for name in OTHER:
    look = replace(short(name), short="KH, other parameters", colour=OLIVE)
    window = NARROW if name in alone.VARIED else FEW
    add(small, look, exponents(name, window, "small"), "cifar10")

# %% tags=["hide-input"]
whole = replace(study.look("kh"), short="KH, whole layer", colour=INK)
for of in SETS:
    add(small, whole, exponents(study.LAYER, NARROW, "small", of), of)
    for name in alone.NULLS:
        add(small, short(name), exponents(name, NARROW, "small", of), of)
    for name in ("units-100", *in_small):
        look = short(name)
        if name == "units-100":  # on whitened images all of them are at their norm
            look = short("settled-100") if of == "cifar10-whitened" else whole
        add(small, look, exponents(name, FEW, "small", of), of)

# %% mystnb={"figure": {"caption": "Exponents on images before the activation: measured against the sum of that of the rows and that of the pixels (above), and the difference (below); a point for each run that has these ranks, all seeds, nulls included (layers of which fewer than 50 units reached their norm have not). Left: 2000 units on CIFAR-10, ranks 11 to 100. Right: layers at small scale on five sets of images, of 100 units at ranks 5 to 50 or of 400 at ranks 11 to 100; with other parameters (CIFAR-10 only), of 100 to 800 units, those of 100 with $k$ = 4 and 7 dead. The band is 0.25 wide to either side, as predictions at the paper's scale allowed; with 100 units they allowed 0.4.", "name": "fig-mech-scatter"}, "image": {"alt": "Two panels, each with the difference below it. Left, 2000 units: nearly all points lie in the band, between one and four; backpropagation without weight decay lies half above the line, the spectral model as stated a third below. Right, small scale: points along the line from zero to five. Whole layers of the local rule lie one to one and a half above it on CIFAR-10 and with scrambled phases, and half above it on patches; layers with other parameters lie on both sides, five of them far to the right and one and a half to two below."}} tags=["hide-input"]
_ = plots_mechanism.scatter({"2000 units": large, "small scale": small}, 0.25)

# %% [markdown]
# (sec-mech-unlearned)=
# ## Without learning
#
# If rows that look like images are all that it takes, then rows may *be* images. {numref}`tab-mech-untrained` has layers that nobody trained: training images drawn at random, Gaussian rows with the images' mean and covariance, and white noise, beside layers at small scale that were trained: a hundred units on ten thousand images (photo patches: five thousand). Untrained rows have one length. Two sets of images are made from CIFAR-10 to take one thing away. With *scrambled phases* an image keeps its amplitudes in the frequency domain, and so the set its covariance, but has no edges or objects: what needs more than a covariance should change there. *Whitened* images have variance one along every direction that is left, and no power law to pass on.

# %% mystnb={"figure": {"caption": "Exponents of layers at small scale and, without learning, of 2000 rows; CIFAR-10 where nothing else is said; mean and standard deviation over seeds. Ranks 5 to 50 where there are 100 rows, else 11 to 100.", "name": "tab-mech-untrained"}} tags=["hide-input"]


def row(name, scale, images_name):
    few = scale == "small"
    by_seed = exponents(name, FEW if few else NARROW, scale, images_name)
    if not by_seed:
        return None
    images, rows, pixel = np.array(list(by_seed.values())).T
    size = 100 if few else 2000
    columns = (rows, pixel, rows + pixel, images)
    label = f"{short(name).short}{suffix(images_name)}"
    return [label, size, *(notebook.spread(column, 2) for column in columns)]


places = [
    (name, scale, of)
    for scale, table in alone.LAYERS.items()
    for of, known in table.items()
    for name in known
    if name in alone.HUNDRED or scale == "untrained"
]
lines = [found for place in places if (found := row(*place))]
header = ["rows", "units", "rows, exponent", "pixels", "sum", "on images"]
Table(header, lines)

# %% mystnb={"figure": {"caption": "The same for 400 rows and five sets of images: exponent on images at ranks 11 to 100 and, behind it, what is left of it when that of the rows and that of the pixels are taken off. Layers of the local rule whole, with the units that are still noise; mean over seeds.", "name": "tab-mech-sets"}} tags=["hide-input"]


def cell(name, images_name):
    by_seed = exponents(name, NARROW, "small", images_name)
    if not by_seed:
        return "–"
    images, rows, pixel = np.mean(list(by_seed.values()), 0)
    over = f"{images - rows - pixel:+.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{images:.2f} ({over})"


names = {study.LAYER: "KH, whole layer"}
names |= {name: short(name).short for name in alone.NULLS}
Table(
    ["rows", *SETS.values()],
    [[label, *(cell(name, of) for of in SETS)] for name, label in names.items()],
)


# %% tags=["hide-input"]
def first(name, images_name="cifar10", scale="small", window=FEW):
    """On images, of the rows, of the pixels; mean over seeds; NaN if none is stored."""
    by_seed = exponents(name, window, scale, images_name)
    return np.mean(list(by_seed.values()), 0) if by_seed else np.full(3, np.nan)


WHITENED = "cifar10-whitened"
for label, name, of in (
    ("whitened-kh", "units-100", WHITENED),
    ("whitened-white", "white-100", WHITENED),
    ("small-exemplars", "exemplars-100", "cifar10"),
    ("small-gaussian", "gaussian-100", "cifar10"),
    ("small-white", "white-100", "cifar10"),
):
    images, rows, pixel = first(name, of)
    glue_all({label: f"{images:.2f}", f"{label}-twice": f"{2 * pixel:.2f}"})
    glue_all({f"{label}-pixels": f"{pixel:.2f}"})


# %% tags=["hide-input"]
def median_near(name, of):
    """Median cosine of the synapses with the nearest training image."""
    return notebook.spread([one["nearest"][0] for one in stored(name, of)], 2)


for name, label in (
    ("units-100", "kh"),
    ("exemplars-100", "exemplars"),
    ("white-100", "white"),
):
    found = list(
        exponents(name, FEW, "small", WHITENED, ("images", "after_4.5")).values()
    )
    if found:
        before, behind_power = np.mean(found, 0)
        glue_all({f"whitened-{label}-behind": f"{behind_power:.2f}"})
        glue_all({f"whitened-{label}-before": f"{before:.2f}"})
for name, of, label in (
    ("units-100", WHITENED, "whitened-near"),
    ("white-100", WHITENED, "whitened-near-null"),
    ("settled-100", "cifar10", "small-near"),
    ("white-100", "cifar10", "small-near-null"),
):
    glue_all({label: median_near(name, of)})

for label, window in (("wide", WIDE), ("narrow", NARROW)):
    images, rows, pixel = first("exemplars", scale="untrained", window=window)
    glue_all(
        {f"images-{label}": f"{images:.2f}", f"images-{label}-rows": f"{rows:.2f}"}
    )
    kh = np.mean(list(exponents("kh", window).values()), 0)
    glue_all({f"kh-{label}": f"{kh[0]:.2f}", f"kh-{label}-rows": f"{kh[1]:.2f}"})


# %% tags=["hide-input"]
def eigenvalues(model, key):
    found = at_hand(model, "spectra.json").values()
    return [run.arrays("spectra")[key] for run in found]


of_images = stored("exemplars", scale="untrained")  # rows of one length
before = {
    "kh": eigenvalues("kh", "images_before"),
    "exemplars": [one["images"] for one in of_images],
}
behind = {
    "kh": eigenvalues("kh", "images_after"),
    "exemplars": [one["after_4.5"] for one in of_images],
}


def largest(values):
    """The largest eigenvalue against those of ranks 11 to 500, geometric mean."""
    return float(np.log(values[0]) - np.log(values[10:500]).mean())


tops = {model: [largest(one) for one in found] for model, found in before.items()}
top = np.exp(np.mean(tops["exemplars"]) - np.mean(tops["kh"]))
glue_all({"images-first": f"{top:.0f}"})


# %% tags=["hide-input"]
def line_ends(spectra):
    """Rank where the line through ranks 11 to 100 ends, by seed."""
    return [reach(values, fit(values, NARROW)) for values in spectra]


ends = {}
for model, label in (("kh", "kh"), ("exemplars", "images")):
    found = behind[model]
    slopes = [fit(values, WIDE, truncate=True).alpha for values in found]
    glue_all({f"{label}-behind": wording.of_seeds(slopes, places=2)})
    rounded = [
        fit(values.real, WIDE, truncate=True).alpha
        for values in eigenvalues(model, "images_float32")
    ]
    glue_all({f"{label}-rounded": wording.of_seeds(rounded, places=2)})
    ends[label] = line_ends(found)
    glue_all({f"{label}-behind-end": wording.of_seeds(ends[label], places=0)})
in_place = line_ends(eigenvalues("exemplars", "images_after"))
glue_all({"images-place-end": wording.of_seeds(in_place, places=0)})
further = min(ends["kh"]) / max(ends["images"])
logs = {
    model: np.mean([np.log(values[:1500]) for values in found], 0)
    for model, found in before.items()
}
apart = logs["exemplars"] - logs["kh"]
apart = apart[10:1000] - apart[10:500].mean()
check("images as rows over KH, ranks 11 to 1000", np.exp(abs(apart).max()), 1, 1.15)
check(
    "after the activation: end of KH's line over that of images", further, 1.2, 2.5
)

# %%
check("KH less images as rows, on images", kh[0] - images, -0.1, 0.1)
check("the same of the rows", kh[1] - rows, -0.1, 0.1)
images, rows, pixel = first("units-100", WHITENED)
check("KH on whitened images, exponent", images, 0, 0.5)
check(
    "less that of random rows", images - first("white-100", WHITENED)[0], -0.1, 0.1
)

# %% [markdown]
# Take two thousand training images of CIFAR-10, as they are, for rows. On test images their exponent over the paper's window is {glue:text}`images-wide`, and that of the paper's KH layer {glue:text}`kh-wide`; at ranks 11 to 100 they have {glue:text}`images-narrow` and {glue:text}`kh-narrow`. The rows alone have {glue:text}`images-wide-rows` and {glue:text}`kh-wide-rows`, at ranks 11 to 100 {glue:text}`images-narrow-rows` and {glue:text}`kh-narrow-rows`.
# By these exponents one could not tell which of the two was learned. (In double precision, that is. The authors' estimator, whose rounding lifts the end of both, has {glue:text}`kh-rounded` for KH and {glue:text}`images-rounded` for images in its place, at the lengths of its rows.) By the first few ranks one could: relative to ranks 11 to 500, the largest eigenvalue of images as rows is about {glue:text}`images-first` times KH's. And after the activation KH's spectrum is flatter, {glue:text}`kh-behind` against {glue:text}`images-behind`, and follows the line of ranks 11 to 100 further, up to rank {glue:text}`kh-behind-end` against {glue:text}`images-behind-end`.
#
# Little changes where such rows take the very place of KH's, at the lengths that its rows have after pruning ({numref}`tab-mech-sums`; one training of each, whose line behind the power ends sooner, for images at rank {glue:text}`images-place-end`): images as rows have {glue:text}`exemplars-images` over the wide window, Gaussian rows {glue:text}`gaussian-images`, and twice the pixels' is {glue:text}`twice-wide`. The centres of as many clusters of images, which are means over a few of them, are steeper, {glue:text}`kmeans-images`. Principal components, turned among
# each other at random, are flat: of one length they lose {glue:text}`pca-loss-alike` decades per rank, with the lengths of KH's rows, which are not all the same, {glue:text}`pca-loss`. They have the pixels' own exponent, {glue:text}`pca-images`, as the sum says. A readout that was trained on these layers as KH's was decides {glue:text}`exemplars-accuracy`, {glue:text}`gaussian-accuracy`, {glue:text}`kmeans-accuracy` and {glue:text}`pca-accuracy` per cent of the test images correctly, KH's {glue:text}`kh-accuracy`.
#
# At small scale it is alike: a hundred images have an exponent of {glue:text}`small-exemplars` on test images, where twice the pixels' is {glue:text}`small-exemplars-twice`; as many Gaussian rows have {glue:text}`small-gaussian`, white ones {glue:text}`small-white`. {numref}`tab-mech-sets` has four hundred rows, on all five sets of images. Where rows look like what they see, whoever made them, the layer has the sum or a little more; with white rows and with principal components, which are flat, it has hardly more than the pixels.
#
# The sum is not exact, and rows that look like images do not have quite the pixels' exponent. Three things could be behind the few per cent, and {numref}`tab-mech-left` has each. Rows contain the *mean* image, covariances do not: taken off, it takes the first rank with it and lowers the exponent by {glue:text}`mean-narrow` at ranks 11 to 100, by {glue:text}`mean-leading` at ranks 5 to 20. There is a *finite number* of them: what is left over at ranks 5 to 20 falls from about {glue:text}`left-hundred` with a hundred rows to {glue:text}`left-thousands` with two thousand. And rows are not synapses: the *metric* of the layer, $M = W|W|$, stands between them. It makes the exponent of learned rows smaller, by {glue:text}`metric-cifar10` on CIFAR-10, {glue:text}`metric-mnist` on MNIST and {glue:text}`metric-patches` on photo patches.

# %% tags=["hide-input"]
PARTS = ("images", "rows", "rows_centred", "synapses", "pixels")


def parts_of(name, scale, images_name, window):
    """Exponents by seed of a layer alone, those of ``PARTS``; NaN for what is not."""
    return np.array(
        [
            [fit(one[key], window).alpha if key in one else np.nan for key in PARTS]
            for one in stored(name, images_name, scale)
        ]
    )


def left_line(name, scale="small", images_name="cifar10"):
    size = 2000 if scale == "untrained" else 100
    found = parts_of(name, scale, images_name, NARROW if size == 2000 else LEADING)
    images, rows, centred, synapses, pixel = found.T
    metric = "–" if np.isnan(synapses).any() else notebook.spread(synapses, 2)
    columns = (rows, centred, pixel, images - rows - pixel)
    rows, centred, pixel, over = (notebook.spread(one, 2) for one in columns)
    label = f"{short(name).short}{suffix(images_name)}"
    return [label, size, metric, rows, centred, pixel, over]


# %% mystnb={"figure": {"caption": "What may keep the exponent from being twice the pixels': exponents of the synapses, of the rows that the metric makes of them, of the rows less their mean, of the pixels; and what is left over, measured less that of rows plus that of pixels. Ranks 11 to 100 where there are 2000 rows, else 5 to 20; CIFAR-10 where nothing else is said; mean and standard deviation over seeds.", "name": "tab-mech-left"}} tags=["hide-input"]
header = ["rows", "units", "synapses", "rows", "less mean", "pixels", "left over"]
places = [(name, "untrained") for name in ("exemplars", "gaussian")]
places += [
    (f"{name}-100", "small") for name in ("exemplars", "gaussian", "settled")
]
places += [("settled-100", "small", of) for of in ("mnist", "photo-patches")]
Table(header, [left_line(*place) for place in places])

# %% tags=["hide-input"]
drawn = ("exemplars", "gaussian")
of_few = [v for n in drawn for v in left(f"{n}-100", LEADING, "small").values()]
of_many = [v for n in drawn for v in left(n, LEADING, "untrained").values()]
text = {
    "left-hundred": f"{np.mean(of_few):.1f}",
    "left-thousands": f"{np.mean(of_many):.2f}",
}
check("left over, 100 less 2000 rows", np.mean(of_few) - np.mean(of_many), 0.1, 0.3)
wider = [
    np.mean(list(left(n, FEW, "small").values()))
    for n in ("settled-100", "exemplars-100")
]
check("left over at ranks 5 to 50, KH less images", wider[0] - wider[1], -0.2, 0.2)
for label, of in (("cifar10",) * 2, ("mnist",) * 2, ("patches", "photo-patches")):
    found = parts_of("settled-100", "small", of, LEADING).mean(0)
    lower = found[PARTS.index("synapses")] - found[PARTS.index("rows")]
    check(f"exponent of synapses less that of rows, {label}", lower, 0, 0.6)
    text[f"metric-{label}"] = f"{lower:.2f}"
for label, window, most in (("narrow", NARROW, 0.05), ("leading", LEADING, 0.2)):
    of_drawn = [parts_of(n, "untrained", "cifar10", window).mean(0) for n in drawn]
    less = [
        p[PARTS.index("rows")] - p[PARTS.index("rows_centred")] for p in of_drawn
    ]
    check(f"what the mean image adds to the exponent, {label}", max(less), 0, most)
    text[f"mean-{label}"] = f"{min(less):.2f} and {max(less):.2f}"
glue_all(text)

# %% [markdown]
# The other half of the argument is on *whitened* images. Each principal component is divided by its standard deviation, so that none has more variance than another. The local rule settles there, too: every unit reaches its norm and wins images, though rows do not come close to single ones (the median cosine with the nearest image is {glue:text}`whitened-near`, that of white rows {glue:text}`whitened-near-null`; on CIFAR-10 {glue:text}`small-near` and {glue:text}`small-near-null`). But a spectrum that can be passed on is not there, and the layer has none: its exponent is {glue:text}`whitened-kh`, nearly that of random rows,
# {glue:text}`whitened-white`; the pixels have {glue:text}`whitened-kh-pixels` (not zero, as some ten thousand images are a finite sample).
#
# ## Rows that are not like images
#
# In small layers the rule does not in general make rows with the exponent of the images. (Many of their units are still the noise that they started from: at the mean over seeds, of 100 units {glue:text}`units-100-converged` had reached their norm when the steps were over, of 400 {glue:text}`kh-layer-converged`, so that exponents of whole layers say little, as before pruning; on MNIST nearly all reach it. What follows is about the units at their norm, see {numref}`tab-mech-untrained`.)
#
# Among these the exponents at ranks 5 to 50 nearly add: {glue:text}`settled-100-small-images` on images, {glue:text}`settled-100-small-sum` the sum; a hundred images as rows miss it by about as much. But the rows do not have the images' exponent, {glue:text}`settled-100-small-pixels`. They have {glue:text}`settled-100-small-rows`; on MNIST {glue:text}`settled-mnist-rows` where the images have {glue:text}`settled-mnist-pixels`, and on
# photo patches, to the other side, {glue:text}`settled-patches-rows` and {glue:text}`settled-patches-pixels`.
#
# Where along the ranks does that come from? On CIFAR-10 and MNIST from the last ones. At ranks 5 to 20 the rows have {glue:text}`leading-cifar10-rows` and {glue:text}`leading-mnist-rows`, the pixels {glue:text}`leading-cifar10-pixels` and {glue:text}`leading-mnist-pixels`. Further down their spectrum bends, towards an end that it reaches at the number of units at their norm,
# {glue:text}`settled-fewest` to {glue:text}`settled-most` of a hundred on CIFAR-10. The spectrum of images as rows bends much less: learned rows share directions more than images do. And where rows have the pixels' exponent the sum does not hold: at ranks 5 to 20 the layer has {glue:text}`leading-cifar10-images` on images, where it is {glue:text}`leading-cifar10-sum`. On photo patches the leading ranks of the rows differ as well, {glue:text}`leading-patches-rows` and {glue:text}`leading-patches-pixels`; about half of that is the metric ({numref}`tab-mech-left`).
#
# A unit here has {glue:text}`per-unit-small` images to stand for, on average, and may turn into something like their mean; in the paper's layer it has {glue:text}`per-unit-paper`. If that is the reason, then twice as many units on the same images should be closer to it. {numref}`tab-mech-parameters` has such a layer, beside others with one parameter changed.

# %% tags=["hide-input"]
glue_all(
    {
        "per-unit-small": alone.IMAGES
        // alone.layer("small", "cifar10", "units-100").params.hidden,
        "per-unit-paper": 50_000 // kh_params.PAPER_CIFAR10.hidden,
    }
)


# %% tags=["hide-input"]
def shares(name, of="converged"):
    """Of the units, those at their norm, or those that are live; by seed."""
    place = statistics.folder("small", "cifar10")
    found = in_folder(place, name, "alignment.json").values()
    stored = [read_json(run.measured("alignment")) for run in found]
    return [one["health"][of] for one in stored]


for label, of in (("mnist", "mnist"), ("patches", "photo-patches")):
    images, rows, pixel = first("settled-100", of)
    glue_all({f"settled-{label}-rows": f"{rows:.2f}"})
    glue_all({f"settled-{label}-pixels": f"{pixel:.2f}"})
for label, of in (("cifar10",) * 2, ("mnist",) * 2, ("patches", "photo-patches")):
    images, rows, pixel = first("settled-100", of, window=LEADING)
    glue_all({f"leading-{label}-images": f"{images:.2f}"})
    glue_all({f"leading-{label}-sum": f"{rows + pixel:.2f}"})
    glue_all({f"leading-{label}-rows": f"{rows:.2f}"})
    glue_all({f"leading-{label}-pixels": f"{pixel:.2f}"})
cases = ((study.LAYER, NARROW), ("units-100", FEW), ("settled-100", FEW))
for name, window in cases:
    images, rows, pixel = first(name, window=window)
    if np.isnan(images):
        continue
    glue_all({f"{name}-converged": wording.share(float(np.mean(shares(name))))})
    glue_all({f"{name}-small-images": f"{images:.2f}"})
    glue_all({f"{name}-small-sum": f"{rows + pixel:.2f}"})
    glue_all({f"{name}-small-rows": f"{rows:.2f}"})
    glue_all({f"{name}-small-pixels": f"{pixel:.2f}"})


# %% tags=["hide-input"]
def lost(name):
    """Loss per rank against perfect alignment, decades, mean over ranks 5 to 50."""
    by_seed = exponents(name, FEW, "small")
    subjects = [Subject(name, seed, scale="small", window=FEW) for seed in by_seed]
    return [statistics.deficit(subject) for subject in subjects]


def at_their_norm(name):
    images, rows, pixel = np.array(list(exponents(name, FEW, "small").values())).T
    leading = list(left(name, LEADING, "small").values())
    columns = (rows + pixel, images, leading)
    seeds = len(rows) if len(rows) < len(shares(name)) else 0
    return [
        prediction_table.layer(name) + (f" ({seeds})" if seeds else ""),
        *(f"{np.mean(shares(name, of)):.2f}" for of in ("converged", "live")),
        *(notebook.spread(one, 2) for one in columns),
        wording.to_place(np.mean(lost(name)), 2),
    ]


# %% mystnb={"figure": {"caption": "The units that are at their norm in layers of 100 units, or as many as it says, with one parameter changed from $\\Delta$ = 0.2, $k$ = 2, $p$ = 3: their share, and that of the units which any test image excites; exponents at ranks 5 to 50; what is measured on images less the sum at the leading ranks 5 to 20; and the loss per rank against perfect alignment, in decades, mean over ranks 5 to 50. Means over five seeds, of exponents with standard deviations; of exponents and losses over those in which fifty units are at their norm, in brackets where not all are. CIFAR-10, at small scale. Where hardly a unit is live, the layer has died.", "name": "tab-mech-parameters"}} tags=["hide-input"]
header = ["layer", "at their norm", "live", "sum", "on images"]
header += [f"less sum, {LEADING[0]} to {LEADING[1]}", "loss"]
known = [n for n in alone.SETTLED_VARIED if exponents(n, FEW, "small")]
Table(header, [at_their_norm(name) for name in ("settled-100", *known)])

# %% tags=["hide-input"]
units = alone.FEW.hidden
counts = [round(units * share) for share in shares("settled-100")]
glue_all({"settled-fewest": min(counts), "settled-most": max(counts)})
for name in known:
    images, rows, pixel = first(name, window=FEW)
    glue_all({f"{name}-images": f"{images:.2f}", f"{name}-rows": f"{rows:.2f}"})
    glue_all({f"{name}-sum": f"{rows + pixel:.2f}"})
    glue_all({f"{name}-over": f"{images - rows - pixel:.2f}"})
    glue_all({f"{name}-loss": f"{-np.mean(lost(name)):.2f}"})
    leading = first(name, window=LEADING)
    glue_all({f"{name}-leading": f"{leading[0]:.2f}"})
    glue_all({f"{name}-leading-rows": f"{leading[1]:.2f}"})
    live = [round(alone.FEW.hidden * one) for one in shares(name, "live")]
    glue_all({f"{name}-live": f"{min(live)} to {max(live)}"})
glue_all({"settled-100-loss": f"{-np.mean(lost('settled-100')):.2f}"})
over = {n: np.mean(list(left(n, FEW, "small").values())) for n in known}
images, rows, pixel = first(study.LAYER, "photo-patches", window=NARROW)
glue_all({"patches-400-rows": f"{rows:.2f}", "patches-400-pixels": f"{pixel:.2f}"})
glue_all({"patches-400-sum": f"{rows + pixel:.2f}"})
glue_all({"patches-400-images": f"{images:.2f}"})

# %% tags=["hide-input"]
furthest = max(over, key=over.get) == "settled-p-4"
check("p = 4 is furthest above its sum", int(furthest), 1)

# %% [markdown]
# The rows of twice as many units have {glue:text}`settled-200-rows` at ranks 5 to 50, close to the pixels, where those of a hundred have {glue:text}`settled-100-small-rows`. But of these {glue:text}`settled-fewest` to {glue:text}`settled-most` are at their norm, so that rank 50 is near the end of their spectrum, whatever made it; at ranks 5 to 20 both have about the pixels' exponent, {glue:text}`settled-200-leading-rows` and {glue:text}`leading-cifar10-rows` against {glue:text}`leading-cifar10-pixels`. So these layers do not tell whether it is images for each unit.
#
# What other parameters do is more than that, at the leading ranks as well. With $p$ = 2 the rows have {glue:text}`settled-p-2-leading-rows` at ranks 5 to 20, with $p$ = 4 {glue:text}`settled-p-4-leading-rows`, and the layers {glue:text}`settled-p-2-leading` and {glue:text}`settled-p-4-leading` on images; with $p$ = 4 the layer is steeper than its sum at ranks 5 to 50 by {glue:text}`settled-p-4-over`, the most of all. So that a layer of the local rule has twice the pixels' exponent is a fact about the paper's size and parameters, and no law of the rule.
#
# With $k$ = 4 and $k$ = 7, where the fourth or the seventh of the units that respond is pushed away from an image instead of the second, a layer of this size dies ({ref}`ch-local-learning`): of a hundred units {glue:text}`settled-k-4-live` and {glue:text}`settled-k-7-live` respond to any test image, and the others are at their norm because they were pushed there. Such rows are not made of images, and not aligned with them: they lose {glue:text}`settled-k-4-loss` and {glue:text}`settled-k-7-loss` decades per rank, where the unchanged layer loses {glue:text}`settled-100-loss`, and the exponents do not add. They count in the verdicts of {numref}`tab-mech-predictions` all the same, whose rules ask for units at their norm, not for live ones.
#
# ### Units, or images for each of them
#
# Is it that each unit has fewer images to stand for, or just that more units divide the same space more finely? On MNIST nearly all units get to their norm in these steps, and the two can be told apart: {numref}`tab-mech-counted` has layers of which the number of images was changed, and that of the units. Before they were trained we predicted that it is the number of units.

# %% tags=["hide-input"]
counted = {  # by numbers of units and images: learned rows
    (100, 2_500): "settled-100-of-2500",
    (100, 10_000): "settled-100",
    (100, 40_000): "settled-100-of-40000",
    (200, 10_000): "settled-200",
    (400, 10_000): study.LAYER,
    (400, 40_000): "settled-400-of-40000",
}
as_rows = {100: "exemplars-100", 200: "exemplars-200", 400: "exemplars"}

# %% mystnb={"figure": {"caption": "Layers of the local rule on MNIST, at small scale, all trained for 10,000 steps: exponents at ranks 5 to 50 of their rows, of as many training images as rows, and of the layer on test images; mean and standard deviation over seeds.", "name": "tab-mech-counted"}} tags=["hide-input"]


def of_rows(name):
    """Exponents of the rows and on images, by seed."""
    columns = np.array(list(exponents(name, FEW, "small", "mnist").values())).T
    return [notebook.spread(columns[i], 2) for i in (1, 0)]


header = ["units", "images", "images each", "rows", "images as rows", "on images"]
lines = []
for (size, count), name in counted.items():
    of_layer, on_images = of_rows(name)
    columns = of_layer, of_rows(as_rows[size])[0], on_images
    lines.append([size, count, count // size, *columns])
Table(header, lines)

# %%
steep = {key: first(name, "mnist")[1] for key, name in counted.items()}
few, many = steep[100, 2_500], steep[100, 40_000]
hundred, pixel = (first(as_rows[100], "mnist")[i] for i in (1, 2))
check("25 images each: 100 units less 100 images", few - hundred, -0.05, 0.05)
check("400 images each, the same", many - hundred, 0.15, 0.3)
check("25 each: 400 units less pixels", steep[400, 10_000] - pixel, -0.1, 0.1)
# What more rows do by themselves.
nobody = first(as_rows[400], "mnist")[1] - hundred
each = [
    steep[100, 10_000] - few,
    many - steep[100, 10_000],
    steep[400, 40_000] - steep[400, 10_000],
]
finer = [steep[400, 10_000] - few, steep[400, 40_000] - steep[100, 10_000]]
for value in each:
    check("four times the images", value, 0.05, 0.2)
for value in finer:
    check("four times the units, images each alike", value, -0.2, -0.05)
    check("the same, less what images as rows do", value - nobody, -0.1, -0.02)
glue_all({"each-low": f"{min(each):.2f}", "each-high": f"{max(each):.2f}"})
glue_all({"finer-low": f"{-max(finer):.2f}", "finer-high": f"{-min(finer):.2f}"})
glue_all({"four-hundred-images": f"{nobody + hundred:.2f}"})

# %% tags=["hide-input"]
glue_all({"of-2500": f"{few:.2f}", "of-40000": f"{many:.2f}"})
glue_all({"of-10000": f"{steep[100, 10_000]:.2f}"})
glue_all({"hundred-images": f"{hundred:.2f}", "mnist-400-pixels": f"{pixel:.2f}"})
glue_all({"mnist-400-rows": f"{steep[400, 10_000]:.2f}"})
glue_all({"four-of-40000": f"{steep[400, 40_000]:.2f}"})

# %%
beside = (study.LAYER, "exemplars", "kmeans")
learned, images, centres = (first(n, "mnist", window=NARROW)[1] for n in beside)
check("400 rows, learned less images", learned - images, -0.05, 0.05)
check("400 rows, cluster centres less images", centres - images, 0.5, 0.8)
glue_all({"learned-narrow": f"{learned:.2f}", "centres-narrow": f"{centres:.2f}"})
glue_all({"images-rows-narrow": f"{images:.2f}"})

# %% [markdown]
# Both count. Four times as many images for the same units make their rows steeper by {glue:text}`each-low` to {glue:text}`each-high`, and four times as many units, with as many images each, make them flatter by {glue:text}`finer-low` to {glue:text}`finer-high`. But about half of the latter has nothing to do with learning: a hundred images as rows have {glue:text}`hundred-images`, four hundred {glue:text}`four-hundred-images`. What learning adds to that depends on images for each unit about twice as much as on the number of units.
#
# A hundred units on a quarter of the images have rows of {glue:text}`of-2500`, as steep as a hundred images, {glue:text}`hundred-images`; on ten thousand they have {glue:text}`of-10000`, and on four times as many {glue:text}`of-40000`. Four hundred units with {glue:text}`per-unit-paper` images each, as in the paper's layer, have {glue:text}`mnist-400-rows` where the pixels have {glue:text}`mnist-400-pixels`; with four times as many, {glue:text}`four-of-40000`. Rows that stand for few images fall as images do; those that stand for hundreds fall faster, as if what is fine had been averaged away. (All were trained for as many steps, so that among four times as many images each is seen a fourth as often.) They are no mere means, though. Cluster centres are: four hundred of them have {glue:text}`centres-narrow` at ranks 11 to 100, where as many learned rows have {glue:text}`learned-narrow` and as many images {glue:text}`images-rows-narrow`.
#
# On the other images with a power law layers of four hundred are not done; what {numref}`tab-mech-predictions` says of them is about noise for the most part. Photo patches come out at twice the pixels' exponent all the same, by accident: their rows have {glue:text}`patches-400-rows` at ranks 11 to 100 and the pixels {glue:text}`patches-400-pixels`, the sum is {glue:text}`patches-400-sum` and the layer has {glue:text}`patches-400-images`.

# %% [markdown]
# ## Along training
#
# When does the spectrum come in? {numref}`fig-mech-training` follows the units of a layer on CIFAR-10 that are at their norm in the end.

# %% tags=["hide-input"]
RISE = 1000  # steps after which rows begin to rise
found = stored("settled-100")
panels, marks = {}, {}
if found:
    steps = found[0]["epochs"] * (alone.IMAGES // alone.SMALL.batch)
    along = {
        name: [[fit(v, FEW).alpha for v in one[f"along_{name}"]] for one in found]
        for name in ("images", "rows")
    }
    near = [one["along_nearest"][:, 0] for one in found]
    parts = [[one["along_leading"][:, i] for one in found] for i in range(2)]
    panels = {
        "exponent": {"on images": along["images"], "of the rows": along["rows"]},
        "cosine, nearest image": {"synapses": near},
        "share of length": {"on 10": parts[0], "on 100": parts[1]},
    }
    marks["exponent"] = 2 * fit(found[0]["pixels"], FEW).alpha
    marks["share of length"] = float(found[0]["leading"][3])
    apart = np.subtract(along["images"], along["rows"])[:, steps >= RISE].mean(0)
    glue_all(
        {"along-low": f"{apart.min():.1f}", "along-high": f"{apart.max():.1f}"}
    )
    glue_all({"along-pixels": f"{marks['exponent'] / 2:.1f}"})

# %% tags=["hide-input"]
EARLY = {"cifar10": 500, "mnist": 1500}  # steps
early = {}
for of, step in EARLY.items():
    found = stored("settled-100", of)
    taken = found[0]["epochs"] * (alone.IMAGES // alone.SMALL.batch)
    place = int(np.flatnonzero(taken == step)[0])
    seen = {"share": [one["along_leading"][:, 1] for one in found]}
    for name in ("images", "rows"):
        each = [one[f"along_{name}"][[0, place]] for one in found]
        seen[name] = [[fit(v, FEW).alpha for v in both] for both in each]
    early[of] = {
        "share": np.mean(seen["share"], 0)[[0, place]],
        "images": np.mean(seen["images"], 0),
        "rows": np.mean(seen["rows"], 0),
    }
    glue_all({f"along-{of}-step": f"{step:,}"})
    for name, (start, now) in early[of].items():
        form = ".3f" if name == "share" else ".1f"
        glue_all({f"along-{of}-{name}": format(now, form)})
        glue_all({f"along-{of}-{name}-start": format(start, form)})

# %% tags=["hide-input"]
for of, name, low, high in (
    ("cifar10", "images", 0.8, 1.5),
    ("cifar10", "rows", 1.5, 2.2),
    ("cifar10", "share", 0, 0.003),
    ("mnist", "images", 1.2, 1.6),
    ("mnist", "share", 0.7, 0.9),
):
    start, now = early[of][name]
    check(f"{of}, {name}: so early less at the start", now - start, low, high)

# %% mystnb={"figure": {"caption": "A layer of 100 units in training on CIFAR-10 (at small scale; mean over seeds, bands from the smallest to the largest): exponents at ranks 5 to 50 (dotted: twice that of the pixels), median cosine of the synapses with the training image that is nearest, and the share of the rows' squared length on the first principal components of the images (dotted: of the images themselves on the first hundred).", "name": "fig-mech-training"}, "image": {"alt": "Three panels against the steps. Exponents: flat for 150 steps; then that on images rises to the end, that of the rows jumps at 500 steps, falls back and rises again, in wide bands. Cosine and shares: flat for the first 1500 steps, the cosine with a dip, then they rise to the end; the bands are wide at 5000 steps and narrow at the end."}} tags=["hide-input"]
if panels:
    _ = plots_mechanism.training(panels, steps, marks)

# %% [markdown]
# Here the exponent comes first, and the pictures later. After {glue:text}`along-cifar10-step` steps the layer has an exponent of {glue:text}`along-cifar10-images` on images, not so far from twice the pixels' {glue:text}`along-pixels`, while its rows are noise: {glue:text}`along-cifar10-share` of their squared length lies on the first hundred components, as at the start ({glue:text}`along-cifar10-share-start`). What they have by then is unequal lengths, since some units have begun to shrink and others have not. That is an exponent as well: that of the rows was {glue:text}`along-cifar10-rows-start` when all were of one length, and is {glue:text}`along-cifar10-rows` now. So an exponent alone does not say that rows look like images.
#
# Then, within a few thousand steps, the exponent comes to be made of something else. Rows come to lie on the leading components, synapses come close to single images, and the exponent on images is {glue:text}`along-low` to {glue:text}`along-high` above that of the rows, somewhat more than the pixels'. On MNIST, where units get to their norm sooner, all of it comes at once: after {glue:text}`along-mnist-step` steps {glue:text}`along-mnist-share` of the length lies there ({glue:text}`along-mnist-share-start` at the start), and the exponent on images is {glue:text}`along-mnist-images`, as it will be in the end.
#
# ## After the activation
#
# The readout does not see $h$ but $a = \mathrm{ReLU}(h)^q$. Is there a prediction for the spectrum of that? For Gaussian latents there is. Two units of correlation $\rho$ have, by Mehler's formula {cite}`mehler1866ueber`,
#
# $$
# \operatorname{cov}(a_i, a_j) = \sum_{\ell \ge 1} c_{i\ell}\, c_{j\ell}\, \rho_{ij}^\ell , \qquad c_{i\ell} = \tfrac{1}{\sqrt{\ell!}}\; \mathbb{E}\, f(\bar h_i + \sigma_i \zeta)\, \mathrm{He}_\ell(\zeta) ,
# $$ (eq-mech-activation)
#
# with $f$ the activation, $\bar h_i$ and $\sigma_i$ mean and standard deviation of the unit, $\zeta$ a standard normal number and $\mathrm{He}_\ell$ the Hermite polynomials. For latents without means, and but for its constant term, this is the arc-cosine kernel {cite}`cho2009kernel` or, where $q$ is no integer, its analogue. Its first term is the covariance before the activation, with every unit stretched by its mean slope; the others only add to it. So no eigenvalue after the activation is smaller than that of
# this term. A spectrum may become flatter by what is added, or steeper by the stretching, which makes units unequal that were alike.
#
# {numref}`tab-mech-activation` compares the formula, which is given nothing but the mean and covariance before the activation, with what is measured. Images are not Gaussian, and this is where it could fail.

# %% mystnb={"figure": {"caption": "Exponents before and after the activation, measured and as predicted for Gaussian latents of the same mean and covariance; layers at small scale; mean and standard deviation over seeds, or both of two. Ranks 5 to 50 where there are 100 rows, else 11 to 100.", "name": "tab-mech-activation"}} tags=["hide-input"]


BEHIND = ("images", "after_1", "gaussian_1", "after_4.5", "gaussian_4.5")


def behind_by_seed(name, of):
    window = FEW if name.endswith("-100") else NARROW
    return np.array(list(exponents(name, window, "small", of, BEHIND).values()))


def behind(name, images_name):
    columns = behind_by_seed(name, images_name).T
    label = f"{short(name).short}{suffix(images_name)}"
    return [label, *(notebook.spread(column, 2) for column in columns)]


places = [(name, of) for of in SETS for name in in_small]
places.append(("units-100", "cifar10-whitened"))
lines = [found for place in places if len(found := behind(*place)) > 1]
header = ["rows", "before", "ReLU", "predicted", "ReLU to the 4.5", "predicted"]
Table(header, lines)

# %% tags=["hide-input"]
means = {
    place: behind_by_seed(*place).mean(0) for place in places if behind(*place)[1:]
}
gaps = {
    "relu": {place: abs(of[1] - of[2]) for place, of in means.items()},
    "power": {place: abs(of[3] - of[4]) for place, of in means.items()},
}
glue_all({f"behind-{name}": f"{max(f.values()):.2f}" for name, f in gaps.items()})
worst = behind(*max(gaps["power"], key=gaps["power"].get))
for key, column in (("before", 1), ("measured", 4), ("predicted", 5)):
    glue_all({f"worst-{key}": worst[column]})
named = all(word in worst[0] for word in ("images", "whitened"))
check("largest difference is that of whitened images as rows", int(named), 1)

# %% [markdown]
# Behind a ReLU the formula holds: no exponent is off by more than {glue:text}`behind-relu`, at the mean over seeds.
#
# Behind the power of KH it does not, at least not for all rows and images; the largest difference is {glue:text}`behind-power`, for rows that are whitened images: they have an exponent of {glue:text}`worst-measured` there, where {glue:text}`worst-predicted` is predicted, and of {glue:text}`worst-before` before. A high power looks at the tails of the latents, a few images to which a unit responds most, and two moments know nothing of tails. So there is a prediction
# for a rectified layer, and none, from second moments alone, for the power of the KH model.
#
# ## The predictions
#
# {numref}`tab-mech-predictions` has every prediction of this chapter with its verdict, those that failed as well. Of {glue:text}`mech-count`, {glue:text}`mech-holds` hold, {glue:text}`mech-holds-in-part` hold in part, and {glue:text}`mech-fails` fail. Where a number was known for some seeds when its prediction was written, only the other seeds decide.

# %% tags=["hide-input"]
entries = [entry for entry in predictions.read() if entry.hypothesis == 1]
outcomes = [predictions.evaluate(entry) for entry in entries]
counts = predictions.summary(outcomes)
glue_all(
    {f"mech-{label.replace(' ', '-')}": number for label, number in counts.items()}
)
glue_all({"mech-count": len(outcomes)})

# %% mystnb={"figure": {"caption": "Predictions on the source of the spectrum: what was predicted, what was measured (mean and standard deviation over the seeds that decide, or both of two), the verdict by the rule that was written down with it, and the number of seeds.", "name": "tab-mech-predictions"}} tags=["hide-input"]
prediction_table.table(outcomes)

# %% [markdown]
# ## What follows for a mechanism of power laws
#
# The paper offers local learning as a mechanistic model: a rule, simple enough for biology, from which power-law spectra emerge. In one sense it is. Competition makes rows out of what it sees, and rows made out of images fall as images do. Any rule that does so will do, and so will no rule at all: the Gaussian rows of {numref}`fig-mech-live` know nothing but a covariance.
#
# In another sense it explains little. The exponent is not tuned, or held at a value that would be good for anything. One part is the pixels' own; the other is inherited from the images as well, and changed by how many of them a unit stands for. And one fact is in the way of a comparison with cortex: in mouse visual cortex the power law is there for *whitened* images too {cite}`stringer2019high`. A layer
# that passes on what is in the images has nothing to pass on there, and it shows: before the activation the exponent is {glue:text}`whitened-kh`, nearly that of random rows, and behind it {glue:text}`whitened-kh-behind`, where random rows have {glue:text}`whitened-white-behind`. (Behind a steep activation a slope can come up that nobody passed on: whitened images as rows have {glue:text}`whitened-exemplars-behind` there, since each responds to itself and little else.)
#
# Whether the exponent has to do with robustness is another question, for {ref}`ch-robustness`. But it does not single out the layers of the local rule: those of weight decay and of the Jacobian penalty have larger ones, by the same sum.
#
# ## What would refute it
#
# * A KH layer that is trained on whitened images until its units are at their norm, at any size, and has a power law all the same.
# * A layer of the paper's size that loses hardly anything against perfect alignment, at every rank, and yet misses the sum by much.
# * Rows that do not come closer to the images' exponent as more units share the same images.
#
# The first and the third are lines of {numref}`tab-mech-predictions`, and the second could be read off {numref}`tab-mech-sums`. (Of a hundred rows the sum is not that exact, whoever made them, see {numref}`tab-mech-left`.)
#
# ## What we conclude
#
# * The exponent of a linear layer on images is a sum, and says what the rows look like and how they lie to the images. For the KH layer of the paper, once the units are pruned that its training left unfinished, both summands are that of CIFAR-10: {glue:text}`kh-images-narrow` on images against {glue:text}`twice-narrow` at ranks 11 to 100.
# * Its rows are aligned with the images better than those of the other networks in {numref}`tab-mech-sums`, and about as well as images are. Training images as rows have the same exponents before the activation; behind it KH's spectrum is the flatter one.
# * Part of what was predicted failed: at small scale, on CIFAR-10, the rows of a hundred units fall faster than images do, but only towards the end of their spectrum; with other powers $p$ of the rule they have other exponents from the start. On MNIST, where it was tried, what learning adds depends most on how many images there are for each unit: with as many as in the paper's layer, learned rows have the exponent of as many images.
# * What did not fail is that before the activation a layer is steep where images are, and flat where they are flat: at small scale, on whitened images, local learning makes no steep spectrum.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-mech-turn
# Take the rows of the live KH layer and turn them at random, $M \to M T$ with an orthogonal $T$. Their spectrum on noise is the same to the last digit. What happens to that on images, and to the loss per rank?
# ```
#
# ```{solution} ex-mech-turn
# :class: dropdown
# `rows @ turn(rows.shape[1]).float()` has the singular values of `rows`, and {func}`bioadv.measure.alignment.align` gives the loss. Turned rows meet directions of all variances alike, so that $Q^\top \Sigma_x Q$ is diagonal no longer: the exponent on images falls below the sum, and the loss per rank rises.
# ```
