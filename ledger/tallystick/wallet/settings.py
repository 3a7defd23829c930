"""What every command needs to know, read once and passed down. It opens nothing."""

from dataclasses import dataclass, field
from pathlib import Path

from tallystick.home import Home

DEFAULT_RPC = "http://127.0.0.1:8545"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """From options and environment."""

    home: Path
    """Keystore, purse, and the deployment where no other is given."""
    rpc: str
    """The chain's node."""
    deployment: Path
    wallet: str | None
    """Name of the acting wallet; None: the only one there is."""
    password_file: Path | None
    password: str | None = field(repr=False)
    """From the environment. Never from an argument, which other programs of the machine can see."""
    proxy_key: str | None = field(repr=False)
    """From the environment too."""
    json: bool
    yes: bool
    """Sign without asking."""

    @property
    def keystore(self) -> Path:
        return Home(self.home).keystore

    @property
    def purse(self) -> Path:
        """Where the SDK keeps it too: what programs paid for shows here, and the other way round."""
        return Home(self.home).purse
