"""Providers that misuse what the two sides of a channel tell each other when one has forgotten. Played in
`test_amnesiacs`."""

from dataclasses import replace
from typing import Any, ClassVar

from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ChannelLost,
    ChannelNotOpen,
    MarketError,
    WrongEpoch,
)
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import RESTORE_PATH, signed_to_json
from tests.cheats.providers import Cheat
from tests.client.fake_chain import DOMAIN
from tests.client.serving import Handler
from tests.client.side import Refused, Side


class RepeatsAReceiptForEver(Cheat):
    """Shows the first receipt, whatever it is asked for: a payer that asks for the rest asks for ever."""

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        return super().resynced(side, start) | {"receipts": [signed_to_json(side.receipts[0])]}


class ShowsItInCrumbs(Cheat):
    """One receipt an answer, so that a payer asks as often as it ever bought."""

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        shown = super().resynced(side, start)
        return shown | {"receipts": shown["receipts"][:1]}


class ShowsUnsignedReceipts(Cheat):
    """What the payer takes back could never be held against anybody's stake."""

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        stranger = Key.generate()
        unsigned = [sign(item.message, DOMAIN, stranger).signed for item in side.receipts[start:]]
        return super().resynced(side, start) | {"receipts": [signed_to_json(item) for item in unsigned]}


class ClaimsToHaveForgotten(Cheat):
    """Has lost the channel, it says, and closes it at what it gets back: the payer waits for the chain."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if path != RESTORE_PATH:
            raise Refused(409, ChannelLost("It is lost."))
        handler._json(200, {"receiptCount": "0", "close": self.promised(next(iter(self.sides.values())))})
        return True

    def promised(self, side: Side) -> object:
        return signed_to_json(self.consent(side))


class EndsEveryChannel(Cheat):
    """Takes the grant and says that the channel takes no more work: the next channel brings another grant. It
    gains nothing, and the deposit is locked in channels to it."""

    code: ClassVar[type[MarketError]] = ChannelNotOpen

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        raise Refused(409, self.code("It is over."))


class IsAlwaysAnEpochAhead(EndsEveryChannel):
    """The same, by what the chain is said to hold."""

    code: ClassVar[type[MarketError]] = WrongEpoch


class RemembersAnotherHistory(EndsEveryChannel):
    """The same, by receipts that there never were."""

    code: ClassVar[type[MarketError]] = AcknowledgementMismatch


class ClosesWithoutASignature(ClaimsToHaveForgotten):
    """The same, for a word that is nobody's."""

    def promised(self, side: Side) -> object:
        return signed_to_json(sign(self.consent(side).message, DOMAIN, Key.generate()).signed)


class ClosesNothing(ClaimsToHaveForgotten):
    """The same, for any word at all."""

    def promised(self, side: Side) -> object:
        return True


class ClosesAtAnotherAmount(ClaimsToHaveForgotten):
    """The same, with its signature to an end that was not asked for."""

    def consent(self, side: Side) -> Signed[Close]:
        close = super().consent(side).message
        return sign(replace(close, cumulative_amount=close.cumulative_amount + 1), DOMAIN, self.key).signed
