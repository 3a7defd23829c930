"""The TLS key that an offer names, held against whoever answers, before a byte of a request leaves.

One trusts the key that the offer names and the stake stands behind, so no certificate authority is asked.
The check is part of the handshake itself: `ssl` lets a context name the classes that do it, for sockets
(threads) and for memory buffers (event loops) alike. It opens no connection.
"""

import ssl
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from tallystick.protocol.units import Hash32


def endpoint_key(certificate: bytes) -> Hash32:
    """SHA-256 of the public key (DER SubjectPublicKeyInfo) of a DER certificate: what an offer names."""
    key = load_der_x509_certificate(certificate).public_key()
    return Hash32(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())


def pinned_context(key: Hash32) -> ssl.SSLContext:
    """A context whose handshake fails unless the server holds `key`, whatever its certificate says."""

    def require(certificate: bytes | None) -> None:
        if certificate is None or endpoint_key(certificate) != key:
            raise ssl.SSLCertVerificationError("The server's TLS key is not the one that its offer names.")

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            require(self.getpeercert(binary_form=True))

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            require(self.getpeercert(binary_form=True))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin is the verification
    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject
    return context
