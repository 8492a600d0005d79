# %% [markdown]
# (ch-claims)=
# # Claims
#
# Which of the paper's statements hold when someone else runs the study? This chapter is a ledger. Each line is a claim, in our
# words; what our runs on CIFAR-10 say about it; and a verdict. The claims and the rules that decide them stand in one file of the
# repository, `book/claims.yaml`, which was committed before most of the runs it judges were finished, and whose rules no result has changed; the sentences in italics and the wording of some claims came afterwards. The verdicts are
# computed when this page is built, from the files in `results/`.
#
# What a verdict means:
#
# * *reproduced*: a number agrees within the tolerance of its rule, or an order or a bound holds in every seed;
# * *reproduced in part*: the number is within three tolerances, or the order or the bound holds in at least half of the comparisons;
# * *not reproduced*: neither;
# * *not testable*: nothing that could be run here would decide it, and the ledger says why;
# * *not measured yet*: the runs it needs are not in `results/`.
#
# A verdict from fewer than three seeds says so. With one seed it is a statement about one training run of ours and one of the authors',
# and no more than that.
# The explorer shows <a href="explorer.html#ledger">what each claim rests on</a>, seed by seed.

# %%
import numpy as np

from bioadv.lab import claims
from bioadv.pages import plots
from bioadv.pages.notebook import Html, Table, escaped, glue_all

plots.use_style()
ledger = claims.read()
verdicts = {claim.id: claims.judge(claim) for claim in ledger}
counts = claims.summary(list(verdicts.values()))
glue_all({"claims": len(ledger)})
glue_all({f"count-{label.replace(' ', '-')}": n for label, n in counts.items()})

# %% [markdown]
# ## The verdicts at a glance
#
# Of {glue:text}`claims` claims, {glue:text}`count-reproduced` are reproduced, {glue:text}`count-reproduced-in-part` in part,
# {glue:text}`count-not-reproduced` are not; {glue:text}`count-not-testable` cannot be tested here, and for
# {glue:text}`count-not-measured-yet` the runs are still missing. {numref}`fig-claims-groups` shows where.

# %% mystnb={"figure": {"caption": "Verdicts by kind of claim; CIFAR-10, 2000 hidden units, the seeds at hand. Computed from the stored results by the rules of the ledger.", "name": "fig-claims-groups"}, "image": {"alt": "Horizontal stacked bars, one for each kind of claim: accuracy, exponents, critical perturbations, geometry and pruning, and statements in words. The colours are the verdicts."}} tags=["hide-input"]
groups = {
    "accuracy": ("accuracy-",),
    "exponents": ("exponent-",),
    "critical perturbations": ("critical-",),
    "Jacobian and pruning": ("plane-", "kh-jac", "bp-jac", "prun"),
}
labels = list(counts)
rows = {name: dict.fromkeys(labels, 0) for name in [*groups, "statements in words"]}
for claim in ledger:
    found = [name for name, heads in groups.items() if claim.id.startswith(heads)]
    rows[(found or ["statements in words"])[0]][verdicts[claim.id].label] += 1
_ = plots.verdict_bars(rows)

# %% [markdown]
# ## The ledger
#
# The second column has our mean over seeds, and the standard deviation where there are several; the last leads to the figure that shows it.


# %% tags=["hide-input"]
def number(values):
    error = f" ± {np.std(values, ddof=1):.1g}" if len(values) > 1 else ""
    return f"{np.mean(values):.4g}{error}"


def measured(verdict):
    lines = {}
    for name, values in verdict.values.items():
        statistic, model = name.rsplit(", ", 1)
        lines.setdefault(statistic, []).append(f"{model}&nbsp;{number(values)}")
    parts = (
        f"{statistic.rsplit(', ', 1)[-1]}: " * (len(lines) > 1) + ", ".join(found)
        for statistic, found in lines.items()
    )
    return Html("<br>".join(parts) or "–")


def line(claim):
    verdict = verdicts[claim.id]
    page, label = claim.figure.split("#")
    link = Html(f'<a href="{page}.html#{label}">{page}</a>')
    why = f" <em>{escaped(claim.why)}</em>" if claim.why else ""
    text = Html(escaped(claim.sentence) + why)
    kind = verdict.label.replace(" ", "-")
    badge = Html(f'<span class="verdict {kind}">{verdict.text}</span>')
    return [text, measured(verdict), badge, link]


header = ["claim of the paper", "here", "verdict", "shown in"]
Table(header, [line(claim) for claim in ledger])

# %% [markdown]
# ## How to read it
#
# A number that agrees is the weakest kind of support: it shows that our code does what theirs did. The statements in words carry the
# paper's argument, and they are about orders between models. Look at those first, then at the numbers behind them.
#
# Where a line says *not reproduced*, there are three possible reasons, and the chapters try to tell them apart: the public code does not do
# what its description says, the quantity depends on a choice that is not stated, or it varies more between training runs than one
# run can show.
#
# ```{admonition} Our remark
# :class: remark
# The body of the paper was not at hand. Its numbers were read from the figures and printed outputs that are stored in the authors' public
# code at commit `e1b82cd`, and may differ from those in print. The authors are invited to reply, and to correct any line of
# `book/claims.yaml`.
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-claims-rule
# Choose a line of the ledger whose verdict you doubt. Which rule would you have written, and does the verdict change?
# ```
#
# ```{solution} ex-claims-rule
# :class: dropdown
# `claims.judge(dataclasses.replace(claim, tolerance=...))` applies another tolerance to the same runs. If the verdict depends on a factor of
# two in it, then the honest verdict is that one does not know.
# ```
