"""Transactions: the bytes that are signed, the order in which they are sent, and what can go wrong."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from eth_account import Account

from tallystick.chain import contracts
from tallystick.chain.contracts import Call
from tallystick.chain.errors import (
    ChainUnavailable,
    ContractError,
    GasUnaffordable,
    RpcError,
    TransactionFailed,
    TransactionReplaced,
    TransactionUnknown,
)
from tallystick.chain.local import LocalChain
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.chain.transaction import Preview, sign_transaction
from tallystick.protocol.signed import Key


@pytest.mark.parametrize("to", [None, b"\7" * 20])
def test_a_key_that_only_signs_hashes_signs_what_eth_account_would(to: bytes | None) -> None:
    key = Key.generate()
    call = Call(contract="", name="", to=to, arguments=(), data=b"data")
    preview = Preview(call=call, sender=key.address, gas=21_000, tip=3, fee_cap=10**10, likely_fee=0)

    raw = sign_transaction(preview, chain_id=31337, nonce=0, key=key)

    theirs = {
        "type": 2,
        "chainId": 31337,
        "nonce": 0,
        "maxPriorityFeePerGas": 3,
        "maxFeePerGas": 10**10,
        "gas": 21_000,
        "value": 0,
        "data": b"data",
    } | ({"to": to} if to else {})
    assert raw == bytes(Account.sign_transaction(theirs, key.secret).raw_transaction)


def test_who_only_reads_does_not_wait_for_web3(deployment, local_chain: LocalChain) -> None:
    program = f"""
        import sys
        from tallystick.chain.deployment import Deployment
        from tallystick.chain.market import Market
        from tallystick.chain.rpc import Rpc
        from tallystick.chain.sender import Sender
        from tallystick.protocol.signed import Key
        key, rpc, deployment = Key.generate(), Rpc({local_chain.url!r}), {deployment!r}
        market = Market(rpc, deployment, Sender(rpc, deployment.chain_id, key))
        market.check()
        market.account(key.address)
        market.offers()
        rpc.close()
        assert not {{"web3", "eth_account"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def mint(party, amount: int = 1) -> Call:
    return contracts.asset().call(party.market.deployment.asset, "mint", party.address, amount)


def test_a_preview_says_what_would_be_sent_and_what_it_costs(party) -> None:
    someone = party()
    preview = someone.market.sender.preview(mint(someone, 7))
    assert preview.call.name == "mint"
    assert dict(preview.call.arguments) == {"to": someone.address, "amount": 7}
    mined = someone.market.sender.send(mint(someone, 7))
    assert mined.gas_used <= preview.gas
    assert mined.fee <= preview.highest_fee
    assert 0 < preview.likely_fee <= preview.highest_fee


def test_what_would_revert_is_refused_with_the_reason_and_costs_nothing(party) -> None:
    someone = party()
    before = someone.market.gas_balance(someone.address)
    with pytest.raises(ContractError, match="Nothing is on its way out") as error:
        someone.market.exit()
    assert error.value.name == "NothingExiting"
    assert someone.market.gas_balance(someone.address) == before


def test_a_wallet_without_gas_is_told_so(local_chain: LocalChain, party) -> None:
    someone = party()
    local_chain.rpc.call("anvil_setBalance", "0x" + someone.address.hex(), "0x1")
    with pytest.raises(GasUnaffordable, match="Send it some"):
        someone.market.sender.send(mint(someone))


def test_threads_share_a_sender(party) -> None:
    someone = party()
    with ThreadPoolExecutor(8) as pool:
        mined = list(pool.map(lambda _: someone.market.sender.send(mint(someone)), range(24)))
    assert len({item.transaction for item in mined}) == 24
    assert someone.market.asset_balance(someone.address) == 24


def test_another_program_may_send_from_the_same_key(local_chain: LocalChain, deployment, party) -> None:
    someone = party()
    other = Sender(local_chain.rpc, deployment.chain_id, someone.key)
    for sender in (someone.market.sender, other, someone.market.sender, other, other):
        sender.send(mint(someone))
    assert someone.market.asset_balance(someone.address) == 5


def test_confirm_sees_each_transaction_before_it_is_signed(
    local_chain: LocalChain, deployment, party
) -> None:
    someone = party()
    seen: list[str] = []

    def refuse(preview: Preview) -> None:
        seen.append(preview.call.name)
        raise InterruptedError

    sender = Sender(local_chain.rpc, deployment.chain_id, someone.key, confirm=refuse)
    with pytest.raises(InterruptedError):
        sender.send(mint(someone))
    assert seen == ["mint"]
    assert someone.market.asset_balance(someone.address) == 0


class Flaky(Rpc):
    """A node that fails when told to."""

    def __init__(self, url: str):
        super().__init__(url)
        self.silent: set[str] = set()
        self.refusing: dict[str, RpcError] = {}
        self.receipt: dict[str, object] | None = None
        self.lag_s = 0.0
        """For which no receipt is there, since the first was asked for."""
        self._asked_at = 0.0

    def call(self, method: str, *params: object) -> object:
        return self._answered(method, super().call(method, *params))

    def batch(self, requests: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        answers = super().batch(requests)
        return [self._answered(method, answer) for (method, _), answer in zip(requests, answers, strict=True)]

    def _answered(self, method: str, answer: object) -> object:
        if method in self.refusing:
            raise self.refusing[method]
        if method in self.silent:  # It did what it was asked, and its answer was lost.
            raise ChainUnavailable("gone")
        if method == "eth_getTransactionReceipt":
            now = time.monotonic()
            self._asked_at = self._asked_at or now
            if now < self._asked_at + self.lag_s:
                return None
            if isinstance(answer, dict) and self.receipt:
                return answer | self.receipt
        return answer


@pytest.fixture
def flaky(local_chain: LocalChain):
    rpc = Flaky(local_chain.url)
    yield rpc
    rpc.close()


def test_an_answer_lost_while_sending_is_looked_up(flaky: Flaky, deployment, party) -> None:
    someone = party()
    sender = Sender(flaky, deployment.chain_id, someone.key)
    flaky.silent = {"eth_sendRawTransaction"}
    assert sender.send(mint(someone)).gas_used > 0
    assert someone.market.asset_balance(someone.address) == 1


def test_a_transaction_that_is_not_mined_in_time_is_unknown(flaky: Flaky, deployment, party) -> None:
    someone = party()
    sender = Sender(flaky, deployment.chain_id, someone.key, timeout_s=0.05)
    flaky.silent = {"eth_getTransactionReceipt"}
    with pytest.raises(TransactionUnknown) as error:
        sender.send(mint(someone))
    assert len(error.value.transaction) == 32


def test_a_node_that_cannot_tell_yet_is_asked_again(flaky: Flaky, deployment, party) -> None:
    someone = party()
    sender = Sender(flaky, deployment.chain_id, someone.key, timeout_s=0.05)
    indexing = RpcError("transaction indexing is in progress", number=-32000)
    flaky.refusing = {"eth_getTransactionReceipt": indexing}
    with pytest.raises(TransactionUnknown):
        sender.send(mint(someone))
    assert someone.market.asset_balance(someone.address) == 1


def test_what_one_node_calls_mined_and_another_has_not_got_is_not_sent_twice(
    flaky: Flaky, deployment, party
) -> None:
    someone = party()
    flaky.lag_s = 1.6
    mined = Sender(flaky, deployment.chain_id, someone.key).send(mint(someone))
    assert someone.market.asset_balance(someone.address) == 1
    assert mined.gas_used > 0


def test_looks_in_quick_succession_are_no_proof_that_another_s_was_mined(
    flaky: Flaky, deployment, party
) -> None:
    someone = party()
    sender = Sender(flaky, deployment.chain_id, someone.key, timeout_s=0.05)
    flaky.lag_s = 60
    with pytest.raises(TransactionUnknown):
        sender.send(mint(someone))
    assert [sender.look_up().in_flight for _ in range(6)] == [True] * 6
    flaky.lag_s = 0
    assert sender.look_up().found > 0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (-32603, "Internal error"),
        (-32000, "request timed out"),
        (-32005, "daily request count exceeded, request rate limited"),
        (-32000, "txpool is full"),
        (-32000, "all upstreams failed: nonce too high"),
        (0, "502"),
    ],
)
def test_an_error_that_says_nothing_of_the_transaction_leaves_open_whether_it_was_sent(
    flaky: Flaky, deployment, party, number: int, words: str
) -> None:
    """The node had passed it on."""
    someone = party()
    flaky.refusing = {"eth_sendRawTransaction": RpcError(words, number=number)}
    assert Sender(flaky, deployment.chain_id, someone.key).send(mint(someone)).gas_used > 0
    assert someone.market.asset_balance(someone.address) == 1


def test_a_transaction_mined_in_vain_is_failed(flaky: Flaky, deployment, party) -> None:
    someone = party()
    flaky.receipt = {"status": "0x0"}
    with pytest.raises(TransactionFailed, match="was mined and failed"):
        Sender(flaky, deployment.chain_id, someone.key).send(mint(someone))


def test_a_reason_found_afterwards_is_told(flaky: Flaky, deployment, party) -> None:
    someone = party()
    selector = contracts.market().interface.errors
    data = next(key for key, entry in selector.items() if entry.name == "ZeroAmount")
    flaky.receipt = {"status": "0x0"}
    flaky.refusing = {"eth_call": RpcError("execution reverted", number=3, data=data)}
    with pytest.raises(ContractError, match="amount is zero"):
        Sender(flaky, deployment.chain_id, someone.key).send(mint(someone))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("insufficient funds for gas * price + value", GasUnaffordable),
        ("InsufficientFunds, Balance is zero, cannot pay gas", GasUnaffordable),
        ("execution reverted", ContractError),
        ("nonce too low", TransactionReplaced),
        ("OldNonce, Current nonce: 4, nonce of rejected tx: 3", TransactionReplaced),
        ("transaction type not supported", RpcError),
        ("intrinsic gas too low: gas 21000, minimum needed 53000", RpcError),
        ("exceeds block gas limit", RpcError),
        ("invalid sender", RpcError),
        ("tx fee (2.10 ether) exceeds the configured cap (1.00 ether)", RpcError),
    ],
)
def test_a_node_s_refusal_is_translated(flaky: Flaky, deployment, party, refusal: str, kind: type) -> None:
    someone = party()
    flaky.refusing = {"eth_sendRawTransaction": RpcError(refusal, number=-32000)}
    with pytest.raises(kind):
        Sender(flaky, deployment.chain_id, someone.key).send(mint(someone))
