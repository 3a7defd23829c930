"""eth_abi, as strict as the protocol's own encoder: an address is 20 bytes, a `bytes32` is 32, and no less.

Importing it takes half a second, so `abi` does when the first call is made or answered.
"""

import re
from copy import copy
from typing import Any, Final

from eth_abi.codec import ABICodec
from eth_abi.decoding import AddressDecoder, StringDecoder
from eth_abi.encoding import AddressEncoder, BytesEncoder
from eth_abi.exceptions import EncodingTypeError
from eth_abi.registry import registry


class _AddressEncoder(AddressEncoder):
    @classmethod
    def validate_value(cls, value: Any) -> None:
        if not isinstance(value, bytes) or len(value) != 20:
            raise EncodingTypeError(f"{value!r} is not an address of 20 bytes")


class _AddressDecoder(AddressDecoder):
    decoder_fn = staticmethod(bytes)  # type: ignore[assignment]  # eth_abi's writes hex


class _BytesEncoder(BytesEncoder):
    value_bit_size: int  # type: ignore[assignment]  # eth_abi's instances have one

    def validate_value(self, value: Any) -> None:
        if not isinstance(value, bytes) or len(value) * 8 != self.value_bit_size:  # eth_abi would fill it up.
            raise EncodingTypeError(f"{value!r} is not of {self.value_bit_size // 8} bytes")


class _StringDecoder(StringDecoder):
    @staticmethod
    def decoder_fn(data: bytes, handle_string_errors: str = "replace") -> str:
        return data.decode(
            errors="replace"
        )  # Solidity checks no UTF-8: one bad offer must not hide all others.


def _strict() -> ABICodec:
    ours = copy(registry)
    ours.unregister("address")
    ours.register("address", _AddressEncoder, _AddressDecoder)
    ours.unregister_encoder("bytes<M>")
    ours.register_encoder(lambda text: bool(re.fullmatch(r"bytes\d+", text)), _BytesEncoder, "bytes<M>")
    ours.unregister_decoder("string")
    ours.register_decoder("string", _StringDecoder)
    return ABICodec(ours)


CODEC: Final = _strict()
