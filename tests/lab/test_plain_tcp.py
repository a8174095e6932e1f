"""Plain IPsec peers over TCP (RFC 9329), both of them detecd, behind a NAT that lets no UDP through.

    ours ── LAN ── nata (drops UDP) ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs
"""
import random
import signal
import socket
import struct

import pytest

import hostile_ike
import interop
import lab as labs
from interop import OUR_NAME as OURS, PEER as THEIRS

NO_UDP = """table ip shut {
    chain forward { type filter hook forward priority -10; meta l4proto udp drop; }
}"""
NO_TCP = """table ip shut_tcp {
    chain forward { type filter hook forward priority -10; meta l4proto tcp reject with tcp reset; }
}"""
TWIN = "twin.peer.detec.internal"
AUTO = {"transport": "auto"}
COUNT_UDP = """table ip count {
    chain forward { type filter hook forward priority -10; meta l4proto udp counter
    }
}"""


def never_reads(node):
    """A stranger who asks the same good question again and again, and leaves the answers where they are; more than it may send."""
    message = hostile_ike.whole(random.Random(1))
    frame = struct.pack("!HI", len(message) + 6, 0) + message
    sock = node.socket(socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.connect((node.address, 4500))
    sock.settimeout(10)
    try:
        sock.sendall(b"IKETCP" + frame * 600)
    except OSError:
        pass  # it was cut off, as it is to be
    return sock


def connected(node):
    """What others have connected to it."""
    lines = node.run("ss -Hnt state established sport = :4500").stdout.splitlines()
    return [line for line in lines if "198.51.100." in line]


def ends(node):
    return [line.split()[2:4] for line in connected(node)]


def test_where_udp_does_not_get_through(lab):
    """TCP after UDP has been silent; rekeyed by both without loss; the connection is lost and made again, the SAs stay; back to UDP
    when that gets through; whoever only connects is shown the door."""
    two = interop.Two(lab, ours={"rekey": "2s", **AUTO}, theirs={"rekey": "3s", **AUTO})
    two.nat.nft(NO_UDP)
    strangers = []
    for _ in range(9):
        sock = two.node_b.socket(socket.SOCK_STREAM)
        sock.connect((two.node_b.address, 4500))
        strangers.append(sock)
    assert strangers[8].recv(10) == b""  # one address has no more of them
    strangers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert strangers[0].recv(10) == b""
    strangers[1].sendall(b"IKETCP\x00")  # and never more
    two.ours.call("theirs")
    peer = two.ours.wait_peer(THEIRS)
    assert peer["path"] == f"direct {two.node_b.address}:4500 over TCP"
    assert two.theirs.wait_peer(OURS)["path"].endswith("over TCP")
    flood = two.ping(150, 0.02, start=True)
    labs.wait_until(lambda: two.ours.peer(THEIRS)["ike_spis"] != peer["ike_spis"], 8, "a new IKE SA")
    labs.wait_until(lambda: two.ours.peer(THEIRS)["spi_in"] != peer["spi_in"], 8, "a new child")
    flood.popen.wait(20)
    assert interop.received(flood.log) == 150, flood.log[-300:]
    assert two.ping(1) == 1
    # Lost, and with another port behind the NAT: the same SAs go on.
    up = two.ours.peer(THEIRS)["age_s"]
    before = connected(two.node_b)
    two.nat.nft(NO_TCP)
    labs.wait_until(lambda: not connected(two.node_b) and two.ping(1) == 0, 10, "cut off")
    two.nat.nft("delete table ip shut_tcp")
    labs.wait_until(lambda: two.ping(1) == 1, 20, lambda: f"connected again\n{two.ours.process.log[-2000:]}\n{two.theirs.process.log[-2000:]}")
    assert two.ours.peer(THEIRS)["age_s"] > up and two.theirs.peer(OURS)["path"].endswith("over TCP")
    assert connected(two.node_b) != before
    for sock in strangers[1:8]:
        assert sock.recv(10) == b""  # has had its time
    # UDP gets through again, and something has changed: it is tried, and does better.
    two.nat.nft("delete table ip shut")
    two.node_a.ip("addr add 10.0.1.77/24 dev eth0")
    labs.wait_until(lambda: two.ours.peer(THEIRS)["path"] == f"direct {two.node_b.address}:4500", 8, "moved to UDP")
    labs.wait_until(lambda: not two.theirs.peer(OURS)["path"].endswith("TCP"), 5, "the other side, too")
    assert two.ping(2) == 2
    labs.wait_until(lambda: not connected(two.node_b), 12, "nobody needs the connection any more")


def test_tcp_at_once_and_not_at_all(lab):
    """transport = tcp sends no datagram; strangers who do not read leave nothing behind, nor do many of them hold more than 48 connections; two peers in one place share a connection; a peer whose section says udp is not answered by TCP."""
    two = interop.Two(lab, ours={"transport": "tcp", "mode": "beet"}, theirs={"transport": "auto", "mode": "beet"})
    two.nat.nft(COUNT_UDP)
    unread = [never_reads(two.node_b) for _ in range(3)]
    labs.wait_until(lambda: not two.node_b.run("ss -Hnt state established sport = :4500").stdout, 4, "closed, read or not")
    crowd = [two.node_b.socket(socket.SOCK_STREAM, bind=(f"127.0.1.{i}", 0), timeout=10) for i in range(1, 51)]
    for sock in crowd:
        sock.connect((two.node_b.address, 4500))
    assert [sock.recv(10) for sock in crowd[:2]] == [b"", b""]  # 48 strangers of any number of addresses; the oldest made room
    crowd[2].settimeout(0.3)
    with pytest.raises(TimeoutError):
        crowd[2].recv(10)
    two.ours.call("theirs")
    assert two.ours.wait_peer(THEIRS)["path"].endswith("over TCP") and two.ping(3) == 3
    assert "packets 0" in two.nat.run("nft list table ip count").stdout
    for sock in unread + crowd:
        sock.close()
    # Another [peer] at the same address and port: both go over the one connection.
    before = ends(two.node_b)
    two.ours.sections["peer twin"] = {**two.ours.sections["peer theirs"], "local-id": "more.example.org"}
    two.theirs.sections["peer twin"] = {**two.theirs.sections["peer ours"], "id": "more.example.org"}
    for host in (two.ours, two.theirs):
        host.write_config()
        host.process.send_signal(signal.SIGHUP)
        labs.wait_until(lambda: "[peer] reloaded" in host.process.log, 5, "reloaded")
    two.ours.call("twin")
    assert two.ours.wait_peer(TWIN)["path"].endswith("over TCP") and two.ours.peer(THEIRS)["state"] == "up"
    assert len(before) == 1 and ends(two.node_b) == before
    assert two.ping(2) == 2
    two.ours.detec("hangup theirs")
    two.theirs.wait_peer(OURS, "down")
    two.theirs.sections["peer ours"]["transport"] = "udp"
    del two.theirs.sections["peer twin"]
    two.theirs.sections["peer more"] = {**two.theirs.sections["peer ours"], "id": "more.example.org", "transport": "tcp"}
    two.theirs.stop()
    two.theirs.start(login=False)
    refused = two.ours.detec("call theirs --timeout 10", check=False)
    assert refused.returncode == 1, refused.stdout
    assert "refused our key or name" in two.ours.process.log and not two.theirs.peer(OURS)["path"]
