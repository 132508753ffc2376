"""How what was sent, assumed and looked up becomes the models' row."""

import numpy as np
from support import MOTOR, entity, ranges_file

from gateway.app import layouts
from gateway.domain.reasons import Alarm
from gateway.domain.risk import Risk
from gateway.pricing.row import Packer
from kit import rows
from kit.ranges import Ranges

PACKER = Packer(MOTOR, layouts(MOTOR), Ranges.read(ranges_file(), MOTOR))


def test_what_is_assumed_is_shown_and_used() -> None:
    """The law asks for the first, the models for the second."""
    row = PACKER.pack(Risk({"age": 30, "cover": "tpo"}), {})
    numeric, categorical = rows.pack(MOTOR, {"age": 30, "cover": "tpo", "voluntary_excess": 250})

    assert {"cover.voluntary_excess": 250} == row.assumed
    np.testing.assert_array_equal(numeric[np.newaxis], row.numeric)
    np.testing.assert_array_equal(categorical[np.newaxis], row.categorical)


def test_a_row_by_id_is_the_row_by_attributes() -> None:
    """A car is the same risk whether the site or the feature store knows it."""
    found = entity("vehicle")
    fields = MOTOR.fields_of("vehicle")
    numbers = dict(zip([f.name for f in fields if f.is_numeric], found.numeric.tolist(), strict=True))
    texts = {f.name: f.values[0] for f in fields if not f.is_numeric}
    by_id = PACKER.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): found})
    by_attributes = PACKER.pack(Risk({"age": 30} | numbers | texts), {})

    np.testing.assert_array_equal(by_attributes.numeric, by_id.numeric)
    np.testing.assert_array_equal(by_attributes.categorical, by_id.categorical)
    assert by_attributes.key == by_id.key


def test_an_unseen_code_counts_as_not_known() -> None:
    """It is well-formed, so it is not refused; it is named, so that nobody is misled."""
    row = PACKER.pack(Risk({"age": 30, "occupation": "occ-99", "sector": MOTOR.field("sector").values[0]}), {})
    column = [f.name for f in MOTOR.categorical].index("occupation")

    assert "occ-99" not in MOTOR.field("occupation").values
    assert (("driver.occupation",), -1) == (row.out_of_range, row.categorical[0, column])


def test_the_key_is_that_of_the_training_side() -> None:
    """Calibration tables are found by it."""
    row = PACKER.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): entity("vehicle")})

    np.testing.assert_array_equal(rows.answered(MOTOR, row.numeric, row.categorical), row.key)


def test_an_unseen_code_keeps_its_interval() -> None:
    """The models have learnt what "not known" means, and so has the calibration."""
    row = PACKER.pack(Risk({"age": 30, "occupation": "occ-99"}), {})

    assert (False, (Alarm.CODE,)) == (row.is_outside, row.alarms)


def test_a_number_outside_its_box_puts_the_row_outside() -> None:
    """Its path is named, after the codes that nobody has seen."""
    packer = Packer(MOTOR, layouts(MOTOR), Ranges.read(ranges_file(box={"annual_mileage": [1000, 40000]}), MOTOR))
    row = packer.pack(Risk({"age": 30, "occupation": "occ-99", "annual_mileage": 50000}), {})

    assert ("driver.occupation", "use.annual_mileage") == row.out_of_range
    assert (True, (Alarm.CODE, Alarm.BOX)) == (row.is_outside, row.alarms)


def test_what_the_store_knows_is_checked_too() -> None:
    """A slip of a unit in the feature store is as wrong as one in a request."""
    packer = Packer(MOTOR, layouts(MOTOR), Ranges.read(ranges_file(box={"vehicle_value": [100, 100_000]}), MOTOR))
    row = packer.pack(Risk({"age": 30}, {"vehicle": "v-00123"}), {("vehicle", "v-00123"): entity("vehicle")})

    assert (("vehicle.vehicle_value",), True) == (row.out_of_range, row.is_outside)
