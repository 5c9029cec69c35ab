"""Which config comes next."""

from paretocast.proposals.proposer import (
    N_STARTUP_TRIALS,
    N_STARTUP_TRIALS_MFGP,
    Proposer,
    design_point,
    population_size,
)
from paretocast.proposals.seen import SeenTrial

__all__ = [
    "N_STARTUP_TRIALS",
    "N_STARTUP_TRIALS_MFGP",
    "Proposer",
    "SeenTrial",
    "design_point",
    "population_size",
]
