#!/usr/bin/python3
"""A second decoder of SPUT, written from the protocol's description alone; it shares nothing with the C program.

It is strict: whatever the description does not allow is refused with a reason, and nothing that is not authentic moves
any state. `sput_decoder.py CAPTURE KEYS` prints what a capture says; KEYS holds one JSON object a line:

    {"from": "198.51.100.10:32589", "to": "203.0.113.10:32589", "suite": "paper", "key": HEX, "mac_key": HEX, "salt": HEX}

An AEAD suite has no mac_key. Of several keys for one direction the last one is the newest.
"""
import hmac
import json
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

DATA, CLOSE, PROBE, PROBE_REPLY = range(4)
FLAG_IPV6 = 1
WINDOW = 4096
NUMBER_MAX = 0xFFFFFFFF
HEADER_LEN = 8  # number, command, next header, flags
PAPER_MAC_LEN, AEAD_TAG_LEN = 32, 16
PAPER_BLOCKS = 256  # j has 8 bits
PAPER_LEN_MIN, PAPER_LEN_MAX = HEADER_LEN + PAPER_MAC_LEN, 4 + PAPER_BLOCKS * 16 + PAPER_MAC_LEN
# suite: (bytes of key, of MAC key, of salt)
SUITES = {"paper": (16, 32, 11), "aes128-gcm": (16, 0, 8), "aes256-gcm": (32, 0, 8), "chacha20-poly1305": (32, 0, 8)}
AEADS = {"aes128-gcm": AESGCM, "aes256-gcm": AESGCM, "chacha20-poly1305": ChaCha20Poly1305}


class Refused(Exception):
    """Why a message, or a set of keys, is not accepted."""


class Keys:
    """The key material of one direction of one SA."""

    def __init__(self, suite, key, salt, mac_key=b""):
        if suite not in SUITES:
            raise Refused(f"unknown suite {suite}")
        if (len(key), len(mac_key), len(salt)) != SUITES[suite]:
            raise Refused("key material of a wrong length")
        if salt in key or salt in mac_key:
            raise Refused("the salt is a part of a key: its disclosure would give the rest away")
        if key in mac_key:
            raise Refused("one key for encryption and authentication")
        self.suite, self.key, self.salt, self.mac_key = suite, bytes(key), bytes(salt), bytes(mac_key)


def check_pair(one, other):
    """Both directions of a tunnel: any part in common would use key streams twice or let messages be reflected."""
    if one.key == other.key:
        raise Refused("one key in both directions: a two-time pad")
    if one.mac_key and one.mac_key == other.mac_key:
        raise Refused("one MAC key in both directions: messages can be reflected")
    if one.salt == other.salt:
        raise Refused("one salt in both directions")


class Message:
    def __init__(self, number, command, next_header, flags, payload):
        self.number, self.command, self.next_header, self.flags = number, command, next_header, flags
        self.payload = payload

    @property
    def is_ipv6(self):
        return bool(self.flags & FLAG_IPV6)

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        name = {DATA: "data", CLOSE: "close", PROBE: "probe", PROBE_REPLY: "probe reply"}.get(self.command, "?")
        return (f"#{self.number} {name} next header {self.next_header}{' (IPv6)' if self.is_ipv6 else ''} "
                f"{len(self.payload)} bytes")


def key_stream(keys, number, length):
    """k_0 ‖ k_1 ‖ …, k_j = AES-128(K, j ‖ i ‖ s)."""
    if length > PAPER_BLOCKS * 16:
        raise Refused("longer than the key stream")
    blocks = b"".join(bytes([j]) + struct.pack("<I", number) + keys.salt for j in range((length + 15) // 16))
    aes = Cipher(algorithms.AES(keys.key), modes.ECB()).encryptor()
    return (aes.update(blocks) + aes.finalize())[:length]


def _xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def _paper_mac(keys, authenticated):
    return hmac.digest(keys.mac_key, authenticated, "sha256")


def _nonce(keys, number):
    return keys.salt + struct.pack("<I", number)


def open_message(keys, raw):
    """What an authentic message says; Refused for any other. Looks at nothing before the MAC is right."""
    is_paper = keys.suite == "paper"
    shortest = PAPER_LEN_MIN if is_paper else HEADER_LEN + AEAD_TAG_LEN
    if len(raw) < shortest:
        raise Refused("too short")
    if is_paper and len(raw) > PAPER_LEN_MAX:
        raise Refused("too long")
    number = struct.unpack("<I", raw[:4])[0]
    if number == 0:
        raise Refused("number 0 is the non-ESP marker")
    if is_paper:
        if not hmac.compare_digest(_paper_mac(keys, raw[:-PAPER_MAC_LEN]), raw[-PAPER_MAC_LEN:]):
            raise Refused("not authentic")
        sealed = raw[4:-PAPER_MAC_LEN]
        plain = _xor(sealed, key_stream(keys, number, len(sealed)))
    else:
        try:
            plain = AEADS[keys.suite](keys.key).decrypt(_nonce(keys, number), raw[4:], raw[:4])
        except InvalidTag:
            raise Refused("not authentic") from None
    command, next_header, flags = struct.unpack("<BBH", plain[:4])
    if command == CLOSE and len(plain) > 4:
        raise Refused("a close carries no payload")
    return Message(number, command, next_header, flags, plain[4:])


def seal_message(keys, message):
    """The opposite, for tests that play a host."""
    if not 1 <= message.number <= NUMBER_MAX:
        raise Refused("message numbers run from 1 to 2^32 - 1 and never wrap")
    header = struct.pack("<I", message.number)
    plain = struct.pack("<BBH", message.command, message.next_header, message.flags) + message.payload
    if keys.suite != "paper":
        return header + AEADS[keys.suite](keys.key).encrypt(_nonce(keys, message.number), plain, header)
    authenticated = header + _xor(plain, key_stream(keys, message.number, len(plain)))
    return authenticated + _paper_mac(keys, authenticated)


class Inbound:
    """One inbound SA: keys and the numbers seen, kept as a plain set, so that it can judge a cleverer window."""

    def __init__(self, keys, window=WINDOW):
        self.keys, self.window = keys, window
        self.highest, self.seen = 0, set()

    def receive(self, raw):
        if len(raw) >= 4:
            number = struct.unpack("<I", raw[:4])[0]
            if number in self.seen:
                raise Refused("replayed")
            if number + self.window <= self.highest:
                raise Refused("older than the window")
        message = open_message(self.keys, raw)
        self.seen.add(message.number)
        self.highest = max(self.highest, message.number)
        self.seen = {n for n in self.seen if n + self.window > self.highest}
        return message


class Receiver:
    """One direction of a tunnel: the newest SA is tried first, then the older ones (a rekey's overlap)."""

    def __init__(self, window=WINDOW):
        self.window, self.sas = window, []

    def add(self, keys):
        for sa in self.sas:
            check_pair(sa.keys, keys)
        self.sas.insert(0, Inbound(keys, self.window))

    def receive(self, raw):
        reasons = []
        for sa in self.sas:
            try:
                return sa.receive(raw)
            except Refused as refused:
                reasons.append(str(refused))
        # The SA that a message belongs to knows best: "not authentic" is only the others' word.
        raise Refused(next((r for r in reasons if r != "not authentic"), "not authentic") if reasons else "no SA")


def read_keys(path):
    """{(from, to): Receiver} of a file of keys."""
    receivers = {}
    with open(path) as f:
        for line in f:
            if line.strip():
                entry = json.loads(line)
                keys = Keys(entry["suite"], bytes.fromhex(entry["key"]), bytes.fromhex(entry["salt"]),
                            bytes.fromhex(entry.get("mac_key", "")))
                receivers.setdefault((entry["from"], entry["to"]), Receiver()).add(keys)
    for (start, end), receiver in receivers.items():
        for back in receivers.get((end, start), Receiver()).sas:
            for sa in receiver.sas:
                check_pair(sa.keys, back.keys)
    return receivers


def is_sput(payload):
    """By the order of the demultiplexing rules: not a keepalive, not IKE (zero marker), not STUN (its cookie)."""
    if len(payload) < 4 or payload[:4] == b"\0\0\0\0":
        return False
    return not (len(payload) >= 20 and payload[0] < 2 and payload[4:8] == b"\x21\x12\xa4\x42")


def decode_capture(packets, receivers):
    """(packet, Message or Refused) for every datagram of a capture that the rules say is SPUT and that there are keys for."""
    decoded = []
    for packet in packets:
        ends = (f"{packet.source}:{packet.source_port}", f"{packet.destination}:{packet.destination_port}")
        if packet.protocol != 17 or packet.payload is None or ends not in receivers or not is_sput(packet.payload):
            continue
        try:
            decoded.append((packet, receivers[ends].receive(packet.payload)))
        except Refused as refused:
            decoded.append((packet, refused))
    return decoded


def main():
    import capture
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    refused = 0
    for packet, result in decode_capture(capture.read_pcap(sys.argv[1]), read_keys(sys.argv[2])):
        is_refused = isinstance(result, Refused)
        refused += is_refused
        print(f"{packet.source}:{packet.source_port} > {packet.destination}:{packet.destination_port} "
              f"{'REFUSED: ' if is_refused else ''}{result}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
