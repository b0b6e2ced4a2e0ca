"""What a network reads of a batch under a protocol, and what is known of its truth."""

from torch import Tensor

from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import Protocol

KNOWN = {"planes": "plane", "edges": "edges"}
"""Facts about a truth (`terms.KNOWN`) that a batch has as a map, and the map's name."""


def as_read(batch: Batch, protocol: Protocol) -> tuple[Batch, Protocol]:
    """The batch cut to the protocol's window, which the network reads alone, and the protocol for such images.

    Convention: the same pixels are judged. Without a window both are returned as they are.

    Raises:
        ValueError: if the images do not fit the window or the crop.
    """
    if protocol.window is None:
        return batch, protocol
    size = (batch.image.shape[-2], batch.image.shape[-1])
    return batch.cut(protocol.reads(size)), protocol.inside(size)


def known_facts(batch: Batch) -> dict[str, Tensor]:
    """What the truth of a batch knows besides depth, for the metrics that can use or need it."""
    facts = {name: batch.maps[own] for name, own in KNOWN.items() if own in batch.maps}
    return facts if batch.intrinsics is None else {**facts, "intrinsics": batch.intrinsics}
