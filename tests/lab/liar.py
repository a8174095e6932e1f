"""Driving lab_liar: hostile connectors and hosts, whose every word on the IKE session is made here, byte by byte.

Written from docs/protocol.md alone, so that the bytes are not the C program's idea of them.
"""
import base64
import binascii
import hmac
import os
import shutil
import socket
import struct
import subprocess

from cryptography.hazmat.primitives.serialization import load_pem_private_key

import lab as labs
import programs

LIAR = labs.BUILD / "tests/lab/lab_liar"
LOGIN, NAME, CALL, ANSWER, RELAY, LOOKUP, KEY, VOUCH, VOUCHER = range(56800, 56809)
FRAGMENT, PASSWORD = "liarFrag", "passwordOfALiar+/0123456"
COOKIE = 0x2112A442


def text8(text):
    return bytes([len(text)]) + text.encode()


def credentials(fragment=FRAGMENT, password=PASSWORD):
    assert len(fragment) == 8 and len(password) == 24
    return fragment.encode() + password.encode()


def candidates(*endpoints, kind=1):
    return bytes([len(endpoints)]) + b"".join(
        struct.pack("!BBH", kind, 4, port) + socket.inet_aton(address) for address, port in endpoints)


def name(given, zone, result=0, flags=1, lease=120, stun_port=4500, reason=""):
    return struct.pack("!BBBH", 1, result, flags, lease) + text8(given) + text8(zone) + struct.pack("!H", stun_port) + text8(reason)


def call(number, called, caller, key=bytes(32), flags=6, endpoints=(), creds=None, kind=1):
    return (struct.pack("!BBQ", 1, flags, number) + text8(called) + text8(caller) + key + (creds or credentials())
            + candidates(*endpoints, kind=kind))


def answer(number, key=bytes(32), endpoints=(), creds=None, result=0, reason=""):
    return struct.pack("!BBQ", 1, result, number) + key + (creds or credentials()) + candidates(*endpoints) + text8(reason)


def key_answer(number, key, known=True, static=True):
    return struct.pack("!BQBB", 1, number, 0 if known else 1, 1 if static else 0) + (key if known else bytes(32))


def voucher(key_path, zone, caller, key, expires):
    """What the holder of that private key says: this name has this key (the field of CALL, without its head)."""
    text = b"detec voucher: this name has this key\0" + struct.pack("!Q", expires) + key + text8(zone) + text8(caller)
    with open(key_path, "rb") as pem:
        return struct.pack("!Q", expires) + load_pem_private_key(pem.read(), None).sign(text)


def field(kind, data):
    return struct.pack("!BH", kind, len(data)) + data


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def text(self):
        return self.take(self.take(1)[0]).decode()


def parse_call(data):
    r = Reader(data)
    _, flags, number = struct.unpack("!BBQ", r.take(10))
    return {"flags": flags, "number": number, "called": r.text(), "caller": r.text(), "key": r.take(32), "creds": r.take(32),
            "candidates": r.data}


def parse_answer(data):
    r = Reader(data)
    _, result, number = struct.unpack("!BBQ", r.take(10))
    return {"result": result, "number": number, "key": r.take(32), "creds": r.take(32), "rest": r.data}


def raw_key(text):
    return base64.b64decode(text)


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def stun_check(remote, own_fragment=FRAGMENT, use_candidate=True, password=None, transaction=None, controlling=True):
    """A connectivity check for the holder of the credentials `remote` (32 bytes); password: another than the right one."""
    password = password or remote[8:32]
    transaction = transaction or os.urandom(12)
    body = attribute(6, remote[:8] + b":" + own_fragment.encode()) + attribute(0x24, bytes.fromhex("6effffff"))
    body += attribute(0x802A if controlling else 0x8029, os.urandom(8))
    body += attribute(0x25, b"") if use_candidate else b""
    def header(length):
        return struct.pack("!HHI", 1, length, COOKIE) + transaction
    body += attribute(8, hmac.digest(password, header(len(body) + 24) + body, "sha1"))
    crc = binascii.crc32(header(len(body) + 8) + body) ^ 0x5354554E
    return header(len(body) + 8) + body + attribute(0x8028, struct.pack("!I", crc))


class Liar:
    """One running lab_liar. key: of a programs.Daemon to impersonate; else a new one."""

    def __init__(self, node, identity, mode, where, key_path=None):
        self.node = node
        self.key_path = node.lab.dir / f"{node.name}-liar-{node.lab.next_number()}.key"
        if key_path:
            shutil.copy(key_path, self.key_path)
        else:
            node.run([programs.DETEC, "genkey", self.key_path])
        self.public_key = node.run([programs.DETEC, "pubkey", self.key_path]).stdout.strip()
        self.process = node.start(LIAR, self.key_path, identity, mode, where, stdin=subprocess.PIPE)
        self.taken = 0
        self.process.wait_log("ready")

    def send(self, *words):
        self.process.popen.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.process.popen.stdin.flush()

    def events(self):
        return [line.split(" ") for line in self.process.log.split("\n")[:-1]]

    def wait(self, *words, timeout=10):
        """The next event from here on that begins so; those before it are passed over."""
        def find():
            events = self.events()
            for i in range(self.taken, len(events)):
                if events[i][:len(words)] == [str(w) for w in words]:
                    self.taken = i + 1
                    return events[i]
            if not self.process.is_running:
                raise labs.LabError(f"the liar ended:\n{self.process.log}")
        return labs.wait_until(find, timeout, lambda: f"the liar hears {words}:\n{self.process.log[-3000:]}")

    def wait_notify(self, kind, number=0, timeout=10):
        return bytes.fromhex(self.wait("notify", number, kind, timeout=timeout)[3])

    def notify(self, kind, data, number=0):
        self.send("notify", number, kind, data.hex())

    def raw(self, data, number=0):
        self.send("raw", number, data.hex())

    def stop(self):
        self.process.kill()


class HostileConnector(Liar):
    """Says yes to every log-in; the test goes on from there."""

    def __init__(self, node, zone, key_path=None):
        super().__init__(node, zone, "serve", "0.0.0.0:4500", key_path)
        self.zone = zone

    def log_in(self, wanted, static=True):
        """Takes the next host that connects; its connection's number."""
        number = int(self.wait("up")[1])
        self.wait_notify(LOGIN, number)
        self.notify(NAME, name(wanted, self.zone, flags=int(static)), number)
        return number


def log_in(liar, wanted="", guest=False, port=32589):
    """As a host: LOGIN, and what NAME says."""
    liar.wait("up")
    data = struct.pack("!BBH", 1, 2 if guest else 0, 0) + bytes(6) + text8(wanted) + struct.pack("!HB", port, 0)
    liar.notify(LOGIN, data)
    r = Reader(liar.wait_notify(NAME))
    _, result, flags, _ = struct.unpack("!BBBH", r.take(5))
    return {"result": result, "flags": flags, "name": r.text()}
