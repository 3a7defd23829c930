"""What strikes ask of a node: to know that it is struck and to answer, and of an auditor to say what it finds
where it is drawn to re-audit, and to bring to an end what it began, or was drawn for.

What to do follows from the chain alone, so after a crash it is done again, and the contract refuses what it
knows. A re-auditor's salt follows from its key: nothing of its ballot has to be kept.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Final

import structlog

from tallystick.chain.accusations import Accused, findings
from tallystick.chain.audits import Accusation, Audits, Committed, Revealed, Status, Struck
from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainError, ContractError
from tallystick.chain.timeline import Timeline
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strikes import MOST, STRIKES, Opinion, ballot_hash, fee_up
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Timestamp, to_hex
from tallystick.protocol.vote import VoteCommitment
from tallystick_node.quality.reauditor import Charge, Reauditor

PLACE_S: Final = 60
"""Seconds that each leaves to those before it: one transaction is enough."""
DEAREST_PARTS: Final = 10
"""Of a stake, one part in so many is the most that an answer to three strikes costs where nothing is said of
it: silence costs two thirds."""

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

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        audits: Audits,
        purse: Audits,
        answer: Atoms | None,
        reauditor: Reauditor | None = None,
    ):
        """`purse`: in the hands of who pays for an answer; `answer`: what one to three strikes costs, zero
        for none, None for the market's least. `reauditor`: says what to commit to; None: this node's
        operator does."""
        self._provider, self._key = provider, key
        self._audits, self._purse, self._answer = audits, purse, answer
        self._reauditor = reauditor
        self._block_at = Timeline(audits.market.rpc).block_at
        self._charges: dict[Hash32, Charge] = {}
        self._news = Accused(audits)
        self._accused: set[Address] = set()
        self._told: set[tuple[object, ...]] = set()
        self._since: dict[tuple[Hash32, Status], Timestamp] = {}
        """When an accusation was first seen in a status."""

    def step(self) -> None:
        """Does what is due, and reads on. Raises ChainError, once it has tried all."""
        failures: list[ChainError] = []
        self._tried(failures, self._defend)  # By calls alone: a node that gives no logs must not keep it off.
        self._tried(failures, lambda: self._attend_all(failures))
        if failures:
            raise failures[0]

    def _attend_all(self, failures: list[ChainError]) -> None:
        head = self._audits.market.head()
        self._tried(failures, partial(self._read, head.number))
        for one in sorted(self._accused):
            self._tried(failures, partial(self._attend, one, head.timestamp))

    def _tried(self, failures: list[ChainError], act: Callable[[], None]) -> None:
        try:
            act()
        except ChainError as error:
            failures.append(error)

    def _read(self, head: int) -> None:
        for provider in self._news.news(head):
            self._accused.add(provider)

    # ------------------------------------------------------------------------------------------ being struck

    def _defend(self) -> None:
        for number, strike in enumerate(self._audits.strikes(self._provider), start=1):
            if self._is_news("struck", strike):
                log.warning("audits.struck", auditor=to_hex(strike.auditor), count=number, of=STRIKES)
                self._require_funds(self._fee(MOST))  # So many may accuse at once: what waited does.
        accusation = self._audits.accusation(self._provider)
        if accusation.status is not Status.NONE:
            self._accused.add(self._provider)
        if accusation.status is Status.ACCUSED:
            fee = self._fee(accusation.accusing)
            if self._is_news("accused", accusation.id):
                log.error("audits.accused", answer_by=accusation.until, fee=fee)
            if fee and self._require_funds(fee):
                self._pay(fee)

    def _fee(self, strikes: int) -> Atoms:
        """Of an answer to so many strikes; zero: it is not to be answered, or not for so much."""
        least = self._audits.minimum_fee(strikes)
        if self._answer is None:
            its = self._audits.market.stake(self._provider)  # What is on its way out can be slashed as well.
            fee = min(least, fee_up(Atoms((its.staked + its.exiting) // DEAREST_PARTS), strikes))
        else:
            fee = fee_up(self._answer, strikes)
        if not 0 < fee < least:
            return fee
        if self._is_news("too-little", fee):
            log.error("audits.answer-too-small", required=least, actual=fee)
        return Atoms(0)

    def _require_funds(self, fee: Atoms) -> bool:
        """Whether an answer can be paid for; said where not, from the first strike on."""
        payer = self._purse.market
        held = payer.asset_balance(payer.sender.address) + self._purse.balance_of(payer.sender.address)
        held += payer.balance_of(self._provider) if payer.sender.address == self._provider else 0
        if held < fee and self._is_news("unaffordable", fee, held):
            log.error("audits.unaffordable", required=fee, actual=held, account=to_hex(payer.sender.address))
        return held >= fee

    def _pay(self, fee: Atoms) -> None:
        payer = self._purse.market
        if payer.asset_balance(payer.sender.address) + self._purse.balance_of(payer.sender.address) < fee:
            payer.withdraw()  # What the market owes it, which `_require_funds` has counted.
        self._purse.approve(fee)
        self._purse.answer(self._provider, fee)
        log.warning("audits.answered", fee=fee)

    # ------------------------------------------------------------------------------------------ as an auditor

    def _attend(self, provider: Address, now: Timestamp) -> None:
        accusation = self._audits.accusation(provider)
        if accusation.status is Status.NONE:
            self._accused.discard(provider)
            self._dismiss(accusation.id)
            return
        strikes = self._audits.strikes(provider)[: accusation.accusing]
        drawn = list(self._audits.reauditors(provider))
        # Who answered wants to be cleared; who did not, wants no end.
        first = [provider] if accusation.status is Status.COMMITTING else []
        concerned = [*first, *(strike.auditor for strike in strikes), *drawn, provider]
        if self._provider not in concerned:
            return
        place = concerned.index(self._provider)
        # Nobody can seat them before they are drawn, nor where the chain has forgotten the block that draws.
        if accusation.status is Status.COMMITTING and drawn:
            seated = any(self._audits.seat(provider, seat) for seat in range(len(drawn)))
            if not seated and self._is_turn(accusation, now, place):
                self._try(lambda: self._audits.summon(provider))
            elif seated and self._provider in drawn:
                self._reaudit(accusation, provider, strikes, drawn.index(self._provider), now)
        elif accusation.status is Status.REVEALING and self._provider in drawn:
            self._reveal(accusation, provider, drawn.index(self._provider))
        elif accusation.status is Status.DUE and self._is_turn(accusation, now, place):
            self._try(lambda: self._audits.conclude(provider))

    def _reaudit(
        self,
        accusation: Accusation,
        provider: Address,
        strikes: Sequence[Struck],
        place: int,
        now: Timestamp,
    ) -> None:
        """Commits once it has an opinion of each strike."""
        if self._is_news("reaudit", accusation.id):
            by_itself = self._reauditor is not None
            log.warning(
                "audits.drawn", provider=to_hex(provider), until=accusation.until, by_itself=by_itself
            )
        seat = self._audits.seat(provider, place)
        if self._reauditor is None or seat is None or seat.ballot_hash != ZERO_HASH:
            self._dismiss(accusation.id)
            return
        late = now >= accusation.until - self._period_s // 2
        opinions = self._reauditor.opinions(self._charge(accusation, provider, strikes), late=late)
        if opinions is None:
            return
        domain = self._audits.market.deployment.domain
        committed = commitment(
            self._key, domain, accusation.id, auditor=self._provider, seat=place, opinions=opinions
        )
        self._audits.commit(provider, [committed])
        log.info("audits.reaudited", provider=to_hex(provider), opinions=[one.name for one in opinions])

    def _charge(self, accusation: Accusation, provider: Address, strikes: Sequence[Struck]) -> Charge:
        if accusation.id not in self._charges:
            filed = tuple(findings(self._audits, provider, strikes, self._block_at))
            self._charges[accusation.id] = Charge(accusation=accusation.id, provider=provider, findings=filed)
        return self._charges[accusation.id]

    def _dismiss(self, accusation: Hash32) -> None:
        self._charges.pop(accusation, None)
        if self._reauditor is not None:
            self._reauditor.dismiss(accusation)

    @property
    def _period_s(self) -> int:
        return Duels(self._audits.market).terms().period_s

    def _reveal(self, accusation: Accusation, provider: Address, place: int) -> None:
        seat = self._audits.seat(provider, place)
        if seat is None or seat.ballot_hash == ZERO_HASH or seat.opinions:
            return
        salt = salt_of(self._key, accusation.id)
        for opinions in product(Opinion, repeat=accusation.accusing):
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
