"""The running average of the weights against its closed form, and that it leaves the network as it was."""

import pytest
import torch
from torch import nn

from depthprobe.train.average import Average


def trained(decay, steps=12):
    """A network whose weights are drawn anew at every step: (average, the history of the weights)."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    average, seen = Average(net, decay), [{k: v.clone() for k, v in net.state_dict().items()}]
    for step in range(steps):
        with torch.no_grad():
            for x in [*net.parameters(), net[1].running_mean, net[1].running_var]:
                x.copy_(torch.rand(x.shape, generator=generator, dtype=torch.float64))
            net[1].num_batches_tracked += 1
        average.update(step)
        seen.append({k: v.clone() for k, v in net.state_dict().items()})
    return net, average, seen


def closed_form(seen, name, decay):
    """Sum over steps of the step's weight, times what every later step leaves of it, written out."""
    decays = [min(decay, (k + 1) / (k + 10)) for k in range(len(seen) - 1)]
    total = seen[0][name].clone()
    for d in decays:
        total *= d
    for k, d in enumerate(decays):
        left = 1 - d
        for later in decays[k + 1 :]:
            left *= later
        total += left * seen[k + 1][name]
    return total


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_is_its_closed_form(decay):
    net, average, seen = trained(decay)
    with average.applied():
        for name, x in net.state_dict().items():
            expected = closed_form(seen, name, decay) if x.is_floating_point() else seen[-1][name]
            torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)


def test_the_network_has_its_own_weights_again_also_after_an_error():
    net, average, seen = trained(0.9)
    with pytest.raises(RuntimeError, match="half-way"), average.applied():
        raise RuntimeError("half-way")
    assert all(torch.equal(x, seen[-1][name]) for name, x in net.state_dict().items())


def test_without_decay_there_is_no_average():
    net, average, seen = trained(0.0)
    with average.applied():
        assert all(torch.equal(x, seen[-1][name]) for name, x in net.state_dict().items())
    assert average.mean == []


def test_installed_for_good():
    net, average, seen = trained(0.9)
    average.install()
    torch.testing.assert_close(net[0].weight.data, closed_form(seen, "0.weight", 0.9))
