#!/usr/bin/python3
"""Makes the keys and certificates of this folder anew: `cd tests/pki && ./make.py`. Of each kind of key
one that two CAs and an intermediate have signed, and certificates that are wrong in one thing each.
The private keys are for tests alone. All is good from 2020 to 2040."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from cryptography.x509.oid import NameOID, ObjectIdentifier

START, END = datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1)


def save_key(name, key):
    with open(name + ".key", "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    with open(name + ".pub", "wb") as f:
        f.write(key.public_key().public_bytes(serialization.Encoding.PEM,
                                              serialization.PublicFormat.SubjectPublicKeyInfo))


def dn(cn):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                      x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def issue(name, key, issuer, issuer_key, is_ca=False, start=START, end=END, digest=None, uses=None,
          usage=True, critical=None, cn=None, path=None):
    digest = digest or (None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    b = (x509.CertificateBuilder().subject_name(dn(cn or name)).issuer_name(dn(issuer))
         .public_key(key.public_key()).serial_number(x509.random_serial_number())
         .not_valid_before(start).not_valid_after(end)
         .add_extension(x509.BasicConstraints(is_ca, path), True))
    if usage is not None:
        b = b.add_extension(x509.KeyUsage(usage and not is_ca, False, not usage, False, False, is_ca, is_ca,
                                          False, False), True)
    if not is_ca:
        b = b.add_extension(x509.SubjectAlternativeName([
            x509.DNSName("gate.example.net"), x509.DNSName("*.wild.example.net"),
            x509.RFC822Name("gate@example.net"), x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::7"))]), False)
    if uses:
        b = b.add_extension(x509.ExtendedKeyUsage(uses), False)
    if critical:
        b = b.add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00"),
                            True)
    cert = b.sign(issuer_key, digest)
    with open(name + ".pem", "wb") as f:
        f.write(cert.public_bytes(serialization.Encoding.PEM))


ca = ec.generate_private_key(ec.SECP256R1())
other = ec.generate_private_key(ec.SECP256R1())
middle = rsa.generate_private_key(65537, 2048)
for name, key in (("ca", ca), ("other-ca", other)):
    issue(name, key, name, key, is_ca=True)
issue("middle", middle, "ca", ca, is_ca=True, path=0)
keys = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()), "p521": ec.generate_private_key(ec.SECP521R1()),
        "rsa": rsa.generate_private_key(65537, 2048)}
for name, key in keys.items():
    save_key(name, key)
    issue(name, key, "ca", ca, cn="gate")
save_key("rsa1024", rsa.generate_private_key(65537, 1024))
save_key("secp256k1", ec.generate_private_key(ec.SECP256K1()))
save_key("p256-other", ec.generate_private_key(ec.SECP256R1()))

key = keys["p256"]
issue("behind-middle", key, "middle", middle)
issue("expired", key, "ca", ca, end=datetime.datetime(2025, 1, 1))
issue("early", key, "ca", ca, start=datetime.datetime(2035, 1, 1))
issue("of-other-ca", key, "other-ca", other)
issue("for-code", key, "ca", ca, uses=[Use.CODE_SIGNING])
issue("for-ike", key, "ca", ca, uses=[Use.CODE_SIGNING, Use.IPSEC_IKE])
issue("for-tls", key, "ca", ca, uses=[Use.SERVER_AUTH])
issue("no-signing", key, "ca", ca, usage=False)
issue("no-usage", key, "ca", ca, usage=None)
issue("unknown-critical", key, "ca", ca, critical=True)
issue("sha1", key, "ca", ca, digest=hashes.SHA1())
issue("signed-by-leaf", key, "gate", keys["p384"])
issue("self-signed", key, "self-signed", key)
