#!/usr/bin/python3
"""Writes esp.txt: ESP packets of every suite with 32-bit and extended sequence numbers, from the RFCs' text alone (4303,
4106, 7634, 8750, 3602, 3686, 4868), with nothing of the C program. Run it in this folder."""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

ECHO = bytes.fromhex("08004d5a000100016162636465666768696a6b6c6d6e6f7071727374757677616263646566676869")
SUITES = [("aes128-gcm", 16, AESGCM), ("aes256-gcm", 32, AESGCM), ("chacha20-poly1305", 32, ChaCha20Poly1305)]
MACS = [("aes128-cbc-sha256", 16), ("aes256-cbc-sha256", 32), ("aes128-ctr-sha256", 16), ("aes256-ctr-sha256", 32)]


def padded(payload, next_header, alignment):
    padding = -(len(payload) + 2) % alignment
    return payload + bytes(range(1, padding + 1)) + bytes([padding, next_header])


def aes(key, mode, data):
    cipher = Cipher(algorithms.AES(key), mode).encryptor()
    return cipher.update(data) + cipher.finalize()


def seal_aead(new, key, salt, implicit, spi, number, esn, payload, next_header):
    header = struct.pack(">II", spi, number & 0xffffffff)
    aad = struct.pack(">IQ", spi, number) if esn else header
    iv = struct.pack(">Q", number)
    return header + (b"" if implicit else iv) + new(key).encrypt(salt + iv, padded(payload, next_header, 4), aad)


def seal_mac(name, key, nonce, mac_key, spi, number, esn, payload, next_header):
    header = struct.pack(">II", spi, number & 0xffffffff)
    if "cbc" in name:
        iv = aes(key, modes.ECB(), struct.pack(">QQ", 0, number))
        text = aes(key, modes.CBC(iv), padded(payload, next_header, 16))
    else:
        iv = struct.pack(">Q", number)
        text = aes(key, modes.CTR(nonce + iv + struct.pack(">I", 1)), padded(payload, next_header, 4))
    message = header + iv + text
    over = message + (struct.pack(">I", number >> 32) if esn else b"")
    return message + hmac.new(mac_key, over, hashlib.sha256).digest()[:16]


def write(out, suite, key, spi, number, esn, payload, next_header, message):
    print(f"\nsuite = esp-{suite}\nkey = {key.hex()}\nspi = {spi}\nesn = {int(esn)}\nnumber = {number}\n"
          f"next_header = {next_header}\npayload = {payload.hex()}\nmessage = {message.hex()}", file=out)


with open("esp.txt", "w") as out:
    print("# ESP packets, written by esp_examples.py, which shares nothing with the C program.", file=out)
    salt, nonce, mac_key = bytes.fromhex("a0a1a2a3"), bytes.fromhex("b0b1b2b3"), bytes(range(0x40, 0x60))
    for esn, number, spi in [(False, 1, 0x4a2cbfe3), (False, 0xffffffff, 0x01020304), (True, 1, 0xfedcba98),
                             (True, 0x0000000300000000, 0x89abcdef)]:
        for payload, next_header in [(ECHO, 1), (ECHO[:17], 17), (b"", 59)]:
            for suite, length, new in SUITES:
                key = bytes(range(length))
                for implicit in (False, True):
                    name = suite + ("-iiv" if implicit else "")
                    write(out, name, key + salt, spi, number, esn, payload, next_header,
                          seal_aead(new, key, salt, implicit, spi, number, esn, payload, next_header))
            for suite, length in MACS:
                key = bytes(range(length))
                material = key + (nonce if "ctr" in suite else b"") + mac_key
                write(out, suite, material, spi, number, esn, payload, next_header,
                      seal_mac(suite, key, nonce, mac_key, spi, number, esn, payload, next_header))
