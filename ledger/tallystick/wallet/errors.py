"""What goes wrong in the wallet alone.

MarketError (protocol/errors.py)
├─ NotLocal          money out of nothing works on local chains only
├─ OfferFileError    the TOML says something that cannot be offered
├─ FraudUnproven     there is no proof, or the contract would not take it
├─ NotServed         a completion was refused, by the market or by the engine
├─ NotPublished      an explorer did not take receipts
└─ FindingUnknown    no strike has that number
"""

from tallystick.protocol.errors import MarketError


class NotLocal(MarketError):
    code = "not-local"


class OfferFileError(MarketError):
    code = "offer-file-error"


class FraudUnproven(MarketError):
    code = "fraud-unproven"


class NotServed(MarketError):
    code = "not-served"


class NotPublished(MarketError):
    code = "not-published"


class FindingUnknown(MarketError):
    code = "finding-unknown"
