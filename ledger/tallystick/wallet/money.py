"""Atoms as people write them, and back. Integers only: no float ever holds money.

A bare integer is atoms, as everywhere in the protocol; anything else names the asset: `1.5 TUSD`.
"""

import re
from typing import Final

from tallystick.chain.market import Asset
from tallystick.protocol.units import Atoms

LIMIT: Final = 1 << 96
"""What the contract's amounts stay under."""
_AMOUNT = re.compile(r"(\d[\d_]*)(?:\.(\d+))?\s*([A-Za-z][A-Za-z0-9.]*)?").fullmatch
_GWEI: Final = 10**9
_GWEI_DIGITS: Final = 9
_LONGEST: Final = 200
"""Characters of an amount: Python takes long over longer numbers, or refuses them."""


class AmountError(ValueError):
    """Text that is no amount; the sentence says how to write one."""


def read_amount(text: str, asset: Asset) -> Atoms:
    """`1500000`, `1500000atoms`, `1.5tusd` or `1.5 TUSD`.

    Raises
    ------
    AmountError :
        No such text, another unit, more digits than the asset has, or too much for the contract.
    """
    found = _AMOUNT(text.strip()) if len(text) <= _LONGEST else None
    if found is None or not text.isascii():
        raise AmountError(f"{text[:_LONGEST]!r} is no amount. Write {_examples(asset)}.")
    whole, fraction, unit = found[1].replace("_", ""), found[2] or "", (found[3] or "").casefold()
    if unit in ("", "atom", "atoms"):
        if found[2] is not None:
            raise AmountError(f"{text!r} is no whole number of atoms. Write {_examples(asset)}.")
        amount = int(whole)
    elif unit == asset.symbol.casefold():
        if len(fraction) > asset.decimals:
            raise AmountError(f"{text!r} has more than the {asset.decimals} decimals of {asset.symbol}.")
        amount = int(whole + fraction.ljust(asset.decimals, "0"))
    else:
        raise AmountError(f"{text!r} is in another unit than this market's {asset.symbol}.")
    if amount >= LIMIT:
        raise AmountError(f"{text!r} is more than the market's contract can hold.")
    return Atoms(amount)


def show_amount(atoms: int, asset: Asset) -> str:
    """`1.500000 TUSD`, all its decimals."""
    return f"{decimal(atoms, asset.decimals)} {asset.symbol}"


def show_exactly(atoms: int, asset: Asset) -> str:
    """`1.500000 TUSD (1500000 atoms)`."""
    return f"{show_amount(atoms, asset)} ({atoms} atoms)"


def show_briefly(atoms: int, asset: Asset) -> str:
    """`1.5`: for a column whose head says the unit."""
    text = decimal(atoms, asset.decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_coins(wei: int) -> str:
    """What transactions cost, in the chain's own coin, rounded up to nine decimals."""
    text = decimal(-(-wei // _GWEI), _GWEI_DIGITS)
    return f"{text.rstrip('0').rstrip('.')} ETH"


def decimal(number: int, digits: int) -> str:
    text = str(number).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text


def _examples(asset: Asset) -> str:
    return f"atoms as an integer, or an amount with its unit, such as 1.5{asset.symbol.lower()}"
