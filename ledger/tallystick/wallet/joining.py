"""How a wallet becomes a provider: what is missing is staked, named, signed and posted, in this order.

Every check that can fail comes before the first atom moves, and running it again does only what is left.
Where a node's configuration is written, the offer is left to that node's first start: one that is older than
the node's database is one under which a node that lost it may have served.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tallystick.chain.errors import GasUnaffordable, WalletUnknown
from tallystick.chain.transaction import Mined
from tallystick.protocol.offer import SALT_BITS, Offer, fresh_sequence
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import Milliseconds, Timestamp, to_hex
from tallystick.wallet.desk import RECEIPTS, Desk, sent
from tallystick.wallet.errors import OfferFileError
from tallystick.wallet.money import show_exactly
from tallystick.wallet.offer_file import OfferFile, read_offer_file
from tallystick.wallet.probes import endpoint_trouble, engine_trouble
from tallystick.wallet.render import offer_facts, offer_terms
from tallystick.wallet.view import View, lines


@dataclass(frozen=True, slots=True)
class _Plan:
    """What will be done, known before anything is."""

    file: OfferFile
    receipt_wallet: str
    receipt_key: Key
    made: bool
    """The receipt wallet is new."""
    offer: Offer
    posts: bool
    """Here and now; else the node does."""


def join(desk: Desk, path: Path, config: Path | None, *, engine_elsewhere: bool = False) -> View:
    """Raises OfferFileError, KeystoreError, or what its transactions raise.

    `engine_elsewhere`: it cannot be reached from here, and the node will ask it when it starts.
    """
    if config is not None and config.exists():
        raise OfferFileError(f"{config} is there already: name another file for the node's config.")
    now = desk.market.head().timestamp
    file = read_offer_file(path, desk.asset, now=Timestamp(now))
    if config is not None:
        file.require_node()
    if not engine_elsewhere and (trouble := engine_trouble(file.engine, file.model)):
        raise OfferFileError(f"{trouble} Where it cannot be reached from here, say --engine-elsewhere.")
    _require_funds(desk, file)
    plan = _plan(desk, file, posts=config is None)
    mined = _carry_out(desk, plan)
    joined = sent(
        {
            "offerHash": to_hex(plan.offer.struct_hash()) if plan.posts else None,
            "offer": plan.offer.to_json() if plan.posts else None,
            "provider": to_hex(desk.wallet.address),
            "receiptKey": to_hex(plan.receipt_key.address),
            "receiptWallet": plan.receipt_wallet,
            "config": str(config) if config else None,
        },
        mined,
    )
    if config is not None:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(node_config(desk, plan.file, plan.receipt_wallet))
    return lines(joined, *_report(desk, plan, config))


def _require_funds(desk: Desk, file: OfferFile) -> None:
    needed = _to_stake(desk, file)
    held = desk.market.asset_balance(desk.wallet.address)
    if held < needed:
        raise OfferFileError(
            f"The offer needs {show_exactly(needed, desk.asset)} more at stake, and the wallet holds "
            f"{show_exactly(held, desk.asset)}. Get more first (on a local chain: tally faucet).",
            required=needed,
            actual=held,
        )
    if desk.market.gas_balance(desk.wallet.address) == 0:
        raise GasUnaffordable(
            f"{desk.wallet.name} holds nothing of the chain's own coin, which pays for transactions. Send it "
            "some (on a local chain: tally faucet)."
        )


def _to_stake(desk: Desk, file: OfferFile) -> int:
    target = max(desk.market.minimum_stake(), file.stake or 0)
    return max(0, target - desk.market.stake(desk.wallet.address).staked)


def _plan(desk: Desk, file: OfferFile, *, posts: bool) -> _Plan:
    own = desk.wallet
    name = file.receipt_wallet or own.name + RECEIPTS
    try:
        desk.keystore.find(name)
        made = False
    except WalletUnknown:
        # Under the wallet's own password: the node is given this file and it, and never the wallet's.
        desk.keystore.create(name, desk.password(own.name))
        made = True
    receipt_key = desk.key(name)
    latest, minimum = desk.market.offers_of(own.address)
    now, salt = Milliseconds(time.time_ns() // 1_000_000), secrets.randbits(SALT_BITS)
    offer = file.offer(own.address, fresh_sequence(latest=latest, minimum=minimum, now=now, salt=salt))
    return _Plan(file, name, receipt_key, made, offer, posts)


def _carry_out(desk: Desk, plan: _Plan) -> list[Mined]:
    market, mined = desk.signing_market, []
    if missing := _to_stake(desk, plan.file):
        mined.append(market.add_stake(desk.amount(str(missing))))
    if desk.market.stake(desk.wallet.address).receipt_key != plan.receipt_key.address:
        mined.append(market.set_receipt_key(plan.receipt_key.address))
    if plan.posts:
        mined.append(market.post_offer(sign(plan.offer, desk.deployment.domain, plan.receipt_key).signed))
    return mined


def _report(desk: Desk, plan: _Plan, config: Path | None) -> list[str]:
    receipts = desk.keystore.find(plan.receipt_wallet)
    report = ["Posted:" if plan.posts else "Your node posts this when it starts, and renews it:"]
    facts = offer_facts(plan.offer, desk.asset) if plan.posts else offer_terms(plan.offer, desk.asset)
    report += [f"  {name:<20} {value}" for name, value in facts]
    if plan.made:
        report.append(
            f"Made the receipt key {plan.receipt_wallet}, under the password of {desk.wallet.name}."
        )
    if desk.market.gas_balance(receipts.address) == 0:
        report.append(
            f"The node pays for its transactions with {plan.receipt_wallet}, which holds no gas yet: send "
            f"some to {to_hex(receipts.address)} (locally: tally faucet 0 --to {plan.receipt_wallet})."
        )
    if trouble := endpoint_trouble(plan.offer.endpoint, plan.offer.endpoint_key):
        report.append(f"Not yet: {trouble}")
    else:
        report.append(f"A gateway answers at {plan.offer.endpoint}.")
    if config is None:
        report.append(
            "A gateway of your own serves it. `tally-node` posts its offers by itself: --write-config."
        )
    else:
        report.append(f"Run: tally-node serve {config}")
    return report


def node_config(desk: Desk, file: OfferFile, receipt_wallet: str) -> str:
    """What `tally-node serve` reads, for the very offer of the file. Paths are whole: it may lie anywhere."""
    assert file.valid_s is not None, "checked before anything was sent"
    endpoint = urlsplit(file.endpoint)
    tls_key = file.tls_key_file
    receipt = desk.keystore.find(receipt_wallet).path
    password = desk.settings.password_file
    settings: list[tuple[str, str | int | bool]] = [
        ("rpc", desk.settings.rpc),
        ("deployment", str(desk.settings.deployment.resolve())),
        ("[keys]", ""),
        ("receipt", str(receipt.resolve())),
        ("provider", to_hex(desk.wallet.address)),
        *((("password_file", str(password.resolve())),) if password else ()),
        ("[listen]", ""),
        ("host", "127.0.0.1" if _is_loopback(endpoint.hostname) else "0.0.0.0"),
        ("port", endpoint.port or (443 if endpoint.scheme == "https" else 80)),
        *((("tls_key", str(tls_key.resolve())),) if tls_key else ()),
        *((("plain_http", True),) if endpoint.scheme == "http" else ()),
        ("endpoint", file.endpoint),
        ("[engine]", ""),
        ("url", file.engine),
        ("[[offers]]", ""),
        ("model", file.model),
        ("input_price", file.input_price),
        ("cached_input_price", file.cached_input_price),
        ("output_price", file.output_price),
        ("context_length", file.context_length),
        ("credit", file.credit),
        ("valid_s", file.valid_s),
        ("model_hash", to_hex(file.model_hash)),
    ]
    return "".join(
        f"\n{name}\n" if name.startswith("[") else f"{name} = {_toml(value)}\n" for name, value in settings
    )


def _toml(value: str | int | bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'


def _is_loopback(host: str | None) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")
