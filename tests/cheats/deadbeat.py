"""What payers that will not pay can do. Those of `payers` and `forgers` are played in `test_payers`.

`gain` is the price of what reached them, less what the provider could settle. `bound` is the most that the
design allows: the credit of the offer, once an account; nothing, where no work may be had at all.
"""

import re
from collections import defaultdict
from dataclasses import replace
from typing import Any, ClassVar

import httpx2

from tallystick.protocol.receipt import Receipt
from tests.gateway.conftest import World
from tests.gateway.payer import CHAT, Payer, Stream

WORD = re.compile(rb"w\d+ |x ")
LONG = 300


class Deadbeat:
    """One adversary: any number of keys, accounts and connections."""

    credit: ClassVar[int] = 4_000
    tokens: ClassVar[int] = LONG
    """What the engine says to each request, unless fewer are asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.peak = 0
        self.got: dict[tuple[bytes, int], int] = defaultdict(int)
        """Words that came, by channel and nonce: an answer that is told twice is one answer."""

    async def play(self) -> None:
        raise NotImplementedError

    def bound(self) -> int:
        """Atoms."""
        return self.credit

    # ---- what it did

    def received(self) -> int:
        """The price of all that came: ten tokens of input an answer, a word a token."""
        return sum(10 + 10 * words for words in self.got.values() if words)

    def payable(self) -> int:
        """What the vouchers in the provider's hands would pay on chain."""
        return sum(
            min(tab.voucher.message.cumulative_amount, tab.channel.cap)
            for tab in self.world.books.tabs.values()
            if tab.voucher is not None
        )

    def gain(self) -> int:
        """The most that it ever had for nothing."""
        self.peak = max(self.peak, self.received() - self.payable())
        return self.peak

    # ---- what it can do

    async def read(
        self,
        payer: Payer,
        *,
        stop_after: int | None = None,
        acknowledge: bool = False,
        headers: dict[str, str] | None = None,
        nonce: int | None = None,
        body: bytes | None = None,
        **fields: Any,
    ) -> int:
        """A stream, read as far as it comes or to `stop_after` words; the status."""
        everything = {"include_usage": True, "continuous_usage_stats": True}
        if body is None:
            body = payer.body(stream=True, stream_options=everything, **{"max_tokens": LONG} | fields)
        headers = headers or payer.headers(body, nonce=nonce)
        key = payer.channel.id, payer.nonce if nonce is None else nonce
        words = 0
        try:
            async with payer.http.stream("POST", CHAT, content=body, headers=headers) as response:
                stream = Stream(payer, body, response)
                while (event := await stream.next_event()) is not None:
                    if isinstance(event, Receipt):
                        if acknowledge:
                            await payer.acknowledge()
                        continue
                    words += len(WORD.findall(event))
                    self.got[key] = max(self.got[key], words)
                    if stop_after is not None and words >= stop_after:
                        break
                return response.status_code
        except httpx2.TransportError:
            return 0

    async def whole(self, payer: Payer, body: bytes, **changes: Any) -> httpx2.Response:
        response = await payer.post(body, **changes)
        if response.status_code == 200:
            nonce = changes.get("nonce", payer.nonce)
            self.got[payer.channel.id, nonce] = len(WORD.findall(response.content))
        return response

    def fellow(self, payer: Payer) -> Payer:
        """Another session key of the same account."""
        other = self.world.stranger()
        other.wallet = payer.wallet
        other.channel = replace(other.channel, payer=payer.wallet.address)
        return other

    async def fellows(self, payer: Payer, count: int, cap: int = 10**6) -> list[Payer]:
        made = [self.fellow(payer) for _ in range(count)]
        for fellow in made:
            self.world.chain.open(fellow.channel, cap)
        await self.world.watch.poll()
        return made
