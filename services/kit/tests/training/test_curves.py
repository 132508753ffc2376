"""Is the typical driver one who can exist at every age, and nobody in particular?"""

import numpy as np
from test_segments import rows_of

from kit.contract import Contract
from kit.training.report import curves


def test_only_age_and_what_it_allows_change(contract: Contract) -> None:
    """Nobody has held a licence for thirty years at seventeen."""
    rows = rows_of(
        contract, age=[50] * 3, licence_years=[28, 30, 32], vehicle_value=[9000, 9500, 99000], region=[4, 4, 2]
    )
    place = {f.name: i for i, f in enumerate(contract.numeric)}

    found = curves.typical(contract, rows)

    years = np.arange(17, 91)
    assert years.tolist() == found.numeric[:, place["age"]].tolist()
    assert np.minimum(30, years - 17).tolist() == found.numeric[:, place["licence_years"]].tolist()
    assert [9500] * len(years) == found.numeric[:, place["vehicle_value"]].tolist()
    assert np.isnan(found.numeric[:, place["points"]]).all()
    region = [f.name for f in contract.categorical].index("region")
    assert [4] * len(years) == found.categorical[:, region].tolist()


def test_a_curve_is_the_median_of_its_insurers() -> None:
    """One for all when nobody said what kind they are."""
    answers = np.tile([100.0, 200.0, 900.0], (74, 1))

    assert {"x": [500.0] * 74, "unknown": [200.0] * 74} == curves.by_archetype(
        answers, ("a", "b", "c"), {"a": "x", "c": "x"}
    )["archetypes"]
    assert {curves.ALL: [200.0] * 74} == curves.by_archetype(answers, ("a", "b", "c"), {})["archetypes"]
