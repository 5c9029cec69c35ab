"""Contents of the page of a study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.results.assessment import Assessment
    from paretocast.results.review import Review
    from paretocast.results.slices import Slice
    from paretocast.results.two_stage import SecondStage
    from paretocast.search.objectives import Objective
    from paretocast.search.space import Parameter
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.study.study import StudyResult
    from paretocast.training.trial import TrialRecord


@dataclass(frozen=True)
class StudyReport:
    """A study with everything else that its page says.

    Attributes
    ----------
    unit : str
        Of the target.
    notes : tuple of str
        Assumptions under which the scores hold, one sentence each.
    assessment : Assessment or str
        Of the chosen trial on the calibrate split; a sentence where there is none.
    review : Review or str
        Its forecasts and its rivals; likewise.
    trainings : tuple of TrialRecord
        Trials and their repeats, each as it was scored by itself.
    space : mapping of parameter to range
        Of the chosen trial's model; empty where nothing is chosen.
    slices : tuple of Slice
        Error along the parameters; empty with too few trials.
    folder : str
        Of the run, as a command would name it.
    second_stage : SecondStage or str
        The levels of the two-stage strategy; a sentence where there are none yet, nothing for a
        study of one stage.
    """

    result: StudyResult
    settings: TuneSettings
    unit: str
    dataset: str
    job_id: str
    notes: tuple[str, ...] = ()
    assessment: Assessment | str = ""
    review: Review | str = ""
    trainings: tuple[TrialRecord, ...] = ()
    space: Mapping[str, Parameter] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    folder: str = "RUN"
    second_stage: SecondStage | str = ""

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.settings.model

    @property
    def outcome(self) -> Outcome | None:
        """Front and chosen trial; None while no trial is complete."""
        return self.result.outcome

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, each scored on the mean over its seeds."""
        return self.result.records

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Objectives of the search."""
        return parse_objectives(self.settings.objectives)

    @property
    def in_default_objectives(self) -> bool:
        """True for a search that traded error against coverage alone."""
        return set(self.settings.objectives) == set(DEFAULT_OBJECTIVES)
