# %% [markdown]
# (ch-intro)=
# # Local learning, spectra and robustness
#
# A reproduction of Holzhausen, Merlid, Torvik, Malthe-Sørenssen and Lepperød, *Exploring Biologically Inspired Mechanisms of Adversarial Robustness*
# ([the paper](https://arxiv.org/abs/2405.00679), [its code](https://github.com/holzhauk/LocalLearning)), that you can read, run and play with.
#
# Networks trained by backpropagation can be fooled by changes of an image too small to see; brains seem to be much harder to fool. The paper asks whether a learning rule that a single synapse could follow makes a network harder to fool. And it offers a reason: the
# responses of such a network vary much in a few directions and less and less in all others, and these variances, its *spectrum*, fall like a power law, as they do in visual cortex.
#
# ```{admonition} In short
# :class: verdict
# {glue:text}`intro-sentence` (Of {glue:text}`intro-claims` claims and numbers of the authors {glue:text}`intro-reproduced` are reproduced, {glue:text}`intro-reproduced-in-part` in part, {glue:text}`intro-not-reproduced` are not, and {glue:text}`intro-not-testable` cannot be tested; of {glue:text}`intro-readings` readings, which make words of the paper definite, {glue:text}`intro-readings-held` hold{glue:text}`intro-readings-verb`.)
# ```
#
# ```{admonition} Three ways in
# :class: ways
# * **Read.** From the learning rule ({ref}`ch-local-learning`) to the {ref}`ch-conclusion`. In ten minutes: this page and the conclusions.
# * **Play.** Fool the networks yourself, in the page, with your own images too: {ref}`ch-explorer`.
# * **Run.** On a laptop without a network, on CIFAR-10, or on a cluster: {ref}`ch-running`.
# ```

# %% tags=["remove-input"]
import numpy as np

from bioadv.lab import (
    claims,
    corrections,
    direction_numbers,
    frontier,
    numbers,
    readout_numbers,
    study,
)
from bioadv.lab.readout_study import stored
from bioadv.lab.runs import paper
from bioadv.pages import plots, plots_frontier, wording
from bioadv.pages.notebook import check, glue_all

plots.use_style()
ledger = claims.read()
verdicts = {claim.id: claims.judge(claim) for claim in ledger}
own = claims.papers(ledger)
counts = claims.summary([verdicts[claim.id] for claim in own])
glue_all({"intro-claims": len(own), "intro-spectral": study.title("specreg")})
glue_all({f"intro-{label.replace(' ', '-')}": n for label, n in counts.items()})
readings = [verdicts[claim.id] for claim in ledger if claim.reading]
held = claims.summary(readings)[claims.REPRODUCED]
glue_all({"intro-readings": len(readings), "intro-readings-held": held or "none"})
glue_all({"intro-readings-verb": "s" * (held < 2)})

# %% tags=["remove-input"]
robust = verdicts["kh-beats-bp"].label
harder = {claims.REPRODUCED: "does", claims.IN_PART: "in part does"}
short = (
    f"the locally learned network {harder.get(robust, 'does not')} resist more than "
    "plain backpropagation, as both were published. At its accuracy, backpropagation "
    "with weight decay and an early end resists nearly as much, and so does a network "
    "with training images, which nobody learned, for weights. "
    "What makes the locally learned network and that of images hard to fool is that they "
    "are attacked along what images differ in by much; and the exponent of the spectrum, at the paper's settings, is the same with images as weights."
)
glue_all({"intro-verdict": short, "intro-sentence": short[0].upper() + short[1:]})

# %% [markdown]
# Three words first. There is a shortest change of an image that flips a network's decision. An *attack* searches for it, and what it finds can only be longer; a *certificate* is a proof that none shorter than its own length exists. And the *readout* is the last layer of a network, which decides by what the hidden layer passes on.
#
# {numref}`fig-intro-hero` is the finding in one picture. Higher is harder to fool, further right is more accurate. KH, the network with the local rule, stands high above BP, plain backpropagation: that is the paper's claim, and it holds. But a line
# runs close to KH: networks trained by backpropagation for a tenth of the time, with *weight decay*, a penalty that keeps weights small, or without. On that line stand *images as weights*, too: training images drawn at random and brought to the lengths of KH's weights, in their place, so that no direction was learned there. And the network whose spectrum is close to that of cortex is easier to fool than BP: "{glue:text}`intro-spectral`", trained with a penalty that asks for such a spectrum (it has one after its activation only).

# %% mystnb={"figure": {"caption": "How accurate each network is on the CIFAR-10 test images, and how long a perturbation has to be, at the median, to change its decision about an image (our best attack; images have a length of about three and a half). A point for each training seed, 2000 hidden units. Bars reach down to what a certificate proves. Line: weight decay in multiples of the published one, from four times down to none, trained for a tenth of the epochs; L2 is the published one, trained ten times as long.", "name": "fig-intro-hero"}, "image": {"alt": "A scatter plot with accuracy to the right and length of the perturbation upwards, logarithmic. KH stands at the upper left, about three times as high as BP, which is at the right; images as weights stand further left and a little higher than KH; random features are at the lower left, a little lower than BP, and the spectral model as stated at the lower right. A line of weight decay falls from the upper left, at four times the published one, through images as weights and close by KH to the right, where there is none; the published L2 model lies to the right of the line."}} tags=["hide-input", "picture"]
best, certain = "PGD in an L2 ball", "certified in L2"
shown = [*study.members("paper"), "exemplars"]
points = frontier.points(shown, best)
proven = {
    model: float(np.mean([norm for _, norm in seeds]))
    for model, seeds in frontier.points(list(points), certain).items()
}
decay = frontier.points(frontier.swept(of_decay=True), best)
_ = plots_frontier.hero(points, proven, decay)

# %% tags=["remove-input"]
median = {m: np.median([norm for _, norm in seeds]) for m, seeds in points.items()}
check("length needed, KH over BP", median["kh"] / median["bp"], 2, 4)
check("KH certified over BP attacked", proven["kh"] / median["bp"], 1)
for key, model in (("equal", "kh"), ("short", "short-kh")):
    low, high = frontier.range_at(model)
    check(f"{study.title(model)} over weight decay of its accuracy", low, 0.95, 1.2)
    check(f"{study.title(model)} over weight decay, at most", high, 1, 1.2)
    glue_all({f"intro-{key}-low": f"{low:.2f}", f"intro-{key}-high": f"{high:.2f}"})
proof = corrections.share_above("kh", "bp", certain, best)
check("share of images on which KH over BP is proven", proof.value, 0.6, 0.75)
glue_all({"intro-proof": wording.hundredths(proof.value, proof.error)})
reverse = corrections.share_above("bp", "kh", certain, best)
glue_all({"intro-reverse": wording.hundredths(reverse.value, reverse.error)})
lead = frontier.lead_at("exemplars", best, "accuracy", common=True)
check("images as weights over weight decay", lead.value, 0.9, 1.15)
ends = numbers.measured("end of the power law", "kh").values()
glue_all({"intro-reach": wording.of_seeds(list(ends), places=0)})
early = numbers.measured("end of the power law, ranks 11 to 100", "kh").values()
glue_all({"intro-reach-low": wording.of_seeds(list(early), places=0)})
glue_all({"intro-reported": paper()["power_law_end"]})

# %% tags=["remove-input"]
sizes = {
    "direction": stored("directions", "paper"),
    "small": stored("directions", models=study.members("readouts")),
}
for key, most in (("direction", 2), ("small", 4)):
    measured = [path for paths in sizes[key].values() for path in paths]
    spans = direction_numbers.ranges(measured)
    low, high = spans["distance"]
    check(f"distance, largest over smallest, {key}", high / low, 1, most)
    glue_all({f"intro-{key}-low": f"{low:.2f}", f"intro-{key}-high": f"{high:.2f}"})
    long = spans["deviation"][1] / spans["deviation"][0]
    check(f"length of one, largest over smallest, {key}", long, 8, 40)
    glue_all({f"intro-{key}-span": f"{long:.0f}"})
of_bp = stored("paths", "paper", ("bp",))["bp"]
glue_all({"intro-bp-trainings": wording.count(len(of_bp), "training")})
ends = readout_numbers.first_beside_best(stored("paths", "paper", ("kh",))["kh"])
glue_all({"intro-path-range": str(readout_numbers.ratio(ends))})

# %% [markdown]
# ## What we found
#
# * **The numbers come out again.** Accuracies, the lengths of the perturbations that are needed, and most exponents are those of the authors' code. The exponent of KH itself is not; {ref}`ch-claims` has each of them beside ours.
# * **KH is harder to fool** than plain backpropagation (BP), as both were published, under every attack tried; and on {glue:text}`intro-proof` of a hundred images that both decide correctly it is proven that KH withstands more than what fools BP, on {glue:text}`intro-reverse` the reverse ({ref}`ch-robustness`).
# * **Why: the direction of the attack.** All networks that were measured at the paper's size are about equally far from another decision, if one counts in standard deviations of the images along the network's gradient: {glue:text}`intro-direction-low` to {glue:text}`intro-direction-high` of them at the median (in small networks {glue:text}`intro-small-low` to {glue:text}`intro-small-high`). But one standard deviation is up to {glue:text}`intro-direction-span` times as long for one network as for another. Weights that look like images are attacked along what images differ in by much ({ref}`sec-ro-directions`).
# * **But it is less accurate, and at its accuracy backpropagation is almost as hard to fool.** With weight decay and a tenth of the training time it comes within a tenth: KH needs {glue:text}`intro-equal-low` to {glue:text}`intro-equal-high` times its perturbation, depending on the attack, and {glue:text}`intro-short-low` to {glue:text}`intro-short-high` times if KH's readout is trained as briefly ({ref}`ch-beyond`). And with readouts that are trained further, the hidden layer of weight decay is ahead of KH's at equal accuracy (level a little beyond KH's own accuracy, ahead further on), and with the best readout of each in accuracy as well; even that of plain backpropagation draws level, and goes ahead, in {glue:text}`intro-bp-trainings` ({ref}`ch-readout`).
# * **Steeper spectra go with harder-to-fool networks, and do not suffice.** In cortex the variance falls as $1/n$ with the rank $n$ of a direction. The networks nearest to that are among the easiest to fool, though not the least accurate. Over models, the faster the variance falls the larger the perturbation that is needed. But KH's hidden layer, with its one spectrum, has readouts that differ by a factor of {glue:text}`intro-path-range` ({ref}`ch-beyond`).
# * **Before the activation there is no power law of the length reported.** The slope is the same nowhere: it wavers up to rank 100 and grows without end beyond. A line that is fitted over the paper's window holds, to within a factor of two, up to rank {glue:text}`intro-reach`, one through the first hundred ranks up to {glue:text}`intro-reach-low`; a public summary of the paper has {glue:text}`intro-reported` (we have not seen the figure behind it), and rounding in single precision can make it look so. After the activation there is a power law, but random weights with an ordinary activation have one as long ({ref}`ch-spectra`).
# * **At the paper's size and parameters the exponent comes from the images.** (Of the layer as the paper prunes it, that is, without the units that its training left unfinished.) Take training images, drawn at random, as the weights: before the activation the exponent is the same, though nothing was learned; beyond the first ten ranks the two spectra run parallel. With other parameters, or few units, the rule makes other exponents, and a part of what we predicted there failed ({ref}`ch-mechanism`).
# * **Part of the robustness is a readout that stays behind.** Another readout on the same hidden layer is more accurate and gives much of it away, and training images that are used as weights come close to KH at equal accuracy ({ref}`ch-readout`).
# * **The smooth landscape needs no learning.** A steep activation brings it about with any weights, and so do weights that have a large part in common, images for example, with an ordinary one ({ref}`ch-geometry`).
# * **Two of the three penalties that KH is compared with are not what they seem:** one is a weight decay, and one, in the run that the authors logged, seems to have left the hidden layer as random as it began ({ref}`ch-regularization`).
#
# {ref}`ch-conclusion` draws these together and says what would change our mind.
#
# ## The models
#
# All models of the paper have two layers, and differ in how the hidden one comes about.
#
# ```{list-table} The models compared.
# :name: tab-intro-models
# :header-rows: 1
# * - model
#   - hidden layer
#   - activation
# * - KH
#   - learned without labels by a local rule in which units compete for each image {cite}`krotov2019unsupervised`
#   - $\max(0, h)^{4.5}$, a steep power
# * - BP
#   - learned by backpropagation
#   - $\max(0, h)$, the plain ReLU
# * - L2, Jacobian, spectral
#   - learned by backpropagation with a penalty on the weights, on the sensitivity to the input
#     {cite}`hoffman2019robust`, or on the deviation of the covariance spectrum from a power law {cite}`nassar2020on`
#   - $\max(0, h)$
# * - random
#   - not learned at all: a {term}`null` that every result is compared with
#   - $\max(0, h)$
# * - images as weights
#   - not learned either: training images, drawn at random, in place of KH's weights; this null is ours
#   - $\max(0, h)^{4.5}$
# ```
#
# The idea behind them: if nearby images are to have nearby representations, the variance of a neural population must fall off fast enough along its
# principal components. In mouse visual cortex it falls like a power law, close to the slowest decay that still allows a smooth representation {cite}`stringer2019high`. The thesis of the paper {cite}`holzhausen2025exploring` is that the
# local rule yields such power laws *and* robust decisions, and so is a possible mechanism behind both.
#
# ## How this book works
#
# **Three scales, and each caption says which,** on which images, and with how many training seeds. *Live cells* train small networks in seconds on patches of real photographs that install with the book, so that you can
# change a number and see what happens. *Paper-scale figures* load what the same code wrote when it ran on CIFAR-10 at the paper's size. Between them, *at small scale*, are networks of a hundred units or a few hundred on ten thousand images, mostly of CIFAR-10: small enough for many variants with five seeds.
#
# **Numbers.** Where two values stand for one thing they are those of two training seeds; with three seeds or more there is a mean ± a standard deviation. A network *needs*, or *withstands*, a perturbation of some length: the one that changes its decision, its critical norm. For a ratio of two models' critical norms, ± is the error from the choice of images and of training seeds; a model that was trained once contributes images only, so what another training of it would give is not in the ±, and of two or three trainings the ± tells less than there is. Under each figure are its data, its code and the runs it was made from. Under a cell, a check
# holds what the text says against what was computed: change the code, and see it fail.
#
# **Three voices** are kept apart by colour:
#
# ```{admonition} The paper
# :class: paper
# What was done for the paper and what it says, by its abstract, its public reviews and the code and notebooks that made its figures; we have not read its printed text.
# ```
#
# ```{admonition} The authors' code
# :class: code
# What the authors' code does where that is not what one would expect from the words: *as coded*, where the words are *as stated*. One model is also *as logged*: as the authors' training log shows it, which fits neither. It always means commit `e1b82cd` of
# `github.com/holzhauk/LocalLearning`.
# ```
#
# ```{admonition} Our remark
# :class: remark
# What we conclude, and what we could not settle.
# ```
#
# Where a statement rests on an inference, it is called one. If you are one of the authors and find something misread, please tell us.
#
# Terms and symbols are collected in {ref}`ch-notation`; a dotted line under a word means that pointing at it shows what it means.
