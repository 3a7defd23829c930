"""Which addresses a stranger's offer may send us to. It looks up no name and opens no connection."""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from tallystick.protocol.offer import Offer
from tallystick.protocol.units import ZERO_HASH

_UNFIT = re.compile(r"[?#\\\s\x00-\x1f\x7f]")
"""What no base URL holds: a query or fragment would swallow the path that is put behind it."""


def reachable_safely(offer: Offer, *, local: bool) -> bool:
    """HTTPS to a public host. On a `local` chain, where every provider is the payer's own, to any host; and
    plain HTTP on this very machine, where no key was promised.

    Elsewhere an offer is a stranger's word: it must not make the payer POST to services behind its firewall.
    """
    return _is_safe(offer.endpoint, offer.endpoint_key != ZERO_HASH, local)


@lru_cache(maxsize=1 << 15)
def _is_safe(endpoint: str, pinned: bool, local: bool) -> bool:
    """Each request asks it of the offers that it looks at: as many are kept as a payer hears of, and more."""
    try:
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port
    except ValueError:
        return False
    if not host or _UNFIT.search(endpoint) or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return local or _is_public(host)
    return parts.scheme == "http" and local and not pinned and _is_loopback(host)


def _is_public(host: str) -> bool:
    """A name, or an address that is routed on the internet. What a name resolves to is not looked up."""
    try:
        return ip_address(host).is_global
    except ValueError:
        name, _, last = host.rpartition(".")
        return bool(name) and last != "localhost" and not last[:1].isdigit()  # 127.1 is an address too


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
