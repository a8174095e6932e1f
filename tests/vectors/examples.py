#!/usr/bin/python3
"""Computes the examples of docs/protocol.md that are ours (sput-aead.txt, notify.txt, stun.txt) from its text alone, with
nothing of the C program. Run it in this folder after a change of the protocol; the unit test wire/examples then
checks that program, files and document agree."""
import hashlib
import hmac
import ipaddress
import struct
import zlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CALLER_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032, 7.1, test 1
CALLED_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")  # test 2
CONNECTOR_SEED = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")  # test 3


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


CALLER, CALLED = public(CALLER_SEED), public(CALLED_SEED)
CALLER_NAME, CALLED_NAME, ZONE = "laptop.detec.example.net", "home-pc.detec.example.net", "detec.example.net"
CALLER_CREDENTIALS = ("caLLer01", "passwordOfTheCaller+/012")
CALLED_CREDENTIALS = ("caLLed02", "passwordOfTheCalled+/345")


def text8(text):
    return bytes([len(text)]) + text.encode("ascii")


def address(text):
    a = ipaddress.ip_address(text)
    return bytes([a.version]) + a.packed


def candidates(*items):
    out = bytes([len(items)])
    for kind, host, port in items:
        a = ipaddress.ip_address(host)
        out += bytes([kind, a.version]) + struct.pack(">H", port) + a.packed
    return out


def credentials(pair):
    assert len(pair[0]) == 8 and len(pair[1]) == 24
    return (pair[0] + pair[1]).encode()


def field(kind, data):
    return struct.pack(">BH", kind, len(data)) + data


def voucher(expires):
    text = (b"detec voucher: this name has this key\0" + struct.pack(">Q", expires) + CALLER + text8(ZONE)
            + text8(CALLER_NAME))
    return struct.pack(">Q", expires) + Ed25519PrivateKey.from_private_bytes(CONNECTOR_SEED).sign(text)


def notifies():
    number = struct.pack(">Q", 0x0102030405060708)
    query = struct.pack(">Q", 0x1112131415161718)
    mac = bytes.fromhex("02005e100001")
    caller_list = candidates((1, "192.168.1.20", 32589), (2, "198.51.100.7", 32589))
    called_list = candidates((1, "10.0.0.5", 32589), (1, "2001:db8:2::5", 32589), (2, "203.0.113.80", 40123))
    yield 56800, "LOGIN", (bytes([1, 1]) + struct.pack(">H", 120) + mac + text8(CALLED_NAME) + struct.pack(">H", 32589)
                           + bytes([2]) + address("10.0.0.5") + address("2001:db8:2::5"))
    yield 56801, "NAME", (bytes([1, 0, 1]) + struct.pack(">H", 120) + text8(CALLED_NAME) + text8(ZONE)
                          + struct.pack(">H", 4500) + text8(""))
    yield 56801, "NAME, refused", (bytes([1, 2, 0]) + struct.pack(">H", 0) + text8("") + text8(ZONE)
                                   + struct.pack(">H", 4500) + text8("name belongs to another key"))
    yield 56802, "CALL, as the caller sends it", (bytes([1, 0]) + number + text8(CALLED_NAME) + text8(CALLER_NAME)
                                                  + bytes(32) + credentials(CALLER_CREDENTIALS) + caller_list)
    yield 56802, "CALL, as the called host gets it", (
        bytes([1, 6]) + struct.pack(">Q", 0x2122232425262728) + text8(CALLED_NAME) + text8(CALLER_NAME) + CALLER
        + credentials(CALLER_CREDENTIALS) + caller_list)
    # The IKE messages stand for what the hosts say; connectors do not read them.
    yield 56802, "CALL, with an IKE message", (
        bytes([1, 1]) + number + text8(CALLED_NAME) + text8(CALLER_NAME) + bytes(32) + credentials(CALLER_CREDENTIALS)
        + candidates((2, "198.51.100.7", 32589)) + field(1, bytes(range(0xA0, 0xA8)) + bytes(8) + bytes([33, 32, 34, 8])))
    yield 56802, "CALL, with a voucher", (
        bytes([1, 0]) + struct.pack(">Q", 0x2122232425262728) + text8("www.example.org") + text8(CALLER_NAME) + CALLER
        + credentials(CALLER_CREDENTIALS) + candidates((2, "198.51.100.7", 32589)) + field(5, voucher(1767225720)))
    yield 56803, "ANSWER, with an IKE message, no relay", (
        bytes([1, 0]) + number + CALLED + credentials(CALLED_CREDENTIALS) + candidates((2, "203.0.113.80", 40123)) + text8("")
        + field(1, bytes(range(0xA0, 0xA8)) + bytes(range(0xB0, 0xB8)) + bytes([33, 32, 34, 32])) + field(2, bytes([1])))
    yield 56803, "ANSWER, as the caller gets it", (bytes([1, 0]) + number + CALLED + credentials(CALLED_CREDENTIALS)
                                                   + called_list + text8(""))
    yield 56803, "ANSWER, refused", bytes([1, 1]) + number + bytes(32 + 32) + bytes([0]) + text8("too many calls")
    yield 56804, "RELAY", bytes([1, 0]) + number + struct.pack(">IIH", 0x5eed0001, 2500000, 4000)
    yield 56804, "RELAY, closed", bytes([1, 1]) + number + struct.pack(">IIH", 0x5eed0001, 0, 0)
    yield 56805, "LOOKUP", bytes([1]) + query + text8(CALLER_NAME)
    yield 56806, "KEY", bytes([1]) + query + bytes([0, 1]) + CALLER
    yield 56806, "KEY, unknown", bytes([1]) + query + bytes([1, 0]) + bytes(32)
    yield 56807, "VOUCH", bytes([1])
    yield 56808, "VOUCHER", bytes([1]) + struct.pack(">H", 120) + voucher(1767225720)


def sput_aead():
    icmp = bytes.fromhex("08004d5a00010001") + b"abcdefghijklmnopqrstuvwabcdefghi"
    for suite, key_len, seal in (("aes128-gcm", 16, AESGCM), ("aes256-gcm", 32, AESGCM),
                                 ("chacha20-poly1305", 32, ChaCha20Poly1305)):
        for name, number, command, next_header, flags, payload in (
                ("first message: an ICMP echo request of 40 bytes", 1, 0, 1, 0, icmp),
                ("probe reply, a number of four different bytes", 0x01020304, 3, 0, 0, bytes.fromhex("08070605"))):
            key, salt = bytes(range(key_len)), bytes(range(0xA0, 0xA8))
            ad = struct.pack("<I", number)
            plain = struct.pack("<BBH", command, next_header, flags) + payload
            sealed = seal(key).encrypt(salt + ad, plain, ad)
            yield {"name": f"{suite}, {name}", "suite": suite, "key": key.hex(), "salt": salt.hex(), "number": number,
                   "command": command, "next_header": next_header, "flags": flags, "payload": payload.hex(),
                   "nonce": (salt + ad).hex(), "ad": ad.hex(), "plaintext": plain.hex(),
                   "ciphertext": sealed[:-16].hex(), "tag": sealed[-16:].hex(), "message": (ad + sealed).hex()}


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def stun(kind, transaction, attributes, password):
    def header(length):
        return struct.pack(">HHI", kind, length, 0x2112A442) + transaction
    mac = hmac.new(password.encode(), header(len(attributes) + 24) + attributes, hashlib.sha1).digest()
    attributes += attribute(0x0008, mac)
    crc = zlib.crc32(header(len(attributes) + 8) + attributes) ^ 0x5354554E
    attributes += attribute(0x8028, struct.pack(">I", crc))
    return header(len(attributes)) + attributes


def checks():
    transaction = bytes.fromhex("5448495349534e4f54524e44")
    username = f"{CALLED_CREDENTIALS[0]}:{CALLER_CREDENTIALS[0]}"
    priority = 110 << 24 | 65535 << 8 | 255
    request = (attribute(0x0006, username.encode()) + attribute(0x0024, struct.pack(">I", priority))
               + attribute(0x802A, bytes.fromhex("932ff9b151263b36")))
    yield "check", CALLED_CREDENTIALS[1], stun(0x0001, transaction, request, CALLED_CREDENTIALS[1])
    yield "nomination", CALLED_CREDENTIALS[1], stun(0x0001, transaction, request + attribute(0x0025, b""),
                                                    CALLED_CREDENTIALS[1])
    port = 32589 ^ 0x2112
    host = int(ipaddress.ip_address("198.51.100.7")) ^ 0x2112A442
    mapped = struct.pack(">BBHI", 0, 1, port, host)
    yield "answer", CALLED_CREDENTIALS[1], stun(0x0101, transaction, attribute(0x0020, mapped), CALLED_CREDENTIALS[1])


HEAD = "# Examples of docs/protocol.md, written by examples.py, which shares nothing with the C program.\n"


def main():
    with open("sput-aead.txt", "w") as out:
        out.write(HEAD)
        for case in sput_aead():
            out.write("\n" + "".join(f"{name} = {value}\n" for name, value in case.items()))
    with open("notify.txt", "w") as out:
        out.write(HEAD)
        for kind, name, data in notifies():
            out.write(f"\nname = {name}\ntype = {kind}\ndata = {data.hex()}\n")
    with open("stun.txt", "w") as out:
        out.write(HEAD)
        for name, password, message in checks():
            out.write(f"\nname = {name}\npassword = {password}\nmessage = {message.hex()}\n")


if __name__ == "__main__":
    main()
