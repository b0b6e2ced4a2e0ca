"""Receptive fields: linear maps whose answer is known, finite differences, and shares counted pixel by pixel."""

import math

import pytest
import torch
from torch import nn

from depthprobe.functional.receptive import distance_profile, erf_beyond, erf_radius, erf_undefined, input_energy

H, W = 7, 9


def places(*pixels):
    return torch.tensor([[y * W + x for y, x in pixels]])


def small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1))
    return net.double()


def image(batch=1):
    return torch.rand(batch, 3, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_energy_of_a_linear_map_is_its_squared_weights():
    weights = torch.rand(3, H, W, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    index = places((0, 0), (3, 4), (6, 8))
    energy = input_energy(lambda x: (weights * x).sum(1, keepdim=True), image(), index)
    for q, p in enumerate(index[0].tolist()):
        y, x = divmod(p, W)
        wanted = torch.zeros(H, W, dtype=torch.float64)
        wanted[y, x] = weights[:, y, x].square().sum()
        assert torch.equal(energy[0, q], wanted)


def test_the_energy_equals_finite_differences():
    net, x, index = small(), image(2), torch.tensor([[0, 31], [40, 62]])
    energy, step = input_energy(net, x, index), 1e-5
    with torch.no_grad():
        for i in range(2):
            for y in range(H):
                for k in range(W):
                    total = [0.0, 0.0]
                    for c in range(3):
                        up, down = x[i : i + 1].clone(), x[i : i + 1].clone()
                        up[0, c, y, k] += step
                        down[0, c, y, k] -= step
                        slope = ((net(up) - net(down)) / (2 * step)).flatten()[index[i]]
                        total = [t + float(s) ** 2 for t, s in zip(total, slope, strict=True)]
                    assert energy[i, :, y, k].tolist() == pytest.approx(total, rel=1e-5, abs=1e-12)


def test_queries_and_images_do_not_mix():
    """Outputs of opposite sign would cancel if they shared a backward pass."""

    def opposite(x):
        total = x.mean((1, 2, 3), keepdim=True).expand(-1, 1, H, W)
        sign = torch.ones(H, W, dtype=x.dtype)
        sign[:, W // 2 :] = -1
        return sign * total

    index = torch.tensor([[0, W - 1], [W - 1, 0]])
    energy = input_energy(opposite, image(2), index)
    one = 3 * (1 / (3 * H * W)) ** 2
    assert torch.allclose(energy, torch.full_like(energy, one))
    net = small()
    together = input_energy(net, image(2), torch.tensor([[5, 20, 33], [7, 8, 9]]))
    for i, row in enumerate([[5, 20, 33], [7, 8, 9]]):
        for q, p in enumerate(row):
            assert torch.allclose(together[i, q], input_energy(net, image(2)[i : i + 1], torch.tensor([[p]]))[0, 0])


def test_nothing_else_gets_a_gradient_also_under_no_grad():
    net, x = small(), image()
    with torch.no_grad():
        input_energy(net, x, places((1, 1)))
        assert not torch.is_grad_enabled()
    assert x.grad is None and not x.requires_grad
    assert all(p.grad is None for p in net.parameters())


def test_a_network_without_a_gradient_is_refused():
    with pytest.raises(ValueError, match="differentiated by its image"):
        input_energy(lambda x: x.detach()[:, :1], image(), places((1, 1)))
    with pytest.raises(ValueError, match="Expected `output`"):
        input_energy(lambda x: x[:, :1, ::2], image(), places((1, 1)))


def test_radius_and_share_beyond_counted_pixel_by_pixel():
    energy = torch.rand(1, 2, H, W, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    index = places((0, 3), (4, 8))
    profile = distance_profile(energy, index)
    for q, (cy, cx) in enumerate([(0, 3), (4, 8)]):
        cells = [(max(abs(y - cy), abs(x - cx)), float(energy[0, q, y, x])) for y in range(H) for x in range(W)]
        total = math.fsum(e for _, e in cells)
        inside = [math.fsum(e for d, e in cells if d <= r) / total for r in range(W)]
        for r in range(W + 2):
            wanted = 1 - inside[r] if r < W else 0.0
            assert float(erf_beyond(profile, r)[0, q]) == pytest.approx(wanted, abs=1e-12)
        for share in (0.1, 0.5, 0.9, 0.999):
            assert float(erf_radius(profile, share)[0, q]) == min(r for r in range(W) if inside[r] >= share)


def test_one_pixel_far_away_is_found():
    energy = torch.zeros(1, 1, H, W, dtype=torch.float64)
    energy[0, 0, 6, 2], energy[0, 0, 1, 1] = 1e-9, 1.0
    profile = distance_profile(energy, places((1, 1)))
    assert [float(erf_radius(profile, s)) for s in (0.5, 1.0)] == [0, 5]
    assert float(erf_beyond(profile, 4)) == pytest.approx(1e-9)
    assert float(erf_beyond(profile, 5)) == 0


def test_without_energy_nothing_is_said():
    profile = torch.zeros(2, 3, 9, dtype=torch.float64)
    profile[1, 0, 2] = 1
    assert erf_radius(profile, 0.5).isnan().tolist() == [[True] * 3, [False, True, True]]
    assert erf_beyond(profile, 1).isnan().tolist() == [[True] * 3, [False, True, True]]
    found = torch.tensor([[True, True, False], [True, True, False]])
    assert erf_undefined(profile, found).tolist() == [1.0, 0.5]
    assert erf_undefined(profile, torch.zeros_like(found)).isnan().all()
