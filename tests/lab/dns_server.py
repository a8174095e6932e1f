"""A DNS server that says exactly the bytes that a test wants, and a client that sees exactly those that arrive."""
import socket
import struct
import threading

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, RRSIG = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 46
TYPES = {"A": A, "AAAA": AAAA, "TXT": TXT, "MX": MX, "CNAME": CNAME, "PTR": PTR, "SRV": SRV}
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x400, 0x200, 0x100, 0x80, 0x20, 0x10
NXDOMAIN = 3


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.strip(".").split(".") if label) + b"\0"


def query(text, kind=A, number=0x1234, flags=RD, size=None, data=b""):
    """A query; with a size, one with EDNS and, maybe, an option's bytes."""
    extra = b"\0" + struct.pack("!HHIH", OPT, size, 0, len(data)) + data if size else b""
    return struct.pack("!6H", number, flags, 1, 0, 0, 1 if size else 0) + name(text) + struct.pack("!2H", kind, 1) + extra


def record(owner, kind, data, ttl=300):
    """owner: a name, or bytes as they stand (e.g. a pointer)."""
    return (owner if isinstance(owner, bytes) else name(owner)) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def question_of(message):
    """(name, type, end of the question)."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), struct.unpack("!H", message[at + 1:at + 3])[0], at + 5


def answer(message, flags=QR | RD | RA, answers=(), authority=(), additional=()):
    """The reply to a query: its ID and question, then these records."""
    end = question_of(message)[2]
    counts = (1, len(answers), len(authority), len(additional))
    return message[:2] + struct.pack("!5H", flags, *counts) + message[12:end] + b"".join([*answers, *authority, *additional])


class Server:
    """Answers from a function of the query's bytes, over UDP and TCP, on each address of the node; None: silence."""

    def __init__(self, node, reply, port=53):
        self.node, self.reply, self.seen = node, reply, []
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for kind, serve in ((socket.SOCK_DGRAM, self._serve_udp), (socket.SOCK_STREAM, self._serve_tcp)):
                sock = node.socket(kind, bind=None, family=family, timeout=None)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    sock.listen()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    def _answer(self, message, is_tcp):
        self.seen.append(question_of(message)[0])
        return self.reply(message, is_tcp)

    def _serve_udp(self, sock):
        while True:
            message, sender = sock.recvfrom(65535)
            reply = self._answer(message, False)
            if reply:
                sock.sendto(reply, sender)

    def _serve_tcp(self, sock):
        while True:
            connection, _ = sock.accept()
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        with connection:
            while (message := read_message(connection)) is not None:
                reply = self._answer(message, True)
                if reply:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def read_message(sock):
    head = read_exactly(sock, 2)
    return read_exactly(sock, struct.unpack("!H", head)[0]) if head else None


def ask(node, server, message, is_tcp=False, timeout=5, device=None):
    """The raw answer of a server to a raw query, from a new socket; None: none in time."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with node.socket(socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM, bind=None, family=family, timeout=timeout) as sock:
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        try:
            sock.connect((server, 53))
            if is_tcp:
                sock.sendall(struct.pack("!H", len(message)) + message)
                return read_message(sock)
            sock.send(message)
            return sock.recv(65535)
        except (TimeoutError, ConnectionError):
            return None


def addresses(message):
    """The addresses of the A records of an answer, in order."""
    if message is None:
        return None
    at = question_of(message)[2]
    found = []
    for _ in range(struct.unpack("!H", message[6:8])[0]):
        while message[at] and message[at] < 0xC0:
            at += 1 + message[at]
        at += 2 if message[at] else 1
        kind, _, _, length = struct.unpack("!HHIH", message[at:at + 10])
        if kind == A:
            found.append(socket.inet_ntoa(message[at + 10:at + 14]))
        at += 10 + length
    return found
