"""What goes wrong between a node and its own users.

MarketError (protocol/errors.py)
└─ OriginError
   ├─ UserUnknown      the API key is no user's of this node
   ├─ ModelUnknown     neither served here nor sold by others
   ├─ UserBusy         (retryable) as many requests of this user are under way as each may have
   ├─ Crowded          (retryable) as many requests of own users wait as may wait, or one for as long
   └─ Unserved         (retryable) neither the node's engine nor the market answered
"""

from tallystick.protocol.errors import MarketError


class OriginError(MarketError):
    code = "origin-error"


class UserUnknown(OriginError):
    code = "user-unknown"


class ModelUnknown(OriginError):
    code = "model-unknown"


class UserBusy(OriginError):
    code = "user-busy"
    retryable = True


class Crowded(OriginError):
    code = "crowded"
    retryable = True


class Unserved(OriginError):
    code = "unserved"
    retryable = True
