"""Whatever a network does to messages (loses, repeats, reorders, delays) and nodes to themselves (stop,
forget, wake with a wrong clock), views come together again once it is over."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tallystick.protocol.hearsay import Said, said_status, said_suspicion
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Suspicion
from tallystick_node.sim.gossip import Network, offer_hash, provider, status

NODES = 5
node_numbers = st.integers(1, NODES)
Letter = tuple[int, list[Said]]
"""To whom, and what."""


class Merging(RuleBasedStateMachine):
    letters: Bundle[Letter] = Bundle("letters")

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(NODES, seed=7)
        self.said: dict[int, int] = dict.fromkeys(range(1, NODES + 1), 0)
        """The highest sequence that each ever signed."""
        self.heard: dict[tuple[int, int], int] = {}
        for number in self.said:
            self.network.restart(number, 10**12)
        for _ in range(3):
            self.network.round()

    # ------------------------------------------------------------------------------- what nodes do

    @rule(seconds=st.integers(0, 12))
    def time_passes(self, seconds: int) -> None:
        self.network.now += 1_000 * seconds

    @rule(number=node_numbers, running=st.integers(0, 50))
    def speaks(self, number: int, running: int) -> None:
        if number in self.network.alive:
            self.network.running[number] = running
            self.network.speak(number, self.network.now)

    @rule(target=letters, number=node_numbers, other=node_numbers)
    def writes(self, number: int, other: int) -> object:
        if number == other or number not in self.network.alive:
            return multiple()
        return other, self.network.nodes[number].message(provider(other), self.network.now)

    @rule(number=node_numbers)
    def dies(self, number: int) -> None:
        self.network.alive.discard(number)

    @rule(number=node_numbers, clock=st.sampled_from([0, 10**12, 10**15]))
    def forgets_and_wakes(self, number: int, clock: int) -> None:
        self.network.restart(number, clock)
        for about in range(1, NODES + 1):
            self.heard.pop((number, about), None)

    @rule(number=node_numbers, other=node_numbers)
    def gets_no_answer(self, number: int, other: int) -> None:
        node = self.network.nodes[number]
        suspicion = node.failed(provider(other), self.network.now) if number != other else None
        if suspicion is not None:
            said = said_suspicion(Verified(suspicion, bytes(65), node.own))
            node.take(said, self.network.now)

    @rule(other=node_numbers, ahead=st.sampled_from([0, 1, 1 << 60]))
    def all_others_lie(self, other: int, ahead: int) -> None:
        """Of its silence, up to a status that it never made."""
        sequence = self.said[other] + ahead
        for number in self.said.keys() - {other}:
            message = Suspicion(accuser=provider(number), provider=provider(other), sequence=sequence)
            lie = said_suspicion(Verified(message, bytes(65), provider(number)))
            for node in self.said:
                self.deliver((node, [lie]))

    # ------------------------------------------------------------------------------ what wires do

    @rule(letter=consumes(letters))
    def arrives(self, letter: Letter) -> None:
        self.deliver(letter)

    @rule(letter=letters)
    def arrives_and_will_again(self, letter: Letter) -> None:
        self.deliver(letter)

    @rule(letter=letters)
    def arrives_backwards(self, letter: Letter) -> None:
        self.deliver((letter[0], letter[1][::-1]))

    @rule(letter=consumes(letters))
    def is_lost(self, letter: Letter) -> None:
        pass

    def deliver(self, letter: Letter) -> None:
        number, told = letter
        node = self.network.nodes[number]
        for said in told:
            if node.wants(said.key, said.sequence, said.packed, self.network.now):
                node.take(said, self.network.now)

    # ------------------------------------------------------------------------------ what holds

    @invariant()
    def nobody_hears_what_was_not_said(self) -> None:
        for number, node in self.network.nodes.items():
            spoken = node.hearsay.sequence(provider(number))
            self.said[number] = max(self.said[number], spoken)
        for node in self.network.nodes.values():
            for about in self.said:
                assert node.hearsay.sequence(provider(about)) <= self.said[about]

    @invariant()
    def nobody_s_word_is_replaced_by_an_older_one(self) -> None:
        for number, node in self.network.nodes.items():
            for about in self.said:
                sequence = node.hearsay.sequence(provider(about))
                assert sequence >= self.heard.get((number, about), -1)
                self.heard[number, about] = sequence

    @invariant()
    def little_is_held(self) -> None:
        for node in self.network.nodes.values():
            assert len(node.hearsay) <= NODES + 4 * NODES

    @rule()
    def settles(self) -> None:
        self.settle()

    def teardown(self) -> None:
        self.settle()

    def settle(self) -> None:
        """Once the wires hold and time passes, all who live hold the same of all who live, none of whom is
        suspected; and the dead are out."""
        network = self.network
        for _ in range(12):
            network.round()
        network.silent = True  # For long enough to hear the last word, and not to seem silent.
        for _ in range(4):
            network.round()
        network.silent = False
        for about in self.said:
            known = {node: network.nodes[node].hearsay.sequence(provider(about)) for node in network.alive}
            suspected = {node for node in network.alive if self.is_out(node, about)}
            if about in network.alive:
                assert len(set(known.values())) <= 1, known
                assert not suspected
            else:
                assert suspected == network.alive

    def is_out(self, node: int, about: int) -> bool:
        """Suspected, or never heard of."""
        talk = self.network.nodes[node]
        if talk.hearsay.sequence(provider(about)) < 0:
            return about not in self.network.alive
        return node != about and talk.is_suspected(provider(about), self.network.now)


Merging.TestCase.settings = settings(settings.get_profile("steady"), max_examples=40, stateful_step_count=40)
TestMerging = Merging.TestCase


def test_two_statuses_under_one_sequence_are_one_to_all() -> None:
    """Whichever came first."""
    one, other = (
        said_status(Verified(status(1, running=running, sequence=5), bytes(65), provider(1)), "m")
        for running in (1, 2)
    )
    network = Network(2)
    for number, order in ((1, (one, other)), (2, (other, one))):
        for said in order:
            network.nodes[number].hearsay.take(said, 0)

    held = [network.nodes[number].hearsay.status(provider(1), "m", offer_hash(1)) for number in (1, 2)]
    assert held[0] is not None
    assert held[1] is not None
    assert held[0].said == held[1].said
