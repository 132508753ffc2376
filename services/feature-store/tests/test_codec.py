"""Bytes become the same value again, or a reason; nothing else."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from feature_store.codec import Flaw, Value, decode, encode, size
from feature_store.layout import Layout, schema_id
from kit.contract import load

VEHICLE = Layout.of(load(), "vehicle")
AREA = Layout.of(load(), "area")

numbers = st.lists(st.floats(width=32, allow_nan=True), min_size=len(VEHICLE.numeric), max_size=len(VEHICLE.numeric))
codes = st.lists(st.integers(-1, 2**31 - 1), min_size=len(VEHICLE.categorical), max_size=len(VEHICLE.categorical))
values = st.builds(
    lambda t, p, n, c: Value(t, p, np.array(n, np.float32), np.array(c, np.int32)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**64 - 1),
    numbers,
    codes,
)


def example(event_time_s: float = 1.0) -> Value:
    return Value(event_time_s, 0b111111, np.array([1, 2, 3], np.float32), np.array([4, 5, -1], np.int32))


@given(values, st.text())
def test_a_value_survives(value: Value, entity_id: str) -> None:
    """Whatever is encoded is decoded bit by bit, NaN included."""
    back = decode(VEHICLE, entity_id, encode(VEHICLE, entity_id, value))

    assert isinstance(back, Value)
    assert (value.event_time_s, value.present) == (back.event_time_s, back.present)
    assert value.numeric.tobytes() == back.numeric.tobytes()
    assert value.categorical.tobytes() == back.categorical.tobytes()


@given(st.binary(max_size=2 * size(VEHICLE)))
def test_any_bytes_are_a_flaw(data: bytes) -> None:
    """Bytes that nobody encoded are never a value and never an exception."""
    assert isinstance(decode(VEHICLE, "v-00001", data), Flaw)


@given(st.binary(max_size=64))
def test_any_body_under_the_right_schema_is_a_flaw(body: bytes) -> None:
    """A right schema does not make a value of what follows it."""
    data = bytes(4) + VEHICLE.schema + body

    assert isinstance(decode(VEHICLE, "v-00001", data), Flaw)


@given(values, st.data())
def test_one_flipped_bit_is_noticed(value: Value, data: st.DataObject) -> None:
    """No single damaged bit goes unseen, wherever it lies."""
    good = encode(VEHICLE, "v-00001", value)
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    damaged = bytearray(good)
    damaged[bit // 8] ^= 1 << bit % 8

    assert isinstance(decode(VEHICLE, "v-00001", bytes(damaged)), Flaw)


@pytest.mark.parametrize("length", range(size(VEHICLE)))
def test_a_cut_value_is_truncated(length: int) -> None:
    """Every proper prefix is called truncated."""
    assert Flaw.TRUNCATED == decode(VEHICLE, "v-00001", encode(VEHICLE, "v-00001", example())[:length])


def test_another_contracts_value_is_refused() -> None:
    """The schema tells contracts apart even when the fields are as many."""
    good = encode(VEHICLE, "v-00001", example())

    assert Flaw.SCHEMA == decode(VEHICLE, "v-00001", good[:4] + schema_id("f" * 64, "vehicle") + good[12:])


def test_another_entitys_value_is_refused() -> None:
    """A car's bytes under an area's key are not an area."""
    assert Flaw.SCHEMA == decode(AREA, "v-00001", encode(VEHICLE, "v-00001", example()))


def test_another_ids_value_is_refused() -> None:
    """A value that reaches the wrong reader is a miss, not somebody else's car."""
    assert Flaw.CHECKSUM == decode(VEHICLE, "v-00002", encode(VEHICLE, "v-00001", example()))


def test_a_time_that_is_no_number_is_refused() -> None:
    """Even with a right checksum, no age can be told from NaN."""
    rest = struct.pack("<8sdQ", VEHICLE.schema, float("nan"), 0) + bytes(4 * len(VEHICLE.fields))
    data = struct.pack("<I", zlib.crc32(rest, zlib.crc32(b"v-00001"))) + rest

    assert Flaw.CHECKSUM == decode(VEHICLE, "v-00001", data)


def test_decoded_arrays_cannot_be_written() -> None:
    """The cache hands the same arrays to many requests."""
    back = decode(VEHICLE, "v-00001", encode(VEHICLE, "v-00001", example()))

    assert isinstance(back, Value)
    assert (False, False) == (back.numeric.flags.writeable, back.categorical.flags.writeable)


@pytest.mark.parametrize("value", [Value(float("inf"), 0, example().numeric, example().categorical),
                                   Value(1.0, 0, example().categorical[:2].astype(np.float32), example().categorical)])  # fmt: skip
def test_what_cannot_be_read_is_not_written(value: Value) -> None:
    """A wrong length or an infinite time is refused before it is stored."""
    with pytest.raises(ValueError, match="vehicle"):
        encode(VEHICLE, "v-00001", value)
