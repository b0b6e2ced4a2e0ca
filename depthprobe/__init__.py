"""depthprobe: what does a monocular depth network look at, and why does it fail?"""

__version__ = "0.1.0"
