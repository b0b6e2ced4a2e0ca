"""Maps of mass for the tests of transport, and slow references written from the definitions."""

import numpy as np
import torch
from scipy.special import logsumexp


def room(h, w, seed=0):
    """Depth of an empty box-shaped room with a pillar, by the nearest plane along each ray; float64 (h,w)."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    y, x = (y - h / 2 + 0.5 + draw.uniform(-1, 1)) / max(h, w), (x - w / 2 + 0.5) / max(h, w)
    floor, ceiling, left, right, back = draw.uniform([0.8, 0.8, 1, 1, 3], [1.6, 1.6, 2.5, 2.5, 6])
    depth = np.full((h, w), back)
    for distance, slope in ((floor, y), (ceiling, -y), (left, -x), (right, x)):
        depth = np.where(slope > 0, np.minimum(depth, distance / np.maximum(slope, 1e-9)), depth)
    pillar = np.abs(x - draw.uniform(-0.2, 0.2)) < 0.08
    return torch.from_numpy(np.where(pillar, np.minimum(depth, draw.uniform(1, 2)), depth))


def guess(depth, seed=0, strength=0.4):
    """A prediction of that depth: off by a smooth factor of about exp(±strength)."""
    noise = torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(noise, depth.shape, mode="bicubic", align_corners=True)[0, 0]
    return depth * torch.exp(strength * smooth)


def holes(h, w, seed=0, share=0.3):
    """A mask with round-ish holes over about `share` of the pixels, bool (h,w)."""
    noise = torch.randn(1, 1, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(noise, (h, w), mode="bilinear")[0, 0]
    return smooth > smooth.quantile(share)


def pair(kind, h, w, seed=0):
    """Two maps and a mask, (1,h,w) each: `random`, `depth`, `masked` (depth with holes) or `sparse` (a few pixels)."""
    valid = torch.ones(h, w, dtype=torch.bool)
    rng = torch.Generator().manual_seed(seed)
    if kind == "random":
        a, b = (torch.rand(h, w, generator=rng, dtype=torch.float64) for _ in range(2))
    else:
        b = room(h, w, seed)
        a = guess(b, seed)
    if kind == "masked":
        valid = holes(h, w, seed)
    if kind == "sparse":
        valid = torch.rand(h, w, generator=rng) < 0.1
    return a[None], b[None], valid[None]


def distances(h, w):
    """The cost ½ |y - z|² between all pixels, coordinates = index / max(h,w); (h w, h w)."""
    points = np.stack(np.mgrid[0:h, 0:w], -1).reshape(-1, 2) / max(h, w)
    return ((points[:, None] - points[None]) ** 2).sum(-1) / 2


def dense_transport(a, b, blur, reach=None, iterations=3000):
    """OT(a,b) of (h,w) arrays, as they are, by plain Sinkhorn iterations on the whole cost matrix."""
    cost, eps = distances(*a.shape), blur**2
    a, b = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    keep_a, keep_b = a > 0, b > 0
    cost, a, b = cost[np.ix_(keep_a, keep_b)], a[keep_a], b[keep_b]
    rho = np.inf if reach is None else reach**2
    f, damping = np.zeros(len(a)), 1 if reach is None else rho / (rho + eps)
    for _ in range(iterations):
        g = -damping * eps * logsumexp((f[:, None] - cost) / eps, b=a[:, None], axis=0)
        before, f = f, -damping * eps * logsumexp((g[None] - cost) / eps, b=b[None], axis=1)
        if np.abs(f - before).max() < 1e-11:
            break
    plan = a[:, None] * b[None] * np.exp((f[:, None] + g[None] - cost) / eps)
    value = (plan * cost).sum() + eps * kl(plan, a[:, None] * b[None])
    if reach is None:
        return value
    return value + rho * kl(plan.sum(1), a) + rho * kl(plan.sum(0), b)


def kl(p, q):
    """KL(p|q) = Σ p ln(p/q) - p + q."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / q), 0).sum() - p.sum() + q.sum()


def dense_divergence(a, b, blur, reach=None):
    """S(a,b) from three dense problems."""
    cross, own_a, own_b = (dense_transport(x, y, blur, reach) for x, y in ((a, b), (a, a), (b, b)))
    mass = 0 if reach is None else blur**2 / 2 * (float(a.sum()) - float(b.sum())) ** 2
    return cross - own_a / 2 - own_b / 2 + mass
