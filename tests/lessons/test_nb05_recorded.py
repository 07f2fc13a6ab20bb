"""The paper's findings held against an ablation, and recorded ablations as a table."""

import pytest

from adapterlab.lessons.nb05_ablation import recorded
from adapterlab.studies import results
from adapterlab.studies.spans import Ablation


def made_up(everything, single, rows=500, error=0.01, intact=0.8):
    """An Ablation of 2 layers with these relative drops."""

    def row(first, last, drop):
        return {"what": "span", "first": first, "last": last, "intact": intact, "score": intact * (1 - drop)} | {
            "drop": drop,
            "lost": 9,
            "gained": 3,
            "error": error,
        }

    spans = [row(0, 0, single), row(0, 1, everything), row(1, 1, 0.0)]
    return Ablation("accuracy", 2, rows, intact, spans, [], 0, 0.0, {})


@pytest.mark.parametrize(
    ("everything", "single", "holds"),
    [
        (0.37, 0.02, [True, True]),
        (0.37, 0.12, [True, True]),  # 0.37 / 4 and 3 * 0.01 / 0.8 of noise
        (0.37, 0.14, [True, False]),
        (0.28, 0.02, [False, True]),  # 57.6% is more than 50% and 6.7 points of noise
    ],
)
def test_claims_leave_room_for_the_sampling_error(everything, single, holds):
    assert [claim["holds"] for claim in recorded.claims(made_up(everything, single), 0.5)] == holds


def test_recorded_runs_come_back_tidy(tmp_path):
    assert recorded.recorded(tmp_path) is None
    found = made_up(0.3, 0.02)
    spans = [[row[key] for key in recorded.COLUMNS] for row in found.spans]
    for base, seed in (("minilm", 0), ("minilm", 1), ("mpnet-v2.1", 0)):
        run = dict.fromkeys(recorded.RUN_COLUMNS, 0) | {"base": base, "seed": seed, "spans": spans}
        results.record(recorded.record_name(base), run, tmp_path)
    frame = recorded.recorded(tmp_path)
    assert len(frame) == 9 and set(frame["base"]) == {"minilm", "mpnet-v2.1"}
    one = frame[(frame["base"] == "mpnet-v2.1") & (frame["last"] == 1) & (frame["first"] == 0)].iloc[0]
    assert one["drop"] == 0.3 and one["what"] == "span"
