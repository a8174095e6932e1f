"""The second decoder of SPUT: what it opens, and every attack on the format that it must refuse.

    from ──► 198.51.100.10:32589 ══ SPUT ══► 203.0.113.10:32589      (no network: messages made here)
"""
import hashlib
import itertools
import json
import struct

import pytest

import capture
import lab as labs
import sput_decoder as sput
from sput_decoder import CLOSE, DATA, PROBE, Inbound, Keys, Message, Receiver, Refused, open_message, seal_message

SUITES = list(sput.SUITES)
PING = bytes.fromhex("08004d5a000100016162636465666768696a6b6c6d6e6f7071727374757677616263646566676869")


def keys_of(suite, seed=0):
    lengths = sput.SUITES[suite]
    parts = [hashlib.sha256(b"%d %d" % (seed, i)).digest()[:n] for i, n in enumerate(lengths)]
    return Keys(suite, parts[0], parts[2], parts[1])


def refuse(call, *args, reason=None):
    with pytest.raises(Refused) as caught:
        call(*args)
    assert reason is None or reason in str(caught.value)


def ping(number=1):
    return Message(number, DATA, 1, 0, PING)


def test_the_papers_figure():
    """Fig. 10: a 60-byte ICMP packet becomes a 108-byte one; numbers 1, 2, … in little-endian; 384 bits more with UDP."""
    keys = keys_of("paper")
    for number in (1, 2, 3):
        raw = seal_message(keys, ping(number))
        assert len(raw) == 80 and 20 + 8 + len(raw) == 108 and 20 + len(PING) == 60
        assert raw[:4] == bytes([number, 0, 0, 0])


def test_published_vectors():
    """The messages of tests/vectors, that the C codec is tested with too."""
    text = (labs.ROOT / "tests/vectors/sput-paper.txt").read_text()
    entries = 0
    for block in text.split("\n\n"):
        v = dict(line.split(" =", 1) for line in block.splitlines() if " =" in line and not line.startswith("#"))
        v = {k.strip(): value.strip() for k, value in v.items()}
        if "message" not in v:
            continue
        keys = Keys("paper", bytes.fromhex(v["key"]), bytes.fromhex(v["salt"]), bytes.fromhex(v["mac_key"]))
        message = Message(int(v["number"]), int(v["command"]), int(v["next_header"]), int(v["flags"]), bytes.fromhex(v["payload"]))
        assert open_message(keys, bytes.fromhex(v["message"])) == message
        assert seal_message(keys, message).hex() == v["message"]
        entries += 1
    assert entries


@pytest.mark.parametrize("suite", SUITES)
def test_round_trip_and_lengths(suite):
    keys = keys_of(suite)
    overhead = 40 if suite == "paper" else 24
    for length in (0, 1, 15, 16, 17, 1400, 4092):
        message = Message(0x01020304, DATA, 17, sput.FLAG_IPV6, bytes(i % 251 for i in range(length)))
        raw = seal_message(keys, message)
        assert len(raw) == length + overhead and raw[:4] == b"\4\3\2\1"
        assert open_message(keys, raw) == message


@pytest.mark.parametrize("suite", SUITES)
def test_every_truncation_and_every_flipped_bit(suite):
    """Also the altered command and next header that an incomplete MAC would let through."""
    keys = keys_of(suite)
    raw = seal_message(keys, ping())
    for length in range(len(raw)):
        refuse(open_message, keys, raw[:length])
    refuse(open_message, keys, raw + b"\0")
    for bit in range(len(raw) * 8):
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << bit % 8
        refuse(open_message, keys, bytes(altered))


def test_key_stream_limit():
    """The 8-bit j: 256 blocks, 4096 bytes, all different; one byte more is refused on both sides."""
    keys = keys_of("paper")
    stream = sput.key_stream(keys, 1, 4096)
    blocks = {stream[i:i + 16] for i in range(0, 4096, 16)}
    assert len(blocks) == 256
    assert len(seal_message(keys, Message(1, DATA, 17, 0, bytes(4092)))) == 4132
    refuse(seal_message, keys, Message(1, DATA, 17, 0, bytes(4093)), reason="longer than the key stream")
    too_long = b"\1\0\0\0" + bytes(4097)
    refuse(open_message, keys, too_long + sput._paper_mac(keys, too_long), reason="too long")


@pytest.mark.parametrize("suite", SUITES)
def test_number_zero_and_wrapping(suite):
    keys = keys_of(suite)
    for number in (0, 2**32):
        refuse(seal_message, keys, ping(number), reason="never wrap")
    assert open_message(keys, seal_message(keys, ping(2**32 - 1))).number == 2**32 - 1
    if suite == "paper":  # authentic, and yet
        raw = b"\0\0\0\0" + bytes(44)
        refuse(open_message, keys, raw + sput._paper_mac(keys, raw), reason="number 0")
    assert not sput.is_sput(b"\0\0\0\0" + bytes(60)) and not sput.is_sput(b"\xff")
    assert not sput.is_sput(b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)) and sput.is_sput(seal_message(keys, ping()))


@pytest.mark.parametrize("suite", SUITES)
def test_two_time_pad(suite):
    """Both directions under one key: the XOR of two ciphertexts would be that of the plaintexts. Such keys are refused."""
    one, other = keys_of(suite), keys_of(suite, 5)
    sput.check_pair(one, other)
    refuse(sput.check_pair, one, one, reason="two-time pad")
    there, back = Message(1, DATA, 6, 0, b"A" * 64), Message(1, DATA, 6, 0, b"B" * 64)
    def difference(k1, k2):
        return sput._xor(seal_message(k1, there)[8:72], seal_message(k2, back)[8:72])
    assert difference(one, one) == bytes([ord("A") ^ ord("B")]) * 64, "the attack on the paper's one key"
    assert difference(one, other) != bytes([ord("A") ^ ord("B")]) * 64


def test_reflection():
    """A host gets its own message back."""
    for suite in SUITES:
        mine, its = keys_of(suite), keys_of(suite, 5)
        receiver = Receiver()
        receiver.add(its)
        refuse(receiver.receive, seal_message(mine, ping()), reason="not authentic")
        assert receiver.receive(seal_message(its, ping())) == ping()


def test_keys_that_share_bits():
    """The paper's s is made of key bits, and one key serves AES and HMAC: both refused."""
    good = keys_of("paper")
    refuse(Keys, "paper", good.key, good.key[:11], good.mac_key, reason="salt")
    refuse(Keys, "paper", good.key, good.mac_key[3:14], good.mac_key, reason="salt")
    refuse(Keys, "paper", good.key, good.salt, good.key + good.mac_key[:16], reason="one key")
    refuse(Keys, "aes128-gcm", good.key, good.key[4:12], reason="salt")
    refuse(Keys, "paper", good.key[:15], good.salt, good.mac_key, reason="length")
    refuse(Keys, "des", good.key, good.salt, good.mac_key, reason="suite")


@pytest.mark.parametrize("suite", SUITES)
def test_renumbering_pushes_no_window(suite):
    """A captured message renumbered to 0xFFFFFFF0 must not block all that follows."""
    keys = keys_of(suite)
    sa = Inbound(keys)
    first = seal_message(keys, ping(1))
    sa.receive(first)
    refuse(sa.receive, struct.pack("<I", 0xFFFFFFF0) + first[4:], reason="not authentic")
    assert sa.highest == 1 and sa.seen == {1}
    assert sa.receive(seal_message(keys, ping(2))).number == 2


@pytest.mark.parametrize("suite", SUITES)
def test_replay_window(suite):
    keys = keys_of(suite)
    sa = Inbound(keys, window=32)
    for number in (5, 3, 40, 9, 41):
        sa.receive(seal_message(keys, ping(number)))
    for number in (5, 3, 40, 9, 41):
        refuse(sa.receive, seal_message(keys, ping(number)))
    refuse(sa.receive, seal_message(keys, ping(8)), reason="older")
    refuse(sa.receive, seal_message(keys, ping(9)), reason="older" if 9 + 32 <= 41 else "replayed")
    assert sa.receive(seal_message(keys, ping(10))).number == 10
    default = Inbound(keys)
    default.receive(seal_message(keys, ping(5000)))
    assert default.receive(seal_message(keys, ping(5000 - 4095))).number == 905
    refuse(default.receive, seal_message(keys, ping(5000 - 4096)), reason="older")


def test_rekey_overlap_is_not_ambiguous():
    """No SA identifier is on the wire: the newer SA first, then the older, each with its own numbers."""
    for old_suite, new_suite in itertools.product(SUITES, SUITES):
        old, new = keys_of(old_suite, 1), keys_of(new_suite, 9)
        receiver = Receiver()
        receiver.add(old)
        receiver.receive(seal_message(old, ping(7)))
        receiver.add(new)
        assert receiver.receive(seal_message(new, ping(7))).number == 7, "the same number under the newer keys"
        assert receiver.receive(seal_message(old, ping(8))).number == 8, "late ones of the older SA"
        refuse(receiver.receive, seal_message(old, ping(8)), reason="replayed")
        refuse(receiver.receive, seal_message(keys_of(old_suite, 33), ping(9)), reason="not authentic")
        refuse(receiver.add, old)
    refuse(Receiver().receive, seal_message(keys_of("paper"), ping()), reason="no SA")


def test_commands():
    keys = keys_of("paper")
    assert open_message(keys, seal_message(keys, Message(1, CLOSE, 0, 0, b""))).command == CLOSE
    refuse(open_message, keys, seal_message(keys, Message(1, CLOSE, 0, 0, b"x")), reason="close")
    assert open_message(keys, seal_message(keys, Message(2, PROBE, 0, 0, bytes(900)))).command == PROBE


def test_captures(tmp_path):
    """Keys belong to a pair of addresses: a message from elsewhere is nobody's; and the program's own output."""
    there, back = keys_of("paper", 1), keys_of("paper", 8)
    a, b = "198.51.100.10:32589", "203.0.113.10:32589"
    entries = [dict(zip(("from", "to"), ends), suite="paper", key=k.key.hex(), mac_key=k.mac_key.hex(), salt=k.salt.hex())
               for ends, k in (((a, b), there), ((b, a), back))]
    path = tmp_path / "keys"
    path.write_text("\n".join(map(json.dumps, entries)))

    def packet(source, destination, payload):
        made = capture.Packet(0.0, None, 0, b"")
        made.source, made.source_port = source.split(":")[0], int(source.split(":")[1])
        made.destination, made.destination_port = destination.split(":")[0], int(destination.split(":")[1])
        made.protocol, made.payload = 17, payload
        return made
    message = seal_message(there, ping(1))
    seen = [packet(a, b, b"\xff"), packet(a, b, bytes(4) + b"ike"), packet(a, b, message), packet(b, a, message),
            packet("203.0.113.99:1", b, message), packet(a, b, message), packet(b, a, seal_message(back, ping(1)))]
    results = [r for _, r in sput.decode_capture(seen, sput.read_keys(path))]
    assert [isinstance(r, Message) for r in results] == [True, False, False, True]
    assert str(results[1]) == "not authentic" and str(results[2]) == "replayed"
    path.write_text("\n".join(json.dumps(dict(e, **{k: entries[0][k] for k in ("key", "mac_key", "salt")})) for e in entries))
    refuse(sput.read_keys, path, reason="two-time pad")
