"""What anybody can send: floods, garbage, forged sources, half-open connections, malformed requests.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── b (public)
                                                 │       │
                                              stranger   connector, resolver

The stranger is the router itself: it sends with any source address. After each attack the tunnel that was there
carries traffic, the daemons live, their memory is bounded, and their counters tell.
"""
import json
import os
import random
import socket
import struct

import pytest

import capture
import lab as labs
import liar
import probes
import programs
import topologies
from test_attacks import RSS_GROWTH_KIB, Watch, make

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"


def ike_init(seed):
    """An IKE_SA_INIT as far as its header goes, and one that parses to its end."""
    rng = random.Random(seed)
    payload = struct.pack("!BBH", 0, 0, 40) + rng.randbytes(36)  # a nonce
    return rng.randbytes(8) + bytes(8) + struct.pack("!BBBBII", 40, 0x20, 34, 8, 0, 28 + len(payload)) + payload


def real_ike_init(lab, calls):
    """A first message such as hosts send it: what a liar that calls nobody gets out."""
    node = lab.host("recorder", calls.net.west)
    sink = node.socket(bind=("0.0.0.0", 5555))
    talker = liar.Liar(node, "x.example", "udp", 40001)
    talker.send("ike", f"{node.address}:5555", NAME_B)
    message = sink.recv(4096)
    sink.close()
    talker.stop()
    return message


@pytest.mark.alone
def test_floods_at_the_host(lab):
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    spoofer = probes.Spoofer(calls.net.node)
    target, tunnel = (calls.node_b.address, 32589), (calls.nat_a.address, 32589)
    rng = random.Random(1)
    init = real_ike_init(lab, calls)
    for i in range(3000):
        source = (f"198.51.100.{100 + i % 100}", 1024 + i)
        kind = i % 6
        if kind == 0:      # IKE_SA_INIT with fresh SPIs
            spoofer.send(source, target, init[:4] + rng.randbytes(8) + init[12:])
        elif kind == 1:
            spoofer.send(source, target, bytes(4) + ike_init(i))
        elif kind == 2:    # STUN that belongs to no call
            spoofer.send(source, target, liar.stun_check(rng.randbytes(32)))
        elif kind == 3:    # for SPUT, from strangers and with the peer's address
            spoofer.send(source, target, rng.randbytes(rng.randrange(1, 1400)))
        elif kind == 4:
            spoofer.send(tunnel, target, rng.randbytes(rng.randrange(1, 1400)))
        else:
            spoofer.send(tunnel, target, bytes(4) + rng.randbytes(rng.randrange(0, 600)))
        if i % 500 == 499:
            labs.wait_until(calls.b.answers, 5)
    labs.wait_until(lambda: calls.b.status()["drops"].get("not-authentic", 0) > 100, 5, lambda: f"{calls.b.status()['drops']}")
    drops = calls.b.status()["drops"]
    assert drops["stray-ike"] > 100 and drops["stray-stun"] > 100, drops
    assert {p["name"] for p in calls.b.peers()} == {NAME_A}
    watch.check()
    spoofer.close()


def test_replayed_and_altered_datagrams(lab):
    """Everything that ever passed between a and b, once more, cut and with bits flipped, from the right addresses."""
    calls = make(lab)
    calls.start()
    seen = capture.Capture(calls.net.node, "west", "udp and port 32589")
    watch = Watch(calls)
    calls.node_a.run(["ping", "-n", "-c8", "-i0.01", watch.address])
    packets = [p for p in seen.stop() if p.source_port == 32589 and p.destination_port == 32589 and p.payload]
    spoofer = probes.Spoofer(calls.net.node)
    rng = random.Random(2)
    def send(packet, payload):
        spoofer.send((packet.source, 32589), (packet.destination, 32589), payload)
    towards_b = [p for p in packets if p.destination == calls.node_b.address]
    assert len(towards_b) > 10
    before = calls.b.peer(NAME_A)["packets_in"]
    for packet in towards_b:
        for _ in range(3):
            send(packet, packet.payload)
        for length in range(0, len(packet.payload), 7):
            send(packet, packet.payload[:length])
        for _ in range(20):
            altered = bytearray(packet.payload)
            altered[rng.randrange(len(altered))] ^= 1 << rng.randrange(8)
            send(packet, bytes(altered))
        for _ in range(3):  # another's address
            spoofer.send(("198.51.100.99", 32589), (packet.destination, 32589), packet.payload)
    drops = calls.b.status()["drops"]
    labs.wait_until(lambda: calls.b.status()["drops"].get("replay", 0) > 10, 5, lambda: f"{calls.b.status()['drops']}")
    drops = calls.b.status()["drops"]
    assert drops["not-authentic"] > 100, drops
    assert calls.b.peer(NAME_A)["packets_in"] == before, "something old or altered was taken"
    watch.check()
    spoofer.close()


def test_connections_to_the_connector(lab):
    """Silent ones, garbage, half frames, IKETCP and then junk, a first message over and over."""
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    node = lab.host("stranger", calls.net.west)
    address = (calls.connector_node.address, 4500)
    init = real_ike_init(lab, calls)[4:]
    def frame(data):
        return struct.pack("!H", len(data) + 6) + bytes(4) + data
    openings = [b"", b"G", b"GET / HTTP/1.0\r\n\r\n", b"IKETC", b"IKETCP", b"IKETCP\x00\x00", b"IKETCP\x00\x01",
                b"IKETCP\xff\xff" + bytes(4) + os.urandom(5000), b"IKETCP" + frame(os.urandom(300)), b"IKETCP" + frame(init),
                b"IKETCP" + frame(init)[:100], b"IKETCP" + frame(init) * 3, b"IKETCP" + frame(init[:16] + os.urandom(200)),
                b"IKETCP" + b"\x00\x06\x00\x00\x00\x07" * 50]
    held, refused = [], 0
    for i in range(600):
        sock = node.socket(socket.SOCK_STREAM, timeout=2)
        try:
            sock.connect(address)
            sock.send(openings[i % len(openings)])
            held.append(sock)
        except OSError:
            refused += 1
            sock.close()
    connections = calls.connector.ask("status")
    connections = connections.get("status", connections)["connections"]
    assert connections < 600, "one address may hold any number of connections"
    # Another host logs in meanwhile, from another address.
    c = calls.add_host("c", calls.net.east)
    calls.connector.add(c)
    c.start()
    for sock in held:
        sock.close()
    def left():
        status = calls.connector.ask("status")
        return status.get("status", status)["connections"]
    labs.wait_until(lambda: left() <= 3, 10, lambda: f"they are gone: {left()}")
    assert calls.a.login_state() == "logged-in" and calls.b.login_state() == "logged-in"
    watch.check()


def client_hello(node, address):
    """The first bytes of a real TLS handshake."""
    import ssl
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    machine = context.wrap_bio(incoming, outgoing, server_hostname="detec.example.net")
    try:
        machine.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return machine, incoming, outgoing


def test_connections_to_port_443(lab):
    """Silence, garbage, half and endless handshakes, TLS with nothing or rubbish in it, more than one address may hold."""
    import ssl
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    node = lab.host("stranger", calls.net.west)
    address = (calls.connector_node.address, 443)
    hello = client_hello(node, address)[2].read()
    rng = random.Random(4)
    openings = [b"", b"\x16", hello[:10], hello[:-1], b"\x16\x03\x01\x40\x00" + bytes(3000), b"\x16\x03\x01\xff\xff" + bytes(100),
                hello[:43] + rng.randbytes(len(hello) - 43), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16" + rng.randbytes(500), hello]
    held, refused = [], 0
    for i in range(600):
        sock = node.socket(socket.SOCK_STREAM, timeout=2)
        try:
            sock.connect(address)
            sock.send(openings[i % len(openings)])
            held.append(sock)
        except OSError:
            refused += 1
            sock.close()
    def status():
        answer = calls.connector.ask("status")
        return answer.get("status", answer)
    labs.wait_until(lambda: status()["in_tls"] <= 32, 5, lambda: f"{status()}")
    # Whole handshakes, and then nothing, rubbish, IKE rubbish; one that reads nothing.
    inside = [b"", rng.randbytes(200), b"IKETCP", b"IKETCP" + rng.randbytes(300), b"IKETCP" + struct.pack("!H", 300) + bytes(10)]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    other = lab.host("stranger2", calls.net.west)
    for i in range(20):
        sock = other.socket(socket.SOCK_STREAM, timeout=3)
        sock.connect(address)
        try:
            secure = context.wrap_socket(sock, server_hostname="detec.example.net", do_handshake_on_connect=True)
            assert secure.version() == "TLSv1.3"
            secure.send(inside[i % len(inside)])
            held.append(secure)
        except (OSError, ssl.SSLError):
            held.append(sock)
    # TLS 1.2 is not spoken.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    sock = other.socket(socket.SOCK_STREAM, timeout=3)
    sock.connect(address)
    try:
        context.wrap_socket(sock)
        raise AssertionError("TLS 1.2 is spoken")
    except (OSError, ssl.SSLError):
        pass
    # Whoever is not a stranger gets in meanwhile, and 10 s later the strangers are gone, though they still hold on.
    c = calls.add_host("c", calls.net.east)
    calls.connector.add(c)
    c.start()
    labs.wait_until(lambda: status()["in_tls"] == 0 and status()["connections"] == 3, 20, lambda: f"{status()}")
    for sock in held:
        sock.close()
    watch.check()


def test_malformed_dns_queries(lab):
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    node = lab.host("stranger", calls.net.west)
    server = (calls.connector_node.address, 53)
    rng = random.Random(3)
    good = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x01b\x05detec\x07example\x03net\x00" + struct.pack("!HH", 1, 1)
    with node.socket(timeout=2) as sock:
        sock.connect(server)
        for length in range(len(good)):
            sock.send(good[:length])
        for bit in range(8 * len(good)):
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << bit % 8
            sock.send(bytes(flipped))
        for _ in range(500):
            sock.send(rng.randbytes(rng.randrange(0, 600)))
        # A name that points at itself, an OPT in wrong places, answers instead of queries.
        sock.send(good[:12] + b"\xc0\x0c\x00\x01\x00\x01")
        sock.send(struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 3) + good[12:] + b"\x00\x00\x29\xff\xff\x00\x00\x00\x00\xff\xff" * 3)
        sock.send(struct.pack("!HHHHHH", 7, 0x8180, 1, 1, 0, 0) + good[12:])
    for opening in (b"\xff\xff" + good, b"\x00\x00", b"\x00\x01x", b"\x00", struct.pack("!H", len(good)) + good[:10], os.urandom(3000)):
        held = [node.socket(socket.SOCK_STREAM, timeout=2) for _ in range(20)]
        for sock in held:
            try:
                sock.connect(server)
                sock.send(opening)
            except OSError:
                pass
        for sock in held:
            sock.close()
    assert programs.dig(node, NAME_B, server=server[0])[:2] == ("NOERROR", [("A", "0.0.0.1")])
    assert programs.dig(node, NAME_B, "A", "+tcp", server=server[0])[:2] == ("NOERROR", [("A", "0.0.0.1")])
    assert programs.dig(node, "www.other.example", server=server[0])[0] == "REFUSED"
    watch.check()


def test_garbage_on_the_control_sockets(lab):
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    call = json.dumps({"command": "call", "name": NAME_B}).encode()
    garbage = [b"\n" * 1000, b"{}\n", b"[]\n", b"null\n", b"\x00\xff\xfe\n", b"{" * 20000 + b"\n", b"[" * 60000 + b"\n",
               b'{"command": 7}\n', b'{"command": "call"}\n', b'{"command": "call", "name": ' + b'"' + b"a" * 60000 + b'"}\n',
               b'{"command": "call", "name": "\\u0000"}\n', b'{"command": "ping", "name": "b", "count": -9223372036854775808}\n',
               b'{"command": "call", "name": "b", "timeout_ms": 9223372036854775807}\n', b"x" * 200000, (call + b"\n") * 2000,
               b'{"command": "hangup", "name": "nobody"}\n{"command": "status"}\n' * 200,
               b'{"command": "call", "name": "nobody"}\n{"command": "hangup", "name": "nobody"}\n' * 20,
               b'{"command": "host-add", "name": "x", "key": 1}\n{"command": "host-remove"}\n']
    for daemon in (calls.b, calls.connector):
        for data in garbage:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(2)
                sock.connect(str(daemon.socket_path))
                try:
                    sock.sendall(data)
                    sock.recv(4096)
                except OSError:
                    pass
        held = []
        for _ in range(100):  # more than may be there
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(1)
            try:
                sock.connect(str(daemon.socket_path))
                held.append(sock)
            except OSError:
                sock.close()
        for sock in held:
            sock.close()
        labs.wait_until(daemon.answers, 5)
    # Answers that nobody reads do not pile up.
    before = calls.b.memory_kib()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(calls.b.socket_path))
        sock.settimeout(0.3)
        try:
            for _ in range(100):
                sock.sendall(b'{"command": "status"}\n' * 1000)
        except OSError:
            pass
        assert calls.b.answers()
        assert calls.b.memory_kib() - before < RSS_GROWTH_KIB
    calls.connector.detec(["host", "list"])
    watch.check()


def test_forged_dns_answers(lab):
    """The server that an application asks, and one beside it, answer wrongly first: only the right answer gets through."""
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    server = lab.host("server", calls.net.east)
    beside = lab.host("beside", calls.net.east)
    sock, other = server.socket(bind=("0.0.0.0", 53)), beside.socket(bind=("0.0.0.0", 53))
    query_socket = calls.node_b.socket()
    name = b"\x03www\x04good\x04test\x00"
    query = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1)
    def answer(query_id, question, address):
        return (struct.pack("!HHHHHH", query_id, 0x8180, 1, 1, 0, 0) + question + struct.pack("!HH", 1, 1)
                + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address))
    for _ in range(5):
        query_socket.sendto(query, (server.address, 53))
        asked, client = sock.recvfrom(512)
        asked_id = struct.unpack("!H", asked[:2])[0]
        assert asked[2:] == query[2:]
        for wrong in range(64):
            sock.sendto(answer((asked_id + 1 + wrong) & 0xFFFF, name, "6.6.6.6"), client)
        sock.sendto(answer(asked_id, b"\x03www\x04evil\x04test\x00", "6.6.6.6"), client)
        sock.sendto(answer(asked_id, name, "6.6.6.6")[:20], client)
        sock.sendto(struct.pack("!H", asked_id) + b"\x01\x00" + answer(asked_id, name, "6.6.6.6")[4:], client)
        sock.sendto(b"", client)
        other.sendto(answer(asked_id, name, "6.6.6.6"), client)
        sock.sendto(answer(asked_id, name, "192.0.2.80"), client)
        got, source = query_socket.recvfrom(512)
        assert source == (server.address, 53)
        assert got[:2] == b"\x12\x34" and got[-4:] == socket.inet_aton("192.0.2.80"), got
    # Answers that are made to hurt whoever rewrites them.
    hurting = [name + b"\xc0\x0c", b"\xc0\x0c", b"\xc0\xff", b"\x3f" + b"a" * 63 + b"\xc0\x0c"]
    for rest in hurting:
        query_socket.sendto(query, (server.address, 53))
        asked, client = sock.recvfrom(512)
        head = struct.pack("!HHHHHH", struct.unpack("!H", asked[:2])[0], 0x8180, 1, 3, 9, 9) + asked[12:]
        sock.sendto(head + rest + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x00\x00\x00\x01" + rest, client)
        query_socket.recvfrom(1024)
    for s in (sock, other, query_socket):
        s.close()
    watch.check()
