"""Hostile IKEv2 messages, made with scapy and sent from the node that this runs in:

    hostile_ike.py ADDRESS PORT[/marker] SEED

Every payload of an IKE_SA_INIT truncated at every length, doubled, reordered, left out, of unknown type, critical, with wrong
lengths; every exchange type out of state, with and without payloads; random bytes. Prints how many were sent, and how many
answers of which kind came.
"""
import collections
import logging
import os
import random
import socket
import struct
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.contrib.ikev2 import (IKEv2, IKEv2_payload_KE, IKEv2_payload_Nonce, IKEv2_payload_Notify,  # noqa: E402
                                 IKEv2_payload_Proposal, IKEv2_payload_SA, IKEv2_payload_Transform)

SA, KE, NONCE, NOTIFY, SK = 33, 34, 40, 41, 46


def proposal():
    transforms = (IKEv2_payload_Transform(next_payload="Transform", transform_type=1, transform_id=20, length=12, key_length=128) /
                  IKEv2_payload_Transform(next_payload="Transform", transform_type=2, transform_id=5, length=8) /
                  IKEv2_payload_Transform(next_payload="last", transform_type=4, transform_id=31, length=8))
    return IKEv2_payload_Proposal(trans_nb=3, trans=transforms)


def whole(rng):
    """A good IKE_SA_INIT request."""
    body = (IKEv2_payload_SA(next_payload="KE", prop=proposal()) /
            IKEv2_payload_KE(next_payload="Nonce", group=31, load=rng.randbytes(32)) /
            IKEv2_payload_Nonce(next_payload="Notify", load=rng.randbytes(32)) /
            IKEv2_payload_Notify(next_payload="None", type=16388, load=rng.randbytes(20)))
    return bytes(IKEv2(init_SPI=rng.randbytes(8), next_payload="SA", exch_type="IKE_SA_INIT", flags="Initiator") / body)


def split(message):
    """[(type, body)] of a message's payloads."""
    kind, at, found = message[16], 28, []
    while kind:
        length = struct.unpack("!H", message[at + 2:at + 4])[0]
        found.append((kind, message[at + 4:at + length]))
        kind, at = message[at], at + length
    return found


def join(message, payloads, exchange=34, flags=8, number=0, spi_r=bytes(8), version=0x20, critical=0):
    """The same message with other payloads."""
    body = b""
    for i, (kind, data) in enumerate(payloads):
        following = payloads[i + 1][0] if i + 1 < len(payloads) else 0
        body += struct.pack("!BBH", following, critical, 4 + len(data)) + data
    first = payloads[0][0] if payloads else 0
    return message[:8] + spi_r + struct.pack("!BBBBII", first, version, exchange, flags, number, 28 + len(body)) + body


def fixed(message):
    """With the length that it has."""
    return message[:24] + struct.pack("!I", len(message)) + message[28:]


def messages(rng):
    base = whole(rng)
    parts = split(base)
    for cut in range(len(base)):
        yield base[:cut]
        yield fixed(base[:cut]) if cut >= 28 else base[:cut]
    for i, (kind, data) in enumerate(parts):
        others = parts[:i] + parts[i + 1:]
        yield join(whole(rng), others)
        yield join(whole(rng), parts[:i + 1] + parts[i:])
        yield join(whole(rng), [parts[i]] * 60)
        for cut in range(len(data)):
            yield join(whole(rng), parts[:i] + [(kind, data[:cut])] + parts[i + 1:])
        for _ in range(40):
            spoilt = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            yield join(whole(rng), parts[:i] + [(kind, bytes(spoilt))] + parts[i + 1:])
        yield join(whole(rng), parts[:i] + [(kind, data + rng.randbytes(3000))] + parts[i + 1:])
    for _ in range(20):
        shuffled = parts[:]
        rng.shuffle(shuffled)
        yield join(whole(rng), shuffled)
    for kind in (1, 32, 49, 127, 128, 255):
        yield join(whole(rng), parts + [(kind, b"abcd")])
        yield join(whole(rng), parts + [(kind, b"abcd")], critical=0x80)
    for exchange in range(256):
        yield join(whole(rng), parts, exchange=exchange)
    for exchange in (34, 35, 36, 37):
        for flags in range(0, 64, 8):
            for number in (0, 1, 2**31, 2**32 - 1):
                yield join(whole(rng), [], exchange, flags, number, rng.randbytes(8))
                yield join(whole(rng), [(SK, rng.randbytes(rng.randrange(100)))], exchange, flags, number, rng.randbytes(8))
    for version in (0x10, 0x21, 0x30, 0xf0):
        yield join(whole(rng), parts, version=version)
    for _ in range(300):
        yield rng.randbytes(rng.randrange(1, 600))


def main():
    address, where, seed = sys.argv[1:4]
    port, _, marker = where.partition("/")
    prefix = bytes(4) if marker else b""
    rng = random.Random(int(seed))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, int(port)))
    sock.setblocking(False)
    answers, sent = collections.Counter(), 0
    for message in messages(rng):
        try:
            sock.send(prefix + message)
            sent += 1
        except OSError:
            pass
        try:
            while True:
                answer = sock.recv(65535)[len(prefix):]
                answers[f"exchange {answer[18]} first {answer[16]}" if len(answer) >= 28 else "short"] += 1
        except OSError:
            pass
    print(sent, dict(answers), os.getpid())


if __name__ == "__main__":
    main()
