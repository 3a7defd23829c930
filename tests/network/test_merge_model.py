"""One node's hearsay against the specification's section 8, written a second time in plain lists: who is
suspected since when, who is gone, whom nobody believes, whose accusation has a place."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallystick.protocol.hearsay import Hearsay, Said, key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Suspicion
from tallystick.protocol.units import Address
from tallystick_node.sim.gossip import provider, status

MOST = 7
STEPS_MS = (1, 500, 1_999, 2_999, 3_000, 9_999, 10_000, 10_001, 15_000, 40_000, 59_999, 60_000, 60_001)
"""Around every limit."""


class Model:
    """What section 8 says, of providers with one model each, in a network of less than 64."""

    def __init__(self) -> None:
        self.statuses: dict[int, list[tuple[int, bytes, int]]] = {}
        """By provider: (sequence, packed, when) of all that were news."""
        self.accused: dict[int, dict[int, int]] = {}
        """By provider: when each accuser's was heard. All are about its latest status."""
        self.refuted: dict[int, list[int]] = {}
        """By accuser: when those were that did not last ten seconds."""

    def sequence(self, about: int) -> int:
        return max((sequence for sequence, *_ in self.statuses.get(about, ())), default=-1)

    def status(self, about: int, sequence: int, packed: bytes, now: int) -> bool:
        before = self.statuses.setdefault(about, [])
        if any((other, bytes_) >= (sequence, packed) for other, bytes_, _ in before):
            return False
        if sequence > self.sequence(about):
            for accuser, at in self.accused.pop(about, {}).items():
                if now - at <= 10_000:
                    self.refuted.setdefault(accuser, []).append(now)
        before.append((sequence, packed, now))
        return True

    def accusation(self, accuser: int, about: int, sequence: int, now: int) -> bool:
        held = self.accused.get(about, {})
        if sequence != self.sequence(about) or accuser in held:
            return False
        ranked = sorted([*held, accuser], key=lambda one: (not self.doubted(one, now), provider(one)))
        kept = ranked[-4:]
        if accuser not in kept:
            return False
        self.accused[about] = {one: held.get(one, now) for one in kept}
        return True

    def doubted(self, accuser: int, now: int) -> bool:
        return len(times := self.refuted.get(accuser, [])) >= 3 and now - times[-3] <= 60_000

    def suspected_at(self, about: int, now: int, own: int) -> int | None:
        if not self.statuses.get(about):
            return None
        held = self.accused.get(about, {})
        if own in held:
            return held[own]
        believed = sorted(at for accuser, at in held.items() if not self.doubted(accuser, now))
        needed = 1 if sum(bool(each) for each in self.statuses.values()) <= 2 else 2
        if len(believed) >= needed:
            return believed[needed - 1]
        highest = self.sequence(about)
        heard_at = min(at for sequence, _, at in self.statuses[about] if sequence == highest)
        return heard_at + 15_000 if now >= heard_at + 15_000 else None


class Modelled(RuleBasedStateMachine):
    """`own` is number 1; nobody else's accusation is enough by itself among more than two."""

    def __init__(self) -> None:
        super().__init__()
        self.hearsay, self.model, self.now = Hearsay(), Model(), 1_000

    @initialize(providers=st.integers(1, MOST))
    def are_there(self, providers: int) -> None:
        for about in range(1, providers + 1):
            self.speaks(about, 1, 0)

    @rule(step=st.sampled_from(STEPS_MS))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(about=st.integers(1, MOST), ahead=st.integers(-2, 2), running=st.integers(0, 2))
    def speaks(self, about: int, ahead: int, running: int) -> None:
        """A later word, an earlier one, or another under the same sequence."""
        message = status(
            about, running=running, sequence=max(0, self.hearsay.sequence(provider(about)) + ahead)
        )
        said = Said(
            key_of(message, "m"), message.sequence, Verified(message, b"", provider(about)), pack(message)
        )
        assert self.hearsay.take(said, self.now) == self.model.status(
            about, message.sequence, said.packed, self.now
        )

    @rule(about=st.integers(1, MOST), accusers=st.permutations(range(1, MOST + 1)), count=st.integers(1, 5))
    def are_accused(self, about: int, accusers: list[int], count: int) -> None:
        for accuser in accusers[:count]:
            self.accuse(accuser, about, 0)

    @rule(accuser=st.integers(1, MOST), about=st.integers(1, MOST), ahead=st.integers(-1, 1))
    def accuse(self, accuser: int, about: int, ahead: int) -> None:
        """Of its latest status, of one before, or of one that it never made."""
        sequence = self.hearsay.sequence(provider(about)) + ahead
        if sequence < 0 or accuser == about:
            return
        message = Suspicion(accuser=provider(accuser), provider=provider(about), sequence=sequence)
        said = Said(key_of(message), sequence, Verified(message, b"", provider(accuser)), pack(message))
        assert self.hearsay.take(said, self.now) == self.model.accusation(accuser, about, sequence, self.now)

    @rule(about=st.integers(1, MOST), accusers=st.permutations(range(2, MOST + 1)))
    def are_accused_wrongly_again_and_again(self, about: int, accusers: list[int]) -> None:
        for _ in range(3):
            for accuser in accusers[:2]:
                self.accuse(accuser, about, 0)
            self.speaks(about, 1, 0)

    @invariant()
    def the_two_agree(self) -> None:
        for about in range(1, MOST + 1):
            address = provider(about)
            assert self.hearsay.sequence(address) == self.model.sequence(about)
            held = {heard.said.key[2]: heard.at for heard in self.hearsay.suspicions(address)}
            assert held == {provider(one): at for one, at in self.model.accused.get(about, {}).items()}
            for own in (0, 1):
                name = Address(b"") if own == 0 else provider(own)
                since = self.model.suspected_at(about, self.now, own)
                assert self.hearsay.suspected_at(address, self.now, own=name) == since
                gone = since is not None and self.now >= since + 3_000
                assert self.hearsay.is_gone(address, self.now, own=name) == gone


Modelled.TestCase.settings = settings(
    settings.get_profile("steady"), max_examples=150, stateful_step_count=30
)
TestModelled = Modelled.TestCase
