"""What the probes of vision are asked: continuity, spectrum, texture, context, fields, attention, cues."""

from depthprobe.report.topic import ERROR, Lead, Plot, Topic

BARS = (
    "Each point is a mean over samples; its bar holds 95 % of the means that come up when whole groups (scenes, "
    "drives) are drawn again."
)

ROWS = 96  # `presets.HEIGHT`
PIXEL = (
    f"In an audit a pixel is 1/{ROWS} of the image's height, so that networks which read images at other sizes can be "
    "compared; in a run it is one of those that each network reads, unless the plan's `height` says otherwise."
)

CONTINUITY = Topic(
    probe="continuity",
    title="Continuity and boundaries",
    question="Are surfaces smooth, and edges sharp and in their place?",
    leads=(
        Lead(
            key="smooth",
            plain="on surfaces its gradients are off by {}",
            metric="grad_mae_smooth",
            says="gradient error on surfaces",
            trait="continuity of surfaces",
        ),
        Lead(
            key="edges",
            plain="at depth edges its gradients are off by {}",
            metric="grad_mae_edge",
            says="gradient error at depth edges",
            trait="sharpness of edges",
        ),
        Lead(key="boundary", metric="hu_f1_25cm", says="boundaries found (F1 at 25 cm)", trait="boundaries found"),
    ),
    plots=(
        Plot(
            metric="grad_mae",
            x="distance to the nearest depth edge, from (px)",
            factors=("edge_distance",),
            scale="steps",
            title="by distance to a depth edge",
        ),
        Plot(metric="grad_mae", x="true depth, from (m)", factors=("depth",), scale="steps", title="by true depth"),
    ),
    read=f"Gradients are those of ln depth, so a network is not punished for its scale. {BARS} A small error on "
    "surfaces with a large one at edges is a network that blurs; the reverse is one that ripples. The F1 of boundaries "
    "is the only one of the three where higher is better. Thin predictions of steep edges count little in any of them.",
)

SPECTRUM = Topic(
    probe="spectrum",
    title="Spectrum",
    question="At which scales is it wrong, and does its error repeat in a grid?",
    leads=(
        Lead(key="grid", metric="grid_found", says="images with a grid artefact", trait="grid artefacts"),
        Lead(
            key="fine",
            metric="log_power@residual",
            factor=("radial",),
            level=0.421875,
            says="power of the error at fine detail",
            trait="error in fine detail",
        ),
    ),
    plots=(
        Plot(
            metric="log_power@residual",
            x="cycles per pixel",
            factors=("radial",),
            title="power of the error by frequency",
        ),
    ),
    read="The left end of the curve is slow change over the image, the right end change from pixel to pixel; power is "
    "that of the error of ln depth, in decibel: 10 more is ten times the power. A grid artefact is an error that "
    "repeats at the network's own token or window period more than chance would (5 % of clean images show one).",
)

TEXTURE = Topic(
    probe="texture",
    title="Texture",
    question="Does its answer rest on texture, or on shape?",
    leads=(
        Lead(
            key="texture",
            plain="other textures on the same shapes move its answer by {}",
            metric=f"{ERROR}@self",
            factor=("texture_swap", "texture_permute"),
            says="answer moved by other textures on the same shapes",
            trait="reliance on texture",
            word="steadier",
        ),
        Lead(
            key="detail",
            plain="fine detail smoothed away moves its answer by {}",
            metric=f"{ERROR}@self",
            factor=("low_pass",),
            says="answer moved by fine detail smoothed away",
            trait="reliance on fine detail",
            word="steadier",
        ),
        Lead(
            key="shape",
            plain="shuffled patches move it by {}",
            metric=f"{ERROR}@self",
            factor=("patch_shuffle",),
            level=4.0,
            says="answer moved by shuffled patches",
            trait="reliance on arrangement",
            word="steadier",
        ),
        Lead(
            key="quality", metric="texture_slope", says="error per decade of texture energy", trait="error in texture"
        ),
    ),
    plots=(
        Plot(
            metric=f"{ERROR}@self",
            x="strength of the change",
            scale="log",
            factors=("low_pass", "high_pass", "patch_shuffle"),
            title="",
        ),
    ),
    read="0 would be an answer that does not move at all. Exchanging textures leaves every depth where it is, so what "
    "moves then rests on texture; photographs cannot be rendered with others, and only their fine detail is smoothed "
    "away. Shuffling patches keeps the texture and breaks the shapes. These change the image by different amounts, so "
    "compare networks on each, and one with another with care. The slope is another question: "
    "whether the network is wrong where there is much texture.",
)

CONTEXT = Topic(
    probe="context",
    title="Context",
    question="How much of the image around a pixel does it need?",
    leads=(
        Lead(
            key="window",
            plain="with only a window of 16 px visible its answer changes by {}",
            metric=f"{ERROR}@self",
            factor=("visible",),
            level=16.0,
            says="change with only a window of 16 px visible",
            trait="need for context",
            word="steadier",
        ),
        Lead(
            key="hidden",
            plain="with that window hidden, by {}",
            metric=f"{ERROR}@self",
            factor=("hidden",),
            level=16.0,
            says="change with that window hidden",
            trait="need for the pixel itself",
            word="steadier",
        ),
        Lead(key="far", metric=f"{ERROR}@far", says="error in the farthest third", trait="error far away"),
    ),
    plots=(
        Plot(
            metric=f"{ERROR}@self",
            x="radius of the window (px)",
            factors=("visible", "hidden"),
            scale="log",
            title="window",
        ),
    ),
    read="A window around a pixel is the only thing that stays visible, or the only thing hidden, and the answer at "
    "that pixel is compared with the one for the whole image. A curve that falls late belongs to a network that looks "
    f"far. The rest of the image is filled with one colour, which no network was trained on. {PIXEL}",
)

RECEPTIVE_FIELD = Topic(
    probe="receptive_field",
    title="Receptive field",
    question="From how far do pixels move its answer?",
    leads=(
        Lead(
            key="radius90",
            plain=f"in an image of {ROWS} rows, 90 % of what moves its answer at a pixel lies within {{}} of it",
            metric="erf_radius",
            factor=("radius",),
            level=0.9,
            says="radius that holds 90 % of the influence",
            trait="how far it looks",
            word="farther-looking",
        ),
        Lead(key="radius50", metric="erf_radius", factor=("radius",), level=0.5, says="radius that holds half of it"),
    ),
    plots=(
        Plot(
            metric="erf_beyond",
            x="radius of the window (px)",
            factors=("beyond",),
            scale="log",
            title="influence from outside a window",
        ),
    ),
    read="Influence is the squared gradient of the depth at one pixel by the input image; it tells what small changes "
    f"do, not what removing a region does. {PIXEL}",
)

ATTENTION = Topic(
    probe="attention",
    title="Attention",
    question="How far do its attention layers reach?",
    leads=(
        Lead(
            key="distance",
            metric="attention_distance",
            layers=True,
            says="mean attention distance",
            trait="attention distance",
        ),
    ),
    read="The distance between a query and what it attends to, weighted by attention, mean over heads and layers. Only "
    "networks with attention have one. Windows cap it: compare with `@uniform`, the distance of a network that "
    "attends to all that it may alike. Attention is a part of the path only; convolutions reach as well. "
    f"{PIXEL}",
)

CUES = Topic(
    probe="cues",
    title="Cues",
    question="Which pictorial cues does it follow?",
    leads=(
        Lead(
            key="position",
            metric="log_depth_slope",
            factor=("vertical_position", "paste_position"),
            right="log_depth_slope@truth",
            says="response to the vertical position",
            trait="vertical position as cue",
        ),
        Lead(
            key="size",
            metric="log_depth_slope",
            factor=("apparent_size", "paste_size"),
            right="log_depth_slope@truth",
            says="response to the apparent size",
            trait="apparent size as cue",
        ),
        Lead(
            key="pitch",
            metric="ground_pitch_slope",
            factor=("pitch",),
            right="ground_pitch_slope@truth",
            says="camera pitch that is noticed",
            trait="camera pitch noticed",
        ),
    ),
    read="One cue is varied and all else left alone. The slope is how far the answer moves (in ln depth, or degrees of "
    "pitch) for one step of the cue: one image height of vertical position, a factor e of apparent size, one degree. 0 "
    "is no response; the dashed rule is what would be right. A slope away from it is a rule of thumb: position read as "
    "distance, for instance. A sample that does not allow the change is undefined and counted.",
)
