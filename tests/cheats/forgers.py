"""Payers that forge, replay, and ask for more than they seem to."""

import json
from dataclasses import replace
from typing import Any, ClassVar

from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import Address, Atoms
from tallystick.protocol.wire import VOUCHERS_PATH, authorization
from tests.cheats.deadbeat import WORD, Deadbeat
from tests.gateway.payer import CHAT, Payer

# ------------------------------------------------------------------------------------------- credentials


class Replays(Deadbeat):
    """The same credential again and again; an old one with another body; a bare voucher twice."""

    tokens: ClassVar[int] = 8

    async def play(self) -> None:
        payer = await self.world.payer()
        body = payer.body()
        headers = payer.headers(body, nonce=5)
        for _ in range(10):
            response = await payer.http.post(CHAT, content=body, headers=headers)
            self.got[payer.channel.id, 5] = len(WORD.findall(response.content))
        payer.take_whole(body, response)
        for changed in (payer.body(max_tokens=7), payer.body(n=2), body + b" "):
            assert (await payer.http.post(CHAT, content=changed, headers=headers)).status_code == 400
            assert (await payer.post(changed, nonce=5)).status_code == 409
        await payer.acknowledge()
        for _ in range(5):
            bare = payer.headers()
            await payer.http.post(VOUCHERS_PATH, headers=bare)
        assert self.world.engine.started == 1

    def bound(self) -> int:
        return 0


class Forges(Deadbeat):
    """Random bytes, another key, a high s, another chain, another contract, another channel."""

    async def play(self) -> None:
        payer = await self.world.payer()
        other = await self.world.payer()
        body = payer.body()
        signed = payer.credential(body).voucher
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        s = int.from_bytes(signed.signature[32:64], "big")
        high = signed.signature[:32] + (order - s).to_bytes(32, "big") + bytes([55 - signed.signature[64]])
        for signature in (b"", b"\0" * 65, b"\xff" * 65, high, signed.signature[:-1] + b"\x1d"):
            await self.told(payer, body, forged(payer, body, signature))
        for wrong in (
            replace(payer.domain, chain_id=1),
            replace(payer.domain, contract=Address(b"\1" * 20)),
        ):
            await self.told(payer, body, payer.headers(body, domain=wrong))
        await self.told(payer, body, payer.headers(body, key=Key.generate()))
        await self.told(payer, body, payer.headers(body, channel=other.channel))
        assert self.world.engine.started == 0

    async def told(self, payer: Payer, body: bytes, headers: dict[str, str]) -> None:
        response = await payer.http.post(CHAT, content=body, headers=headers)
        assert response.status_code in (400, 401), response.text
        self.got[payer.channel.id, payer.nonce] = len(WORD.findall(response.content))

    def bound(self) -> int:
        return 0


def forged(payer: Payer, body: bytes, signature: bytes) -> dict[str, str]:
    credential = payer.credential(body)
    return {
        "Authorization": authorization(
            replace(credential, voucher=Signed(credential.voucher.message, signature))
        )
    }


class AcknowledgesWhatItWasNeverSent(Deadbeat):
    """A voucher for an atom more than the receipts, for one receipt more, and over the cap: an amount that no
    work stands behind would let it draw more credit than it has."""

    credit: ClassVar[int] = 400
    tokens: ClassVar[int] = 8

    async def play(self) -> None:
        payer = await self.world.payer()
        await payer.complete()
        self.got[payer.channel.id, payer.nonce] = 8
        (receipt,) = payer.receipts.values()
        more = replace(receipt, sequence=1, cumulative_cost=Atoms(2 * receipt.cost))
        dearer = replace(payer.tally, amount=Atoms(payer.tally.amount + 1))
        over = replace(payer.tally, amount=Atoms(10**12))
        for tally in (payer.tally.append(more), dearer, over):
            assert (await payer.acknowledge(tally=tally)).status_code in (402, 409)
            for _ in range(5):
                assert (await payer.post(payer.body(), tally=tally)).status_code in (402, 409)
        assert self.world.engine.started == 1


# ------------------------------------------------------------------------------------------- requests


class AsksForTheMost(Deadbeat):
    """Bodies whose worst case is hidden: many choices, no limit, two limits, prompts by the hundred, options
    that leave the ids out, JSON that two readers read differently. Each by an account of its own."""

    tokens: ClassVar[int] = 100
    fields: ClassVar[tuple[dict[str, Any], ...]] = (
        {"n": 128},
        {"best_of": 128},
        {"n": 2**70},
        {"max_tokens": None},
        {"max_tokens": 1, "max_completion_tokens": 4_000},
        {"max_tokens": 2**70},
        {"prompt": ["x"] * 500},
        {"messages": [{"role": "user", "content": "word " * 20_000}]},
        {"echo": True, "logprobs": 5, "max_tokens": 100},
        {"return_token_ids": False},
        {"stream_options": {"include_usage": False, "continuous_usage_stats": False}},
    )
    raw: ClassVar[tuple[str, ...]] = (
        '"max_tokens": 1, "max_tokens": 4000',
        '"max_tokens": 4000, "max_tokens": 1',
        '"max_tokens": NaN',
        '"max_tokens": 1e3',
        '"max_tokens": 1, "m\\u0061x_tokens": 4000',
        '"n": 1, "n": 100, "max_tokens": 100',
        '"max_tokens": 99999999999999999999999',
        '"stream": false, "str\\u0065am": true, "max_tokens": 100',
    )

    async def play(self) -> None:
        for fields in self.fields:
            for stream in (False, True):
                messages = [{"role": "user", "content": "Say something."}]
                body = {"model": "stub", "messages": messages, "stream": stream, "max_tokens": 8} | fields
                await self.any(json.dumps(body).encode())
        for raw in self.raw:
            text = '{"model": "stub", "messages": [{"role": "user", "content": "a"}], ' + raw + "}"
            await self.any(text.encode())

    async def any(self, body: bytes) -> None:
        payer = await self.world.payer()
        headers = payer.headers(body)
        response = await payer.http.post(CHAT, content=body, headers=headers)
        if response.status_code == 200:
            self.got[payer.channel.id, payer.nonce] = len(WORD.findall(response.content))

    def gain(self) -> int:
        """Of the account that had most."""
        return max(10 + 10 * words for words in self.got.values())


class AsksMuchWithLittleCredit(Deadbeat):
    """A huge prompt, and a whole answer whose worst case is more than the credit."""

    credit: ClassVar[int] = 400

    async def play(self) -> None:
        payer = await self.world.payer()
        long = [{"role": "user", "content": "word " * 500}]
        assert (await self.whole(payer, payer.body(messages=long))).status_code == 402
        assert (await self.whole(payer, payer.body(max_tokens=100))).status_code == 402
        assert (await self.read(payer, messages=long)) == 402
        assert self.world.engine.started == 0

    def bound(self) -> int:
        return 0
