"""Closed models of what a fitted calibrator has learned, as its JSON holds it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from paretocast.workspace.stored import Amount, OpenPart, Share, StoredFile

Level = Annotated[float, Field(gt=0.0, lt=1.0)]
Numbers = list[float]


class _State(OpenPart):
    """Keys of every calibrator; earlier versions had some that are read no more."""

    name: str
    levels: Annotated[list[Level], Field(min_length=1)]
    moves_median: bool = False
    notes: list[str] = []  # noqa: RUF012  (pydantic copies it)

    def _refuse_other_length(self, name: str, numbers: Numbers) -> None:
        if len(numbers) != len(self.levels):
            raise ValueError(
                f"{name} has {len(numbers)} numbers, expected one for each of {len(self.levels)} "
                "levels"
            )


class _GroupShifts(StoredFile):
    labels: list[int | float | str | bool]
    shifts: Numbers


class ShiftState(_State):
    """A conformal calibrator."""

    shifts: Numbers
    floor: float | None
    group: list[str]
    group_shifts: list[_GroupShifts]

    @model_validator(mode="after")
    def _one_shift_a_level(self) -> Self:
        self._refuse_other_length("shifts", self.shifts)
        for row in self.group_shifts:
            self._refuse_other_length("group_shifts", row.shifts)
            if len(row.labels) != len(self.group):
                raise ValueError(f"group_shifts has labels {row.labels} for groups {self.group}")
        return self


class ReadingState(_State):
    """A calibrator that reads each level elsewhere."""

    readings: list[Annotated[float, Field(ge=0.0, le=1.0)]]

    @model_validator(mode="after")
    def _one_reading_a_level(self) -> Self:
        self._refuse_other_length("readings", self.readings)
        return self


class _EvidencePart(StoredFile):
    """Evidence of past windows on the corrected median; see `MedianEvidence`."""

    gains: float
    squared_gains: Amount
    windows: Amount


class AdaptiveState(_State):
    """Adaptive conformal inference."""

    adapted: Numbers
    lowest: list[list[float | None]]  # a row for each window, null where nothing was observed
    highest: list[list[float | None]]
    rate: Amount
    learned_until: int | None
    median_evidence: _EvidencePart | None = None

    @model_validator(mode="after")
    def _one_number_a_level(self) -> Self:
        self._refuse_other_length("adapted", self.adapted)
        shapes = [[len(row) for row in rows] for rows in (self.lowest, self.highest)]
        if shapes[0] != shapes[1] or len(set(shapes[0])) > 1:
            raise ValueError("lowest and highest are not of one shape")
        return self


class _GainsPart(OpenPart):
    """Gains of PID control; each may be missing, and earlier versions had others."""

    rate: Amount = 0.0
    most_shift: Amount = 0.0
    half_life: Annotated[float, Field(gt=0.0)] = 1.0
    power: Share = 0.0
    most_scale: Annotated[float, Field(ge=1.0)] = 1.0


class PidState(_State):
    """Conformal PID control."""

    base: ShiftState
    usual_error: Amount
    recent_error: Amount
    shifts: Numbers
    floor: float | None
    learned_until: int | None
    gains: _GainsPart
    median_evidence: _EvidencePart | None = None

    @model_validator(mode="after")
    def _one_shift_a_level(self) -> Self:
        self._refuse_other_length("shifts", self.shifts)
        return self


STATES: dict[str, type[_State]] = {
    "shift": ShiftState,
    "reading": ReadingState,
    "adaptive": AdaptiveState,
    "pid": PidState,
}
"""By the kind of the calibrator; those of extensions check themselves."""
