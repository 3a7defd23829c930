"""The TOML in which a provider writes what it offers, and the checks before it is signed.

model = "tiny"
endpoint = "https://provider.example:8443"     # where payers find the gateway
tls_key_file = "tls.pem"                       # or endpoint_key = "0x…"; neither: a public certificate
engine = "http://127.0.0.1:8000"               # default: this one; checked, and named in the node's config
input_price = "0.10 TUSD"                      # per million tokens; an integer is atoms
cached_input_price = "0.05 TUSD"               # default: input_price
output_price = "0.40 TUSD"
context_length = 4096                          # tokens, input and output together
credit = "0.05 TUSD"                           # unacknowledged work, per payer account
valid_for = "30 days"                          # a node renews it; or valid_until = 2027-01-01T00:00:00Z
stake = "100 TUSD"                             # default: the market's minimum
receipt_wallet = "alice-receipts"              # default: WALLET-receipts; made where it is missing
model_hash = "0x…"                             # optional
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tallystick.chain.market import Asset
from tallystick.protocol.offer import ENDPOINT_LIMIT, MODEL_LIMIT, Offer
from tallystick.protocol.units import (
    ZERO_HASH,
    Address,
    Atoms,
    AtomsPerMTok,
    Hash32,
    Timestamp,
    Tokens,
    hash32,
)
from tallystick.wallet.errors import OfferFileError
from tallystick.wallet.money import AmountError, read_amount

_REQUIRED: Final = ("model", "endpoint", "input_price", "output_price", "context_length", "credit")
_OPTIONAL: Final = (
    *("tls_key_file", "endpoint_key", "engine", "cached_input_price", "valid_for", "valid_until"),
    *("stake", "receipt_wallet", "model_hash"),
)
_UNITS: Final = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_DEFAULT_VALID_S: Final = 30 * 86_400
_NODE_VALID_S: Final = 3_600
"""The least for which a node offers."""
_ENGINE: Final = "http://127.0.0.1:8000"
"""Where vLLM listens by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFile:
    """What the file says, but for what only the chain knows."""

    model: str
    endpoint: str
    endpoint_key: Hash32
    tls_key_file: Path | None
    engine: str
    model_hash: Hash32
    input_price: AtomsPerMTok
    cached_input_price: AtomsPerMTok
    output_price: AtomsPerMTok
    context_length: Tokens
    credit: Atoms
    valid_s: int | None
    """None: it ends at `valid_until`, for good."""
    valid_until: Timestamp
    stake: Atoms | None
    receipt_wallet: str | None

    def require_node(self) -> None:
        """A node's configuration can promise the same; raises OfferFileError."""
        if self.valid_s is None:
            raise OfferFileError("A node renews its offers: say valid_for instead of valid_until.")
        if self.valid_s < _NODE_VALID_S:
            raise OfferFileError(
                "A node's offers hold for an hour at least: say a longer valid_for.",
                required=_NODE_VALID_S,
                actual=self.valid_s,
            )
        if self.endpoint.startswith("https:") and self.tls_key_file is None:
            raise OfferFileError(
                "A node offers the TLS key that it answers with: name its file, tls_key_file. One behind a "
                "proxy with a public certificate is configured by hand (plain_http and endpoint)."
            )

    def offer(self, provider: Address, sequence: int) -> Offer:
        return Offer(
            provider=provider,
            sequence=sequence,
            endpoint=self.endpoint,
            endpoint_key=self.endpoint_key,
            model=self.model,
            model_hash=self.model_hash,
            input_price=self.input_price,
            cached_input_price=self.cached_input_price,
            output_price=self.output_price,
            context_length=self.context_length,
            credit=self.credit,
            valid_until=self.valid_until,
        )


def read_offer_file(path: Path, asset: Asset, *, now: Timestamp) -> OfferFile:
    """Paths in it are relative to it.

    Raises
    ------
    OfferFileError :
        It cannot be read, lacks a field, has one that nobody knows, or one out of range.
    """
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise OfferFileError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OfferFileError(f"{path} is no TOML: {error}.") from error
    _require_fields(path, data)
    fields = _Fields(path, data, asset)
    input_price = AtomsPerMTok(fields.amount("input_price", 64))
    tls_key_file = fields.path("tls_key_file")
    valid_s, valid_until = fields.end(now)
    return OfferFile(
        model=fields.text("model", MODEL_LIMIT),
        endpoint=fields.url("endpoint", ENDPOINT_LIMIT),
        endpoint_key=fields.hash("endpoint_key") if tls_key_file is None else key_hash(tls_key_file),
        tls_key_file=tls_key_file,
        engine=fields.url("engine", 2_048) if "engine" in data else _ENGINE,
        model_hash=fields.hash("model_hash"),
        input_price=input_price,
        cached_input_price=AtomsPerMTok(fields.amount("cached_input_price", 64, input_price)),
        output_price=AtomsPerMTok(fields.amount("output_price", 64)),
        context_length=Tokens(fields.integer("context_length", 1, (1 << 32) - 1)),
        credit=Atoms(fields.amount("credit", 96)),
        valid_s=valid_s,
        valid_until=valid_until,
        stake=Atoms(fields.amount("stake", 96)) if "stake" in data else None,
        receipt_wallet=fields.text("receipt_wallet", 64) if "receipt_wallet" in data else None,
    )


def _require_fields(path: Path, data: Mapping[str, Any]) -> None:
    missing = [name for name in _REQUIRED if name not in data]
    surplus = [name for name in data if name not in (*_REQUIRED, *_OPTIONAL)]
    if missing:
        raise OfferFileError(f"{path} lacks {', '.join(missing)}.")
    if surplus:
        known = ", ".join((*_REQUIRED, *_OPTIONAL))
        raise OfferFileError(f"{path} has {', '.join(surplus)}, which no offer has. Known are: {known}.")
    for one, other in (("tls_key_file", "endpoint_key"), ("valid_for", "valid_until")):
        if one in data and other in data:
            raise OfferFileError(f"{path} has both {one} and {other}. Keep one of them.")


@dataclass(frozen=True, slots=True)
class _Fields:
    """Reads fields by kind; each raises OfferFileError."""

    file: Path
    data: Mapping[str, Any]
    asset: Asset

    def text(self, name: str, limit: int) -> str:
        value = self.data[name]
        if not isinstance(value, str) or not 1 <= len(value.encode()) <= limit:
            raise self._wrong(name, f"a text of 1 to {limit} bytes")
        return value

    def url(self, name: str, limit: int) -> str:
        value = self.text(name, limit).rstrip("/").removesuffix("/v1")
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise self._wrong(name, "an http or https URL without user, query and fragment")
        return value

    def amount(self, name: str, bits: int, default: int = 0) -> int:
        value = self.data.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self._wrong(name, f'atoms as an integer, or a text such as "0.10 {self.asset.symbol}"')
        try:
            atoms = read_amount(str(value), self.asset)
        except AmountError as error:
            raise OfferFileError(f"{self.file}, {name}: {error}") from error
        if atoms >= 1 << bits:
            raise self._wrong(name, f"less than 2^{bits} atoms")
        return atoms

    def integer(self, name: str, lowest: int, highest: int) -> int:
        value = self.data[name]
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise self._wrong(name, f"an integer from {lowest} to {highest}")
        return value

    def hash(self, name: str) -> Hash32:
        if name not in self.data:
            return ZERO_HASH
        try:
            return hash32(str(self.data[name]))
        except ValueError as error:
            raise self._wrong(name, "0x and 64 hex digits") from error

    def path(self, name: str) -> Path | None:
        if name not in self.data:
            return None
        return self.file.parent / Path(self.text(name, 4_096)).expanduser()

    def end(self, now: Timestamp) -> tuple[int | None, Timestamp]:
        """How long it holds, where it may be renewed, and until when it does."""
        if "valid_until" in self.data:
            value = self.data["valid_until"]
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = int(value.timestamp())
            if isinstance(value, bool) or not isinstance(value, int) or not now < value < 1 << 64:
                raise self._wrong("valid_until", "unix seconds, or a date with time and zone, in the future")
            return None, Timestamp(value)
        if "valid_for" not in self.data:
            return _DEFAULT_VALID_S, Timestamp(now + _DEFAULT_VALID_S)
        found = re.fullmatch(r"(\d{1,6}) *(minute|hour|day|week)s?", str(self.data["valid_for"]))
        if found is None or int(found[1]) == 0:
            raise self._wrong("valid_for", 'a text such as "30 days"')
        valid_s = int(found[1]) * _UNITS[found[2]]
        return valid_s, Timestamp(now + valid_s)

    def _wrong(self, name: str, expected: str) -> OfferFileError:
        return OfferFileError(f"{self.file}: {name} is {self.data.get(name)!r}; it should be {expected}.")


def key_hash(path: Path) -> Hash32:
    """An offer's `endpoint_key`: SHA-256 of the public key of a PEM private key; raises OfferFileError."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise OfferFileError(
            f"The TLS key {path} cannot be read: {error.strerror}. Make one with `tally-node tls-key {path}`."
        ) from error
    except (ValueError, TypeError) as error:
        raise OfferFileError(f"{path} holds no private key in PEM without a password: {error}.") from error
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Hash32(sha256(public).digest())
