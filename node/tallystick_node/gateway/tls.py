"""The gateway's own TLS key. Its hash stands in the offer and payers pin it, so that no certificate
authority is needed."""

import datetime
import hashlib
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from tallystick.protocol.units import Hash32


def load_or_make_key(path: Path) -> PrivateKeyTypes:
    """The key in this PEM file; a new EC P-256 one, readable to its owner alone, where the file is missing.

    Raises
    ------
    ValueError :
        The file holds something else.
    """
    if path.exists():
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return key


def endpoint_key(key: PrivateKeyTypes) -> Hash32:
    """SHA-256 of the public key's DER SubjectPublicKeyInfo: what the offer carries."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Hash32(hashlib.sha256(public).digest())


def server_context(path: Path, key: PrivateKeyTypes) -> ssl.SSLContext:
    """Serves with this key under a certificate that it signs itself: nobody is asked to believe the names in
    it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(_certificate(key))
        file.flush()
        context.load_cert_chain(file.name, path)
    return context


def _certificate(key: PrivateKeyTypes) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey), "made by load_or_make_key"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tallystick gateway")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
