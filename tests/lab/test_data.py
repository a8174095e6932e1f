"""Data: what applications send through a tunnel arrives, and what is seen of it outside tells nothing.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
                                             ▲               │
                                     outside captures   connector, resolver
"""
import errno
import hashlib
import json
import os
import random
import socket
import struct

import pytest

import capture
import lab as labs
import programs
import sput_decoder
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
PORT = 32589
DF = 0x40
ICMP = 1


class Pair:
    """Both hosts with a tunnel between them, and the addresses by which they know each other."""

    def __init__(self, lab, suite="aes128-gcm", export=False, connect=True, settings=None, **options):
        settings = {"suites": suite, "relay": "no", **(settings or {})}  # all of it between the hosts, from the first packet on
        self.calls = topologies.Calls(lab, a=settings, b=settings, **options)
        self.keys = self.calls.a.dir / "exported"
        self.calls.a.options = ("--export-keys", self.keys) if export else ()
        self.calls.start()
        self.lab, self.a, self.b = lab, self.calls.a, self.calls.b
        self.public = {"a": self.calls.public_address("a"), "b": self.calls.public_address("b")}
        if connect:
            self.connect()

    def connect(self):
        self.a.node.run(["ping", "-c1", "-W10", NAME_B])
        self.to_a = self.b.wait_direct(NAME_A)["address"]
        self.to_b = self.a.wait_direct(NAME_B)["address"]

    def outside(self, expression=""):
        """A capture between the NATs."""
        return capture.Capture(self.calls.net.node, "west", expression)

    def between(self, packets):
        """Of these, what went from one public address to the other."""
        ends = set(self.public.values())
        return [p for p in packets if p.source in ends and p.destination in ends]

    def receivers(self):
        """What a decoder needs for the tunnel, as the daemon has written it down."""
        receivers = {}
        for line in self.keys.read_text().splitlines():
            entry = json.loads(line)
            ends = (f"{self.public['a']}:{PORT}", entry["remote"])
            keys = sput_decoder.Keys(entry["suite"], *(bytes.fromhex(entry[k]) for k in ("key", "salt", "mac_key")))
            receivers.setdefault(ends if entry["direction"] == "out" else ends[::-1], sput_decoder.Receiver()).add(keys)
        return receivers


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- ordinary programs ----

@pytest.mark.parametrize("suite", ["aes128-gcm", "paper"])
def test_web_ssh_and_rsync(lab, tmp_path, suite):
    pair = Pair(lab, suite, connect=False)
    content = random.Random(1).randbytes(5_000_000)
    programs.WebServer(pair.b.node, {"file": content, "page": "some words\n"})
    assert pair.a.node.run(["curl", "-sS", "--max-time", "20", f"http://{NAME_B}/page"]).stdout == "some words\n"
    pair.a.node.run(["curl", "-sS", "--max-time", "30", "-o", tmp_path / "got", f"http://{NAME_B}/file"])
    assert digest(tmp_path / "got") == hashlib.sha256(content).hexdigest()
    ssh = programs.SecureShell(pair.b.node)
    assert ssh.command(pair.a.node, NAME_B, "echo from $((40 + 2))").stdout == "from 42\n"
    ssh.rsync(pair.a.node, tmp_path / "got", NAME_B, tmp_path / "sent")
    assert digest(tmp_path / "sent") == hashlib.sha256(content).hexdigest()
    assert pair.a.peer(NAME_B)["suite"] == suite
    # The other way, from the host that was called: its own call is no part of this.
    programs.WebServer(pair.a.node, {"page": "other words\n"})
    assert pair.b.node.run(["curl", "-sS", "--max-time", "20", f"http://{NAME_A}/page"]).stdout == "other words\n"


def test_dns_server_on_the_peer(lab):
    """A peer's DNS server is asked through the tunnel, on port 53 too, which the host's own look-ups are captured from."""
    pair = Pair(lab)
    server = pair.b.node.start("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                               "--pid-file=", "--log-queries", "--host-record=inside.test,192.0.2.33")
    server.wait_log("started, version")
    for options in ((), ("+tcp",)):
        assert programs.dig(pair.a.node, "inside.test", "A", *options, server=pair.to_b)[:2] == ("NOERROR", [("A", "192.0.2.33")])
    assert server.log.count("query[A] inside.test") == 2


@pytest.mark.alone
@pytest.mark.parametrize("suite", ["aes128-gcm", "paper"])
def test_iperf_over_tcp_and_udp(lab, suite):
    pair = Pair(lab, suite)
    iperf = programs.Iperf(pair.b.node)
    for options in ((), ("-R",)):
        report = iperf.measure(pair.a.node, pair.to_b, "-t", "1", *options)
        assert report["end"]["sum_received"]["bytes"] > 1 << 20
        report = iperf.measure(pair.a.node, pair.to_b, "-u", "-b", "10M", "-t", "1", "-l", "1300", *options)
        assert report["end"]["sum"]["packets"] > 500 and report["end"]["sum"]["lost_packets"] == 0


# ---- sizes ----

@pytest.mark.parametrize("suite", ["aes128-gcm", "paper"])
def test_every_size(lab, suite):
    """Pings from none to 65000 bytes, fragments of the inner packets included; nothing outside is a fragment or may become one."""
    pair = Pair(lab, suite)
    outside = pair.outside("udp")
    for size in (0, 1, 7, 8, 32, 56, 1000, 1403, 1404, 1405, 1420, 1424, 1425, 1472, 1473, 3000, 4096, 16000, 65000):
        for node, to in ((pair.a.node, pair.to_b), (pair.b.node, pair.to_a)):
            done = node.run(["ping", "-c1", "-W5", "-s", size, to], check=False)
            assert "1 received" in done.stdout, f"{size} bytes from {node.name}:\n{done.stdout}"
    seen = pair.between(outside.stop())
    assert len(seen) > 2 * 2 * 46  # the largest alone makes 46 fragments
    for p in seen:
        assert not p.is_fragment and p.data[6] & DF and len(p.data) <= 1500
    assert max(len(p.data) for p in seen) > 1450


@pytest.mark.parametrize("suite", ["aes128-gcm", "paper"])
def test_large_datagrams(lab, suite):
    pair = Pair(lab, suite)
    server = pair.b.node.socket(bind=("0.0.0.0", 9000))
    client = pair.a.node.socket()
    for size in (0, 1, 1400, 1405, 1500, 4000, 9000, 60000, 65507):
        data = random.Random(size).randbytes(size)
        client.sendto(data, (pair.to_b, 9000))
        received, source = server.recvfrom(65535)
        assert received == data and source[0] == pair.to_a
        server.sendto(data[::-1], source)
        received, source = client.recvfrom(65535)
        assert received == data[::-1] and source == (pair.to_b, 9000)


def test_other_protocols(lab):
    """Whatever has an IP header travels: protocol 253 (for experiments, RFC 3692), and IPIP, which goes whole."""
    pair = Pair(lab)
    for protocol in (253, 4):
        payload = b"no transport header at all" if protocol == 253 else inner_packet(pair)
        server = pair.b.node.socket(socket.SOCK_RAW, protocol=protocol)
        client = pair.a.node.socket(socket.SOCK_RAW, protocol=protocol)
        client.sendto(payload, (pair.to_b, 0))
        received, source = server.recvfrom(65535)
        assert received[20:] == payload and source[0] == pair.to_a
        assert received[9] == protocol and received[8] == 64


def inner_packet(pair):
    """A whole IPv4 packet, as a tunnel inside the tunnel would carry it."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 253, 0, socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2"))
    return header + b"payload!"


# ---- path MTU ----

def test_mtu_of_the_device(lab):
    """An application that forbids fragments hears at once what fits; what it is told does fit."""
    pair = Pair(lab)
    done = pair.a.node.run(["ping", "-c1", "-W2", "-M", "do", "-s", "2000", pair.to_b], check=False)
    assert done.returncode != 0 and "mtu" in (done.stdout + done.stderr)
    mtu = int((done.stdout + done.stderr).split("mtu")[1].strip(" =:\n").split()[0].strip(")=,:"))
    assert mtu <= pair.a.peer(NAME_B)["mtu"]
    pair.a.node.run(["ping", "-c1", "-W2", "-M", "do", "-s", mtu - 28, pair.to_b])
    assert pair.a.node.run(["ping", "-c1", "-W2", "-M", "do", "-s", mtu - 27, pair.to_b], check=False).returncode != 0


@pytest.mark.parametrize("suite, overhead", [("aes128-gcm", 28 + 24), ("paper", 28 + 40)])
def test_narrow_path(lab, tmp_path, suite, overhead):
    """
    a ── nata ── net ══ 1400 bytes ══ natb ── b

    Routers say so by ICMP; then applications are told, and nothing is lost for good or fragmented outside.
    """
    pair = Pair(lab, suite)
    pair.calls.net.node.ip("link set dev east mtu 1400")
    pair.calls.nat_b.ip("link set dev wan mtu 1400")
    outside = pair.outside("udp port 32589")
    content = random.Random(2).randbytes(1_000_000)
    for server, client, name in ((pair.b, pair.a, NAME_B), (pair.a, pair.b, NAME_A)):
        programs.WebServer(server.node, {"file": content}, port=8080)
        client.node.run(["curl", "-sS", "--max-time", "20", "-o", tmp_path / "got", f"http://{name}:8080/file"])
        assert digest(tmp_path / "got") == hashlib.sha256(content).hexdigest()
    expected = 1400 - overhead
    for host, name, to in ((pair.a, NAME_B, pair.to_b), (pair.b, NAME_A, pair.to_a)):
        # One packet for the router's message, one that the kernel then refuses; the third is answered, or not even sent.
        done = host.node.run(["ping", "-c4", "-i0.2", "-W1", "-M", "do", "-s", expected + 40, to], check=False)
        assert f"mtu = {expected})" in done.stdout or f"mtu={expected}" in done.stderr
        assert host.peer(name)["mtu"] == expected
        host.node.run(["ping", "-c1", "-W2", "-M", "do", "-s", expected - 28, to])
        host.node.run(["ping", "-c1", "-W2", "-s", 5000, to])
    for p in pair.between(outside.stop()):
        assert not p.is_fragment and p.data[6] & DF


# ---- headers ----

def test_icmp_errors_reach_the_application(lab):
    """A closed port at either end: its ICMP error, translated with the packet that it quotes, finds the very socket."""
    pair = Pair(lab)
    for node, to in ((pair.a.node, pair.to_b), (pair.b.node, pair.to_a)):
        sock = node.socket(bind=None, timeout=5)
        sock.connect((to, 9))
        sock.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)
        sock = node.socket(socket.SOCK_STREAM, bind=None, timeout=5)
        assert sock.connect_ex((to, 9)) == errno.ECONNREFUSED


def test_hop_limit_and_type_of_service(lab):
    """The tunnel is one hop long; DSCP and ECN cross it, a router's congestion mark too (RFC 6040)."""
    pair = Pair(lab)
    pair.calls.nat_b.nft("""table ip congested { chain forward { type filter hook forward priority 0
        iifname "wan" udp dport 32589 ip ecn ect1 ip ecn set ce
    }; }""")
    outside = pair.outside("udp")
    inside = capture.Capture(pair.b.node, "detec0", "icmp")
    assert "ttl=64" in pair.a.node.run(["ping", "-c1", "-W2", "-t1", pair.to_b]).stdout
    for tos in (0xB8, 0x02, 0x01):
        pair.a.node.run(["ping", "-c1", "-W2", "-s", 100 + tos, "-Q", tos, pair.to_b])
    inside.wait_for(lambda p: len(p.data) == 28 + 101 and p.source == pair.to_a, what="the last echo request")
    arrived = {len(p.data): p for p in inside.stop() if p.destination != pair.to_a}
    assert {arrived[28 + 100 + tos].tos for tos in (0xB8,)} == {0xB8}
    assert arrived[28 + 100 + 0x02].tos == 0x02
    assert arrived[28 + 100 + 0x01].tos == 0x03  # marked on its way
    assert {p.ttl for p in arrived.values()} == {64}
    sent = [p for p in pair.between(outside.stop()) if p.source == pair.public["a"]]
    sizes = {len(p.data): p.tos for p in sent}
    assert [sizes[28 + 24 + 8 + 100 + tos] for tos in (0xB8, 0x02, 0x01)] == [0xB8, 0x02, 0x01]


# ---- what is seen outside ----

def test_figure_of_the_paper(lab):
    """A 60-byte ICMP packet becomes a 108-byte IP packet; the messages are numbered 1, 2, 3 in little-endian, each way."""
    pair = Pair(lab, "paper", connect=False)
    outside = pair.outside("udp")
    inside = capture.Capture(pair.a.node, "detec0", "icmp")
    pair.a.node.run(["ping", "-c3", "-i0.1", "-W10", "-s", "32", NAME_B])
    assert {len(p.data) for p in inside.stop()} == {60}
    sput = [p for p in pair.between(outside.stop()) if sput_decoder.is_sput(p.payload)]
    assert len(sput) == 6
    for side in ("a", "b"):
        messages = [p for p in sput if p.source == pair.public[side]]
        assert [len(p.data) for p in messages] == [108] * 3 and [len(p.payload) for p in messages] == [80] * 3
        assert [p.payload[:4] for p in messages] == [b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0"]


def is_others(packet, pair):
    """Traffic that is not the tunnel's: look-ups, the session with the connector, and routers' answers to what opens
    the NATs. Nothing is sent to the other host's private address, which is nowhere outside its LAN.
    """
    calls = pair.calls
    ports = {packet.source_port, packet.destination_port}
    peers = {packet.source, packet.destination}
    if calls.resolver_node.address in peers:
        return packet.protocol in (6, 17) and 53 in ports
    if calls.connector_node.address in peers:
        return (packet.protocol in (6, 17) and 4500 in ports) or (packet.protocol == 17 and 4501 in ports)
    routers = {str(calls.net.west.gateway), str(calls.net.east.gateway)}
    return packet.protocol == ICMP and packet.source in routers and packet.payload[0] in (3, 11, 12)


@pytest.mark.parametrize("suite", ["paper", "aes128-gcm"])
def test_capture_between_the_nats(lab, suite):
    """Nothing but UDP between the two public addresses, no plaintext; with the keys the second decoder reads just what was sent."""
    secret = b"a secret that nobody outside may see"
    # Packet by packet, so that each one that the TUN shows is one outside.
    pair = Pair(lab, suite, export=True, connect=False, settings={"tun-offload": "no"})
    outside = pair.outside()
    inside = {host: capture.Capture(host.node, "detec0") for host in (pair.a, pair.b)}
    programs.WebServer(pair.b.node, {"page": secret * 100})
    assert secret.decode() in pair.a.node.run(["curl", "-sS", "--max-time", "20", f"http://{NAME_B}/page"]).stdout
    pair.a.node.run(["ping", "-c2", "-i0.1", "-p", secret[:16].hex(), NAME_B])
    pair.a.node.run(["ping", "-c1", "-p", secret[:16].hex(), "-s", "4000", NAME_B])
    # The capture does see plaintext where there is some.
    pair.a.node.run(["ping", "-c1", "-W1", "-p", b"told to everyone".hex(), str(pair.calls.net.east.gateway)])
    outside.wait_for(lambda p: b"told to everyone" in p.data)
    packets = [p for p in outside.stop() if p.ethertype == capture.ETHER_IP]
    tunnel = pair.between(packets)
    for p in packets:
        assert secret[:8] not in p.data
        assert p in tunnel or is_others(p, pair) or b"told to everyone" in p.data, p
    assert all(p.protocol == 17 and (p.source_port, p.destination_port) == (PORT, PORT) for p in tunnel)

    receivers = pair.receivers()
    decoded = sput_decoder.decode_capture(tunnel, receivers)
    assert len(decoded) > 10 and not [r for _, r in decoded if isinstance(r, sput_decoder.Refused)]
    assert {p for p, _ in decoded} == {p for p in tunnel if len(p.payload) > 1 and sput_decoder.is_sput(p.payload)}
    for host, side in ((pair.a, "a"), (pair.b, "b")):
        own = host.status()["address"]
        sent = [p for p in inside[host].stop() if p.ethertype == capture.ETHER_IP and p.source == own]
        carried = [m for p, m in decoded if p.source == pair.public[side] and m.command == sput_decoder.DATA]
        assert [m.number for m in carried] == sorted(m.number for m in carried)
        assert [expected_payload(p) for p in sent] == [(m.next_header, m.payload) for m in carried]
    assert any(secret in m.payload for _, m in decoded)


def expected_payload(packet):
    """(next header, payload) that a local packet must travel as: without its header, or whole if it is a fragment."""
    header = (packet.data[0] & 15) * 4
    if packet.is_fragment:
        return 4, packet.data
    return packet.protocol, packet.data[header:]


# ---- what strangers send ----

def inject(pair, datagrams):
    """Sends datagrams to nata's tunnel port as if they came from b's: from the router, with b's public address."""
    raw = pair.calls.net.node.socket(socket.SOCK_RAW, bind=None, protocol=socket.IPPROTO_RAW)
    source, target = (socket.inet_aton(pair.public[side]) for side in ("b", "a"))
    for data in datagrams:
        udp = struct.pack("!HHHH", PORT, PORT, 8 + len(data), 0) + data
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, DF << 8, 60, 17, 0, source, target)
        raw.sendto(header + udp, (pair.public["a"], 0))
    raw.close()


@pytest.mark.parametrize("suite", ["aes128-gcm", "paper"])
def test_replayed_reflected_and_flipped(lab, suite):
    """Copies of captured datagrams, changed or not, do nothing but count as drops; the tunnel goes on."""
    pair = Pair(lab, suite)
    outside = pair.outside("udp")
    pair.a.node.run(["ping", "-c5", "-i0.05", "-s", "100", pair.to_b])
    labs.wait_until(lambda: len([p for p in pair.between(outside.packets()) if len(p.payload) > 100]) == 10)
    seen = [p for p in pair.between(outside.stop()) if len(p.payload) > 100]
    to_a = [p.payload for p in seen if p.source == pair.public["b"]]
    to_b = [p.payload for p in seen if p.source == pair.public["a"]]
    inside = capture.Capture(pair.a.node, "detec0")
    before, drops_before = pair.a.peer(NAME_B), pair.a.status()["drops"]

    def drops(reason):
        return pair.a.status()["drops"].get(reason, 0) - drops_before.get(reason, 0)

    def flipped(data, bit):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    inject(pair, to_a * 3)
    labs.wait_until(lambda: drops("replay") == 15, 5, lambda: f"15 replays: {pair.a.status()['drops']}")
    future = struct.pack("<I", 1_000_000)  # a number that the window does not know: only the tag tells
    forged = [flipped(to_a[0], bit) for bit in range(9, 32)]
    forged += [future + data[4:] for data in to_a]
    forged += [flipped(future + to_a[0][4:], bit) for bit in range(32, 8 * len(to_a[0]), 7)]
    forged += [future + data[4:] for data in to_b] + [future + to_a[0][4:n] for n in range(4, len(to_a[0]), 9)]
    inject(pair, forged)
    inject(pair, to_b)  # reflected as they are
    count = len(forged) + len(to_b)
    labs.wait_until(lambda: drops("not-authentic") + drops("length") + drops("replay") - 15 == count, 5,
                    lambda: f"{count} more drops: {pair.a.status()['drops']} after {drops_before}")
    assert drops("not-authentic") > len(to_a) + len(to_b)
    after = pair.a.peer(NAME_B)
    assert (after["packets_in"], after["bytes_in"], after["endpoint"], after["state"]) == \
        (before["packets_in"], before["bytes_in"], before["endpoint"], "up")
    assert [p for p in inside.stop() if p.ethertype == capture.ETHER_IP] == []
    # The forged number moved no window: real messages go on to be accepted.
    pair.a.node.run(["ping", "-c2", "-i0.05", "-W2", pair.to_b])
