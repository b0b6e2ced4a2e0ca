"""The classes of things in scenes."""

CLASS_NAMES = (
    *("floor", "ceiling", "wall", "window", "door", "skirting", "curtain", "rug", "table", "chair", "sofa", "bed"),
    *("shelf", "cabinet", "lamp", "plant", "picture", "screen", "box", "ball", "books", "vase", "pillar", "ground"),
    *("road", "pavement", "building", "car", "tree", "pole", "person", "hedge", "sign", "fence", "terrain", "object"),
)
CLASS_IDS = {name: number for number, name in enumerate(CLASS_NAMES, start=1)}  # 0: nothing was hit
# what a scene stands on or is enclosed by; never the object of an object edit
STRUCTURE = frozenset(
    CLASS_IDS[name]
    for name in (
        *("floor", "ceiling", "wall", "window", "door", "skirting", "ground", "road", "pavement", "building"),
        *("terrain", "pillar"),
    )
)
