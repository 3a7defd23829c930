"""What goes wrong in the wallet alone.

MarketError (protocol/errors.py)
├─ NotLocal          money out of nothing works on local chains only
├─ OfferFileError    the TOML says something that cannot be offered
└─ NotServed         a completion was refused, by the market or by the engine
"""

from tallystick.protocol.errors import MarketError


class NotLocal(MarketError):
    code = "not-local"


class OfferFileError(MarketError):
    code = "offer-file-error"


class NotServed(MarketError):
    code = "not-served"
