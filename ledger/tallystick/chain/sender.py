"""Transactions of one key: estimated, priced, signed, sent in order, and waited for.

A call that would revert is refused by the estimate, with the contract's reason, before anything is signed. It
knows no market.

What makes it safe is the nonce: of all that was ever signed for one, the chain takes at most one. A `Flight`
is one nonce and everything sent under it. What is lost on the way is sent again byte by byte; what is stuck
is replaced under its nonce, at a higher fee; and a call that follows one whose outcome is unknown takes over
its nonce, so that never both are mined. Nothing is kept on disk: after a restart the chain's own counts say
whether something of this key is still under way.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tallystick.chain.contracts import Call, contract_error
from tallystick.chain.errors import (
    ChainError,
    ChainUnavailable,
    GasUnaffordable,
    RpcError,
    TransactionFailed,
    TransactionReplaced,
    TransactionUnknown,
)
from tallystick.chain.pool import Answer, Pool
from tallystick.chain.rpc import Rpc
from tallystick.chain.transaction import Fees, Mined, Preview, Receipt, refusal, sign_transaction
from tallystick.ports import Look, Signer
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Hash32, to_hex

_ATTEMPTS: Final = 8
"""Nonces and fees tried, should other programs send from the same key."""
_PUSH_S: Final = 5.0
"""After which what is not mined is sent again, dearer if the chain's fee has risen."""
_SLOW_PUSHES: Final = 6
"""Pushes after which a fee that should do is raised all the same."""
_DEAREST: Final = 16
"""Times the fee first thought of, at most, where the caller names no limit."""
_PATIENCE_S: Final = 20.0
"""For others' transactions of this key to be mined, before the first of ours is sent."""
_MISSES: Final = 4
"""Looks that find a nonce used and none of its transactions, before another's was mined."""
_LAG_S: Final = 15.0
"""And how long they must have gone on: behind one address may be many nodes, seconds behind one another."""
_REMEMBERED: Final = 64
"""Mined flights, for the day on which the chain takes them back."""


@dataclass(slots=True, eq=False)
class Flight:
    """One nonce, and everything that was sent under it: at most one of them is ever mined."""

    nonce: int
    preview: Preview
    """Of the newest."""
    highest: int
    """Wei a gas that it may be raised to."""
    raws: dict[Hash32, bytes] = field(default_factory=dict)
    """By hash, the newest last."""
    ours: set[Hash32] = field(default_factory=set)
    """Those that carry the newest call."""
    waited_for: bool = True
    block: int | None = None
    """In which one of them was mined."""
    pushes: int = 0
    misses: int = 0
    missed_since: float = 0.0

    def is_replaced(self, mined: int, now: float) -> bool:
        """Notes a look that found none of them mined, and so many of the key's: whether another program's
        was, under this nonce."""
        if mined <= self.nonce:
            self.misses = 0
            return False
        if self.misses == 0:
            self.missed_since = now
        self.misses += 1
        return self.misses >= _MISSES and now - self.missed_since >= _LAG_S


class Sender:
    """Use one a key; threads may share it."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        key: Signer,
        *,
        confirm: Callable[[Preview], None] | None = None,
        timeout_s: float = 120,
    ):
        """`confirm` sees each transaction before it is signed, and refuses it by raising."""
        self.key = key
        self._node = Pool(rpc, key.address)
        self._chain_id = chain_id
        self._confirm = confirm
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}
        self._next: int | None = None
        self._stands_since: tuple[int, float] | None = None
        """What others' transactions of this key had come to, and since when."""
        self._cleared = False
        """All that was sent before this object was made is mined, or given up."""

    @property
    def address(self) -> Address:
        return self.key.address

    # ------------------------------------------------------------------------------------------- asking

    def preview(self, call: Call, *, highest_gas_price: int | None = None) -> Preview:
        """What `send` would send.

        Raises
        ------
        ContractError :
            The call would revert, and this is why.
        GasUnaffordable :
            The wallet holds too little of the chain's own coin.
        """
        try:
            gas, fees, funds = self._node.quote(call)
        except RpcError as error:
            raise refusal(error) from error
        preview = Preview.of(call, self.address, gas, fees, highest_gas_price)
        if funds < preview.highest_fee:
            raise _unaffordable(self.address, preview.highest_fee, funds)
        return preview

    def gas_price(self) -> int:
        """Wei a gas, in the next block."""
        fees = self._node.fees()
        return fees.base + fees.tip

    # ------------------------------------------------------------------------------------------- sending

    def send(self, call: Call, *, highest_gas_price: int | None = None) -> Mined:
        """Sends the call, at no more than so many wei a gas, and waits until it is mined.

        Raises
        ------
        ContractError :
            It would revert, or was mined and did.
        TransactionFailed :
            It was mined and reverted without a reason.
        TransactionUnknown :
            Nobody knows yet: it may still be mined. What is sent next takes its place.
        TransactionReplaced :
            An earlier transaction was mined in the meantime, or others again and again: it was not sent.
        """
        for _ in range(_ATTEMPTS):
            preview = self.preview(call, highest_gas_price=highest_gas_price)
            if self._confirm is not None:
                self._confirm(preview)
            with self._lock:
                flight = self._launch(preview, highest_gas_price or _DEAREST * preview.fee_cap)
            try:
                receipt = self._wait(flight)
            finally:
                flight.waited_for = False
            if receipt is None:
                continue  # Another program's was mined under its nonce.
            if receipt.mined.transaction not in flight.ours:
                break
            if not receipt.succeeded:
                raise self._failure(receipt, call)
            return receipt.mined
        raise TransactionReplaced(
            f"Another transaction of {to_hex(self.address)} was mined in place of this one ({call.name}), "
            "which never will be. Look at what changed, and send it again if it is still wanted."
        )

    def _launch(self, preview: Preview, highest: int) -> Flight:
        """On its way, perhaps. The lock is held."""
        unknown = self._unknown()
        flight = unknown[0] if unknown else None
        taking_over = flight is not None
        if flight is not None:
            preview = self._over(flight.preview, preview, highest)
        for attempt in range(_ATTEMPTS):
            nonce = flight.nonce if flight is not None else self._next_nonce()
            raw = sign_transaction(preview, chain_id=self._chain_id, nonce=nonce, key=self.key)
            try:
                answer = self._node.submit(raw)
            except RpcError as error:
                raise refusal(error) from error
            if answer is Answer.TAKEN:
                return self._took_off(flight, nonce, preview, highest, raw)
            if answer is Answer.NONCE_USED and taking_over:
                raise TransactionReplaced("An earlier transaction of this key was mined in the meantime.")
            self._next = None  # Another program sent from this key in between.
            if answer is Answer.UNDERPRICED and (taking_over or attempt):
                preview = self._raised(preview, highest)
        raise TransactionReplaced(
            f"Other programs keep sending from {to_hex(self.address)}: {preview.call.name} was not sent."
        )

    def _raised(self, preview: Preview, highest: int) -> Preview:
        raised = preview.raised(self._node.fees(), highest)
        if raised is None:
            raise ChainUnavailable(f"Nothing is taken at {highest} wei a gas, and more it may not cost.")
        return raised

    def _over(self, old: Preview, new: Preview, highest: int) -> Preview:
        """`new`, at a fee that lets it take the place of `old`."""
        raised = old.raised(Fees(0, new.tip), max(highest, new.fee_cap))
        if raised is None:
            raise ChainUnavailable(
                "An earlier transaction of this key is stuck, and dearer than this one may be."
            )
        return new.at_least(raised)

    def _took_off(
        self, flight: Flight | None, nonce: int, preview: Preview, highest: int, raw: bytes
    ) -> Flight:
        if flight is None:
            flight = self._flights[nonce] = Flight(nonce, preview, highest)
            self._next = nonce + 1
        transaction = keccak(raw)
        flight.preview, flight.highest, flight.waited_for = preview, highest, True
        flight.pushes = flight.misses = 0
        flight.raws[transaction] = raw
        flight.ours = {transaction}
        self._forget_old()
        return flight

    def _next_nonce(self) -> int:
        if self._next is None or not any(flight.waited_for for flight in self._flights.values()):
            self._next = self._first_nonce()
        return self._next

    def _first_nonce(self) -> int:
        """After what others sent from this key; in the place of it where it does not move."""
        ours = [flight.nonce for flight in self._flights.values() if flight.waited_for]
        if ours:  # Those are taken, whatever the node still knows of them.
            return max(self._node.counts()[1], 1 + max(ours))
        deadline, (begun, pending) = time.monotonic() + _PATIENCE_S, self._node.counts()
        mined = begun
        while pending > mined and not self._is_stuck(mined) and time.monotonic() < deadline:
            time.sleep(0.2)
            mined, pending = self._node.counts()
        return mined if pending > mined and self._is_stuck(mined) else pending

    def _is_stuck(self, mined: int) -> bool:
        """Others' transactions have not moved for a while."""
        now = time.monotonic()
        if self._stands_since is None or self._stands_since[0] != mined:
            self._stands_since = mined, now
        return now - self._stands_since[1] >= _PATIENCE_S

    # ------------------------------------------------------------------------------------------- waiting

    def _wait(self, flight: Flight) -> Receipt | None:
        """None: another program's transaction was mined under the nonce."""
        begun, pause_s = time.monotonic(), 0.01
        push_at = begun + _PUSH_S
        while True:
            try:
                receipt, mined = self._node.receipt(flight.raws)
                if receipt is not None:
                    flight.block = receipt.mined.block
                    return receipt
                if flight.is_replaced(mined, time.monotonic()):
                    with self._lock:
                        self._flights.pop(flight.nonce, None)
                        self._next = None
                    return None
                if time.monotonic() >= push_at or self._is_gap_before(flight, mined):
                    push_at = time.monotonic() + _PUSH_S
                    with self._lock:
                        self._push(flight, mined)
            except (ChainUnavailable, RpcError):
                pass  # The node may come back, or be done indexing, before the deadline.
            if time.monotonic() >= begun + self._timeout_s:
                raise self._lost(flight)
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.5)

    def _is_gap_before(self, flight: Flight, mined: int) -> bool:
        """Whether the chain took back what was mined before it."""
        before = (self._flights.get(nonce) for nonce in range(mined, flight.nonce))
        return any(item is not None and item.block is not None for item in before)

    def _lost(self, flight: Flight) -> TransactionUnknown:
        transaction = next(reversed(flight.raws))
        return TransactionUnknown(
            f"Transaction {to_hex(transaction)} was sent and is not mined after "
            f"{self._timeout_s:.0f} seconds. It may still be: look it up before sending again.",
            transaction=transaction,
        )

    def _push(self, flight: Flight, mined: int) -> None:
        """Sends it again, as it is or dearer, and before it what the chain took back: without that it would
        never be mined. Raises ChainUnavailable or RpcError, which change nothing."""
        for nonce in range(mined, flight.nonce):
            lost = self._flights.get(nonce)
            if lost is not None and not lost.waited_for:
                lost.block = None
                self._node.submit(lost.raws[next(reversed(lost.raws))])
        fees, flight.pushes = self._node.fees(), flight.pushes + 1
        if flight.preview.fee_cap < fees.base + flight.preview.tip or flight.pushes % _SLOW_PUSHES == 0:
            raised = flight.preview.raised(fees, flight.highest)
            if raised is not None:
                raw = sign_transaction(raised, chain_id=self._chain_id, nonce=flight.nonce, key=self.key)
                flight.raws[keccak(raw)] = raw  # Before it is sent: the answer may be lost.
                flight.ours.add(keccak(raw))
                if self._node.submit(raw) is Answer.TAKEN:
                    flight.preview = raised
                    return
        self._node.submit(flight.raws[next(reversed(flight.raws))])

    # ------------------------------------------------------------------------------------------- looking up

    def look_up(self, *, recheck: bool = False) -> Look:
        """What became of what nobody waits for; what is not mined is pushed. With `recheck`, whether what was
        mined still is. Raises ChainUnavailable or RpcError."""
        with self._lock:
            before = self._before()
            flights = [item for item in self._flights.values() if not item.waited_for]
            looks = [self._look(item) for item in flights if recheck or item.block is None]
            return Look(
                in_flight=any(look.in_flight for look in (before, *looks)),
                found=max(look.found for look in (before, *looks)),
            )

    def _before(self) -> Look:
        """What was sent in an earlier life; nothing once that is all accounted for."""
        if self._cleared:
            return Look(in_flight=False, found=0)
        mined, pending = self._node.counts()
        if pending > mined and not self._is_stuck(mined) and not self._flights:
            return Look(in_flight=True, found=0)
        self._cleared = True
        return Look(in_flight=False, found=self._node.newest_block())

    def _look(self, flight: Flight) -> Look:
        receipt, mined = self._node.receipt(flight.raws)
        if receipt is not None:
            moved, flight.block = flight.block != receipt.mined.block, receipt.mined.block
            flight.misses = 0
            return Look(in_flight=False, found=receipt.mined.block if moved else 0)
        flight.block = None
        if flight.is_replaced(mined, time.monotonic()):
            del self._flights[flight.nonce]
            return Look(in_flight=False, found=self._node.newest_block())
        if mined <= flight.nonce:
            self._push(flight, mined)
        return Look(in_flight=True, found=0)

    def _unknown(self) -> Sequence[Flight]:
        """By nonce."""
        found = [item for item in self._flights.values() if item.block is None and not item.waited_for]
        return sorted(found, key=lambda flight: flight.nonce)

    def _forget_old(self) -> None:
        mined = [nonce for nonce, flight in sorted(self._flights.items()) if flight.block is not None]
        for nonce in mined[:-_REMEMBERED]:
            del self._flights[nonce]

    def _failure(self, receipt: Receipt, call: Call) -> ChainError:
        """Asks the node to repeat what failed, for the reason."""
        if call.to is not None:
            try:
                self._node.repeat(call, receipt.mined.block)
            except RpcError as error:
                if error.data:
                    return contract_error(error.data)
            except ChainUnavailable:
                pass  # The reason is a courtesy.
        return TransactionFailed(
            f"Transaction {to_hex(receipt.mined.transaction)} ({call.name}) was mined and failed: the chain "
            "changed after it was checked. Try again."
        )


def _unaffordable(address: Address, required: int, actual: int) -> GasUnaffordable:
    return GasUnaffordable(
        f"{to_hex(address)} holds {actual} wei of the chain's own coin; the transaction may cost {required}. "
        "Send it some (on a local chain: tally faucet).",
        required=required,
        actual=actual,
    )
