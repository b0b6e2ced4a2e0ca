"""The card of a network that cannot say itself what its numbers mean: what the user declares after its name."""

from collections.abc import Mapping

from torch import nn

from depthprobe.checks import check_one_of, check_range
from depthprobe.models.adapter import IMAGENET_MEAN, IMAGENET_STD, ModelCard
from depthprobe.models.options import parse_size
from depthprobe.models.reading import Reading
from depthprobe.models.timm_depth import family_of

NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "none": ((0.0,) * 3, (1.0,) * 3),
    "half": ((0.5,) * 3,) * 2,
}
DECLARED = ("output", "size", "mean", "family", "tag", "map")
"""What is declared by a text: kind of output, input size HxW, normalisation, family, tag, the map among several."""


def declared_card(
    name: str,
    net: nn.Module,
    said: Mapping[str, str],
    *,
    output: str = "metric_depth",
    mean: str = "imagenet",
    size: tuple[int, int] | None = None,
    multiple: int = 1,
    family: str = "",
    tag: str = "user",
    digest: str = "",
    reading: Reading | None = None,
) -> ModelCard:
    """The card of a network from the options in its name; the keywords are what counts where nothing is said.

    Convention: `said` has texts by the names in DECLARED. A `size` that is said, or a `multiple`, replaces `reading`.

    Raises:
        ValueError: on an option that cannot be declared, or a value that is none of its kind.
    """
    if unknown := sorted(set(said) - set(DECLARED)):
        raise ValueError(
            f"Expected options of {name} to be among {sorted([*DECLARED, 'multiple'])}, but got {unknown}."
        )
    chosen = said.get("mean", mean)
    check_one_of("mean", chosen, NORMALISATIONS)
    check_range("multiple", multiple, 1, 1e6)
    sides = parse_size(said["size"]) if said.get("size") else size
    if sides and any(side % multiple for side in sides):
        near = "x".join(str(max(1, round(side / multiple)) * multiple) for side in sides)
        way = f"say size={near}, or leave out `multiple`" if said.get("size") else "leave out `multiple`"
        raise ValueError(f"Expected `size` of {name} to be a multiple of {multiple}, but got {sides}; {way}.")
    return ModelCard(
        name=name,
        tag=said.get("tag", tag),
        family=said.get("family", family or family_of(net)),
        output=said.get("output", output),
        size=sides,
        multiple=multiple,
        mean=NORMALISATIONS[chosen][0],
        std=NORMALISATIONS[chosen][1],
        digest=digest,
        reading=None if said.get("size") or multiple > 1 else reading,
        map=said.get("map", ""),
    )
