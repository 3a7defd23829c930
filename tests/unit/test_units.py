"""Hex comes in one form: `0x` and exactly so many digits."""

import pytest

from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, address, hash32, to_hex


@pytest.mark.parametrize(("read", "size"), [(address, 20), (hash32, 32)])
def test_hex_is_read_in_either_case_and_written_in_lower(read, size):
    value = bytes(range(0xA0, 0xA0 + size))

    assert read("0x" + value.hex()) == read("0x" + value.hex().upper()) == value
    assert to_hex(value) == "0x" + value.hex()


@pytest.mark.parametrize(("read", "size"), [(address, 20), (hash32, 32)])
def test_anything_else_is_no_value(read, size):
    digits = "ab" * size
    for text in (
        "",
        "0x",
        digits,
        "0X" + digits,
        "0x" + digits[2:],
        "0x" + digits + "ab",
        "0x" + "g" * 2 * size,
        " 0x" + digits[1:],
        "0x" + digits[:-1] + "\n",
    ):
        with pytest.raises(ValueError, match="hex"):
            read(text)


@pytest.mark.parametrize(("read", "size"), [(address, 20), (hash32, 32)])
def test_white_space_does_not_stand_for_digits(read, size):
    """`bytes.fromhex` skips it: such a text has the right length, and gives too few bytes."""
    text = "0x" + ("ab " * size)[: 2 * size - 4] + "abab"
    assert len(bytes.fromhex(text[2:])) < size

    with pytest.raises(ValueError, match="hex"):
        read(text)


def test_the_zeros_have_their_sizes():
    assert (len(ZERO_ADDRESS), len(ZERO_HASH)) == (20, 32)
