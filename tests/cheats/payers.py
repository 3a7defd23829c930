"""Payers that vanish, wait, split, close and drain: true signatures, and no payment."""

import asyncio
from typing import ClassVar

from tallystick.protocol.voucher import Tally
from tests.cheats.deadbeat import LONG, WORD, Deadbeat
from tests.gateway.conftest import until
from tests.gateway.payer import CHAT, Payer

# ------------------------------------------------------------------------------------------- acknowledging


class NeverAcknowledges(Deadbeat):
    """Asks until it is refused, in streams and in whole answers."""

    async def play(self) -> None:
        payer = await self.world.payer()
        for _ in range(4):
            await self.read(payer)
        for _ in range(20):
            await self.whole_unacknowledged(payer)

    async def whole_unacknowledged(self, payer: Payer) -> None:
        await self.whole(payer, payer.body(max_tokens=8), tally=Tally())


class AcknowledgesLate(Deadbeat):
    """Each stream is paid for, but only when the next one is refused; the last one never."""

    async def play(self) -> None:
        payer = await self.world.payer()
        for _ in range(6):
            held = payer.tally
            if await self.read(payer) == 402:
                payer.tally = held
                await payer.acknowledge()


class PausesAtEachWindow(Deadbeat):
    """Lets every window run dry and pays then, to see how far a stream goes before it stops."""

    credit: ClassVar[int] = 1_600

    async def play(self) -> None:
        payer = await self.world.payer()
        reading = asyncio.create_task(self.read(payer))
        account = self.world.books.accounts[payer.wallet.address]
        for _ in range(3):
            await until(lambda: account.waiting or reading.done())
            assert self.gain() <= self.bound()
            assert account.exposure <= self.credit
            await payer.acknowledge()
            await until(lambda: not account.waiting or reading.done())
        await reading


class AcknowledgesHalf(Deadbeat):
    """Always one receipt behind."""

    async def play(self) -> None:
        payer = await self.world.payer()
        before = Tally()
        for _ in range(40):
            now = payer.tally
            response = await self.whole(payer, payer.body(max_tokens=8), tally=before)
            if response.status_code == 200:
                payer.take_whole(response.request.content, response)
            before = now


class DisconnectsBeforeTheReceipt(Deadbeat):
    """Has the last token, and goes before it is billed."""

    tokens: ClassVar[int] = 20

    async def play(self) -> None:
        payer = await self.world.payer()
        for _ in range(40):
            await self.read(payer, stop_after=20, max_tokens=20)
            await until(lambda: not self.world.gateway.running)


class DisconnectsBeforeTheFirstToken(Deadbeat):
    """Makes the engine read and goes. Nothing is delivered, so nothing is charged; nothing is gained."""

    async def play(self) -> None:
        payer = await self.world.payer()
        self.world.engine.gate = asyncio.Semaphore(0)
        for _ in range(10):
            asked = asyncio.create_task(self.read(payer))
            started = self.world.engine.started
            await until(lambda started=started: self.world.engine.started > started)  # type: ignore[misc]
            asked.cancel()
            await asyncio.wait([asked])
        await until(lambda: not self.world.gateway.running)

    def bound(self) -> int:
        return 0


class ReadsSlowly(Deadbeat):
    """A token at a time, so that more is on its way to it than is owed."""

    async def play(self) -> None:
        payer = await self.world.payer()
        self.world.engine.gate = asyncio.Semaphore(0)
        reading = asyncio.create_task(self.read(payer))
        for _ in range(LONG):
            self.world.engine.gate.release()
            await asyncio.sleep(0)
        await reading


class AsksForNoCounts(Deadbeat):
    """Neither ids nor usage, of an engine that gives no ids, says four tokens at a time and breaks off in the
    middle; pays every receipt that it can check, and nothing else."""

    async def play(self) -> None:
        self.world.engine.gives_ids, self.world.engine.per_chunk = False, 4
        self.world.engine.die_after = 100
        payer = await self.world.payer()
        for _ in range(3):
            body = payer.body(stream=True, max_tokens=LONG)
            await self.read(payer, body=body, acknowledge=True)
            await payer.acknowledge()

    def bound(self) -> int:
        return 0


class HasItsInputReadForNothing(Deadbeat):
    """Of an engine that counts at the end alone: the first receipts of a long stream cannot bill it."""

    async def play(self) -> None:
        self.world.engine.gives_ids = self.world.engine.counts_on_the_way = False
        payer = await self.world.payer()
        for _ in range(3):
            await self.read(payer, acknowledge=True)
            await payer.acknowledge()

    def bound(self) -> int:
        return 0


# ------------------------------------------------------------------------------------------- many at once


class SplitsIntoAHundredKeys(Deadbeat):
    """One account, a hundred session keys, all at the same moment, none of which acknowledges."""

    async def play(self) -> None:
        payer = await self.world.payer()
        keys = await self.fellows(payer, 100)
        await asyncio.gather(*(self.read(key, max_tokens=40) for key in keys))
        await asyncio.gather(*(self.whole(key, key.body(max_tokens=8)) for key in keys))


class SharesANonce(Deadbeat):
    """One request on twenty connections at once: it is one answer."""

    tokens: ClassVar[int] = 20

    async def play(self) -> None:
        payer = await self.world.payer()
        body = payer.body(stream=True, max_tokens=20)
        headers = payer.headers(body, nonce=7)

        async def one() -> None:
            response = await payer.http.post(CHAT, content=body, headers=headers)
            self.got[payer.channel.id, 7] = len(WORD.findall(response.content))

        await asyncio.gather(*(one() for _ in range(20)))
        assert self.world.engine.started == 1

    def bound(self) -> int:
        return 10 + 10 * 20


class ClosesChannelsAndStartsAnew(Deadbeat):
    """What a closed channel owes is forgotten, it hopes."""

    async def play(self) -> None:
        payer = await self.world.payer()
        for key in await self.fellows(payer, 6):
            await self.read(key)
            self.world.chain.request_close(key.channel)
            self.world.chain.close(key.channel)
            await self.world.watch.poll()


class OutlivesARestart(Deadbeat):
    """What is owed is forgotten by a provider that starts again, it hopes."""

    async def play(self) -> None:
        payer = await self.world.payer()
        await self.read(payer)
        await self.world.crash()
        payer.http = self.world.http
        for key in await self.fellows(payer, 5):
            await self.read(key)


# ------------------------------------------------------------------------------------------- accounts


class ManyAccountsWithoutDeposit(Deadbeat):
    """A wallet costs nothing: fifty of them, each with a grant that nothing covers."""

    async def play(self) -> None:
        for _ in range(50):
            payer = self.world.stranger()
            body = payer.body()
            grant = payer.grant(10**6, deadline=self.world.clock.now // 1000 + 3600)
            assert (await self.whole(payer, body)).status_code == 404
            assert (await self.whole(payer, body, grant=grant)).status_code == 402

    def bound(self) -> int:
        return 0


class DrainsItsAccountWhileGrantsArePending(Deadbeat):
    """Ten grants that the account covers, none of them mined; then the account is emptied."""

    async def play(self) -> None:
        world = self.world
        world.chain.holds_grants = True
        payer = world.stranger()
        world.chain.deposit(payer.wallet.address, 10**6)
        deadline = world.clock.now // 1000 + 3600
        keys = [self.fellow(payer) for _ in range(10)]
        for key in keys:
            grant = key.grant(10**5, deadline=deadline)
            body = key.body(stream=True, max_tokens=LONG)
            await self.read(key, body=body, headers=key.headers(body, grant=grant))
        await world.cashier.submit_grants()
        world.chain.free[payer.wallet.address] = 0
        for signed in list(world.chain.submitted):
            world.chain.mine(signed.message)
        await world.watch.poll()
        for key in keys:
            await key.acknowledge()
            await self.read(key)

    def bound(self) -> int:
        return int(self.world.limits.unsecured)


class ExitsAndDepositsAgain(Deadbeat):
    """Never pays, takes its deposit out, puts it in again: what it owes stays with its account."""

    async def play(self) -> None:
        payer = await self.world.payer()
        await self.read(payer)
        for _ in range(5):
            fellow = self.fellow(payer)
            self.world.chain.deposit(payer.wallet.address, 10**6)
            grant = fellow.grant(10**5, deadline=self.world.clock.now // 1000 + 3600)
            body = fellow.body(stream=True, max_tokens=LONG)
            await self.read(fellow, body=body, headers=fellow.headers(body, grant=grant))
            self.world.chain.free[payer.wallet.address] = 0


class ClosesWhileStreaming(Deadbeat):
    """Asks for its channel back in mid-stream, and goes on reading as long as it can."""

    async def play(self) -> None:
        payer = await self.world.payer()
        reading = asyncio.create_task(self.read(payer))
        account = self.world.books.accounts[payer.wallet.address]
        await until(lambda: account.waiting or self.received() > 500)
        self.world.chain.request_close(payer.channel)
        await self.world.watch.poll()
        assert (await payer.acknowledge()).status_code == 409
        await reading
        assert await self.read(payer) == 409
