"""The offers that hold now, kept for a while so that no request waits for the chain."""

from collections.abc import Callable, Sequence
from typing import Final

from tallystick.client.flow import Flow, run
from tallystick.ports import Directory, MarketTerms, PostedOffer
from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import WrongSigner
from tallystick.protocol.signed import M, Signed, Verified, recover, verify
from tallystick.protocol.units import Address, Atoms, Milliseconds, to_hex

FRESH_FOR: Final = 15_000
"""Milliseconds before offers are looked up anew, behind the requests' backs."""
GOOD_FOR: Final = 120_000
"""Milliseconds before a request waits for that."""
AGAIN_AFTER: Final = 1_000
"""Milliseconds before a request that found nobody looks again."""


class Listing:
    """A directory with a memory."""

    def __init__(self, directory: Directory, now: Callable[[], Milliseconds]):
        self._directory = directory
        self._now = now
        self._offers: Sequence[PostedOffer] = ()
        self._read_at: int | None = None
        self.terms = MarketTerms(minimum_stake=Atoms(0), unit=Atoms(1))
        """Of the market, as soon as anything was read."""
        self._keys: set[tuple[Address, Address]] = set()
        self.wants_refresh = False

    @property
    def age(self) -> int | None:
        """Milliseconds; None: never read."""
        return None if self._read_at is None else self._now() - self._read_at

    @property
    def known(self) -> Sequence[PostedOffer]:
        """As last read, however old."""
        return self._offers

    def offers(self, *, at_most: int = GOOD_FOR) -> Flow[Sequence[PostedOffer]]:
        """Those of at most that many milliseconds ago."""
        age = self.age
        if age is None or age > at_most:
            yield from run(self.refresh)
        elif age > FRESH_FOR:
            self.wants_refresh = True
        return self._offers

    def is_receipt_key(self, provider: Address, key: Address) -> Flow[bool]:
        """Whether the provider named it, now or ever: a key that was replaced in mid-answer signs what it
        issued."""
        if (provider, key) not in self._keys:
            named = yield from run(lambda: self._directory.is_receipt_key(provider, key))
            if not named:
                return False
            self._keys.add((provider, key))  # for good: the contract forgets none
        return True

    def receipt_key(self, provider: Address) -> Address | None:
        """Of today, as last read."""
        for posted in self._offers:
            if posted.offer.provider == provider:
                return posted.stake.receipt_key
        return None

    def proven(self, domain: Domain, provider: Address, signed: Signed[M]) -> Flow[Verified[M]]:
        """The message, once it is proven that a key which the provider ever named signed it.

        Raises
        ------
        SignatureError :
            None of its keys did.
        ChainUnavailable :
            It is not known whose key it is.
        """
        signer = recover(digest(domain, signed.message.struct_hash()), signed.signature)
        known = self.receipt_key(provider)
        if signer != known and not (yield from self.is_receipt_key(provider, signer)):
            raise WrongSigner("No key that the provider named signed it.", actual=to_hex(signer))
        return verify(signed, domain, signer=signer)

    def refresh(self) -> None:
        """Reads the chain; slow."""
        self.wants_refresh = False
        self.terms = self._directory.terms()
        self._offers, self._read_at = tuple(self._directory.offers()), self._now()
