"""Files with a digest: another number in them is damage, a missing digest is an earlier version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from paretocast.errors import StoreError
from paretocast.workspace import stored

if TYPE_CHECKING:
    from pathlib import Path

PROPOSAL = {"schema_version": 1, "number": 3, "config": {"lr": 0.25, "layers": 2}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "proposal.json"
    stored.save(path, PROPOSAL)
    return path


def test_what_was_written_is_read_without_its_digest(path: Path) -> None:
    assert '"digest"' in path.read_text()
    assert stored.load(path, stored.ProposalFile) == PROPOSAL


def test_another_number_that_is_possible_is_damage(path: Path) -> None:
    path.write_text(path.read_text().replace("0.25", "0.26"))
    with pytest.raises(StoreError, match=r"proposal.json is damaged: it was changed after it was"):
        stored.load(path, stored.ProposalFile, advice="train again")


def test_other_white_space_and_order_are_none(path: Path) -> None:
    lines = path.read_text().replace("  ", "").splitlines()
    path.write_text(
        "\n".join(['{"number": 3,', *(line for line in lines[1:] if "number" not in line)])
    )
    assert stored.load(path, stored.ProposalFile) == PROPOSAL


def test_a_file_without_a_digest_is_of_an_earlier_version(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "digest" not in line).replace("},", "}"))
    assert stored.load(path, stored.ProposalFile) == PROPOSAL
