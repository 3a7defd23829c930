"""Whether a node has what it takes to start: keys, chain, contract, stake and engine. Each refusal is one
sentence."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from tallystick.chain.deployment import Deployment
from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainError, NoContract
from tallystick.chain.follower import Follower
from tallystick.chain.keys import Keystore
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.chain.witnessed import Witnessed
from tallystick.ports import ChainReader, Clock
from tallystick.protocol.errors import MarketError
from tallystick.protocol.length import fits
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms, Tokens, to_hex
from tallystick_node.config import (
    Config,
    ConfigInvalid,
    KeysConfig,
    QualityConfig,
    SettleConfig,
    api_key,
    password,
    provider_address,
)
from tallystick_node.engine.upstream import EngineGone, Upstream
from tallystick_node.gateway import tls
from tallystick_node.gateway.auditing import Auditing, Cares, Errand, OpensAuditor
from tallystick_node.gateway.bench import Bench, Opens
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.network.loading import load_policy
from tallystick_node.network.participation import context_of
from tallystick_node.network.posting import Post
from tallystick_node.network.users import Users
from tallystick_node.store.records import Store

_SILENT: Final = (
    "It is enlisted as a judge and this node judges nothing: each duel that it is drawn for costs it a fee. "
    "Set quality.judge, or end it with `tally judge retire`."
)
log = structlog.get_logger("tallystick.node")


class StartRefused(Exception):
    """One sentence: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who serves, and the market it serves in, checked."""

    key: Key
    """Signs receipts."""
    address: Address
    market: Market
    reader: ChainReader
    """What is believed of the chain, on a request's way."""
    follower: Follower
    wallet: Key | None
    """The provider's own key, where this node has it."""
    vault: Market | None
    """The contract in its hands."""


@contextlib.contextmanager
def checked(config: Config) -> Iterator[Provider]:
    """With keys, chain, contract and stake in order; raises StartRefused or ConfigInvalid."""
    load_policy(config.policy)
    if config.users is not None:
        Users.of(config.users)
    rpcs = [Rpc(url) for url in config.rpcs]
    try:
        yield _provider(config, *rpcs)
    finally:
        for rpc in rpcs:
            rpc.close()


def _provider(config: Config, rpc: Rpc, *witnesses: Rpc) -> Provider:
    try:
        secret = password(config.keys)
        key = _key(config.keys, "receipt", secret)
        gas = _key(config.keys, "gas", secret) if config.keys.gas else key
        address = provider_address(config.keys, key.address)
        deployment = Deployment.load(config.deployment)
        market = Market(rpc, deployment, Sender(rpc, deployment.chain_id, gas))
        market.check()
        _require_stake(market, address, key.address)
        wallet = _wallet(config, secret, address, key)
        vault = None
        if wallet is not None:
            vault = market if wallet.address == gas.address else _in_hands_of(wallet, market, rpc)
    except (MarketError, ConfigInvalid) as error:
        raise StartRefused(str(error)) from error
    follower = Follower(rpc, deployment, confirmations=config.confirmations, witnesses=witnesses)
    reader = (
        Witnessed(market, [Market(witness, deployment) for witness in witnesses]) if witnesses else market
    )
    return Provider(
        key=key,
        address=address,
        market=market,
        reader=reader,
        follower=follower,
        wallet=wallet,
        vault=vault,
    )


def _wallet(config: Config, secret: str, provider: Address, receipt_key: Key) -> Key | None:
    """The provider's own key, if the node has it; raises ConfigInvalid."""
    if config.keys.wallet is None and receipt_key.address != provider:
        if config.offload is not None and config.offload.deposit:
            raise ConfigInvalid(
                "offload.deposit moves what the provider earned: name its own keystore in keys.wallet."
            )
        return None
    wallet = receipt_key if config.keys.wallet is None else _key(config.keys, "wallet", secret)
    if wallet.address != provider:
        raise ConfigInvalid(
            f"keys.wallet holds {to_hex(wallet.address)}, and the provider is {to_hex(provider)}."
        )
    return wallet


def _in_hands_of(key: Key, market: Market, rpc: Rpc) -> Market:
    return Market(rpc, market.deployment, Sender(rpc, market.deployment.chain_id, key))


def _key(keys: KeysConfig, name: str, secret: str) -> Key:
    path = {"receipt": keys.receipt, "gas": keys.gas, "wallet": keys.wallet}[name]
    assert path is not None
    return Keystore(path.parent).load(path.stem, secret)


def _require_stake(market: Market, provider: Address, receipt_key: Address) -> None:
    stake = market.stake(provider)
    if stake.staked < market.minimum_stake():
        raise StartRefused(
            f"The provider {to_hex(provider)} has staked {stake.staked} atoms and {market.minimum_stake()} "
            "are required. Stake the difference with `tally stake`."
        )
    if stake.receipt_key != receipt_key:
        raise StartRefused(
            f"The provider {to_hex(provider)} names {to_hex(stake.receipt_key)} as its receipt key on chain, "
            f"and the configured one is {to_hex(receipt_key)}. Configure that one, or name this one with "
            "`tally join`."
        )


async def check_engine(
    config: Config, upstream: Upstream, contexts: Mapping[str, int]
) -> Mapping[str, Tokens]:
    """It answers and serves every model of `contexts`, which has as many tokens in the offer as that says:
    the contexts of all its models, as it tells them. Raises StartRefused."""
    try:
        served = await upstream.models()
    except EngineGone as error:
        raise StartRefused(f"{error} Is it running, and is engine.url right?") from error
    speed = config.engine.speed
    for model, offered in sorted(contexts.items()):
        name = config.engine.models.get(model, model)
        if name not in served:
            raise StartRefused(
                f"The engine at {config.engine.url} does not serve {name}: it serves "
                f"{', '.join(served) or 'nothing'}. Name its model in engine.models, or offer one that it "
                "has."
            )
        has = context_of(served[name], None if speed is None else speed.speed)
        if not fits(offered, has):
            raise StartRefused(
                f"The engine holds {has} tokens of context for {name}, and the offer of {model} names "
                f"{offered}: payers would be refused what they were promised. Offer no more than it holds."
            )
    return served


def check_all(config: Config) -> str:
    """What `serve` would find in order, as a sentence, and one more of what it would do in vain; raises
    StartRefused."""
    contexts = {offer.model: offer.context_length for offer in config.offers}

    async def ask_engine() -> None:
        upstream = open_engine(config)
        try:
            await check_engine(config, upstream, contexts)
        finally:
            await upstream.close()

    with checked(config) as provider:
        asyncio.run(ask_engine())
        silent = is_silent_judge(config.quality, provider.market, provider.address)
    told = f"Keys, chain, contract, stake and engine are in order for provider {to_hex(provider.address)}."
    return f"{told} {_SILENT}" if silent else told


def is_silent_judge(quality: QualityConfig, market: Market, provider: Address) -> bool:
    """Whether the chain draws it to judge, and its node would say nothing. Raises StartRefused."""
    if quality.judge or market.deployment.duels is None:
        return False
    try:
        return Duels(market).judge(provider).weight > 0
    except ChainError as error:
        raise StartRefused(str(error)) from error


def open_engine(config: Config) -> Upstream:
    """Not asked anything yet; raises StartRefused."""
    try:
        return Upstream(config.engine.url, api_key=api_key(config.engine))
    except ConfigInvalid as error:
        raise StartRefused(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What makes a node's judge and its auditor, where it is to have them, and what it looks after on
    chain."""

    judge: Opens
    auditor: OpensAuditor
    errand: Cares


def open_bench(
    config: Config, quality: Quality | None, provider: Provider, store: Store, upstream: Upstream
) -> Bench | None:
    """None: this node judges nothing. Raises StartRefused."""
    if is_silent_judge(config.quality, provider.market, provider.address):
        log.warning("judge.silent", reason=_SILENT)
    if quality is None or not config.quality.judge:
        return None
    try:
        return quality.judge(
            market=provider.market,
            reader=provider.reader,
            provider=provider.address,
            key=provider.key,
            store=store,
            upstream=upstream,
        )
    except NoContract as error:
        raise StartRefused(f"quality.judge: {error}") from error


def open_errand(
    config: Config,
    quality: Quality | None,
    provider: Provider,
    auditing: Auditing | None,
    viewer: Post,
    clock: Clock,
) -> Errand | None:
    """What the node looks after on chain every few seconds, if there is anything. Raises StartRefused."""
    if quality is None:
        return None
    answer = config.quality.answer
    try:
        return quality.errand(
            market=provider.market,
            purse=provider.vault or provider.market,
            provider=provider.address,
            key=provider.key,
            answer=None if answer is None else Atoms(answer),
            auditing=auditing,
            engine_models=config.engine.models,
            dossiers=config.quality.dossiers,
            viewer=viewer,
            clock=clock,
        )
    except ChainError as error:
        raise StartRefused(str(error)) from error


def open_auditing(
    config: Config, quality: Quality | None, provider: Provider, upstream: Upstream, clock: Clock
) -> Auditing | None:
    """None: this node audits nothing. Raises StartRefused."""
    if quality is None or not config.quality.audit:
        return None
    if not config.quality.scales:
        raise StartRefused("quality.audit: an auditor weighs by scales; name the files in quality.scales.")
    try:
        return quality.auditor(
            market=provider.market,
            reader=provider.reader,
            provider=provider.address,
            key=provider.key,
            upstream=upstream,
            scales=config.quality.scales,
            sampler=config.quality.sampler,
            dossiers=config.quality.dossiers,
            clock=clock,
        )
    except (OSError, MarketError) as error:
        raise StartRefused(f"quality.scales: {error}") from error


def settle_policy(config: SettleConfig) -> SettlePolicy:
    return SettlePolicy(
        amount=Atoms(config.amount),
        interval_s=config.interval_s,
        minimum=Atoms(config.minimum),
        coin_price=Atoms(config.gas_coin_price),
        gas_share=config.gas_share,
        closing_margin_s=config.closing_margin_s,
    )


def tls_key_of(config: Config) -> PrivateKeyTypes:
    """Raises StartRefused."""
    try:
        return tls.load_or_make_key(config.listen.tls_key)
    except (ValueError, OSError) as error:
        raise StartRefused(f"The TLS key {config.listen.tls_key} cannot be used: {error}.") from error


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
