"""Does a machine answer, and is it the one it should be? Questions to engines and gateways; nothing is paid.

What is in doubt comes back as a sentence, or None where all is well; what a gateway signed, as it showed it.
"""

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import httpx2
import orjson

from tallystick.pinning import endpoint_key
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ZERO_HASH, Hash32, to_hex
from tallystick.protocol.wire import OFFERS_PATH, signed_from_json

_PATIENCE_S: Final = 5
_OFFERS_LIMIT: Final = 1 << 20
"""Bytes of a gateway's list: a thousand offers."""


def engine_trouble(engine: str, model: str | None = None) -> str | None:
    """An OpenAI-compatible engine answers and, where a model is named, serves it."""
    url = f"{engine.rstrip('/').removesuffix('/v1')}/v1/models"
    try:
        answer = httpx2.get(url, timeout=_PATIENCE_S)
        answer.raise_for_status()
        served = [entry["id"] for entry in answer.json()["data"]]
    except httpx2.HTTPError as error:
        return (
            f"The engine does not answer at {url} ({type(error).__name__}). Start it, or correct its address."
        )
    except (ValueError, KeyError, TypeError):
        return f"What answers at {url} is no OpenAI-compatible engine. Correct its address."
    if model is not None and model not in served:
        return f"The engine at {url} serves {', '.join(served) or 'nothing'}, not {model}."
    return None


def endpoint_trouble(endpoint: str, key: Hash32) -> str | None:
    """A gateway answers there, with the TLS key that the offer names."""
    parts = urlsplit(endpoint)
    try:
        if parts.scheme == "https" and key != ZERO_HASH:
            actual = _tls_key(parts.hostname or "", parts.port or 443)
            if actual != key:
                return (
                    f"{endpoint} answers with the TLS key {to_hex(actual)}, and the offer names "
                    f"{to_hex(key)}: payers would refuse it."
                )
        verify = key == ZERO_HASH
        answer = httpx2.get(f"{endpoint}{OFFERS_PATH}", timeout=_PATIENCE_S, verify=verify)
        answer.raise_for_status()
        if not isinstance(answer.json(), list):
            return f"What answers at {endpoint} is no gateway of this market."
    except (httpx2.HTTPError, OSError) as error:
        return f"No gateway answers at {endpoint} ({type(error).__name__})."
    except ValueError:
        return f"What answers at {endpoint} is no gateway of this market."
    return None


def signed_offers(endpoint: str, key: Hash32) -> list[Signed[Offer]]:
    """Every offer that a gateway shows under its signature, in both of its lists. Nothing of it is proven,
    so it matters little that the TLS key is not.

    Raises
    ------
    httpx2.HTTPError, OSError :
        It does not answer.
    MalformedMessage :
        Not as a gateway does.
    """
    with httpx2.Client(base_url=endpoint, timeout=_PATIENCE_S, verify=key == ZERO_HASH) as client:
        listed, models = _read(client, OFFERS_PATH), _read(client, "/v1/models")
    try:
        entries = [*orjson.loads(listed), *(model["tallystick"] for model in orjson.loads(models)["data"])]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedMessage(f"What answers at {endpoint} is no gateway of this market.") from error
    return [signed_from_json(Offer, entry) for entry in entries]


def _read(client: httpx2.Client, path: str) -> bytes:
    """Raises httpx2.HTTPError, or MalformedMessage where a stranger sends without end."""
    body = b""
    with client.stream("GET", path) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _OFFERS_LIMIT:
                raise MalformedMessage("The gateway's list of offers is too long.", required=_OFFERS_LIMIT)
    return body


def _tls_key(host: str, port: int) -> Hash32:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The key is the identity, and it is compared by the caller.
    with (
        socket.create_connection((host, port), timeout=_PATIENCE_S) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
    assert certificate is not None, "a TLS server always shows one"
    return endpoint_key(certificate)
