"""A truth with surfaces, edges, planes and holes, small enough for loops over its pixels; shared by several tests."""

import torch

H, W = 26, 34


def truth(batch=3, seed=0):
    """Depth (B,1,H,W) float64, valid, and what is known: planes, intrinsics.

    A tilted wall, a nearer box seen straight on, a farther niche, a tilted step and a bump that
    is on no plane; holes in the mask.
    """
    rng = torch.Generator().manual_seed(seed)
    focal = 30.0
    camera = torch.tensor([[focal, 0, (W - 1) / 2], [0, focal, (H - 1) / 2], [0, 0, 1]], dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    u, v = (x.double() - (W - 1) / 2) / focal, (y.double() - (H - 1) / 2) / focal
    depth, planes = [], []
    for _ in range(batch):
        a, b, c = torch.rand(3, generator=rng, dtype=torch.float64).tolist()
        surfaces = [(2.5 + a, 0.4 * b, -0.3), (0.8 + 0.3 * c, 0.0, 0.0), (3.6 + b, 0.1, 0.2),
                    (1.15, 0.5, 0.0)]  # fmt: skip
        wall, box, niche, step = (d / (1 - p * u - q * v) for d, p, q in surfaces)  # planes: 1/depth is affine
        bump = wall * (1 - 0.2 * torch.exp(-((x - 27) ** 2 + (y - 20) ** 2) / 8.0))
        ids = torch.zeros(H, W, dtype=torch.int32)
        ids[5:16, 4:14], ids[2:10, 20:31], ids[20:26, 7:20], ids[15:25, 22:33] = 7, 3, 5, -1
        one = wall.clone()
        for number, surface in ((7, box), (3, niche), (5, step), (-1, bump)):
            one[ids == number] = surface[ids == number]
        depth.append(one)
        planes.append(ids)
    valid = torch.rand(batch, 1, H, W, generator=rng) < 0.985
    valid[:, :, 20:23, 1:5] = False
    known = {"planes": torch.stack(planes)[:, None], "intrinsics": camera.expand(batch, 3, 3).clone()}
    return torch.stack(depth)[:, None], valid, known


def prediction(depth, seed=1, noise=0.02):
    """Off by a factor, softened, with noise: every metric has something to measure."""
    rng = torch.Generator().manual_seed(seed)
    log = depth.log()
    pad = torch.nn.functional.pad(log, (1, 1, 1, 1), mode="replicate")
    soft = (pad[..., 1:-1, :-2] + 2 * log + pad[..., 1:-1, 2:]) / 4
    return torch.exp(0.6 * log + 0.4 * soft + 0.03 + noise * torch.randn(log.shape, generator=rng, dtype=log.dtype))


def pixels(x, valid):
    """{(row, column): value} of the valid pixels of one map (1,H,W)."""
    rows = zip(x[0].tolist(), valid[0].tolist(), strict=True)
    return {(y, i): v for y, (line, ok) in enumerate(rows) for i, (v, k) in enumerate(zip(line, ok, strict=True)) if k}
