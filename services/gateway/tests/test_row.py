"""How what was sent, assumed and looked up becomes the models' row, and where it stands."""

from typing import Any

import numpy as np
from hypothesis import given, strategies as st
from support import MOTOR, entity, ranges_file, serving

from gateway.app import layouts
from gateway.domain.reasons import Alarm
from gateway.domain.risk import Risk
from gateway.pricing.row import Packer, Row, stack
from gateway.pricing.standing import Stood, stand
from kit import rows
from kit.contract import Field
from kit.ranges import Ranges

PACKER = Packer(MOTOR, layouts(MOTOR))


def stood(*packed: Row, **ranges: Any) -> Stood:
    """Where rows stand in a bundle with these ranges."""
    return stand(MOTOR, serving(ranges=Ranges.read(ranges_file(**ranges), MOTOR)), packed)


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Whatever may be sent of a field."""
    match field.kind:
        case "int":
            return st.integers(int(field.minimum), int(field.maximum))
        case "float":
            return st.floats(field.minimum, field.maximum, width=32)
        case "bool":
            return st.booleans()
        case _:
            return st.sampled_from(field.values)


@given(st.fixed_dictionaries({}, optional={f.name: values_of(f) for f in MOTOR.fields}))
def test_a_row_is_that_of_the_training_side(values: dict[str, Any]) -> None:
    """Whatever is sent, the models get what `kit.rows` packs of it."""
    assumed = {f.name: f.assumed for f in MOTOR.fields if f.assumed is not None}
    numeric, categorical = rows.pack(MOTOR, assumed | values)
    batch = stack([PACKER.pack(Risk(values), {})])

    np.testing.assert_array_equal(numeric[np.newaxis], batch[0])
    np.testing.assert_array_equal(categorical[np.newaxis], batch[1])


def test_rows_are_stacked_in_order() -> None:
    """Each is where it was put."""
    numeric, _ = stack([PACKER.pack(Risk({"age": age}), {}) for age in (30, 40, 50)])

    assert [30.0, 40.0, 50.0] == numeric[:, [f.name for f in MOTOR.numeric].index("age")].tolist()


def test_what_is_assumed_is_shown_and_used() -> None:
    """The law asks for the first, the models for the second."""
    row = PACKER.pack(Risk({"age": 30, "cover": "tpo"}), {})
    numeric, _ = stack([row])

    assert {"cover.voluntary_excess": 250} == row.assumed
    assert 250.0 == numeric[0, [f.name for f in MOTOR.numeric].index("voluntary_excess")]


def test_a_row_by_id_is_the_row_by_attributes() -> None:
    """A car is the same risk whether the site or the feature store knows it."""
    found = entity("vehicle")
    fields = MOTOR.fields_of("vehicle")
    numbers = dict(zip([f.name for f in fields if f.is_numeric], found.numeric.tolist(), strict=True))
    texts = {f.name: f.values[0] for f in fields if not f.is_numeric}
    by_id = PACKER.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): found})
    by_attributes = PACKER.pack(Risk({"age": 30} | numbers | texts), {})

    assert (by_attributes.numeric, by_attributes.categorical) == (by_id.numeric, by_id.categorical)


def test_an_unseen_code_counts_as_not_known() -> None:
    """It is well-formed, so it is not refused; it is named, so that nobody is misled."""
    row = PACKER.pack(Risk({"age": 30, "occupation": "occ-99", "sector": MOTOR.field("sector").values[0]}), {})
    _, categorical = stack([row])
    column = [f.name for f in MOTOR.categorical].index("occupation")

    assert "occ-99" not in MOTOR.field("occupation").values
    assert (("driver.occupation",), -1) == (row.unseen, categorical[0, column])


def test_the_key_is_that_of_the_training_side() -> None:
    """Calibration tables are found by it."""
    found = stood(PACKER.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): entity("vehicle")}))

    np.testing.assert_array_equal(rows.answered(MOTOR, found.numeric, found.categorical), found.at.quote.keys)


def test_an_unseen_code_keeps_its_interval() -> None:
    """The models have learnt what "not known" means, and so has the calibration."""
    found = stood(PACKER.pack(Risk({"age": 30, "occupation": "occ-99"}), {}))

    assert ([False], [(Alarm.CODE,)]) == (found.is_outside.tolist(), found.alarms)


def test_a_number_outside_its_box_puts_the_row_outside() -> None:
    """Its path is named, after the codes that nobody has seen; the rows beside it are none the worse."""
    far, near = (
        Risk({"age": 30, "occupation": "occ-99", "annual_mileage": 50000}),
        Risk({"age": 30, "annual_mileage": 9000}),
    )
    found = stood(PACKER.pack(far, {}), PACKER.pack(near, {}), box={"annual_mileage": [1000, 40000]})

    assert [("driver.occupation", "use.annual_mileage"), ()] == found.out_of_range
    assert ([True, False], [(Alarm.CODE, Alarm.BOX), ()]) == (found.is_outside.tolist(), found.alarms)


def test_what_the_store_knows_is_checked_too() -> None:
    """A slip of a unit in the feature store is as wrong as one in a request."""
    row = PACKER.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): entity("vehicle")})
    found = stood(row, box={"vehicle_value": [100, 100_000]})

    assert ([("vehicle.vehicle_value",)], [True]) == (found.out_of_range, found.is_outside.tolist())
