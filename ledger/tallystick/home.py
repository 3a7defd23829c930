"""Where a person keeps things of the market: wallets, a deployment, the purse. It opens nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Home:
    """One folder, shared by `tally` and by programs that pay."""

    folder: Path

    @classmethod
    def at(cls, folder: Path | str | None) -> Self:
        """`~/.tallystick` where none is given."""
        return cls(Path("~/.tallystick" if folder is None else folder).expanduser())

    @property
    def keystore(self) -> Path:
        return self.folder / "keystore"

    @property
    def purse(self) -> Path:
        """Channels, receipts, what is left of the budget."""
        return self.folder / "purse"

    @property
    def deployment(self) -> Path:
        """The market, where no other is named."""
        return self.folder / "deployment.json"
