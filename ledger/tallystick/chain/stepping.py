"""What the checks of a duel and of an accusation are told with."""

from enum import IntEnum

from tallystick.protocol.audit import Step
from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import MalformedSignature
from tallystick.protocol.signed import recover
from tallystick.protocol.units import ZERO_ADDRESS, Address, Hash32, to_hex


def step(name: str, holds: bool | None, reason: str, **inputs: object) -> Step:
    written = {key: _written(value) for key, value in inputs.items()}
    return Step(name=name, holds=holds, reason=reason, inputs=written)


def signer_of(struct_hash: Hash32, signature: bytes, domain: Domain) -> Address:
    """Zero where it is no signature."""
    try:
        return recover(digest(domain, struct_hash), signature)
    except MalformedSignature:
        return ZERO_ADDRESS


def _written(value: object) -> str:
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value)) or "none"
    return value.name.lower() if isinstance(value, IntEnum) else str(value)
