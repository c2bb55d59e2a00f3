"""Values that registers cannot hold, and how wide the fields are."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import (
    OverWideFieldError,
    OverWideFieldWarning,
    RknnFile,
    VirtualNpu,
    layers_with_full_cubes,
    over_wide_fields,
    read,
)

WIDTHS = [
    ("FEATURE_GRAINS", 0x1010, 4, 10),
    ("DATAIN_WIDTH", 0x1020, 16, 11),
    ("DATAIN_CHANNEL_REAL", 0x1024, 16, 14),
    ("DATAOUT_WIDTH", 0x1028, 0, 11),
    ("WEIGHT_BYTES_PER_KERNEL", 0x1034, 0, 19),
    ("WEIGHT_KERNELS", 0x1038, 0, 14),
    ("DATA_ENTRIES", 0x1044, 0, 14),
    ("DMA_WIDTH", 0x1084, 16, 14),
    ("CLIP_TRUNCATE", 0x301C, 0, 5),
    ("WIDTH", 0x4030, 0, 13),
    ("HEIGHT", 0x4034, 0, 13),
    ("NOTCH_ADDR_0", 0x4038, 0, 13),
    ("CHANNEL", 0x403C, 0, 13),
    ("ORIG_CHANNEL", 0x403C, 16, 13),
    ("BS_MUL_SHIFT_VALUE", 0x4048, 8, 6),
    ("CHANNEL_WDMA", 0x4058, 0, 13),
    ("WIDTH_WDMA", 0x405C, 0, 13),
    ("HEIGHT_WDMA", 0x405C, 16, 13),
    ("MINUS_EXP", 0x4088, 12, 8),
    ("WIDTH", 0x500C, 0, 13),
    ("HEIGHT", 0x5010, 0, 13),
    ("CHANNEL", 0x5014, 0, 13),
]
"""Lowest bit and bits of fields, by the RK3588 TRM, part 1, and Mesa's registers.xml."""

HEIGHTS = [("DATAIN_HEIGHT", 0x1020), ("DMA_HEIGHT", 0x1084)]
"""Fields of 11 bits that the toolkits write past their width."""


def file_with(address: int, value: int) -> RknnFile:
    layer = Dense(np.ones((3, 8)), np.zeros(3))
    return read(write(Chain([layer], samples=4, edit={0: {address: value}})))


@pytest.mark.parametrize(("name", "address", "low", "bits"), WIDTHS)
def test_one_more_than_a_field_holds_is_refused_by_name(name: str, address: int, low: int, bits: int) -> None:
    with pytest.raises(OverWideFieldError) as caught:
        VirtualNpu(file_with(address, 1 << bits + low))
    error = caught.value
    assert (error.field, error.width) == (name, bits)
    assert f"{error.register}: {name} = {1 << bits} is more than its {bits} bits hold" in str(error)
    assert not over_wide_fields(file_with(address, (1 << bits) - 1 << low))


@pytest.mark.parametrize(("name", "address"), HEIGHTS)
def test_a_height_that_toolkits_write_past_its_field_warns(name: str, address: int) -> None:
    (field,) = over_wide_fields(file_with(address, 1 << 16 | 5632))
    assert (field.field.name, field.value, field.is_read) == (name, 5632, True)
    assert str(field).endswith("a chip whose field is that narrow reads 1536")  # 5632 mod 2048
    file = read(write(Chain([Dense(np.ones((3, 8)), np.zeros(3))], samples=2048)))
    with pytest.warns(OverWideFieldWarning, match="DATAIN_HEIGHT = 2048 is more than its 11 bits hold"):
        VirtualNpu(file)


@pytest.mark.parametrize(("name", "address"), HEIGHTS)
def test_a_height_that_no_toolkit_writes_is_refused(name: str, address: int) -> None:
    with pytest.raises(OverWideFieldError, match=f"{name} = 8192 is more than its 11 bits hold"):
        VirtualNpu(file_with(address, 1 << 16 | 8192))


def test_2047_lines_load_without_a_warning() -> None:
    file = read(write(Chain([Dense(np.ones((3, 8)), np.zeros(3))], samples=2047)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VirtualNpu(file)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_addresses_are_not_held_against_a_width(dtype: str) -> None:
    """The runtime places them; what the file has there is an offset."""
    assert not over_wide_fields(read(small(dtype)))


def test_other_chips_have_no_published_widths() -> None:
    file = dataclasses.replace(file_with(0x4030, 9000), target_platform="rk3576")
    assert not over_wide_fields(file)
    assert not layers_with_full_cubes(file)


def test_a_pass_over_8191_lines_or_more_is_listed_with_its_layer() -> None:
    for lines in (8191, 8192):
        assert layers_with_full_cubes(file_with(0x4034, lines - 1)) == ("Conv:0",)
    assert not layers_with_full_cubes(file_with(0x4034, 8189))
