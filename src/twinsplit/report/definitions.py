"""How each number on the page is defined."""

from twinsplit.report.model import Definition

BG = "Garnier-Brun et al., Biased Generalization in Diffusion Models, arXiv 2603.03469"

_TURNS = (
    Definition(
        "Onset",
        "The step at which the sample-split divergence is lowest after the early transient: from there on the twins part. Located on a "
        "penalised cubic spline of the log-divergence in log step.",
        "argmin over s of D(s)",
        "docs/onset.md",
    ),
    Definition(
        "Test-loss minimum",
        "Where the same kind of spline through the test loss is lowest; not reached when that is at the end of training.",
        "argmin over s of L(s)",
        "docs/onset.md",
    ),
)


def _interval(samples: str) -> Definition:
    return Definition(
        "Interval",
        f"What would change had other networks been trained and other {samples} been held out: both are resampled together, the "
        "networks with Student's t because there are few. It does not cover another kind of data or network.",
        f"Student t over networks, Gaussian over {samples}, 2,000 draws",
        "docs/onset.md",
    )


GENERIC = (
    Definition(
        "Sample-split divergence",
        "How far two networks are apart that learned from disjoint splits: the Kullback-Leibler divergence of their posteriors on the same "
        "noised held-out sample, averaged over samples and pairs.",
        "D(s) = mean over pairs i≠j, samples x of KL(p_i(x₀|x_t) ‖ p_j(x₀|x_t))",
        BG,
    ),
    Definition(
        "Test loss",
        "What the networks are trained to make small, on held-out samples that are in no split.",
        "",
        "",
    ),
    *_TURNS,
    _interval("samples"),
)
"""Of any world."""

OF_SEQUENCES = (
    Definition(
        "Sample-split divergence",
        "How far two networks are apart that learned from disjoint splits: the Kullback-Leibler divergence of their posteriors on the same "
        "noised held-out sequence, summed over tokens, both directions averaged, then averaged over sequences and pairs.",
        "D(s) = mean over pairs i≠j, sequences x of Σ_leaves KL(p_i(x₀|x_t) ‖ p_j(x₀|x_t))",
        BG,
    ),
    Definition(
        "Test loss",
        "Cross-entropy of the clean tokens given the noised sequence, on held-out sequences that share no content with any split, each at "
        "its own time, uniform on 1..T (all at the learned one with fixed-time training); nats per token.",
        "L(s) = −mean log p(x₀ | x_t, t)",
        BG,
    ),
    *_TURNS,
    _interval("sequences"),
    Definition(
        "Oracle divergence, BP_k",
        "Distance from an exact posterior, computed by belief propagation on the tree that made the data; in BP_k the k top levels "
        "are replaced by independent branches, so that a larger k knows only coarser structure.",
        "mean Σ_leaves KL(BP_k(x₀|x_t) ‖ p(x₀|x_t))",
        BG + ", fig. 6",
    ),
    Definition(
        "Oracle and excess term",
        "The loss is what the exact posterior expects the prediction to cost (oracle term) plus the rest (excess). On fresh data the "
        "excess is 0 in expectation (a little above it here, because held-out sequences leave out the splits' contents); below 0 on "
        "training data, the network knows more of these very sequences than the distribution tells.",
        "L = −Σ_x π(x|x_t) log p(x|x_t) + excess",
        BG + ", fig. 4b",
    ),
    Definition(
        "Nearest-neighbour distance",
        "Hamming distance (tokens that differ) of a generated sequence to the nearest one in its network's own split; beside it, that of "
        "held-out sequences, which have never been seen. All networks start from the same noise.",
        "min over training x of #{i : g_i ≠ x_i}",
        BG + ", fig. 4a",
    ),
    Definition(
        "Nearest-neighbour divergence",
        "Divergence of the generated histogram from the held-out one, each count raised by 1/2.",
        "KL(histogram of generated ‖ histogram of held-out)",
        BG + ", fig. 4a",
    ),
)
"""Of sequences."""

OF_IMAGES = (
    Definition(
        "Sample-split divergence",
        "How far two networks are apart that learned from disjoint splits: half the squared distance of their noise predictions on the "
        "same noised held-out image, summed over pixels, averaged over images and pairs. Read as Gaussian posteriors of the clean image, "
        "that is their Kullback-Leibler divergence.",
        "D(s) = mean over pairs i≠j, images x of |ε_i(x_t) − ε_j(x_t)|² / 2",
        BG,
    ),
    Definition(
        "Test loss",
        "Squared error of the predicted noise, on held-out images that share no content with any split, each at its own time, uniform on "
        "1..T (all at the learned one with fixed-time training); averaged over pixels. Every network meets all images with the "
        "normalisation of its own split.",
        "L(s) = mean |ε(x_t, t) − ε|² / pixels",
        BG,
    ),
    Definition(
        "Cosine similarity of noise predictions",
        "Cosine of the angle between two networks' noise predictions on the same noised image at a fixed time, averaged over images and "
        "pairs.",
        "mean ε_i·ε_j / (|ε_i| |ε_j|)",
        BG + ", fig. 2",
    ),
    Definition(
        "Cosine similarity of samples",
        "The same between images that two networks draw from the same x_T and the same step noise, each centred by its own split.",
        "mean x_i·x_j / (|x_i| |x_j|)",
        BG + ", fig. 1a",
    ),
    Definition(
        "Memorized fraction",
        "The share of a network's samples whose distance to the nearest image of its own split is less than a third of that to the second "
        "nearest.",
        "d₁ / d₂ < 1/3",
        "Bonnaire et al., Why Diffusion Models Don't Memorize, arXiv 2505.17638",
    ),
    Definition(
        "Two-sample test",
        "Samples of a network and held-out images, as pictures of 8 bits, are permuted given the training images of its split. The first "
        "statistic is how often a sample is nearer to its nearest training image than a held-out one is, and sees copying; the second is "
        "how often the nearest other image is of the same kind, and sees any difference. A large p only says that so few samples show "
        "none; a small one may also come from sampling in fewer steps than T.",
        "P(d(sample, training) < d(held-out, training)), and the share of nearest neighbours of one kind",
        "Meehan et al. 2020; Schilling 1986",
    ),
    *_TURNS,
    _interval("images"),
)
"""Of images."""
