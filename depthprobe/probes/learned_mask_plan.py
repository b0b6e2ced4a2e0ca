"""The plan of the probe of learned masks."""

import dataclasses
import hashlib
from pathlib import Path

from depthprobe.checks import check_one_of, check_range
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.functional.selection import SELECTORS
from depthprobe.probes.fields import read_lists, read_protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedMaskPlan:
    """Which masks are tried on a network, and beside what.

    Convention:
        protocol: a Protocol or the name of one; its `flip` is not used.
        generators: folders of trainings of masks (`depthprobe train nyu-masks`), of this network or of others, whose
            masks are then cross-applied. digests: of their weights, found when the plan is made: a generator that was
            trained again makes another plan, so that no rows of the old one remain in a run that goes on.
        steps: of the search for a mask of each image by itself, 0 for none; weight: λ of its soft mask; rate: of Adam;
            searched: budgets for which a hard mask is searched for.
        budgets: shares of the pixels, in (0, 1], of the hard masks in the order of every soft mask, and of controls:
            registered selectors. Pixels outside the protocol's crop come last, as in the probe `sparse`.
        batch: images per forward pass (a matter of speed and memory only).
    The default costs 225 forward passes per image and, in its searches, 200 backward.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    generators: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    steps: int = 100
    weight: float = 5.0
    rate: float = 0.1
    searched: tuple[float, ...] = (0.1,)
    budgets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35)
    controls: tuple[str, ...] = ("random", "image_edges", "depth_edges")
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        read_lists(self, ("budgets",), ("generators", "searched", "controls"))
        object.__setattr__(self, "digests", tuple(_digest(weights_of(path)) for path in self.generators))
        for control in self.controls:
            check_one_of("control", control, SELECTORS.names())
        for budget in (*self.budgets, *self.searched):
            check_range("budget", budget, 0, 1, open_low=True)
        check_range("steps", self.steps, 0, 1e6)
        check_range("weight", self.weight, 0, 1e6)
        check_range("rate", self.rate, 0, 1e3, open_low=True)
        check_range("batch", self.batch, 1, 1e6)
        if not self.generators and not self.steps:
            raise ValueError("Expected a mask to try, but got no `generators` and 0 `steps`; give one of them.")

    def passes(self) -> int:
        """Forward passes per image; every step of a search costs a backward pass as well."""
        searches = 1 + len(self.searched) if self.steps else 0
        sources = len(self.generators) + bool(self.steps)
        hard = len(self.searched) * bool(self.steps) + (sources + len(self.controls)) * len(self.budgets)
        return 1 + searches * (self.steps + 2) + sources * 3 + hard


def weights_of(generator: str) -> Path:
    """The file of a generator's weights, from the folder of its training or as it is."""
    path = Path(generator)
    return path / "final.safetensors" if path.is_dir() else path


def _digest(file: Path) -> str:
    """12 characters that stand for what is in a file; none where there is no file, which the run says."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else ""
