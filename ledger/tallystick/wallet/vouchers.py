"""Files of signed vouchers, as a provider keeps them: each with the ends of its channel.

[{"payer": "0x…", "provider": "0x…", "sessionKey": "0x…", "epoch": "0", "voucher": {…}, "signature": "0x…"}]
"""

from pathlib import Path

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MalformedMessage
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
    signed = signed_from_json(Voucher, entry)
    key = ChannelKey.from_json(entry)
    if key.id != signed.message.channel_id:
        raise MalformedMessage("A voucher is of another channel than its entry says.")
    return key, signed
