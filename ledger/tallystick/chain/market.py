"""The market's contract, read and written: `ChainReader`, `Directory` and `Settlement` of the ports.

Every method is one question or one transaction. Reads are at the newest block; writes need a `Sender`, and
raise what its `send` raises. It decides nothing.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.blocks import read_block, require_chain
from tallystick.chain.book import Book
from tallystick.chain.contracts import Contract, contract_error
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ContractError, NoContract, RpcError
from tallystick.chain.events import Earned, OfferPosted, OffersWithdrawn
from tallystick.chain.follower import Follower
from tallystick.chain.lens import Lens, parts
from tallystick.chain.rpc import Rpc, quantity
from tallystick.chain.sender import Sender
from tallystick.chain.transaction import Mined
from tallystick.ports import Account, Gain, Head, Look, MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import hash_struct, keccak
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed, compact
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp, to_hex
from tallystick.protocol.voucher import Close, Voucher

_ROWS: Final = 200
"""Vouchers in one settlement: 3 million gas, far under any block's limit."""
_GRANTS: Final = 100
"""Grants in one transaction: 4 million gas."""
_ASSET_DOMAIN: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_PERMIT: Final = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
_PERMIT_S: Final = 3600
"""How long a permit holds: it is sent at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """Seconds between asking for one's own atoms and getting them."""

    exit_s: int
    close_s: int
    unstake_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """How the settlement asset writes itself."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One channel to open from the sender's own account."""

    provider: Address
    session_key: Address
    cap: Atoms


class Market:
    """One market on one chain. Threads may share it."""

    def __init__(self, rpc: Rpc, deployment: Deployment, sender: Sender | None = None):
        self.rpc = rpc
        self.deployment = deployment
        self._sender = sender
        self._lens = Lens(deployment, self.ask)
        self._book_lock = threading.Lock()
        self._book = Book()
        self._book_follower = Follower(rpc, deployment, events=(OfferPosted, OffersWithdrawn))

    @property
    def sender(self) -> Sender:
        assert self._sender is not None, "writes need a sender"
        return self._sender

    def check(self) -> None:
        """The node follows the deployment's chain, and the market is there.

        Raises
        ------
        WrongChain, NoContract :
            They are not, and this says which.
        """
        deployment = self.deployment
        chain_id, market, asset = self.rpc.batch(
            [
                ("eth_chainId", ()),
                ("eth_getCode", (to_hex(deployment.market), "latest")),
                ("eth_getCode", (to_hex(deployment.asset), "latest")),
            ]
        )
        require_chain(chain_id, deployment.chain_id)
        for name, address, code in (
            ("market", deployment.market, market),
            ("asset", deployment.asset, asset),
        ):
            if not isinstance(code, str) or code == "0x":
                raise NoContract(
                    f"There is no {name} at {to_hex(address)} on chain {deployment.chain_id}. Was the local "
                    "chain started afresh? Deploy again, or give another deployment."
                )
        actual = self._read("asset")[0]
        if actual != deployment.asset:
            raise NoContract(
                f"The market at {to_hex(deployment.market)} settles in {to_hex(actual)} and the deployment "
                f"says {to_hex(deployment.asset)}: the file is not this market's.",
                required=to_hex(deployment.asset),
                actual=to_hex(actual),
            )

    # ------------------------------------------------------------------------------ reads

    def head(self) -> Head:
        block = read_block(self.rpc.call("eth_getBlockByNumber", "latest", False))
        return Head(number=block.number, timestamp=block.timestamp)

    def account(self, payer: Address) -> Account:
        free, exiting, exits_at = self._read("accountOf", payer)
        return Account(free=free, exiting=exiting, exits_at=exits_at)

    def stake(self, provider: Address) -> Stake:
        staked, exiting, exits_at, receipt_key = self._read("stakeOf", provider)
        return Stake(
            provider=provider, staked=staked, exiting=exiting, exits_at=exits_at, receipt_key=receipt_key
        )

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        """In its current epoch, whatever epoch the caller has in mind."""
        cap, settled, closes_at, epoch = self._read("channelOf", payer, provider, session_key)
        key = ChannelKey(payer=payer, provider=provider, session_key=session_key, epoch=epoch)
        return Channel(key=key, cap=cap, settled=settled, closes_at=closes_at)

    def channels(self, keys: Sequence[ChannelKey]) -> list[Channel]:
        """As `channel` has each, all at one block where they are few."""
        return self._lens.channels(keys)

    def balance_of(self, provider: Address) -> Atoms:
        """Earned and not yet withdrawn."""
        return Atoms(self._read("balanceOf", provider)[0])

    def offers_of(self, provider: Address) -> tuple[int, int]:
        """(latest sequence, minimum sequence); zeros where none was posted or withdrawn."""
        latest, minimum = self._read("offersOf", provider)
        return latest, minimum

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        """Whether `key` signs, or ever signed, for the provider."""
        return bool(self._read("isReceiptKey", provider, key)[0])

    def asset_balance(self, address: Address) -> Atoms:
        """Atoms in a wallet, outside the market."""
        return Atoms(self.ask(contracts.asset(), self.deployment.asset, "balanceOf", address)[0])

    def gas_balance(self, address: Address) -> int:
        """Wei of the chain's own coin, which pays for transactions."""
        return quantity(self.rpc.call("eth_getBalance", to_hex(address), "latest"))

    def minimum_stake(self) -> Atoms:
        """What a provider must have staked to post an offer."""
        return self._minimum_stake

    def notices(self) -> Notices:
        return self._notices

    def asset(self) -> Asset:
        return self._asset

    @cached_property
    def _minimum_stake(self) -> Atoms:
        return Atoms(self._read("minimumStake")[0])

    @cached_property
    def _notices(self) -> Notices:
        exit_s, close_s, unstake_s = (
            self._read(name)[0] for name in ("exitNotice", "closeNotice", "unstakeNotice")
        )
        return Notices(exit_s=exit_s, close_s=close_s, unstake_s=unstake_s)

    @cached_property
    def _asset(self) -> Asset:
        symbol = self.ask(contracts.asset(), self.deployment.asset, "symbol")[0]
        decimals = self.ask(contracts.asset(), self.deployment.asset, "decimals")[0]
        return Asset(symbol=symbol, decimals=decimals)

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=self.minimum_stake(), unit=Atoms(10 ** self.asset().decimals))

    def offers(self) -> Sequence[PostedOffer]:
        """Those that hold now: newest of each provider and model, not withdrawn, not expired, staked."""
        with self._book_lock:
            update = self._book_follower.poll()
            if update.rewound_to is not None:
                self._book.rewind(update.rewound_to)
            self._book.apply(update.events)
            # The contract goes by the chain's clock and the payer by its own: the later one is the safe one.
            holding = self._book.holding(Timestamp(max(update.head.timestamp, int(time.time()))))
        stakes = self._lens.stakes(sorted({posted.provider for posted in holding}))
        return [
            PostedOffer(offer=posted.offer, offer_hash=posted.offer_hash, stake=stakes[posted.provider])
            for posted in holding
            if stakes[posted.provider].staked >= self.minimum_stake()
        ]

    def _read(self, name: str, *values: Any) -> tuple[Any, ...]:
        return self.ask(contracts.market(), self.deployment.market, name, *values)

    def ask(self, contract: Contract, at: Address, name: str, *values: Any) -> tuple[Any, ...]:
        """One read of one contract of the deployment's."""
        request = {"to": to_hex(at), "data": to_hex(contract.interface.call(name, values))}
        try:
            answer = self.rpc.call("eth_call", request, "latest")
            return contract.interface.result(name, bytes.fromhex(answer[2:]))
        except (RpcError, AbiError, TypeError, ValueError) as error:
            if isinstance(error, RpcError) and error.data:
                raise contract_error(error.data) from error
            if isinstance(error, RpcError) and "revert" not in error.message:
                raise
            raise NoContract(
                f"{to_hex(at)} does not answer {name} as a {contract.name} does. Is the deployment's file "
                "the right one for this chain?"
            ) from error

    # ------------------------------------------------------------------------------ account

    def mint(self, amount: Atoms, to: Address | None = None) -> Mined:
        """Of a local chain's asset, which anyone may mint."""
        return self._send_asset("mint", to or self.sender.address, amount)

    def approve(
        self, amount: Atoms, *, spender: Address | None = None, standing: Atoms = Atoms(0)
    ) -> Mined | None:
        """Lets the market, or another, take `amount`; nothing is sent where it may already, and where
        something is, `standing` in all if that is more: what is taken later needs no transaction then."""
        owner, spender = self.sender.address, spender or self.deployment.market
        allowance = self.ask(contracts.asset(), self.deployment.asset, "allowance", owner, spender)[0]
        return None if allowance >= amount else self._send_asset("approve", spender, max(amount, standing))

    def deposit(self, amount: Atoms, payer: Address | None = None) -> Mined:
        """Approves the amount where needed, and deposits it."""
        self._require_held(amount)
        self.approve(amount)
        return self._send("deposit", payer or self.sender.address, amount)

    def deposit_with_permit(self, amount: Atoms) -> Mined:
        """Into the sender's own account, in one transaction. The asset must know EIP-2612 and EIP-5267."""
        owner, asset = self.sender.address, self.deployment.asset
        _, name, version, chain_id, verifier, _, _ = self.ask(contracts.asset(), asset, "eip712Domain")
        nonce = self.ask(contracts.asset(), asset, "nonces", owner)[0]
        deadline = max(self.head().timestamp, int(time.time())) + _PERMIT_S
        separator = hash_struct(_ASSET_DOMAIN, (name, version, chain_id, verifier))
        permit = hash_struct(_PERMIT, (owner, self.deployment.market, amount, nonce, deadline))
        signature = self.sender.key.sign_hash(keccak(b"\x19\x01" + separator + permit))
        return self._send(
            "depositWithPermit", amount, deadline, signature[64], signature[:32], signature[32:64]
        )

    def takes_permits(self) -> bool:
        """Whether `deposit_with_permit` can work with this market's asset."""
        try:
            self.ask(contracts.asset(), self.deployment.asset, "eip712Domain")
            self.ask(contracts.asset(), self.deployment.asset, "nonces", self.deployment.market)
        except (NoContract, ContractError):
            return False
        return True

    def request_exit(self, amount: Atoms) -> Mined:
        return self._send("requestExit", amount)

    def exit(self, payer: Address | None = None) -> Mined:
        return self._send("exit", payer or self.sender.address)

    # ------------------------------------------------------------------------------ stake, offers

    def add_stake(self, amount: Atoms) -> Mined:
        """Approves the amount where needed, and stakes it."""
        self._require_held(amount)
        self.approve(amount)
        return self._send("stake", amount)

    def request_unstake(self, amount: Atoms) -> Mined:
        return self._send("requestUnstake", amount)

    def unstake(self, provider: Address | None = None) -> Mined:
        return self._send("unstake", provider or self.sender.address)

    def set_receipt_key(self, receipt_key: Address) -> Mined:
        return self._send("setReceiptKey", receipt_key)

    def post_offer(self, signed: Signed[Offer]) -> Mined:
        """Anyone may; the signature is the provider's receipt key's."""
        return self._send("postOffer", signed.message.values(), signed.signature)

    def withdraw_offers(self, minimum_sequence: int) -> Mined:
        """All of the sender's under `minimum_sequence`."""
        return self._send("withdrawOffers", minimum_sequence)

    # ------------------------------------------------------------------------------ channels

    def open_channels(self, grants: Sequence[Signed[Grant]]) -> int:
        """By their payers' grants; those that cannot be met are skipped."""
        block = 0
        for part in parts(grants, _GRANTS):
            structs = [
                (m.payer, m.provider, m.session_key, m.epoch, m.cap, m.deadline)
                for m in (signed.message for signed in part)
            ]
            block = self._send("openChannelsFor", structs, [signed.signature for signed in part]).block
        return block

    def open_own_channels(self, openings: Sequence[Opening]) -> Mined:
        """From the sender's own account, or raises their caps. All or nothing."""
        return self._send("openChannels", [(o.provider, o.session_key, o.cap) for o in openings])

    def settle(
        self,
        vouchers: Sequence[tuple[ChannelKey, Signed[Voucher]]],
        *,
        highest_gas_price: int | None = None,
    ) -> Gain:
        """For the vouchers' providers; rows that cannot be paid are skipped."""
        gained, block = 0, 0
        for provider in sorted({key.provider for key, _ in vouchers}):
            rows = [_row(key, signed) for key, signed in vouchers if key.provider == provider]
            for part in parts(rows, _ROWS):
                call = contracts.market().call(self.deployment.market, "settle", provider, list(part))
                mined = self.sender.send(call, highest_gas_price=highest_gas_price)
                gained += sum(event.amount for event in mined.events if isinstance(event, Earned))
                block = mined.block
        return Gain(atoms=Atoms(gained), block=block)

    def gas_price(self) -> int:
        return self.sender.gas_price()

    def look_up(self, *, recheck: bool = False) -> Look:
        return self.sender.look_up(recheck=recheck)

    def close(self, key: ChannelKey, signed: Signed[Close]) -> Mined:
        """At once, with the provider's signature on the final amount."""
        amount = signed.message.cumulative_amount
        return self._send("close", key.payer, key.provider, key.session_key, amount, signed.signature)

    def request_close(self, provider: Address, session_key: Address) -> Mined:
        """Of one of the sender's channels."""
        return self._send("requestClose", provider, session_key)

    def finalize_close(self, payer: Address, provider: Address, session_key: Address) -> Mined:
        return self._send("finalizeClose", payer, provider, session_key)

    def withdraw(self, provider: Address | None = None) -> Mined:
        """Pays the provider its whole balance."""
        return self._send("withdraw", provider or self.sender.address)

    def _require_held(self, amount: Atoms) -> None:
        """What the asset would say after an approval had been paid for."""
        holder = self.sender.address
        held = self.asset_balance(holder)
        if held < amount:
            values = {"sender": holder, "balance": held, "needed": amount}
            raise ContractError("ERC20InsufficientBalance", values)

    def _send(self, name: str, *values: Any) -> Mined:
        return self.sender.send(contracts.market().call(self.deployment.market, name, *values))

    def _send_asset(self, name: str, *values: Any) -> Mined:
        return self.sender.send(contracts.asset().call(self.deployment.asset, name, *values))


def _row(key: ChannelKey, signed: Signed[Voucher]) -> tuple[Any, ...]:
    voucher = signed.message
    r, vs = compact(signed.signature)
    acknowledgement: Hash32 = voucher.acknowledgement.struct_hash()
    return key.payer, key.session_key, key.epoch, voucher.cumulative_amount, acknowledgement, r, vs
