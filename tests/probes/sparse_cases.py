"""Data and networks for the tests of the sparse probe."""

import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.data import Batch, stack
from depthprobe.models import DepthModel, ModelCard
from depthprobe.probes.sparse import SparsePlan

H, W = 24, 32
SMALL = SparsePlan(selectors=("random", "image_edges"), reverse=("image_edges",), budgets=(0.05, 0.3, 1.0), batch=5)


def one(number, size=(H, W)):
    g = torch.Generator().manual_seed(number)
    image = F.interpolate(torch.rand(1, 3, 6, 8, generator=g), size, mode="bilinear")
    depth = 2 + torch.linspace(1, 0, size[0]).view(1, 1, -1, 1) + 0.02 * torch.rand(1, 1, *size, generator=g)
    depth[..., size[0] // 3 : size[0] // 2, size[1] // 4 : size[1] // 2] *= 0.5
    valid = torch.rand(1, 1, *size, generator=g) > 0.1
    label = (torch.arange(size[0]).view(-1, 1) // 5 * 10 + torch.arange(size[1]) // 7).float().expand(1, 1, -1, -1)
    camera = torch.tensor([[[40.0, 0, 15.5], [0, 40.0, 11.5], [0, 0, 1]]])
    maps = {"object": label, "rank": torch.rand(1, 1, *size, generator=g)}
    ids = (f"s{number}",)
    return Batch(image=image, depth=depth, valid=valid, intrinsics=camera, maps=maps, sample=ids, group=ids)


def batch(n=4):
    return stack([one(i) for i in range(n)])


class Net(nn.Module):
    """A small network with state that a careless probe would change; a forward pass is counted."""

    def __init__(self, output="metric_depth"):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.norm, self.last = (
                nn.Conv2d(3, 8, 5, padding=2),
                nn.BatchNorm2d(8),
                nn.Conv2d(8, 1, 3, padding=1),
            )
        self.drop, self.sizes = nn.Dropout(0.2), []

    def forward(self, x):
        self.sizes.append(len(x))
        return 1 + 3 * F.softplus(self.last(self.drop(self.norm(self.first(x)).relu())))


def network(output="metric_depth", size=None, net=None):
    card = ModelCard(name="tiny:net", tag="v1", family="cnn", output=output, size=size)
    return DepthModel(net or Net(), card).eval()


def value(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table["value"].to_numpy()
