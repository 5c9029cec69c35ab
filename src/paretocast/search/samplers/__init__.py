"""Samplers: suggestions of the next config to try."""

from paretocast.search.samplers.contest import ContestSampler
from paretocast.search.samplers.observation import Observation
from paretocast.search.samplers.sampler import (
    N_STARTUP_TRIALS,
    N_STARTUP_TRIALS_MFGP,
    Sampler,
    design_point,
    population_size,
)

__all__ = [
    "N_STARTUP_TRIALS",
    "N_STARTUP_TRIALS_MFGP",
    "ContestSampler",
    "Observation",
    "Sampler",
    "design_point",
    "population_size",
]
