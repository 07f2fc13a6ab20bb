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
    ("everything", "single", "verdicts"),
    [
        (0.37, 0.02, ["open", "holds"]),  # 50.4 ± 4.4 holds the majority's 50
        (0.44, 0.12, ["holds", "open"]),  # 44.8 ± 4.4; 12 ± 2.5 holds a quarter of 44
        (0.28, 0.12, ["fails", "fails"]),
    ],
)
def test_claims_are_open_where_the_interval_holds_the_bound(everything, single, verdicts):
    table = recorded.claims(made_up(everything, single), 0.5)
    assert list(table["verdict"]) == verdicts and table["measured"][1] == pytest.approx(100 * single)
    assert table["95%"][1] == pytest.approx(2.45, abs=0.06) and table["bound"][1] == pytest.approx(
        25 * everything, abs=0.06
    )


def test_recorded_runs_come_back_tidy(tmp_path):
    assert recorded.recorded(tmp_path).empty
    spans = [[row[key] for key in recorded.COLUMNS] for row in made_up(0.3, 0.02).spans]
    for base, seed in (("minilm", 0), ("minilm", 1), ("mpnet-v2.1", 0)):
        run = {"base": base, "seed": seed, "n_train": 9, "spans": spans}
        results.record(recorded.record_name(base), run, tmp_path)
    frame = recorded.recorded(tmp_path)
    assert len(frame) == 9 and set(frame["base"]) == {"minilm", "mpnet-v2.1"}
    one = frame[(frame["base"] == "mpnet-v2.1") & (frame["last"] == 1) & (frame["first"] == 0)].iloc[0]
    assert one["drop"] == 0.3 and one["what"] == "span"
