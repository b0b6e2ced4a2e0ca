"""The metrics of depthprobe as one would write them with numpy for one image, each by itself from its definition.

What `benchmarks/metrics.py` compares with: vectorised over pixels, nothing shared between metrics.
"""

import numpy as np
from scipy import ndimage
from skimage.feature import canny

RATIOS = np.linspace(1.05, 1.25, 10)
NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def pixelwise(name):
    """A metric of the valid pixels' predictions and truths."""
    return lambda pred, depth, valid: float(PIXEL[name](pred[valid], depth[valid]))


def silog(z, g, weight):
    d = np.log(z) - np.log(g)
    return (d * d).mean() - weight * d.mean() ** 2


def below(z, g, limit):
    return (np.maximum(z / g, g / z) < limit).mean()


def area(z, g):
    x = np.linspace(0.01, 5, 100)
    return np.trapezoid([below(z, g, 1.25**e) for e in x], x) / 5


PIXEL = {
    "abs_rel": lambda z, g: (np.abs(z - g) / g).mean(),
    "sq_rel": lambda z, g: ((z - g) ** 2 / g).mean(),
    "sq_rel_kitti": lambda z, g: 100 * ((z - g) ** 2 / g**2).mean(),
    "rmse": lambda z, g: np.sqrt(((z - g) ** 2).mean()),
    "mae": lambda z, g: np.abs(z - g).mean(),
    "rmse_log": lambda z, g: np.sqrt(((np.log(z) - np.log(g)) ** 2).mean()),
    "log10": lambda z, g: np.abs(np.log10(z) - np.log10(g)).mean(),
    "delta1": lambda z, g: below(z, g, 1.25),
    "delta2": lambda z, g: below(z, g, 1.25**2),
    "delta3": lambda z, g: below(z, g, 1.25**3),
    "tau": lambda z, g: below(z, g, 1.03),
    "d_auc": area,
    "d1_outlier": lambda z, g: 100 * (np.maximum(z / g, g / z) > 1.25).mean(),
    "irmse": lambda z, g: np.sqrt(((1 / z - 1 / g) ** 2).mean()),
    "inv_rmse_km": lambda z, g: 1000 * np.sqrt(((1 / z - 1 / g) ** 2).mean()),
    "inv_mae_km": lambda z, g: 1000 * np.abs(1 / z - 1 / g).mean(),
    "log_mae": lambda z, g: 100 * np.abs(np.log(z) - np.log(g)).mean(),
    "log_rmse": lambda z, g: 100 * np.sqrt(((np.log(z) - np.log(g)) ** 2).mean()),
    "median_log": lambda z, g: 100 * abs(np.median(np.log(z) - np.log(g))),
    "silog": lambda z, g: 100 * np.sqrt(silog(z, g, 1)),
    "silog_unbiased": lambda z, g: 100 * (np.log(z) - np.log(g)).std(ddof=1),
    "silog_half": lambda z, g: np.sqrt(silog(z, g, 0.5)),
    "silog_bts_loss": lambda z, g: 10 * np.sqrt(silog(z, g, 0.85)),
    "silog_log10": lambda z, g: (np.log10(z) - np.log10(g)).std(),
    "silog_var": lambda z, g: silog(z, g, 1),
    "silog_var_half": lambda z, g: silog(z, g, 0.5),
}


def edge_pixels(depth, valid):
    log, edge = np.log(np.where(valid, depth, 1)), np.zeros_like(valid)
    for axis in (0, 1):
        far = np.abs(np.diff(log, axis=axis)) > np.log(1.1)
        a, b = (np.moveaxis(x, axis, 0) for x in (edge, valid))
        far = np.moveaxis(far, axis, 0) & b[1:] & b[:-1]
        a[1:] |= far
        a[:-1] |= far
    return edge


def smooth_zone(depth, valid):
    return valid & ~ndimage.binary_dilation(edge_pixels(depth, valid), np.ones((7, 7)))


def gradients(x, valid):
    """Forward differences, NaN where a pixel has no valid right and lower neighbour."""
    log = np.where(valid, np.log(np.where(valid, x, 1)), np.nan)
    gx, gy = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    gx[:, :-1], gy[:-1] = np.diff(log, axis=1), np.diff(log, axis=0)
    known = ~np.isnan(gx) & ~np.isnan(gy)
    return np.where(known, gx, np.nan), np.where(known, gy, np.nan)


def laplacian(log):
    out = np.full(log.shape, np.nan)
    out[1:-1, 1:-1] = log[1:-1, 2:] + log[1:-1, :-2] + log[2:, 1:-1] + log[:-2, 1:-1] - 4 * log[1:-1, 1:-1]
    return out


def gradient_error(pred, depth, valid, zone):
    (zx, zy), (gx, gy) = gradients(pred, valid), gradients(depth, valid)
    return np.nanmean(np.hypot(zx - gx, zy - gy)[zone])


def grad_cos(pred, depth, valid):
    (zx, zy), (gx, gy) = gradients(pred, valid), gradients(depth, valid)
    steep = np.hypot(gx, gy) > 1e-4
    cosine = (zx * gx + zy * gy) / (np.hypot(zx, zy) * np.hypot(gx, gy))
    return 1 - cosine[steep].mean()


def curvatures(pred, depth, valid):
    return (laplacian(np.where(valid, np.log(np.where(valid, x, 1)), np.nan)) for x in (pred, depth))


def third(pred, depth, valid):
    z, g = curvatures(pred, depth, valid)
    d = z - g
    out = np.full(d.shape, np.nan)
    out[:-1, :-1] = np.hypot(d[:-1, 1:] - d[:-1, :-1], d[1:, :-1] - d[:-1, :-1])
    return np.nanmean(out[smooth_zone(depth, valid)])


def roughness(pred, depth, valid):
    z, g = curvatures(pred, depth, valid)
    zone = smooth_zone(depth, valid)
    return np.nanmean(np.abs(z[zone])) - np.nanmean(np.abs(g[zone]))


def neighbour_pairs(x, zone):
    """The ratio of every pair of four-neighbours in a zone."""
    found = []
    for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        both = zone[a] & zone[b]
        found.append((np.maximum(x[a], x[b]) / np.minimum(x[a], x[b]))[both])
    return np.concatenate(found)


def break_rate(pred, depth, valid):
    zone = smooth_zone(depth, valid)
    z, g = neighbour_pairs(pred, zone), neighbour_pairs(depth, zone)
    return np.mean([(z[g <= t] > t).mean() for t in RATIOS])


def bridge_rate(pred, depth, valid):
    z, g = neighbour_pairs(pred, valid), neighbour_pairs(depth, valid)
    return np.mean([(z[g > t] <= t).mean() for t in RATIOS if (g > t).any()])


def grad_w1(pred, depth, valid):
    z, g = (np.hypot(*gradients(x, valid)) for x in (pred, depth))
    return np.abs(np.sort(z[~np.isnan(z)]) - np.sort(g[~np.isnan(g)])).mean()


CONTINUITY = {
    "grad_mae": lambda z, g, v: gradient_error(z, g, v, v),
    "grad_mae_edge": lambda z, g, v: gradient_error(z, g, v, edge_pixels(g, v)),
    "grad_mae_smooth": lambda z, g, v: gradient_error(z, g, v, smooth_zone(g, v)),
    "grad_cos": grad_cos,
    "curvature_mae": lambda z, g, v: np.nanmean(np.abs(np.subtract(*curvatures(z, g, v)))[smooth_zone(g, v)]),
    "third_mae": third,
    "roughness": roughness,
    "break_rate": break_rate,
    "bridge_rate": bridge_rate,
    "grad_w1": grad_w1,
}


def hu_counts(pred, depth, valid, least):
    known = ndimage.binary_erosion(valid, np.ones((3, 3)))
    own, true = (np.hypot(ndimage.sobel(x, 0), ndimage.sobel(x, 1)) > least for x in (pred, depth))
    return (own & known).sum(), (true & known).sum(), (own & true & known).sum()


def hu(kind, least):
    def metric(pred, depth, valid):
        own, true, both = hu_counts(pred, depth, valid, least)
        return {"precision": both / own, "recall": both / true, "f1": 2 * both / (own + true)}[kind]

    return metric


def directed(inverse, valid, t):
    """Depth Pro's four maps of neighbours that are nearer by a ratio > t."""
    d = np.where(valid, inverse, np.nan)
    return d[:, 1:] / d[:, :-1] > t, d[:, :-1] / d[:, 1:] > t, d[1:] / d[:-1] > t, d[:-1] / d[1:] > t


def depthpro(kind):
    def metric(pred, depth, valid):
        scores = []
        for t in RATIOS:
            maps = zip(directed(1 / pred, valid, t), directed(1 / depth, valid, t), strict=True)
            counts = [(a.sum(), b.sum(), (a & b).sum()) for a, b in maps]
            r, p = (np.mean([c[2] / c[k] for c in counts if c[k]]) for k in (1, 0))
            scores.append(r if kind == "recall" else 2 * p * r / (p + r))
        return np.average(scores, weights=RATIOS)

    return metric


def moge(radius):
    side = 2 * radius + 1
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (y * y + x * x <= radius**2 + 1e-5) & ((y != 0) | (x != 0))

    def relative(depth):
        windows = np.lib.stride_tricks.sliding_window_view(depth, (side, side))[:, :, disc]
        return windows / depth[radius:-radius, radius:-radius, None]

    def metric(pred, depth, valid):
        own, true = relative(pred), relative(depth)
        known = np.lib.stride_tricks.sliding_window_view(valid, (side, side))[:, :, disc]
        known = known & valid[radius:-radius, radius:-radius, None]
        scores = []
        for t in RATIOS - 1:
            a, b = (own > 1 + t) & known, (true > 1 + t) & known
            scores.append(2 * (a & b).sum() / (a.sum() + b.sum()))
        return np.average(scores, weights=RATIOS - 1)

    return metric


def chamfer(pred, depth, valid, rule):
    """Edges of both maps and the distances to them: iBims-1 or SYNS."""
    found = []
    for x in (pred.astype(float), depth.astype(float)):
        if rule == "ibims":
            low, high = x[valid].min(), x[valid].max()
            found.append(canny((x - low) / (high - low), 2**0.5, 0.15, 0.3, mask=valid))
        else:
            found.append(canny(np.log(x), 1, 0.1, 0.2, mask=valid))
    own, true = found
    return own, true, ndimage.distance_transform_edt(~own), ndimage.distance_transform_edt(~true)


def edge_accuracy(rule):
    def metric(pred, depth, valid):
        own, _, _, to_true = chamfer(pred, depth, valid, rule)
        return to_true[own & (to_true < 10)].mean()

    return metric


def dbe_com(pred, depth, valid):
    own, true, to_own, to_true = chamfer(pred, depth, valid, "ibims")
    return (np.minimum(to_true[own], 10).sum() + np.minimum(to_own[true], 10).sum()) / (own.sum() + true.sum())


def syns_com(pred, depth, valid):
    _, true, to_own, _ = chamfer(pred, depth, valid, "syns")
    return to_own[true].mean()


def dde(plane, sign):
    def metric(pred, depth, valid):
        difference = (pred[valid] <= plane).astype(int) - (depth[valid] <= plane).astype(int)
        return 100 * (difference == sign).mean()

    return metric


HU = {"25cm": 0.25, "50cm": 0.5, "1m": 1.0}
BOUNDARIES = {
    **{f"hu_{kind}_{name}": hu(kind, least) for name, least in HU.items() for kind in ("precision", "recall", "f1")},
    "depthpro_f1": depthpro("f1"),
    "depthpro_recall": depthpro("recall"),
    **{f"moge_f1_r{radius}": moge(radius) for radius in (1, 2, 3)},
    "dbe_acc": edge_accuracy("ibims"),
    "dbe_com": dbe_com,
    "syns_edge_acc": edge_accuracy("syns"),
    "syns_edge_com": syns_com,
    **{f"{name}{tail}": dde(plane, sign) for name, plane in (("dde_3m", 3.0), ("syns_dde_10m", 10.0))
       for tail, sign in (("", 0), ("_near", 1), ("_far", -1))},
}  # fmt: skip


def planes(kind):
    def metric(pred, depth, valid, ids, camera):
        y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
        ray = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera).T
        found = []
        for plane in np.unique(ids[valid & (ids >= 0)]):
            where = valid & (ids == plane)
            if where.sum() < 0.01 * ids.size:
                continue
            fits = []
            for z in (pred * depth[where].mean() / pred[where].mean(), depth):
                points = ray[where] * z[where].astype(float)[:, None]
                values, vectors = np.linalg.eigh(np.cov(points.T, bias=True))
                fits.append((np.sqrt(max(values[0], 0)), vectors[:, 0]))
            cosine = min(1.0, abs(fits[0][1] @ fits[1][1]))
            found.append(fits[0][0] if kind == "planarity" else np.degrees(np.arccos(cosine)))
        return np.mean(found)

    return metric


PLANES = {"planarity": planes("planarity"), "plane_orientation": planes("plane_orientation")}
PARTS = {"error": {name: pixelwise(name) for name in PIXEL}, "continuity": CONTINUITY, "boundaries": BOUNDARIES,
         "planes": PLANES}  # fmt: skip
