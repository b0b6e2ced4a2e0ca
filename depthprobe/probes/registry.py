"""PROBES: every probe by name, with its facts (`plan`, `axes`, `maps`, `quick`)."""

from depthprobe.registry import Registry

PROBES = Registry("probe")
