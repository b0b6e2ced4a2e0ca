"""What every probe is asked, in one declarative table: its leading numbers, its curve, and how to read them.

A probe that is not listed still gets a section: title from its name, every measure, every axis.
"""

from depthprobe.report.topic import ANY, ERROR, Lead, Plot, Topic
from depthprobe.report.topics_vision import ATTENTION, CONTEXT, CONTINUITY, CUES, RECEPTIVE_FIELD, SPECTRUM, TEXTURE

CORRUPTION = Topic(
    probe="corruption",
    title="Corruption",
    question="How steady is its answer when the image is spoilt?",
    leads=(
        Lead(
            key="moved",
            metric=f"{ERROR}@self",
            factor=ANY,
            says="answer moved, mean over corruptions",
            trait="steadiness under corruption",
            word="steadier",
        ),
        Lead(
            key="wrong", metric=ERROR, factor=ANY, says="error, mean over corruptions", trait="error under corruption"
        ),
    ),
    plots=(Plot(metric=f"{ERROR}@self", x="severity", title=""),),
    read="Every corruption has severities 1 to 5 and leaves the true depth as it is. The first number compares with "
    "the network's own answer to the clean image, the second with the truth: a poor network can be steady. Images are "
    "spoilt at the size of the data set, so a network that reads them smaller sees less of it.",
)

COST = Topic(
    probe="cost",
    title="Cost",
    question="What does it cost to run?",
    leads=(
        Lead(key="parameters", metric="parameters", says="parameters", word="smaller", exact=True),
        Lead(key="flops", metric="flops", says="operations per image", word="cheaper", exact=True),
        Lead(key="latency", metric="latency", says="time per image, alone in its batch", word="faster"),
        Lead(key="memory", metric="peak_memory", says="memory above the weights", word="smaller"),
    ),
    read="Times are medians of several passes on the machine named under Provenance and change with it; parameters and "
    "operations do not. Operations count convolutions, matrix products and attention, two per multiplication.",
)

SANITY = Topic(
    probe="sanity",
    title="Sanity",
    question="Does its answer rest on the image, and on what it learnt?",
    leads=(
        Lead(
            key="constant",
            metric="agreement@self",
            factor=("constant",),
            says="agreement with an empty image",
            ranked=False,
        ),
        Lead(key="noise", metric="agreement@self", factor=("noise",), says="agreement with noise", ranked=False),
        Lead(
            key="weights",
            metric="agreement@self",
            factor=("weights",),
            level=1.0,
            says="agreement with shuffled weights",
            ranked=False,
        ),
    ),
    read="Each number correlates the answer to the image with the answer to a control that has nothing to say: 0 is as "
    "it should be, near 1 means that the image, or the training, hardly mattered. A network with a strong prior "
    "(floor below, far above) keeps some agreement with an empty image.",
)

CONDUCT = Topic(
    probe="conduct",
    title="Conduct",
    question="Does it behave as its card declares?",
    leads=(
        Lead(key="scale", metric="scale", says="scale: median prediction over median truth", ranked=False),
        Lead(key="spread", metric="spread", says="spread of the answer over its mean", ranked=False),
        Lead(key="repeat", metric="repeat_difference", says="difference between two passes", ranked=False),
    ),
    read="A scale of 1 is right for metric depth. A spread of 0 is a constant answer. Two passes on the same image "
    "should not differ. What is out of the ordinary is said in words at the top of the page.",
)

TOPICS = {
    t.probe: t
    for t in (
        CONTINUITY,
        SPECTRUM,
        TEXTURE,
        CONTEXT,
        RECEPTIVE_FIELD,
        ATTENTION,
        CUES,
        CORRUPTION,
        COST,
        SANITY,
        CONDUCT,
    )
}
"""In the order of the page."""
