"""A provider's configuration: one TOML file, read once into one frozen value.

Paths are relative to the file. Amounts are atoms, prices atoms per million tokens, times seconds. Unknown
names are errors: a misspelt limit is no limit.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tallystick.protocol.speed import Speed
from tallystick.protocol.status import PARAMETERS
from tallystick.protocol.units import Address, Tokens, address

_STRICT = ConfigDict(extra="forbid", strict=False)

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Uint64 = Annotated[int, Field(ge=0, lt=1 << 64)]


class ConfigInvalid(Exception):
    """One sentence on what is wrong with the file, or with what it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysConfig:
    """Keystore V3 files."""

    __pydantic_config__ = _STRICT
    receipt: Path
    """Signs offers, receipts and closes: the receipt key that the provider names on chain."""
    gas: Path | None = None
    """Pays for transactions; the receipt key where it is not given."""
    provider: str | None = None
    """`0x…`: whose stake and earnings; the receipt key's own address where it is not given."""
    wallet: Path | None = None
    """The provider's own key, for a node that spends what it earned, or stakes by its policy. Without it the
    wallet stays cold, and a node that buys does so from the receipt key's account."""
    password_file: Path | None = None
    password_env: str = "TALLYSTICK_PASSWORD"
    """Environment variable that holds the password where there is no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where payers come in."""

    __pydantic_config__ = _STRICT
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=1 << 16)] = 8443
    """0: any free one."""
    tls_key: Path = Path("tls.pem")
    """PEM; made where it is missing."""
    plain_http: bool = False
    """No TLS: on loopback only."""
    endpoint: str | None = None
    """The URL that offers name, without `/v1`; where it is not given, the address bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedConfig:
    """The constants of `protocol/speed`, in picoseconds. An engine without any is seen at work first."""

    __pydantic_config__ = _STRICT
    fixed: Uint64 = 0
    sequence: Uint64 = 0
    weights: Uint64 = 0
    token: Uint64 = 0
    context: Uint64 = 0
    capacity: Uint64 = 0
    """Tokens; zero: any number."""
    chunk: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    """Tokens; zero: any number."""

    @property
    def speed(self) -> Speed:
        return Speed(
            fixed=self.fixed,
            sequence=self.sequence,
            weights=self.weights,
            token=self.token,
            context=self.context,
            capacity=Tokens(self.capacity),
            chunk=Tokens(self.chunk),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Any server with OpenAI's API."""

    __pydantic_config__ = _STRICT
    url: str
    api_key_env: str | None = None
    models: dict[str, str] = field(default_factory=dict)
    """The engine's name of a model that is offered under another one."""
    speed: SpeedConfig | None = None
    """How long its steps take; where it is not given, that is found out from the answers it gives."""
    parameters: tuple[Annotated[str, Field(pattern=f"^({'|'.join(PARAMETERS)})$")], ...] = ()
    """Of requests, that it understands: payers may insist on them."""
    quantization: Annotated[str, Field(max_length=16)] = ""
    """`bf16`, `fp8`, `int4`, …: what payers may insist on; empty: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferConfig:
    """What to offer. It is posted where nothing like it is."""

    __pydantic_config__ = _STRICT
    model: str
    input_price: Uint64
    output_price: Uint64
    context_length: Positive
    credit: Positive
    cached_input_price: Uint64 | None = None
    """As `input_price` where it is not given."""
    model_hash: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{64}$")] = "0x" + "00" * 32
    valid_s: Annotated[int, Field(ge=3600)] = 30 * 86_400
    """How long a new offer holds. It is renewed when half of it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleConfig:
    __pydantic_config__ = _STRICT
    amount: Positive = 1_000_000
    interval_s: Positive = 900
    minimum: Positive = 1_000
    """Less is settled only when the payer closes, or the node shuts down."""
    gas_coin_price: Natural = 0
    """Atoms that 10¹⁸ wei cost; 0: gas is not weighed."""
    gas_share: Annotated[int, Field(gt=0, le=1000)] = 50
    """Thousandths of a settlement that may go to gas while no deadline presses."""
    closing_margin_s: Positive = 1_800
    """So long before a closing channel's deadline it is settled for anything less than it brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    __pydantic_config__ = _STRICT
    body: Positive = 4 << 20
    """Bytes of a request."""
    bodies: Positive = 256 << 20
    """Bytes of all requests that come in at a time."""
    body_s: Positive = 30
    """How long a request may take to come in."""
    running: Positive = 512
    """Requests at a time."""
    unsecured: Natural = 100_000
    """Atoms served on a grant that is not mined."""
    minimum_cap: Positive = 1_000
    """Atoms below which a grant is not worth its gas."""
    head_age_s: Positive = 120
    """A chain whose newest block is older is not sold by."""
    clocks_apart_s: Positive = 30
    """What this machine's clock and the chain's may differ by; a first start sells so much later."""
    pause_s: Positive = 30
    """How long a stream waits for an acknowledgement, or for its payer to read on."""
    keep_alive_s: Positive = 5
    """Between comments on a stream that waits."""
    drain_s: Positive = 30
    """How long running requests may take once the node is told to stop."""
    refusals_a_minute: Natural = 600
    """Refused credentials from one address; 0: any number."""
    answers_kept_s: Positive = 86_400
    """How long acknowledged answers stay to be fetched again."""
    answers: Positive = 1 << 30
    """Bytes of answers that are kept; above, the oldest acknowledged ones go before their time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    __pydantic_config__ = _STRICT
    gossip: bool = True
    """Says how much there is to do here, and hears it of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersConfig:
    """Who is served without paying, and before those who pay."""

    __pydantic_config__ = _STRICT
    keys_file: Path | None = None
    """A name and the SHA-256 of a key in each line, as `tally-node user-key` writes them."""
    keys_env: str | None = None
    """Environment variable that holds keys, with spaces between them."""
    running: Positive = 256
    """Requests of theirs that are at the engine at a time."""
    waiting: Natural = 1024
    """That wait for it; meanwhile no paid work is taken."""
    waiting_s: Positive = 60
    each: Positive = 64
    """Under way of one user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadConfig:
    """What own users' requests may cost elsewhere. The payer's account is the provider's own where
    `keys.wallet` is given, else the receipt key's."""

    __pydantic_config__ = _STRICT
    total: Positive
    """Atoms over the life of the purse."""
    per_request: Positive
    home: Path = Path("origin")
    """The folder of the purse."""
    rule: Literal["quoted", "cheapest", "fastest", "stake-weighted"] = "quoted"
    """Whom it buys from."""
    duel_share: Annotated[float, Field(ge=0, le=1)] = 0
    """Of what is bought, by chance, that a second provider answers too, for judges to compare."""
    duel_budget: Natural = 0
    """Atoms that duels may cost over the life of the purse, within `total`; 0: there are none."""
    audit_budget: Natural = 0
    """The same of audits."""
    deposit: Natural = 0
    """Atoms that are kept free on the provider's account, out of what it earned and what its wallet holds; 0:
    nothing is moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """How the node takes part in the market."""

    __pydantic_config__ = _STRICT
    name: str = "default"
    """`default`, `paper`, or the dotted path of a class: `my_module.MyPolicy`."""
    path: Path = Path()
    """A folder in which Python looks for it too."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the class is made with."""
    price_every_s: Positive = 60
    """Between questions for a price."""
    stake_every_s: Positive = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """What the node does about the quality of others."""

    __pydantic_config__ = _STRICT
    judge: bool = False
    """Judges the duels that it is drawn for, with its own engine. The provider enlists on chain."""
    audit: bool = False
    """Audits what others sold, with its own engine."""
    scales: tuple[Path, ...] = ()
    """What `scripts/calibrate` made of each model that it audits."""
    sampler: str = ""
    """Of its engine; seeds are replayed where the scales name the same."""
    dossiers: Path = Path("dossiers")
    """Folder of what its own strikes were found of, until they are decided: they hold prompts."""
    answer: Natural | None = None
    """Atoms that a re-audit costs, where three auditors struck this provider; of more strikes, as much for
    each. Where it is not given: the least that the market takes, if that is no more than a tenth of the
    stake for three, since who says nothing loses two thirds of it. 0: it is told, and not answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a node is told."""

    __pydantic_config__ = _STRICT
    rpc: str | Annotated[tuple[str, ...], Field(min_length=1)]
    """URL of an Ethereum node; of several, the first is followed, and believed what one of the others says
    too."""
    deployment: Path
    keys: KeysConfig
    engine: EngineConfig
    database: Path = Path("node.db")
    durability: Literal["process", "power"] = "process"
    """What a save survives: the end of the process at any moment, or the loss of power too."""
    confirmations: Natural = 0
    """Blocks on top of one that is acted on."""
    poll_s: Annotated[float, Field(gt=0)] = 1.0
    """Between looks at the chain."""
    listen: ListenConfig = ListenConfig()
    offers: tuple[OfferConfig, ...] = ()
    settle: SettleConfig = SettleConfig()
    limits: LimitsConfig = LimitsConfig()
    network: NetworkConfig = NetworkConfig()
    users: UsersConfig | None = None
    """None: everybody pays."""
    offload: OffloadConfig | None = None
    """None: nothing is bought for them."""
    policy: PolicyConfig = PolicyConfig()
    quality: QualityConfig = QualityConfig()

    @property
    def rpcs(self) -> tuple[str, ...]:
        return (self.rpc,) if isinstance(self.rpc, str) else self.rpc

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ConfigInvalid."""
        try:
            data = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise ConfigInvalid(f"{path} is not TOML: {error}.") from error
        try:
            config = TypeAdapter(cls).validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigInvalid(f"{path}: {where}: {first['msg']}.") from error
        if config.offload is not None and config.users is None:
            raise ConfigInvalid(f"{path}: [offload] buys for own users, and there are none: add [users].")
        if config.offload is not None and config.offload.duel_share and not config.offload.duel_budget:
            raise ConfigInvalid(f"{path}: offload.duel_share: duels cost something: add offload.duel_budget.")
        return config._beside(path.parent)

    def _beside(self, folder: Path) -> Self:
        keys = replace(
            self.keys,
            receipt=folder / self.keys.receipt,
            gas=folder / self.keys.gas if self.keys.gas else None,
            wallet=folder / self.keys.wallet if self.keys.wallet else None,
            password_file=folder / self.keys.password_file if self.keys.password_file else None,
        )
        users = self.users
        if users is not None and users.keys_file is not None:
            users = replace(users, keys_file=folder / users.keys_file)
        return replace(
            self,
            users=users,
            offload=replace(self.offload, home=folder / self.offload.home) if self.offload else None,
            policy=replace(self.policy, path=folder / self.policy.path),
            quality=replace(
                self.quality,
                scales=tuple(folder / path for path in self.quality.scales),
                dossiers=folder / self.quality.dossiers,
            ),
            deployment=folder / self.deployment,
            database=folder / self.database,
            keys=keys,
            listen=replace(self.listen, tls_key=folder / self.listen.tls_key),
        )


def password(keys: KeysConfig, environment: Mapping[str, str] = os.environ) -> str:
    """The keystores' password; raises ConfigInvalid."""
    if keys.password_file is not None:
        try:
            return keys.password_file.read_text().rstrip("\r\n")
        except OSError as error:
            raise ConfigInvalid(
                f"The password file {keys.password_file} cannot be read: {error.strerror}."
            ) from error
    if keys.password_env not in environment:
        raise ConfigInvalid(
            f"No password for the keystore: set {keys.password_env}, or name keys.password_file in the "
            "configuration."
        )
    return environment[keys.password_env]


def api_key(engine: EngineConfig, environment: Mapping[str, str] = os.environ) -> str | None:
    """Raises ConfigInvalid."""
    if engine.api_key_env is None:
        return None
    if engine.api_key_env not in environment:
        raise ConfigInvalid(f"The engine's key is not set: {engine.api_key_env}.")
    return environment[engine.api_key_env]


def user_keys(users: UsersConfig, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Those in the environment; raises ConfigInvalid."""
    if users.keys_env is None:
        return []
    if users.keys_env not in environment:
        raise ConfigInvalid(f"The users' keys are not set: {users.keys_env}.")
    return environment[users.keys_env].replace(",", " ").split()


def provider_address(keys: KeysConfig, receipt_key: Address) -> Address:
    """Raises ConfigInvalid."""
    if keys.provider is None:
        return receipt_key
    try:
        return address(keys.provider)
    except ValueError as error:
        raise ConfigInvalid(f"keys.provider is not an address: {error}.") from error
