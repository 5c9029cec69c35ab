"""Which config comes next."""

from paretocast.search.samplers.observation import SeenTrial
from paretocast.search.samplers.sampler import (
    N_STARTUP_TRIALS,
    N_STARTUP_TRIALS_MFGP,
    Proposer,
    design_point,
    population_size,
)

__all__ = [
    "N_STARTUP_TRIALS",
    "N_STARTUP_TRIALS_MFGP",
    "Proposer",
    "SeenTrial",
    "design_point",
    "population_size",
]
