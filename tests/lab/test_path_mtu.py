"""Path MTU: narrow paths whose routers say nothing, from the start and in the middle of a tunnel.

    a ── west 198.51.100.0/24, 2001:db8:1::/64 ── net ── east 203.0.113.0/24, 2001:db8:2::/64 ── b
                                                  │  drops what is too long, in silence
                                     connector, resolver (on east)
"""
import hashlib
import random
import socket
import threading
import time

import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
OVERHEAD = {"4": 20 + 8 + 24, "6": 40 + 8 + 24}  # of aes128-gcm
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2
BULK = 5_000_000
RECOVERY = 5  # s; bulk TCP moves again


def narrow(net, size, *ways):
    """net drops what is longer and says nothing; ways: ("west", "east") and the like, none given: both."""
    rules = "".join(f'iifname "{i}" oifname "{o}" meta length > {size} drop\n' for i, o in ways) or f"meta length > {size} drop\n"
    net.node.nft(f"table inet narrow\ndelete table inet narrow\n"
                 f"table inet narrow {{ chain forward {{ type filter hook forward priority 0\n{rules}}}; }}")


def block(net, family):
    """The hosts cannot meet over this family."""
    table = {"4": "ip", "6": "ip6"}[family]
    net.node.nft(f"table {table} blocked {{ chain forward {{ type filter hook forward priority 0; udp dport 32589 drop; }}; }}")


def up(lab, family="4", **options):
    calls = topologies.Calls(lab, "none", "none", **options)
    block(calls.net, "4" if family == "6" else "6")
    calls.start()
    return calls


def fetch(client, name, path):
    """Seconds that it took."""
    begun = time.monotonic()
    client.node.run(["curl", "-sS", "--max-time", "30", "-o", path, f"http://{name}:8080/file"])
    return time.monotonic() - begun


def wait_mtu(host, name, mtu):
    """Until the search for the path of this tunnel has ended, there."""
    def found():
        peer = host.peer(name)
        return peer and peer["mtu_state"] == "complete" and peer["path_mtu"] == mtu
    labs.wait_until(found, 10, lambda: f"path MTU {mtu}: {host.peer(name)}\n{host.process.log}")


@pytest.mark.parametrize("family, size, ways", [
    ("4", 1280, ()), ("4", 1124, ()), ("4", 1124, (("west", "east"),)), ("6", 1280, ()), ("6", 1124, (("east", "west"),))],
    ids=["1280", "1124", "1124-one-way", "ipv6-1280", "ipv6-1124-one-way"])
def test_bulk_over_narrow_paths(lab, tmp_path, family, size, ways):
    """5 MB each way at once after the call, no ICMP anywhere; the ends find out what their own way takes, to the byte."""
    calls = up(lab, family)
    narrow(calls.net, size, *ways)
    content = random.Random(size).randbytes(BULK)
    for server, client, name in ((calls.b, calls.a, NAME_B), (calls.a, calls.b, NAME_A)):
        programs.WebServer(server.node, {"file": content}, port=8080)
        took = fetch(client, name, tmp_path / "got")
        assert hashlib.sha256((tmp_path / "got").read_bytes()).digest() == hashlib.sha256(content).digest()
        print(f"{took:.2f} s")
        assert took < RECOVERY
    outer = {"4": f"direct {calls.node_b.address}", "6": f"direct [{calls.node_b.address6}]"}[family]
    assert calls.a.peer(NAME_B)["path"].startswith(outer)
    wait_mtu(calls.a, NAME_B, size if not ways or ("west", "east") in ways else 1500)
    wait_mtu(calls.b, NAME_A, size if not ways or ("east", "west") in ways else 1500)
    row = next(line for line in calls.b.detec("peers").stdout.splitlines() if line.startswith(NAME_A))
    assert f" {calls.b.peer(NAME_A)['path_mtu']} " in row
    assert calls.b.peer(NAME_A)["mtu"] == calls.b.peer(NAME_A)["path_mtu"] - OVERHEAD[family]


class Bulk:
    """A TCP connection from b that is always full; when what arrived, and that it is right."""

    def __init__(self, calls):
        listener = calls.node_a.socket(socket.SOCK_STREAM, bind=("0.0.0.0", 9000))
        listener.listen()
        self.sender = calls.node_b.socket(socket.SOCK_STREAM, bind=None, timeout=20)
        self.sender.connect((calls.b.peer(NAME_A)["address"], 9000))
        self.receiver = listener.accept()[0]
        self.receiver.settimeout(20)
        self.is_over, self.heard, self.got = threading.Event(), [], 0
        self.sent_hash, self.got_hash = hashlib.sha256(), hashlib.sha256()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        source, pause = random.Random(7), threading.Event()
        while not self.is_over.is_set():
            data = source.randbytes(20_000)
            self.sent_hash.update(data)
            self.sender.sendall(data)
            pause.wait(0.005)
        self.sender.shutdown(socket.SHUT_WR)

    def receive(self):
        while data := self.receiver.recv(1 << 16):
            self.heard.append(time.monotonic())
            self.got += len(data)
            self.got_hash.update(data)

    def wait_more(self, count, timeout=15):
        goal = self.got + count
        labs.wait_until(lambda: self.got >= goal, timeout, f"{count} bytes more")

    def gap(self, since):
        return max(later - earlier for earlier, later in zip(self.heard, self.heard[1:]) if later > since)

    def close(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(20)
        assert self.got_hash.digest() == self.sent_hash.digest()


def test_path_narrows_under_a_tunnel(lab):
    """In the middle of a transfer, twice; small packets pass all the time, as a ping beside it shows."""
    calls = up(lab)
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.b.wait_peer(NAME_A)
    ping = calls.node_b.start("ping", "-i0.1", calls.b.peer(NAME_A)["address"])
    bulk = Bulk(calls)
    bulk.wait_more(1_000_000)
    wait_mtu(calls.b, NAME_A, 1500)
    for size in (1280, 1124):
        begun = time.monotonic()
        narrow(calls.net, size)
        bulk.wait_more(1_000_000)
        labs.wait_until(lambda: bulk.heard[-1] > begun + 1, 10, "the transfer goes on")
        gap = bulk.gap(begun)
        print(f"gap {gap:.2f} s")
        assert gap < RECOVERY, calls.b.process.log
        wait_mtu(calls.b, NAME_A, size)
    bulk.close()
    ping.kill()


@pytest.mark.parametrize("has_df", [False, True], ids=["fragments", "df"])
def test_datagrams(lab, has_df):
    """Without DF all sizes pass, in fragments inside the tunnel and none outside; with DF the sender hears what fits."""
    calls = up(lab)
    narrow(calls.net, 1280)
    calls.node_a.run(["ping", "-c1", "-W1", "-s", "1400", NAME_B], check=False)
    wait_mtu(calls.a, NAME_B, 1280)
    outside = capture.Capture(calls.net.node, "west", "udp port 32589")
    fits = 1280 - OVERHEAD["4"]
    server = calls.node_b.socket(bind=("0.0.0.0", 9000))
    client = calls.node_a.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO if has_df else IP_PMTUDISC_DONT)
    to = (calls.a.peer(NAME_B)["address"], 9000)
    refused = []
    for size in (100, fits - 28, fits - 28 + 60, 1400, fits - 28, 5000, 20000):
        data = random.Random(size).randbytes(size)
        try:
            client.sendto(data, to)
            if has_df and size > fits - 28:
                with pytest.raises(OSError):  # told by ICMP: the next send meets it
                    client.recvfrom(10)
                    client.sendto(data, to)
                refused.append(size)
                continue
        except OSError:
            assert has_df and size > fits - 28
            refused.append(size)
            continue
        assert server.recvfrom(65535)[0] == data
    assert (len(refused) > 0) == has_df
    for p in outside.stop():
        assert not p.is_fragment and p.data[6] & 0x40 and len(p.data) <= 1500


def test_forged_words_of_routers(lab):
    """Who knows both ends' addresses and ports can forge "fragmentation needed": it costs a few probes, and changes nothing."""
    calls = up(lab)
    calls.node_a.run(["ping", "-c1", "-W10", "-s", "1400", NAME_B])
    wait_mtu(calls.a, NAME_B, 1500)
    outside = capture.Capture(calls.net.node, "west", f"udp and src {calls.node_a.address} and dst {calls.node_b.address}")
    stranger = lab.host("stranger", calls.net.west)
    raw = stranger.socket(socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP)
    for _ in range(50):
        raw.sendto(forged(calls.node_a.address, calls.node_b.address, 600), (calls.node_a.address, 0))
        raw.sendto(forged(calls.node_a.address, calls.node_b.address, 1200), (calls.node_a.address, 0))
    outside.wait_for(lambda p: len(p.data) == 1200, what="the probe that tries what was said")
    calls.node_a.run(["ping", "-c1", "-W2", "-M", "do", "-s", "1404", calls.a.peer(NAME_B)["address"]])
    wait_mtu(calls.a, NAME_B, 1500)
    assert len([p for p in outside.stop() if len(p.payload) > 100]) < 15
    assert "path takes" not in calls.a.process.log


def forged(source, destination, mtu):
    """An ICMP message that quotes a datagram of the tunnel from source."""
    quoted = bytes.fromhex("450005dc000040003f110000") + socket.inet_aton(source) + socket.inet_aton(destination)
    quoted += (32589).to_bytes(2, "big") * 2 + (1480).to_bytes(2, "big") + bytes(2) + bytes(8)
    message = bytes([3, 4, 0, 0, 0, 0]) + mtu.to_bytes(2, "big") + quoted
    total = sum(int.from_bytes(message[i:i + 2], "big") for i in range(0, len(message), 2))
    total = (total & 0xffff) + (total >> 16)
    checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def test_move_to_a_narrower_path(lab):
    """a gets another address, from which the way takes 1280 bytes only: the transfer goes on there, with what fits."""
    calls = up(lab)
    calls.net.node.nft("""table ip narrow { chain forward { type filter hook forward priority 0
        ip saddr 198.51.100.77 meta length > 1280 drop
        ip daddr 198.51.100.77 meta length > 1280 drop
    }; }""")
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.b.wait_peer(NAME_A)
    bulk = Bulk(calls)
    bulk.wait_more(1_000_000)
    wait_mtu(calls.b, NAME_A, 1500)
    begun = time.monotonic()
    calls.node_a.ip(f"addr del {calls.node_a.address}/24 dev eth0", "addr add 198.51.100.77/24 dev eth0",
                    "route add default via 198.51.100.1")
    labs.wait_until(lambda: (calls.b.peer(NAME_A)["endpoint"] or "").startswith("198.51.100.77:"), 10, "b's path has moved")
    bulk.wait_more(2_000_000)
    wait_mtu(calls.b, NAME_A, 1280)
    gap = bulk.gap(begun)
    print(f"gap {gap:.2f} s")
    assert gap < RECOVERY, calls.b.process.log
    bulk.close()
