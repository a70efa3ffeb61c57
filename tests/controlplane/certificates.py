"""Certificates for one run of the control plane, made anew each time and thrown away with it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: Key

    @property
    def pair(self) -> Pair:
        return Pair(self.certificate.public_bytes(Encoding.PEM), private_pem(self.key))


def new_authority() -> Authority:
    key, name = new_key(), subject("kubechat-tests", ())
    certificate = (
        draft(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage(digital_signature=False, signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def loopback_pair(authority: Authority) -> Pair:
    """For a server on 127.0.0.1."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return issue(authority, subject("localhost", ()), ExtendedKeyUsageOID.SERVER_AUTH, names)


def person_pair(authority: Authority, name: str, groups: Sequence[str]) -> Pair:
    """For a person: Kubernetes reads the user's name from CN and the groups from O."""
    return issue(authority, subject(name, groups), ExtendedKeyUsageOID.CLIENT_AUTH, [])


def issue(authority: Authority, name: x509.Name, purpose: x509.ObjectIdentifier, alternatives: list[x509.GeneralName]) -> Pair:
    key = new_key()
    builder = (
        draft(name, authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(digital_signature=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM), private_pem(key))


def signing_request(name: str, groups: Sequence[str]) -> Pair:
    """A request for a person's certificate, in place of the certificate, for an authority that is not ours."""
    key = new_key()
    request = x509.CertificateSigningRequestBuilder().subject_name(subject(name, groups)).sign(key, hashes.SHA256())
    return Pair(request.public_bytes(Encoding.PEM), private_pem(key))


def service_account_pair() -> Pair:
    """The key that signs service account tokens; in place of a certificate stands its public half."""
    key = new_key()
    return Pair(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), private_pem(key))


def draft(name: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=7))
    )


def subject(name: str, groups: Sequence[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def usage(*, digital_signature: bool, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
