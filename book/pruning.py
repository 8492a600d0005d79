# %% [markdown]
# (ch-pruning)=
# # Pruning
#
# ```{admonition} The question and the answer
# :class: answer
# Which hidden units does the paper remove after training, by what right, and what changes when they are gone?
#
# Units that never converged, for the most part. That is no cosmetic step: it takes away most of the Jacobian norm before the activation and bends the spectrum. Against attacks, a network that keeps all its units is as robust as the pruned one, in the one training that has both; only noise fools it sooner. The rule that
# chooses them works on a layer like the paper's and can fail on others.
# ```
#
# After training, the paper removes some hidden units of its KH layer: those whose weights vary too much. The step sounds like tidying up, and it is
# described in an appendix. But the representation that all later figures are about is the pruned one, and {ref}`ch-spectra` shows that it bends the
# spectrum. So it is worth asking which units go, by what right, and what changes when they are gone.

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import chi2
from sklearn.mixture import GaussianMixture

from bioadv.data.datasets import unit_lp
from bioadv.data.files import read_arrays
from bioadv.lab import corrections, runner, scales, study
from bioadv.lab.corrections import Comparison
from bioadv.lab.probe_spectra import CRITERIA
from bioadv.lab.runs import paper, stored
from bioadv.measure import powerlaw, spectra
from bioadv.network import layer_health, models, pruning, recipes, training
from bioadv.network import local_learning as ll
from bioadv.network.models import TwoLayer
from bioadv.pages import notebook, plots_spectra, wording
from bioadv.pages.notebook import Table, begin, check, glue_all, observe

data = begin(tests=40)
x, x_test = unit_lp(data.train), unit_lp(data.test)
y, y_test = torch.tensor(data.train.labels), torch.tensor(data.test.labels)
theirs = paper()

# %% [markdown]
# ## What the paper did
#
# ```{admonition} The paper
# :class: paper
# The distribution of the variance of the units' weights has a second mode at large values. The units that belong to it are taken for units that have not
# converged, and their weights are set to zero. A figure in the appendix shows the histogram and the spectra before and after. In the first submission the threshold was a number,
# {glue:text}`threshold`; later a mixture of Gaussians fitted to the logarithms of the variances decides, and if it finds one mode only, nothing is to be pruned.
# ```

# %% tags=["hide-input"]
live = scales.live_scale(data).layer
live = replace(live, epochs=max(2, 3 * live.epochs // 5))
threshold = runner.prune_above(data, live.p, live.radius)
glue_all({"threshold": pruning.PUBLISHED_THRESHOLD, "live-units": live.hidden})
glue_all({"inputs": pruning.PUBLISHED_INPUTS, "live-epochs": live.epochs})
glue_all({"level": pruning.PUBLISHED_LEVEL})
glue_all({"pruned-paper": theirs["pruned_units"]["value"]})
glue_all({"pruned-error": theirs["pruned_units"]["error"]})
glue_all({"pruned-later": theirs["pruned_units_2024"]["value"]})
glue_all({"pruned-later-error": theirs["pruned_units_2024"]["error"]})
largest = pruning.largest_variance(pruning.PUBLISHED_INPUTS)
glue_all({"largest": f"{largest:.4f}"})
shares = {
    "white": pruning.noise_share(),
    "picture": pruning.picture_share(),
    "derived": pruning.threshold(pruning.PUBLISHED_INPUTS) / largest,
    "published": pruning.PUBLISHED_THRESHOLD / largest,
}
glue_all({f"{name}-share": f"{value:.2f}" for name, value in shares.items()})

# %% [markdown]
# (sec-prune-variance)=
# ## What the variance of a unit measures
#
# A converged unit $w$ has $\lVert w \rVert_3 = 1$ (its norm is drawn there, {eq}`eq-kh-norm`), so the size of its weights is fixed and their variance can only tell how they are *shaped*. By the inequality of
# power means,
#
# $$
# \operatorname{var}(w) \;\le\; \frac1D \sum_i w_i^2 \;\le\; \Big( \frac1D \sum_i |w_i|^3 \Big)^{2/3} = \lVert w \rVert_3^2 \; D^{-2/3} ,
# $$ (eq-prune-bound)
#
# which at $D$ = {glue:text}`inputs` inputs and norm one is {glue:text}`largest`. A unit of equal weights has variance zero. White noise has {glue:text}`white-share` of the bound, whatever $D$ is. And
# pictures lie below noise: if no weight is negative, the mean takes its part, and the most that is left is {glue:text}`picture-share` of the bound, $\rho^{1/3}(1 - \rho)$ at its largest, reached when a quarter $\rho$ of the
# pixels is equally bright and the rest is black.
#
# The threshold {glue:text}`threshold` is {glue:text}`published-share` of the bound. It separates the photographs of CIFAR-10 from noise, and with the number of inputs it would have to go as $D^{-2/3}$. But it does not hold for all images:
# handwritten digits, bright strokes on an empty ground, come close to the most that a picture can have, and a healthy layer of digits lies above it as a whole. What does hold for all is the middle between the two limits, the geometric mean of
# pictures and noise, at {glue:text}`derived-share` of the bound ({func}`bioadv.network.pruning.threshold`). This book uses the published number for CIFAR-10 and the photo patches, and the middle for any other images.
#
# Now the converse: a unit whose variance lies *above* the bound cannot have converged. Units start as white noise with variance one and a norm far above one. Those that
# win images are drawn to norm one and become pictures; those that hardly take part keep a part of their noise.

# %%
D = data.train.inputs
generator, bright = torch.Generator().manual_seed(0), torch.zeros(1, 3072)
noise = torch.randn(200, 3072, generator=generator)
bright[:, : 3072 // 4] = 1
for name, rows, share in (
    ("white noise", noise, pruning.noise_share()),
    ("a quarter of bright pixels", bright, pruning.picture_share()),
):
    unit = rows / torch.linalg.vector_norm(rows, 3, dim=1, keepdim=True)
    ratio = float(pruning.variances(unit).mean()) / pruning.largest_variance(3072)
    check(
        f"{name}: variance at norm one over the prediction",
        ratio / share,
        0.99,
        1.01,
    )
observe(
    data,
    "mean variance of the images themselves, over the bound",
    float(pruning.variances(x).mean()) / pruning.largest_variance(D),
    0.1,
    0.25,
)

# %% [markdown]
# ## Which units are pruned
#
# We train a layer of {glue:text}`live-units` units on photo patches, but stop after {glue:text}`live-epochs` epochs, before all have converged, so that there is something to prune.

# %%
generator = torch.Generator().manual_seed(0)
layer = ll.train(x, live, generator, progress=False)
W = layer.synapses
health = layer_health.health(W, x, live)
pruned = pruning.variances(W) > threshold

off_norm = torch.tensor(abs(health.norms - 1) > 0.01)
glue_all({"live-pruned": int(pruned.sum()), "live-off": int(off_norm.sum())})
glue_all({"live-kept-off": int((off_norm & ~pruned).sum())})
observe(
    data, "share pruned by the threshold", float(pruned.float().mean()), 0.05, 0.9
)
observe(
    data,
    "share of these that are off norm",
    float(off_norm[pruned].float().mean()),
    0.7,
    1,
)
bound = torch.tensor(health.norms) ** 2 * D ** (-2 / 3)
check(
    "largest variance over its bound",
    float((pruning.variances(W) / bound).max()),
    high=1,
)

# %% mystnb={"figure": {"caption": "Each unit of a layer that was stopped early (photo patches, 100 units, one seed): distance of its norm from one against the variance of its synapses. Dotted: the published threshold, and the tolerance within which a unit counts as converged.", "name": "fig-prune-live"}, "image": {"alt": "Points on log-log axes. Left of the threshold units lie at all distances from norm one, down to a hundred-thousandth; right of it nearly all lie on a rising line of distances from a twentieth to ten, and three far below it."}} tags=["hide-input"]
_ = plots_spectra.norm_and_variance(
    pruning.variances(W).numpy(), health.norms, health.wins, threshold
)

# %% [markdown]
# The quadrants of {numref}`fig-prune-live` tell the story. To the right of the threshold almost all units are off norm. But so are {glue:text}`live-kept-off` of those on its left: the norm, whose tolerance is known in advance, would prune {glue:text}`live-off` of the {glue:text}`live-units` units where the variance prunes {glue:text}`live-pruned`. {numref}`fig-prune-filters` shows a few units of each kind.

# %% mystnb={"figure": {"caption": "Synapses of units that the threshold keeps (above) and prunes (below), evenly spaced by rank of variance; the same layer (photo patches, 100 units, one seed).", "name": "fig-prune-filters"}, "image": {"alt": "Two rows of ten small colour pictures. Above: plain colours, gradients and stars, three of the ten under coloured noise. Below: mostly coloured noise with hardly a picture under it, but for one smooth gradient; the last is only noise."}} tags=["hide-input", "picture"]


def some(chosen, count=10):
    ranked = np.flatnonzero(chosen)[np.argsort(pruning.variances(W)[chosen])]
    if not len(ranked):
        return np.full((count, D), 128)
    rows = W[
        ranked[np.linspace(0, len(ranked) - 1, count).round().astype(int)]
    ].numpy()
    scale = np.quantile(np.abs(rows), 0.99, axis=1, keepdims=True)
    return np.clip(0.5 + 0.5 * rows / scale, 0, 1) * 255


groups = {"kept": some(~pruned.numpy()), "pruned": some(pruned.numpy())}
_ = plots_spectra.filter_rows(groups, data.train.shape)

# %% [markdown]
# ## What pruning changes
#
# Pruning sets rows of $M$ to zero. What the layer passes on and how sensitive it is can be compared directly: the norm of the Jacobian before the activation is $\lVert M \rVert$, and large weights enter
# its square with their *fourth power* ($M = W|W|$). So a few units that have not converged can make up most of it. A readout is trained on each version, and in this small layer, stopped early, pruning changes its accuracy by {glue:text}`live-gain` points: the units that go still carry something. {numref}`fig-prune-live-spectra` has the spectra of both.

# %%
M = ll.metric(W, live.p)
share = float(M[pruned].square().sum() / M.square().sum())
observe(data, "pruned units' share of the squared Jacobian norm", share, 0.3, 1)


def accuracy(metric):
    model = TwoLayer(D, len(metric), len(data.train.classes), study.KH_POWER)
    model = models.init(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        _ = model.hidden.copy_(metric)
        latent = model.after(x)
    recipe = recipes.Recipe("constant", epochs=60, batch=250)
    generator, options = torch.Generator().manual_seed(0), {"progress": False}
    run = training.fit(
        model, latent, y, recipe, generator, readout_only=True, **options
    )
    return training.accuracy(run.model, x_test, y_test)


gain = accuracy(pruning.prune(M, pruned)) - accuracy(M)
observe(data, "accuracy, pruned minus raw", gain, -0.25, 0.02)
glue_all({"live-gain": f"{100 * gain:.1f}".replace("-", "\N{MINUS SIGN}")})

# %% mystnb={"figure": {"caption": "Spectra before the activation, raw and pruned, of the layer stopped early: test images of the photo patches, and noise; 100 units, one seed. In units of the latent squared.", "name": "fig-prune-live-spectra"}, "image": {"alt": "Two log-log panels. The raw spectra lie above the pruned ones everywhere, on noise by two orders of magnitude at the first rank; the pruned ones end at a lower rank."}} tags=["hide-input"]
noise = torch.randn(2000, D, generator=torch.Generator().manual_seed(1))
panels = {}
for title, images in (("test patches", x_test), ("noise", noise)):
    of = spectra.moments(images @ M.T)
    kept = (~pruned).nonzero()[:, 0]
    panels[title] = {"raw": spectra.eigenspectrum(of).numpy()}
    if len(kept):
        panels[title]["pruned"] = spectra.eigenspectrum(of, kept).numpy()
_ = plots_spectra.pruned_spectra(panels)

# %% [markdown]
# ## Where to cut: the mixture as coded
#
# The later version of the code fits Gaussian mixtures to the logarithms of the variances, first one component, then two, and so on. Written in its own order, slips included:


# %%
def published(log_variance, starts=pruning.PUBLISHED_MEANS):
    """The sequence of ``StatisticGardener``, as coded: the order that is kept, and the mixture."""
    data, order, better = log_variance[:, None], 1, True
    score = GaussianMixture(1).fit(data).score(data) * len(data)
    while better and order < len(starts):
        order += 1  # raised before the test
        means = np.reshape(starts[:order], (-1, 1))
        mixture = GaussianMixture(
            order, means_init=means, max_iter=2000, random_state=0
        )
        larger = mixture.fit(data).score(data) * len(data)
        better = chi2.sf(2 * (larger - score), 3) < pruning.PUBLISHED_LEVEL
        score = larger
    return order, mixture  # if the test rejects it, it is returned all the same


# %% [markdown]
# * The number of components is raised *before* the test, and the mixture that the test has just rejected is the one that is used. The smallest result is two. A layer with a single mode is pruned as well, although
#   comments in the code say that it is not.
# * The test compares twice the gain in log likelihood with a $\chi^2$ distribution. That is not the distribution of this quantity: under one component the second has no defined place, and the usual theory fails. What is
#   more, the fit of the mixture stops early at the library's tolerance, so the gain is too small, and the test too timid.
# * The starting means are fixed, and log variances outside a fixed range are not looked at; means and range are chosen for one layer size.
#
# Units drawn from *one* Gaussian show the first two points.

# %%
rng = np.random.default_rng(0)
one_mode = rng.normal(-7.1, 0.2, 2000)
order, _ = published(one_mode)
check("as coded: components found in a layer with one", order, 2, 4)
found = pruning.published_mixture(torch.from_numpy(np.exp(one_mode)))
check("as coded: components, package minus these lines", found.order - order, 0, 0)
share = float(found.prunes(torch.from_numpy(np.exp(one_mode))).float().mean())
check("as coded: share of units pruned from it", share, 0.01, 1)

# %%
p_values = []
starts = np.reshape(pruning.PUBLISHED_MEANS[:2], (-1, 1))
for _ in range(30):
    sample = rng.normal(-7.1, 0.3, (2000, 1))
    one = GaussianMixture(1).fit(sample)
    two = GaussianMixture(2, means_init=starts, max_iter=2000).fit(sample)
    gain = 2 * len(sample) * (two.score(sample) - one.score(sample))
    p_values.append(chi2.sf(gain, 3))
below = np.mean(np.array(p_values) < 0.5)
check("share of p-values below one half (a valid test: half)", below, 0, 0.3)

# %% [markdown]
# ### A corrected rule
#
# Three changes: the order is chosen by the Bayesian information criterion, with the mixtures of scikit-learn {cite}`pedregosa2011scikit`, several random starts and no fixed means or range; units are pruned only if the fitted density has a *separate mode* above
# its heaviest component, behind a valley less than half as high; and the cutoff is the bottom of that valley. A skewed distribution is not two modes, even if two Gaussians fit it better than one.
# {func}`bioadv.network.pruning.mixture` does this, and {func}`bioadv.network.pruning.bootstrap_order` tests one component against two by drawing the reference distribution instead of looking it up.

# %% mystnb={"figure": {"caption": "Two thousand synthetic units with one mode: log variances, the mixture that each rule fits to them, and its cutoff, the upright line, where there is one. One seed.", "name": "fig-prune-unimodal"}, "image": {"alt": "Two panels with the same bell-shaped histogram. Left, published rule: two components and a cutoff at the left edge of the bell. Right, corrected rule: one component and no cutoff."}} tags=["hide-input"]


def parts(mixture):
    cutoff = np.nan if mixture.cutoff is None else mixture.cutoff
    return mixture.means, mixture.deviations, mixture.weights, cutoff


corrected = pruning.mixture(torch.from_numpy(np.exp(one_mode)))
_ = plots_spectra.mixtures(
    one_mode, {"as coded": parts(found), "corrected": parts(corrected)}
)
check("corrected: components found in a layer with one", corrected.order, 1, 1)

# %%
main, upper = rng.normal(-7.1, 0.3, 1900), rng.normal(-6.1, 0.08, 100)
two_modes = np.concatenate([main, upper])
with_shoulder = np.concatenate([main[:1500], rng.normal(-7.9, 0.5, 400), upper])


def told_apart(rule, log_variances):
    """Share of units that are kept or pruned rightly; the last hundred are to go."""
    variance = torch.from_numpy(np.exp(log_variances))
    return np.mean(
        rule(variance).prunes(variance).numpy() == (np.arange(2000) >= 1900)
    )


check(
    "corrected: share told apart, two modes",
    told_apart(pruning.mixture, two_modes),
    0.97,
    1,
)
check(
    "corrected: share told apart, with a shoulder",
    told_apart(pruning.mixture, with_shoulder),
    0.97,
    1,
)
wrong = told_apart(pruning.published_mixture, two_modes)
check("as coded: share told apart, two modes", wrong, 0, 0.6)
right = told_apart(pruning.published_mixture, with_shoulder)
check("as coded: share told apart, with a shoulder", right, 0.9, 1)

# %% [markdown]
# The corrected rule leaves the single mode alone and finds the second one where there is one. The rule as coded prunes whatever lies above the middle of its two uppermost components, and these need not be modes. Its second component starts far
# below the main mode. If there is nothing for it to find, the test stops the search there, the upper mode is never looked for, and most of the layer lies above the cutoff (the upright line in the left panel of {numref}`fig-prune-unimodal`), with two modes as
# with one. It works only if the main mode has a shoulder below it as well. The layer of the paper happens to have that shoulder.
#
# ## The same at the paper's scale
#
# {numref}`fig-prune-histogram` is the paper's histogram for the layers that we trained on CIFAR-10, with the counts of the authors' layer as read from their stored figure.

# %% tags=["hide-input"]
folders = stored("kh-layer", "pruning.json")
measured = [read_arrays(run / "pruning.npz") for run in folders.values()]
logs = [read_arrays(run / "log.npz") for run in folders.values()]
names = {"raw": "raw", "threshold": "fixed threshold"}
names |= {"mixture_published": "mixture, as coded", "mixture": "mixture, corrected"}


def count(index):
    return notebook.spread(
        [float(seed["pruned"][index].sum()) for seed in measured], 0
    )


glue_all({f"pruned-{name}": count(i) for i, name in enumerate(CRITERIA)})
threshold = CRITERIA.index("threshold")
each = [str(seed["pruned"][threshold].sum()) for seed in measured]
glue_all({"pruned-each": ", ".join(each)})

# %% mystnb={"figure": {"caption": "Variance of the synapses of the two thousand units after 1000 epochs on CIFAR-10, first seed, with the cutoffs of the three rules. Outline: the authors' layer, whose counts were read from their figure.", "name": "fig-prune-histogram"}, "image": {"alt": "A histogram with a broad peak near 0.0008 and a second, lower one near 0.002; three vertical lines, from 0.0015 to 0.0017, stand between them. The outline has the same main peak and a smaller second mode."}} tags=["hide-input"]
reference = np.array(theirs["variance_histogram"]["counts"])
if measured:
    cutoffs = dict(zip(names.values(), measured[0]["cutoffs"], strict=True))
    _ = plots_spectra.variance_histogram(
        measured[0]["variances"],
        cutoffs,
        reference,
        theirs["variance_histogram"]["width"],
    )

# %% [markdown]
# The main mode is where theirs is. How many units are in the second varies with the run: in the layer of their submission the threshold prunes {glue:text}`pruned-paper` ± {glue:text}`pruned-error` units (± is what reading a figure leaves open); in ours, seed by seed: {glue:text}`pruned-each`. Of the layer that they trained again in 2024 the mixture pruned about {glue:text}`pruned-later` ± {glue:text}`pruned-later-error`, counted on a sample.
#
# The three rules nearly
# agree, since the modes are well apart: {glue:text}`pruned-mixture_published` by the mixture as coded and {glue:text}`pruned-mixture` by the corrected one. A few units lie far outside of the histogram, most of them at the variance of the initial weights: those have never
# learned anything. The mixture as coded does not see them, but its cutoff removes them. {numref}`fig-prune-mixture` shows both fits.

# %% mystnb={"figure": {"caption": "Log variances of the same layer (CIFAR-10, first seed) and the mixtures fitted to them. Thin: components; thick: their sum; upright: the cutoff. The units that never learned lie beyond the right edge.", "name": "fig-prune-mixture"}, "image": {"alt": "Two panels with a main bell, a shoulder to its left and a narrow second mode to its right. Both mixtures have a narrow component on the second mode and a cutoff in the gap before it."}} tags=["hide-input"]
if measured:
    fitted = {
        names[rule]: (
            *(
                measured[0][f"{rule}_{k}"]
                for k in ("means", "deviations", "weights")
            ),
            float(measured[0]["cutoffs"][CRITERIA.index(rule)]),
        )
        for rule in ("mixture_published", "mixture")
    }
    _ = plots_spectra.mixtures(np.log(measured[0]["variances"]), fitted)

# %% mystnb={"figure": {"caption": "Each unit of the same layer (CIFAR-10, first seed): distance of its norm from one against its variance; crosses: units that win no training image after training. Dotted: threshold and tolerance.", "name": "fig-prune-norm"}, "image": {"alt": "A log-log cloud of two thousand points. A large cloud of dots below the tolerance, nearly all of it left of the threshold. Above the tolerance three clusters of crosses: one right of the threshold, a tenth off norm; a smaller one left of it; and a few points at the far upper right."}} tags=["hide-input"]
if measured:
    _ = plots_spectra.norm_and_variance(
        measured[0]["variances"],
        measured[0]["norms"],
        logs[0]["wins"],
        pruning.PUBLISHED_THRESHOLD,
    )

# %% [markdown]
# {numref}`fig-prune-norm` says what the pruned units are, and it is more than a histogram can tell. Dots turn to crosses at the horizontal line: every unit that has converged wins some image, and of the others, {glue:text}`unsettled` in the layer that is drawn, all but {glue:text}`unsettled-winning` win none. That is {eq}`eq-kh-norm` at work, where responses are positive: who takes part arrives.
#
# Most units to the right of the threshold are crosses. That fits the authors' interpretation, units that dropped out of the competition: they have not converged, and they win nothing any more. When they dropped out the figure does not say.
#
# But variance is an indirect sign of that, and it makes mistakes of both kinds. It prunes
# {glue:text}`pruned-converged` units that have converged and win, and it keeps {glue:text}`kept-idle` that have done neither (the crosses on the left). The first of the pruned units in {numref}`fig-prune-units` is such a mistake: its variance is large because it is a sharp picture. So are many
# of the units that are kept: at this size units remember single training images.

# %% tags=["hide-input"]
gone = [seed["pruned"][threshold] for seed in measured]
off = [abs(seed["norms"] - 1) > 0.01 for seed in measured]
idle = [log["wins"] == 0 for log in logs]
marks = list(zip(gone, off, idle, strict=True))
converged = [float((g & ~o & ~i).sum()) for g, o, i in marks]
remaining = [float((~g & o & i).sum()) for g, o, i in marks]
won = int((off[0] & ~idle[0]).sum()) if measured else 0
glue_all({"unsettled": int(off[0].sum()) if measured else "–"})
glue_all({"unsettled-winning": won})
glue_all(
    {
        "pruned-converged": notebook.spread(converged, 0),
        "kept-idle": notebook.spread(remaining, 0),
    }
)

# %%
for g, o, i in zip(gone, off, idle, strict=True):
    check("share of the pruned that are off norm", o[g].mean(), 0.7, 1)
    check("share of the kept that are off norm", o[~g].mean(), 0, 0.1)
    check("share of units off norm that win nothing", i[o].mean(), 0.9, 1)
    check("share of units at norm one that win nothing", i[~o].mean(), 0, 0)

# %% mystnb={"figure": {"caption": "Synapses of kept (above) and pruned units (below) of the same layer (CIFAR-10, first seed), evenly spaced by rank of variance.", "name": "fig-prune-units"}, "image": {"alt": "Two rows of twelve small colour pictures. Above: from pale blobs to sharp photographs of cars, trucks, an aeroplane and a bird. Below: one sharp picture of a red lorry, then only coloured noise."}} tags=["hide-input", "picture"]
if measured:
    pictures = dict(zip(("kept", "pruned"), measured[0]["pictures"], strict=True))
    _ = plots_spectra.filter_rows(pictures, (32, 32, 3))

# %% [markdown]
# ### What it does to the spectrum
#
# {numref}`fig-prune-spectra` is the other half of the paper's figure, and {numref}`tab-prune` has the numbers.

# %% mystnb={"figure": {"caption": "Spectra before the activation on the CIFAR-10 test images and on Gaussian noise, raw (dotted) and pruned by each rule, float64, first seed; in units of the latent squared.", "name": "fig-prune-spectra"}, "image": {"alt": "Two log-log panels. On images the raw spectrum lies above the pruned ones at the first ranks, close to them around rank 100, and slightly above them further on; the pruned ones coincide. On noise four raw eigenvalues stand orders of magnitude above the pruned ones, which agree with each other."}} tags=["hide-input"]
if measured:
    panels = {
        title: {
            label: measured[0][f"{source}_{rule}"] for rule, label in names.items()
        }
        for source, title in (
            ("images", "test images"),
            ("noise", "Gaussian noise"),
        )
    }
    _ = plots_spectra.pruned_spectra(panels)

# %% mystnb={"figure": {"caption": "What each rule does to the layer trained on CIFAR-10: norm of the Jacobian before the activation, root mean square of that after it, and exponents $\\alpha$ of the spectra before the activation (float64), on images over ranks 11 to 500 and 11 to 100, on noise over ranks 11 to 100. Mean and standard deviation over five training seeds.", "name": "tab-prune"}} tags=["hide-input"]


def alphas(source, rule, window):
    fits = (powerlaw.fit(seed[f"{source}_{rule}"], window) for seed in measured)
    return notebook.spread([found.alpha for found in fits], 2)


for label, rule in (("raw", "raw"), ("pruned", "threshold")):
    bends = [
        powerlaw.fit(seed[f"images_{rule}"], powerlaw.IMAGES).alpha
        - powerlaw.fit(seed[f"images_{rule}"], powerlaw.NOISE).alpha
        for seed in measured
    ]
    ends = f"{min(bends):.2f} to {max(bends):.2f}" if bends else "–"
    glue_all({f"bend-{label}": ends})
header = ["rule", "‖∂h/∂x‖", "‖∂a/∂x‖", "α, to 500", "α, to 100"]
header += ["α, noise"]
rows = [
    [label]
    + [
        notebook.spread([seed["jacobian"][k][i] for seed in measured], d)
        for k, d in ((0, 1), (1, 1))
    ]
    + [alphas("images", rule, w) for w in (powerlaw.IMAGES, powerlaw.NOISE)]
    + [alphas("noise", rule, powerlaw.NOISE)]
    for i, (rule, label) in enumerate(names.items())
]
Table(header, rows)

# %% [markdown]
# What to look for: on noise, the raw spectrum starts with a few eigenvalues that tower over the rest. They belong to the units that never learned, one direction each.
#
# On images, removing units can only lower each eigenvalue
# (Cauchy's interlacing theorem), but it does so unevenly: the first ranks by a large factor, those around the fiftieth to hundredth least, and those towards the five hundredth more again, the more units go. So the pruned spectrum bends more: raw, the
# exponents at the two windows differ by {glue:text}`bend-raw`, pruned by {glue:text}`bend-pruned`. Neither is straight to the end ({ref}`ch-spectra`); the raw one stays straight for longer. Pruning changes far more than the first components.
#
# Before the activation the effect on the Jacobian is large: a few units of the initial size carry nearly all of $\lVert M \rVert$. Whoever compares this norm of KH with that of other models compares mostly whether these were removed. After the activation it is smaller, below a factor of two.

# %%
for seed in measured:
    before, after = seed["jacobian"][0][:2]
    name = "Jacobian norm before the activation, raw over pruned"
    check(name, before / after, 2)
    wide, narrow = (
        [
            powerlaw.fit(seed[f"images_{rule}"], w).alpha
            for rule in ("raw", "threshold")
        ]
        for w in (powerlaw.IMAGES, powerlaw.NOISE)
    )
    check(
        "raw: exponent at ranks 11 to 500 minus at 11 to 100",
        wide[0] - narrow[0],
        -0.2,
        0.2,
    )
    check("pruned: the same difference", wide[1] - narrow[1], 0.2, 0.8)

# %%
for seed in measured:
    lowered = seed["images_raw"][:1500] / seed["images_threshold"][:1500]
    over = "eigenvalues, raw over pruned"
    check(f"{over}: smallest, ranks up to 1500", lowered.min(), 0.999)
    check(f"{over}: largest, ranks 40 to 110", lowered[39:110].max(), 1, 1.5)
    check(f"{over}: largest, ranks 100 to 500", lowered[99:500].max(), 1.3, 4)

# %% [markdown]
# ### What it does to robustness
#
# Before the activation pruning changes the exponent and makes the Jacobian many times smaller; after it, where the readout looks, both change little. If robustness came from what stands before the activation, pruning should change it. So a readout was trained on a layer that kept all its units as well, in every other way as for KH ({glue:text}`prune-trainings`), and attacked like the others ({ref}`ch-robustness`). {numref}`tab-prune-robust` has both networks side by side.

# %% tags=["hide-input"]
both = corrections.shared("kh-unpruned", "kh")
MEASURES = {
    "half": "noise, half of the draws",
    "pgd": "PGD (as coded)",
    "best": "PGD in an L2 ball",
    "certified": "certified in L2",
}
over_pruned = {
    key: corrections.compared([Comparison((pair,)) for pair in both], measure, True)
    for key, measure in MEASURES.items()
}
glue_all({f"prune-over-{key}": str(ratio) for key, ratio in over_pruned.items()})
glue_all({"prune-trainings": wording.count(len(both), "training")})
gains = [100 * (part.accuracy - whole.accuracy) for whole, part in both]
lost = notebook.spread(gains, 1).replace("-", "\N{MINUS SIGN}")
glue_all({"prune-gain": lost})

# %% mystnb={"figure": {"caption": "KH on CIFAR-10, the same layer with all its units and pruned by the threshold, each with its own readout; of the training seeds that have both. Accuracy on the test images; exponents before and after the activation (ranks 11 to 500, float64); then, on images that both decide correctly, the median L2 length that changes the decision: of noise, in half of the draws; of the authors' attack, PGD, which follows the gradient in small steps; of our best attack; and the length below which a proof rules out any change. An image is about three and a half long, so noise has to be longer than the image.", "name": "tab-prune-robust"}} tags=["hide-input"]


def fitted(run, key):
    return powerlaw.fit(run.arrays("spectra")[key], powerlaw.IMAGES).alpha


for side, label in enumerate(("all", "pruned")):
    for place in ("before", "after"):
        exponents = [fitted(pair[side], f"images_{place}") for pair in both]
        glue_all({f"prune-{place}-{label}": notebook.spread(exponents, 2)})


def row(label, side):
    chosen = [pair[side] for pair in both]
    medians = [
        [corrections.medians(pair, measure, common=True)[side] for pair in both]
        for measure in MEASURES.values()
    ]
    cells = [notebook.spread([run.accuracy for run in chosen], 4)]
    for key in ("images_before", "images_after"):
        cells.append(notebook.spread([fitted(run, key) for run in chosen], 2))
    places = (2, 3, 3, 3)
    return [label, *cells, *map(notebook.spread, medians, places)]


columns = [
    "units",
    "accuracy",
    "α before",
    "α after",
    "noise",
    "PGD",
    "best",
    "proof",
]
Table(columns, [row("all", 0), row("pruned", 1)])

# %% [markdown]
# It does not. Against our best attack the network with all its units withstands {glue:text}`prune-over-best` times as much as the pruned one, against PGD as coded {glue:text}`prune-over-pgd` times, and as much is certified ({glue:text}`prune-over-certified` times). Noise fools it sooner: half of the draws do at {glue:text}`prune-over-half` times the length. We infer, and have not measured, why: weights without a picture are of little use to a readout, so that a short attack gains little through them, but noise drives them more than others.
#
# So what the paper shows of robustness does not hang on this step. The exponent before the activation, {glue:text}`prune-before-all` with all units and {glue:text}`prune-before-pruned` without, goes with no difference in robustness. The one after it, {glue:text}`prune-after-all` and {glue:text}`prune-after-pruned`, hardly changes, so this says nothing about that one.

# %%
for key in ("best", "pgd") if both else ():
    check(f"all units over pruned: {key}", over_pruned[key].value, 0.93, 1.07)
if both:
    check("all units over pruned: noise", over_pruned["half"].value, 0.7, 0.95)
for whole, part in both:
    check("accuracy, all units", whole.accuracy - part.accuracy, -0.01, 0.01)
    check("exponent, all units", fitted(whole, "images_before"), 2.6, 3.0)

# %% [markdown]
# ## What the authors' code does
#
# ```{admonition} The authors' code
# :class: code
# * **Threshold.** The submission prunes above {glue:text}`threshold`, whatever the layer. We use this for the KH models of the study on CIFAR-10; it does not hold for all images ({ref}`sec-prune-variance`).
# * **Mixture.** The later code raises the number of components before the test and keeps the mixture that was rejected, so no layer is ever found to have one mode, and one whose main mode has no shoulder below it loses most of its units. On the paper's layer it works.
# * **Test.** A likelihood-ratio test with $\chi^2$ of three degrees of freedom at level {glue:text}`level`; neither the distribution nor the early stopping of the fit is right.
# * **Constants.** Starting means and the range of log variances are those of one layer size.
# * **File format.** The script saves the pruned layer in another form than the training notebook reads, so the pipeline, as coded, does not run from start to end.
# ```
#
# ## What we conclude
#
# * Most pruned units did not converge and do not compete. At this size their removal changes accuracy by {glue:text}`prune-gain` points and robustness to attacks not at all; against noise it helps ({glue:text}`prune-trainings`). Their norm, or whether they win anything, says so more directly than their variance, which takes some sharp pictures for noise and overlooks idle units of low variance.
# * The mixture as coded works on a layer like the paper's, with a shoulder below its main mode and a second mode above, and can fail badly on others. On our layers with the paper's settings the three rules prune {glue:text}`pruned-threshold`, {glue:text}`pruned-mixture_published` and {glue:text}`pruned-mixture` units.
# * Pruning is not cosmetic. It lowers the Jacobian, by a large factor before the activation and by less than two after it, and it bends the spectrum, not only at its first ranks.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-prune-sparse
# For which weights is the bound {eq}`eq-prune-bound` reached? What is the variance of a unit with a single nonzero weight and norm one?
# ```
#
# ```{solution-start} ex-prune-sparse
# :class: dropdown
# ```

# %%
inputs = pruning.PUBLISHED_INPUTS
bound = pruning.largest_variance(inputs)
signs = torch.ones(inputs, dtype=torch.float64)
signs[::2] = -1
signs *= inputs ** (-1 / 3)  # norm one, mean zero
check("alternating signs, over the bound", float(signs.var()) / bound, 0.99, 1.01)
single = torch.zeros(inputs, dtype=torch.float64)
single[0] = 1
check("a single weight, over the bound", float(single.var()) / bound, 0, 0.1)

# %% [markdown]
# Both inequalities are equalities if all weights have the same magnitude and their mean is zero. A single weight has variance $1/D$, far below: variance at fixed $\lVert w \rVert_3$ measures how *evenly and without a mean* the weights are spread, and so
# it finds noise, not sparseness.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-prune-norm
# Prune the live layer by its norm instead, with the tolerance of a hundredth. How many units differ from the choice by variance, and which?
# ```
#
# ```{solution} ex-prune-norm
# :class: dropdown
# `off_norm` above is this choice. Those that only the norm prunes are the ones in the upper left of {numref}`fig-prune-live`: pictures already, but still on their way to norm one. In the layer at the paper's scale they are the idle cluster on the left of {numref}`fig-prune-norm`, {glue:text}`kept-idle` units, and not on their way any more.
# ```
#
# ```{exercise}
# :label: ex-prune-bootstrap
# Test one component against two with {func}`bioadv.network.pruning.bootstrap_order`, for the variances `torch.from_numpy(np.exp(one_mode[::10]))` and for those of `two_modes`, with `replicates=19`. What is the smallest p-value that it can give, and why is that enough?
# ```
#
# ```{solution-start} ex-prune-bootstrap
# :class: dropdown
# ```

# %%
for name, sample, low, high in (
    ("one", one_mode, 0.1, 1),
    ("two", two_modes, 0, 0.1),
):
    few = torch.from_numpy(np.exp(sample[::10]))
    p = pruning.bootstrap_order(few, replicates=19)
    check(f"{name} mode(s): p-value", p, low, high)

# %% [markdown]
# With nineteen draws from the fitted single Gaussian the smallest value is one in twenty: the observed gain beats all of them. More draws make the value finer but cannot change the verdict at that level.
#
# ```{solution-end}
# ```
