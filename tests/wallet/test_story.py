"""The market through its command line, against a real chain: everything that needs no gateway."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tallystick.chain.local import LocalChain
from tallystick.chain.market import Market
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import Atoms, Hash32, address
from tallystick.protocol.voucher import Acknowledgement, Voucher
from tallystick.protocol.wire import signed_to_json
from tallystick_node.config import Config

DOLLAR = 1_000_000


@pytest.fixture
def market(local_chain: LocalChain, deployment) -> Market:
    return Market(local_chain.rpc, deployment)


def test_a_payer_s_story(tally, market: Market, local_chain: LocalChain, pass_time) -> None:
    """A new wallet, a faucet, a deposit, a balance, an exit."""
    alice = tally.json("wallet", "new", "alice")["address"]
    assert tally.json("faucet", "50test")["minted"] == str(50 * DOLLAR)
    deposited = tally.json("deposit", "30 TEST", "--yes")
    assert deposited["account"]["free"] == str(30 * DOLLAR)
    assert len(deposited["transactions"]) == 1  # By a permit.

    balance = tally.json("balance")
    assert (balance["address"], balance["wallet"]) == (alice, str(20 * DOLLAR))
    assert balance["account"] == {"free": str(30 * DOLLAR), "exiting": "0", "exitsAt": None}
    shown = tally("balance").out
    assert "30.000000 TEST (30000000 atoms)" in shown

    snapshot = local_chain.rpc.call("evm_snapshot")
    asked = tally.json("exit", "10test", "--yes")
    assert asked["account"]["exiting"] == str(10 * DOLLAR)
    assert "Run this again from" in tally("exit", "--yes").out
    assert tally.json("exit", "--yes")["transactions"] == []
    pass_time(600)
    assert tally.json("exit", "--yes")["paid"] == str(10 * DOLLAR)
    assert tally.json("balance")["wallet"] == str(30 * DOLLAR)
    assert tally.json("exit", "--yes")["requested"] == str(20 * DOLLAR)  # All that is free.
    local_chain.rpc.call("evm_revert", snapshot)


def test_a_provider_s_story(tally, market: Market, offer_toml, tmp_path: Path) -> None:
    """Joining stakes what is missing, names a receipt key, posts the offer; later it is withdrawn."""
    bob = tally.add_wallet("bob")
    tally.json("faucet", "500test")
    tally.json("stake", "40test", "--yes")
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (tmp_path / "tls.pem").write_bytes(pem)
    file = offer_toml(tls_key_file="tls.pem", endpoint="https://127.0.0.1:1", stake="150 TEST")

    joined = tally.json("join", file, "--engine-elsewhere", "--yes", "--wallet", "bob")

    names = {"bob", "bob-receipts"}
    assert {wallet["name"] for wallet in tally.json("wallet", "list")} == names
    assert market.stake(bob.address).staked == 150 * DOLLAR
    assert market.stake(bob.address).receipt_key == address(joined["receiptKey"])
    (posted,) = tally.json("offers")
    assert posted["offerHash"] == joined["offerHash"]
    assert posted["offer"]["inputPrice"] == "100000"
    shown = tally("offers").out
    assert "0.4 " in shown
    assert "TEST per million tokens" in shown
    assert tally.json("offers", "--model", "other") == []
    assert "No offer holds now" in tally("offers", "--model", "other").out

    config, elsewhere = tmp_path / "new" / "node.toml", ("--engine-elsewhere", "--yes", "--wallet", "bob")
    again = tally("join", file, *elsewhere)
    assert "Not yet: No gateway answers" in again.out
    (renewed,) = tally.json("offers")
    assert int(renewed["offer"]["sequence"]) > int(posted["offer"]["sequence"])
    left = tally("join", file, *elsewhere, "--write-config", config)
    assert f"tally-node serve {config}" in left.out
    assert "Your node posts this" in left.out
    assert tally.json("offers") == [renewed]
    refused = tally("join", file, *elsewhere, "--write-config", config)
    assert (refused.status, "is there already" in refused.err) == (1, True)

    below = tally.json("offer", "withdraw", "--yes", "--wallet", "bob")["minimumSequence"]
    assert int(below) > int(renewed["offer"]["sequence"])
    assert tally.json("offers") == []
    told = tally("offer", "withdraw", "--below", "2", "--yes", "--wallet", "bob")
    assert (told.status, "are withdrawn already" in told.err) == (1, True)


def test_the_config_that_join_writes_is_the_node_s(tally, offer_toml, tmp_path: Path) -> None:
    bob = tally.add_wallet("bob")
    tally.json("faucet", "500test")
    path = tmp_path / "node.toml"
    tally.json(
        *("join", offer_toml(valid_for="2 days"), "--engine-elsewhere", "--yes", "--wallet", "bob"),
        *("--write-config", path),
    )

    config = Config.load(path)

    assert config.deployment == tally.home / "deployment.json"
    assert config.keys.receipt == tally.home / "keystore" / "bob-receipts.json"
    assert config.keys.provider == "0x" + bob.address.hex()
    assert (config.listen.host, config.listen.port, config.listen.plain_http) == ("127.0.0.1", 1, True)
    (offer,) = config.offers
    assert (offer.model, offer.input_price, offer.credit) == ("tiny", 100_000, 50_000)
    assert offer.valid_s == 2 * 86_400


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"valid_until": 2_000_000_000}, "say valid_for"),
        ({"valid_for": "59 minutes"}, "an hour at least"),
        ({"endpoint": "https://127.0.0.1:1", "endpoint_key": "0x" + "12" * 32}, "tls_key_file"),
        ({"endpoint": "https://provider.example"}, "tls_key_file"),
    ],
)
def test_a_node_is_told_nothing_that_it_would_promise_otherwise(
    tally, offer_toml, market: Market, tmp_path: Path, fields, said: str
) -> None:
    bob = tally.add_wallet("bob")
    tally.json("faucet", "500test")
    path = tmp_path / "node.toml"
    told = tally("join", offer_toml(**fields), "--engine-elsewhere", "--yes", "--write-config", path)
    assert (told.status, said in told.err) == (1, True)
    assert (path.exists(), market.stake(bob.address).staked) == (False, 0)


def test_joining_says_what_is_missing_before_it_spends(tally, offer_toml, market: Market) -> None:
    bob = tally.add_wallet("bob")
    poor = tally("join", offer_toml(), "--engine-elsewhere", "--yes")
    assert (poor.status, "holds 0.000000 TEST" in poor.err) == (1, True)
    tally.json("faucet", "500test")
    no_engine = tally("join", offer_toml(engine="http://127.0.0.1:1"), "--yes")
    assert (no_engine.status, "The engine does not answer" in no_engine.err) == (1, True)
    none_named = tally("join", offer_toml(), "--yes")
    assert (none_named.status, "--engine-elsewhere" in none_named.err) == (1, True)
    assert market.stake(bob.address).staked == 0
    assert tally.json("wallet", "list") == [{"name": "bob", "address": "0x" + bob.address.hex()}]


def test_stake_leaves_after_its_notice(tally, local_chain: LocalChain, pass_time) -> None:
    tally.add_wallet("bob")
    tally.json("faucet", "200test")
    tally.json("stake", "150test", "--yes")
    snapshot = local_chain.rpc.call("evm_snapshot")
    told = tally("unstake", "100test", "--yes")
    assert "under the market's minimum" in told.out
    assert "Run this again from" in tally("unstake", "--yes").out
    pass_time(86_400)
    assert tally.json("unstake", "--yes")["paid"] == str(100 * DOLLAR)
    assert tally.json("unstake", "--yes")["requested"] == str(50 * DOLLAR)
    local_chain.rpc.call("evm_revert", snapshot)


def test_channels_are_opened_raised_and_closed_alone(
    tally, market: Market, local_chain: LocalChain, pass_time
) -> None:
    alice, bob = tally.add_wallet("alice"), Key.generate()
    provider = "0x" + bob.address.hex()
    tally.json("faucet", "100test")
    tally.json("deposit", "100test", "--yes")
    assert "No channel was opened yet" in tally("channels").out

    opened = tally.json("open", provider, "10test", "--yes")
    raised = tally.json("open", provider, "15test", "--yes")
    assert (opened["channelId"], raised["cap"]) == (raised["channelId"], str(15 * DOLLAR))
    (listed,) = tally.json("channels")
    assert listed == {key: raised[key] for key in listed}
    assert "pays" in tally("channels").out
    channel = market.channel(alice.address, bob.address, address(opened["sessionKey"]))
    assert channel.cap == 15 * DOLLAR

    snapshot = local_chain.rpc.call("evm_snapshot")
    told = tally("close", opened["channelId"][:12], "--yes")
    assert (told.status, "The provider did not sign" in told.err) == (0, True)
    assert "closing until" in tally("channels").out
    assert "The notice runs until" in tally("close", provider, "--alone", "--yes").out
    pass_time(3_600)
    closed = tally.json("close", provider, "--yes")
    assert (closed["settled"], closed["returned"]) == ("0", str(15 * DOLLAR))
    assert tally.json("channels") == []
    assert [entry["status"] for entry in tally.json("channels", "--all")] == ["none"]
    twice = tally("close", opened["channelId"], "--yes")
    assert twice.status == 1
    local_chain.rpc.call("evm_revert", snapshot)


def test_a_channel_for_a_session_key_of_one_s_own(tally) -> None:
    tally.add_wallet("alice")
    tally.json("faucet", "10test")
    tally.json("deposit", "10test", "--yes")
    session = "0x" + Key.generate().address.hex()
    opened = tally.json("open", "0x" + "11" * 20, "5", "--session-key", session, "--yes")
    assert (opened["sessionKey"], opened["cap"]) == (session, "5")


def test_vouchers_of_a_file_are_settled_and_paid_out(
    tally, market: Market, deployment, tmp_path: Path
) -> None:
    alice, bob, session = tally.add_wallet("alice"), tally.add_wallet("bob"), Key.generate()
    for name in ("alice", "bob"):
        tally.json("faucet", "100test", "--wallet", name)
    tally.json("deposit", "100test", "--yes", "--wallet", "alice")
    channel = ChannelKey(payer=alice.address, provider=bob.address, session_key=session.address)
    tally.json(
        *("open", "bob", "10test", "--session-key", "0x" + session.address.hex()),
        *("--yes", "--wallet", "alice"),
    )
    voucher = Voucher(
        channel_id=channel.id,
        cumulative_amount=Atoms(3 * DOLLAR),
        acknowledgement=Acknowledgement(receipt_count=1, receipts_root=Hash32(b"\1" * 32)),
    )
    entry = channel.to_json() | signed_to_json(sign(voucher, deployment.domain, session).signed)
    file = tmp_path / "vouchers.json"
    file.write_text(json.dumps([entry]))

    paid = tally.json("settle", file, "--yes", "--wallet", "bob")

    assert (paid["settled"], paid["withdrawn"]) == (str(3 * DOLLAR), str(3 * DOLLAR))
    assert market.asset_balance(bob.address) == 103 * DOLLAR
    assert "Nothing is left to pay" in tally("settle", "--yes", "--wallet", "bob").out
    file.write_text(json.dumps([entry | {"epoch": "1"}]))
    told = tally("settle", file, "--yes", "--wallet", "bob")
    assert (told.status, "another channel" in told.err) == (1, True)


# ------------------------------------------------------------------------------------------ errors


def test_a_contract_s_refusal_is_a_sentence_and_one(tally) -> None:
    tally.add_wallet("alice")
    tally.json("faucet", "1test")
    told = tally("deposit", "2test", "--yes")
    assert told.status == 1
    assert "holds 1000000 atoms of the asset and 2000000 are needed" in told.err
    coded = tally("deposit", "2test", "--yes", "--json")
    assert coded.data["error"]["code"] == "contract-error"


def test_an_amount_that_is_none_is_a_usage_error(tally) -> None:
    tally.add_wallet("alice")
    told = tally("deposit", "1.5", "--yes")
    assert (told.status, "1.5test" in told.err) == (2, True)


def test_a_wallet_without_gas_is_sent_to_the_faucet(tally) -> None:
    tally.add_wallet("alice")
    told = tally("stake", "1", "--yes")
    assert told.status == 1
    assert "tally faucet" in told.err


def test_a_wrong_password_is_said(tally) -> None:
    tally.add_wallet("alice")
    told = tally("deposit", "1", "--yes", TALLYSTICK_PASSWORD="guess")
    assert (told.status, "password of the wallet alice is another" in told.err) == (1, True)


def test_nothing_is_signed_without_a_yes_and_the_transaction_is_shown_first(tally, market: Market) -> None:
    alice = tally.add_wallet("alice")
    tally.json("faucet", "5test")
    told = tally("stake", "2test")
    assert told.status == 1
    for shown in ("TestAsset.approve", "2.000000 TEST (2000000 atoms)", "ETH likely", "(alice)"):
        assert shown in told.err
    assert "Give --yes" in told.err
    assert market.stake(alice.address).staked == 0


def test_a_typed_yes_signs_and_a_typed_no_does_not(tally, market: Market, terminal) -> None:
    alice = tally.add_wallet("alice")
    tally.json("faucet", "5test")
    question = b"Sign and send it?"
    status, _, _ = terminal(tally, ["deposit", "2test"], [(question, "n")])
    assert (status, market.account(alice.address).free) == (1, 0)
    status, out, shown = terminal(tally, ["deposit", "2test"], [(question, "y")])
    assert (status, market.account(alice.address).free) == (0, 2 * DOLLAR)
    assert "Deposited 2.000000 TEST" in out
    assert "Market.depositWithPermit" in shown


def test_a_wallet_that_signs_receipts_does_not_act_by_itself(tally) -> None:
    tally.add_wallet("bob")
    tally.add_wallet("bob-receipts")
    assert tally.json("wallet", "address")["name"] == "bob"


def test_a_missing_deployment_is_named(alone) -> None:
    alone.add_wallet("alice")
    told = alone("balance")
    assert (told.status, "deployment.json" in told.err) == (1, True)


def test_a_chain_that_is_gone_may_be_tried_again(tally) -> None:
    tally.add_wallet("alice")
    told = tally("balance", "--rpc", "http://127.0.0.1:1", "--json")
    assert (told.status, told.data["error"]["retryable"]) == (1, True)


def test_another_chain_is_refused(tally, deployment) -> None:
    from dataclasses import replace

    replace(deployment, chain_id=8453).save(tally.home / "deployment.json")
    tally.add_wallet("alice")
    told = tally("balance")
    assert (told.status, "follows chain 31337 and the deployment is on 8453" in told.err) == (1, True)
    assert "is no local one" in tally("faucet").err


def test_an_unknown_channel_is_said(tally) -> None:
    tally.add_wallet("alice")
    assert "No channel of alice is 0xabcdef" in tally("close", "0xabcdef", "--yes").err
    assert "is no address" in tally("open", "0x12", "5", "--yes").err
