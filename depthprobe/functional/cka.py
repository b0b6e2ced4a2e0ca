"""How alike two representations are: linear CKA from unbiased HSIC over minibatches (Nguyen et al. 2021).

A minibatch is n examples, each with its features in two representations. HSIC of every minibatch is unbiased whatever
its size, so means over minibatches estimate HSIC of the whole, and CKA is a ratio of such means:
mean HSIC(x,y) / √(mean HSIC(x,x) · mean HSIC(y,y)).
"""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.terms import METRICS

NGUYEN = "Nguyen, Raghu, Kornblith 2021, arXiv:2010.15327"
SONG = "Song et al. 2012, JMLR 13 (HSIC_1)"
LEAST = 4
"""Examples without which unbiased HSIC is not defined."""


def gram(x: Tensor) -> Tensor:
    """Inner products (...,n,n) of the features x (...,n,C) of n examples, float64, features centred over examples.

    Convention: centring changes no HSIC of `hsic`; it keeps large means from drowning the rest in rounding.
    """
    x = x.double()
    centred = x - x.mean(-2, keepdim=True)
    return centred @ centred.mT


@METRICS.register("hsic", unit="1", better="none", source=SONG, inputs="grams")
def hsic(grams: Tensor) -> Tensor:
    """Unbiased HSIC of every pair of L representations of the same n examples, linear kernel.

    Convention: grams (B,L,n,n) of `gram`, B minibatches; returns (B,L,L), symmetric, float64; may be negative where
    representations have nothing in common. Scales with the square of either's features. With K̃ a Gram matrix without
    its diagonal: [tr K̃L̃ + 1ᵀK̃1 1ᵀL̃1 / ((n-1)(n-2)) - 2 1ᵀK̃L̃1 / (n-2)] / (n (n-3)).

    Raises:
        ValueError: on less than 4 examples.
    """
    sizes = check_shapes(grams=(grams, "b l n n"))
    n = sizes["n"]
    if n < LEAST:
        raise ValueError(f"Expected at least {LEAST} examples, but got {n}; HSIC has no unbiased estimate of fewer.")
    bare = grams - torch.diag_embed(grams.diagonal(dim1=-2, dim2=-1))
    flat, sums = bare.flatten(2), bare.sum(-1)
    total = sums.sum(-1, keepdim=True)
    product = flat @ flat.mT + total @ total.mT / ((n - 1) * (n - 2)) - 2 * (sums @ sums.mT) / (n - 2)
    return product / (n * (n - 3))


@METRICS.register("cka", unit="1", better="none", source=NGUYEN, inputs="hsic")
def cka(terms: Tensor) -> Tensor:
    """Linear CKA of every pair of representations from their HSIC.

    Convention: terms (...,L,L) of `hsic`, of one minibatch or the mean of several (the mean first, then the ratio);
    returns (...,L,L), 1 on the diagonal; NaN where a representation's own HSIC is not positive (it is constant).
    """
    own = terms.diagonal(dim1=-2, dim2=-1)
    own = own.where(own > 0, torch.nan).sqrt()
    return terms / (own[..., :, None] * own[..., None, :])


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA of two representations, of the same network or of two, over minibatches.

    Convention: x (B,n,C), y (B,n,D): B minibatches of the same n examples; returns a scalar, float64. 1 for x and x
    turned by an orthogonal matrix or scaled; about 0, of either sign, for independent ones.

    Raises:
        ValueError: on unequal numbers of minibatches or examples, or less than 4 examples.
    """
    check_shapes(x=(x, "b n c"), y=(y, "b n d"))
    return cka(hsic(torch.stack([gram(x), gram(y)], 1)).mean(0))[0, 1]
