"""Files of signed vouchers, as a provider keeps them: each with the ends of its channel.

[{"payer": "0x…", "provider": "0x…", "sessionKey": "0x…", "epoch": 0, "voucher": {…}, "signature": "0x…"}]
"""

from pathlib import Path

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.message import read_value
from tallystick.protocol.signed import Signed
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import signed_from_json
from tallystick.wallet.json_file import read_json_file


def read_vouchers(path: Path) -> list[tuple[ChannelKey, Signed[Voucher]]]:
    """Raises MalformedMessage."""
    data = read_json_file(path)
    if not isinstance(data, list):
        raise MalformedMessage(f"{path} should hold a list of signed vouchers.")
    return [_voucher(entry) for entry in data]


def _voucher(entry: object) -> tuple[ChannelKey, Signed[Voucher]]:
    if not isinstance(entry, dict):
        raise MalformedMessage("A voucher's entry is an object.")
    signed = signed_from_json(Voucher, entry)
    key = ChannelKey(
        payer=read_value("address", entry.get("payer"), "payer"),
        provider=read_value("address", entry.get("provider"), "provider"),
        session_key=read_value("address", entry.get("sessionKey"), "sessionKey"),
        epoch=read_value("uint24", str(entry.get("epoch")), "epoch"),
    )
    if key.id != signed.message.channel_id:
        raise MalformedMessage("A voucher is of another channel than its entry says.")
    return key, signed
