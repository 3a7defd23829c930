"""What strikes ask of a node: to know that it is struck and to answer where it is told to, and of an auditor
to bring to an end what it began, or was drawn for.

What to do follows from the chain alone, so after a crash it is done again, and the contract refuses what it
knows. A re-auditor's salt follows from its key: nothing of its ballot has to be kept.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Final

import structlog

from tallystick.chain.accusations import accused
from tallystick.chain.audits import Accusation, Audits, Committed, Revealed, Status
from tallystick.chain.errors import ChainError, ContractError
from tallystick.chain.market import Market
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strikes import STRIKES, Opinion, ballot_hash
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Timestamp, to_hex
from tallystick.protocol.vote import VoteCommitment

_LOOK_BACK: Final = 50_000
"""Blocks that a start reads: a week of a chain with a block in twelve seconds."""
PLACE_S: Final = 60
"""Seconds that each leaves to those before it: one transaction is enough."""

log = structlog.get_logger("tallystick.audits")


def salt_of(key: Key, accusation: Hash32) -> Hash32:
    """Known to the holder of the key alone, and the same each time: signatures here are deterministic."""
    return keccak(key.sign_hash(keccak(b"tallystick reaudit salt" + accusation)))


def commitment(
    key: Key, domain: Domain, accusation: Hash32, *, auditor: Address, seat: int, opinions: Sequence[Opinion]
) -> Committed:
    """`opinions`: one for each strike that accuses, in their order."""
    hidden = ballot_hash(accusation, auditor, opinions, salt_of(key, accusation))
    signed = sign(VoteCommitment(duel=accusation, judge=auditor, ballot_hash=hidden), domain, key).signed
    return Committed(seat=seat, ballot_hash=hidden, signature=signed.signature)


class Accusations:
    """Of one provider. Synchronous, and slow: it asks the chain."""

    def __init__(self, *, provider: Address, key: Key, audits: Audits, purse: Audits, answer: Atoms):
        """`purse`: in the hands of who pays for an answer; `answer`: the most that one may cost, or zero."""
        self._provider, self._key = provider, key
        self._audits, self._purse, self._answer = audits, purse, answer
        self._read_to: int | None = None
        self._accused: set[Address] = set()
        self._told: set[tuple[object, ...]] = set()
        self._since: dict[tuple[Hash32, Status], Timestamp] = {}
        """When an accusation was first seen in a status."""

    def step(self) -> None:
        """Reads on, and does what is due. Raises ChainError, once it has tried all."""
        head = self._audits.market.head()
        self._read(head.number)
        due = [self._defend]
        due += [partial(self._attend, one, head.timestamp) for one in sorted(self._accused)]
        failure: ChainError | None = None
        for one in due:
            try:
                one()
            except ChainError as error:
                failure = error
        if failure is not None:
            raise failure

    def _read(self, head: int) -> None:
        if self._read_to is None:
            self._read_to = max(self._audits.market.deployment.block, head - _LOOK_BACK) - 1
        if self._read_to < head:
            self._accused |= set(accused(self._audits, self._read_to + 1, head))
            self._read_to = head

    # ------------------------------------------------------------------------------------------ being struck

    def _defend(self) -> None:
        for number, strike in enumerate(self._audits.strikes(self._provider), start=1):
            if self._is_news("struck", strike):
                log.warning("audits.struck", auditor=to_hex(strike.auditor), count=number, of=STRIKES)
        accusation = self._audits.accusation(self._provider)
        if accusation.status is Status.ACCUSED:
            if self._is_news("accused", accusation.id):
                log.error("audits.accused", answer_by=accusation.until, fee=self._answer)
            self._pay(accusation)

    def _pay(self, accusation: Accusation) -> None:
        least = self._audits.minimum_fee()
        if self._answer < least:
            if self._answer and self._is_news("too-little", accusation.id):
                log.error("audits.answer-too-small", required=least, actual=self._answer)
            return
        payer = self._purse.market
        held = payer.asset_balance(payer.sender.address) + self._purse.balance_of(payer.sender.address)
        if held < self._answer:
            if self._is_news("unaffordable", accusation.id):
                log.error("audits.unaffordable", required=self._answer, actual=held)
            return
        self._purse.approve(self._answer)
        self._purse.answer(self._provider, self._answer)
        log.warning("audits.answered", fee=self._answer)

    # ------------------------------------------------------------------------------------------ as an auditor

    def _attend(self, provider: Address, now: Timestamp) -> None:
        accusation = self._audits.accusation(provider)
        if accusation.status is Status.NONE:
            self._accused.discard(provider)
            return
        strikers = [strike.auditor for strike in self._audits.strikes(provider)]
        drawn = list(self._audits.reauditors(provider))
        concerned = [*strikers, *drawn]
        if self._provider not in concerned:
            return
        place = concerned.index(self._provider)
        # Nobody can seat them before they are drawn, nor where the chain has forgotten the block that draws.
        if accusation.status is Status.COMMITTING and drawn:
            seated = any(self._audits.seat(provider, seat) for seat in range(len(drawn)))
            if not seated and self._is_turn(accusation, now, place):
                self._try(lambda: self._audits.summon(provider))
            if self._provider in drawn and self._is_news("reaudit", accusation.id):
                log.warning("audits.reaudit-wanted", provider=to_hex(provider), until=accusation.until)
        elif accusation.status is Status.REVEALING and self._provider in drawn:
            self._reveal(accusation, provider, drawn.index(self._provider))
        elif accusation.status is Status.DUE and self._is_turn(accusation, now, place):
            self._try(lambda: self._audits.conclude(provider))

    def _reveal(self, accusation: Accusation, provider: Address, place: int) -> None:
        seat = self._audits.seat(provider, place)
        if seat is None or seat.ballot_hash == ZERO_HASH or seat.opinions:
            return
        salt = salt_of(self._key, accusation.id)
        for opinions in product((Opinion.UPHOLD, Opinion.CLEAR), repeat=accusation.accusing):
            if ballot_hash(accusation.id, self._provider, opinions, salt) == seat.ballot_hash:
                self._audits.reveal(provider, [Revealed(seat=place, opinions=opinions, salt=salt)])

    def _is_turn(self, accusation: Accusation, now: Timestamp, place: int) -> bool:
        """By its place among those who may do what is due in this status."""
        since = self._since.setdefault((accusation.id, accusation.status), now)
        return now >= since + PLACE_S * place

    def _try(self, send: Callable[[], object]) -> None:
        """What somebody else may have done just before."""
        try:
            send()
        except ContractError as error:
            if error.name not in ("AlreadySummoned", "WrongStatus"):
                raise

    def _is_news(self, *what: object) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True


def open_accusations(
    *, market: Market, purse: Market, provider: Address, key: Key, answer: Atoms
) -> Callable[[], None] | None:
    """As the gateway's `Cares` says."""
    if market.deployment.audits is None:
        return None
    return Accusations(
        provider=provider, key=key, audits=Audits(market), purse=Audits(purse), answer=answer
    ).step
