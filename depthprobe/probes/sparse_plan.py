"""The plan of the sparse probe: every number that controls it."""

import dataclasses
import itertools

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.filling import FILLS
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.selection import SELECTORS
from depthprobe.probes.fields import read_lists, read_protocol

REVERSED = ".reversed"
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparsePlan:
    """Which pixels are kept, how many, what replaces the others, and how the answer is judged.

    Convention:
        protocol: a Protocol or the name of one; its metrics are measured (its `flip` is not used here).
        selectors, fills: registered names; reverse: selectors that are also run the other way round
            (factor "image_edges.reversed": the strongest edges are removed first). The default needs no maps.
            In every order, forwards and backwards, pixels outside the protocol's crop are kept last, since nothing is
            judged there (on NYU the strongest image edges are those of the white frame). Selectors still look at the
            whole image, and so do the fills `noise` and `shuffle`.
        budgets: shares of all pixels that are kept, in (0, 1]; beyond the crop's share the pixels outside it follow. 1
            is the whole image, evaluated once for all selectors and fills.
        batch: masked images per forward pass (a matter of speed and memory only).
        where: also say where the kept pixels lie.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    selectors: tuple[str, ...] = (
        "random", "grid", "patch8", "superpixel", "image_edges", "texture", "depth_edges",
    )  # fmt: skip
    reverse: tuple[str, ...] = ("image_edges",)
    budgets: tuple[float, ...] = BUDGETS
    fills: tuple[str, ...] = ("mean",)
    batch: int = 32
    where: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, ("selectors", "budgets", "fills"), ("reverse",))
        for selector in (*self.selectors, *self.reverse):
            check_one_of("selector", selector, SELECTORS.names())
        for fill in self.fills:
            check_one_of("fill", fill, FILLS.names())
        for budget in self.budgets:
            check_range("budget", budget, 0, 1, open_low=True)
        check_range("batch", self.batch, 1, 1e6)

    def orders(self) -> list[str]:
        """The names of all orders of pixels: selectors, each followed by its reverse if that is asked for."""
        names = dict.fromkeys((*self.selectors, *self.reverse))
        both = {name: [name] * (name in self.selectors) + [name + REVERSED] * (name in self.reverse) for name in names}
        return [order for orders in both.values() for order in orders]

    def passes(self) -> int:
        """Forward passes per image (65), without those of selectors that ask the network: the whole image is one."""
        return 1 + len(self.orders()) * len(self.partial_budgets()) * len(self.fills)

    def partial_budgets(self) -> list[float]:
        """The budgets below 1."""
        return [budget for budget in self.budgets if budget < 1]


@dataclasses.dataclass(frozen=True)
class Job:
    """One masked image: which image of the batch, which pixels are kept, what replaces the others."""

    image: int
    selector: str
    fill: str
    budget: float


def all_jobs(images: int, plan: SparsePlan) -> list[Job]:
    """Every masked image of a plan, image by image, so that a few rank maps are needed at a time."""
    axes = (range(images), plan.orders(), plan.fills, plan.partial_budgets())
    return [Job(*job) for job in itertools.product(*axes)]
