"""Where one market lives: the small file that every program reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson

from tallystick.chain.errors import NoContract
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.units import Address, address, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One market on one chain."""

    chain_id: int
    market: Address
    asset: Address
    lens: Address
    block: int
    """The block that holds the market's creation: nothing happened before."""
    duels: Address | None = None
    """The market's arbiter, where it is one of ours."""
    audits: Address | None = None
    """What slashes through it."""

    @property
    def domain(self) -> Domain:
        """Where the parties' signatures hold."""
        return Domain(chain_id=self.chain_id, contract=self.market)

    @classmethod
    def load(cls, path: Path | str) -> "Deployment":
        """Raises NoContract where the file is missing or says something else."""
        try:
            data = orjson.loads(Path(path).read_bytes())
            chain_id, block = data["chainId"], data["block"]
            if type(chain_id) is not int or type(block) is not int or chain_id < 1 or block < 0:
                raise ValueError("chainId and block are integers")
            market, asset, lens = (address(data[name]) for name in ("market", "asset", "lens"))
            duels, audits = (address(data[name]) if name in data else None for name in ("duels", "audits"))
        except OSError as error:
            raise NoContract(f"The deployment's file {path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise NoContract(
                f"{path} is no deployment: it should hold chainId, market, asset, lens and block ({error!r})."
            ) from error
        return cls(
            chain_id=chain_id,
            market=market,
            asset=asset,
            lens=lens,
            block=block,
            duels=duels,
            audits=audits,
        )

    def save(self, path: Path | str) -> None:
        """Whole or not at all."""
        data = {
            "chainId": self.chain_id,
            "market": to_hex(self.market),
            "asset": to_hex(self.asset),
            "lens": to_hex(self.lens),
            "block": self.block,
        }
        if self.duels is not None:
            data["duels"] = to_hex(self.duels)
        if self.audits is not None:
            data["audits"] = to_hex(self.audits)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
            file.write(json.dumps(data, indent=2) + "\n")
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
