"""Windows of the splits, seen before anything is trained: are there observations to learn from.

H horizon steps; positions are indices into the series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.checks import Finding, at
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

# A fit on three quarters of them knows the 90 % interval.
FEWEST_COMPARED_WINDOWS = 14
_SERVES = {
    "train": "models learn from it",
    "stop": "it decides when training ends",
    "tune": "trials are compared on it",
    "calibrate": "calibrators are fitted on it",
    "test": "the benchmark is scored on it",
}


def check_windows(
    index: pd.DatetimeIndex,
    values: NDArray[np.float64],
    issues: Mapping[str, NDArray[np.intp]],
    *,
    horizon_steps: int,
) -> list[Finding]:
    """Findings on splits that hold nothing, or little, to learn from or to score.

    Parameters
    ----------
    values : ndarray of shape (T,)
        Target; NaN where missing.
    issues : mapping of str to ndarray of shape (N,)
        Issue positions by split; a split without any is left out.
    """
    n_before = np.concatenate([[0], np.cumsum(~np.isnan(values))])
    findings = []
    for split, positions in issues.items():
        if not positions.size:
            continue
        n_windows = int((n_before[positions + horizon_steps] > n_before[positions]).sum())
        first, last = index[positions[0]], index[positions[-1] + horizon_steps - 1]
        if not n_windows:
            findings.append(
                Finding(
                    "error",
                    "split_empty",
                    f"no value of the {split} split is observed ({at(first)} to "
                    f"{at(last)}); {_SERVES[split]}",
                    "move the dates of [splits], or use_from and use_to",
                )
            )
        elif split == "calibrate" and n_windows < FEWEST_COMPARED_WINDOWS:
            findings.append(
                Finding(
                    "warning",
                    "few_windows",
                    f"the calibrate split has {count(n_windows, 'observed window')}; "
                    f"{FEWEST_COMPARED_WINDOWS} are needed to compare calibrators, so one is taken "
                    "without comparing",
                    "a validation period of 47 days and more has them",
                )
            )
    return findings
