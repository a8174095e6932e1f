"""Super-packets between kernel and daemon, in every combination of the switches: what arrives is what was sent.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
"""
import hashlib
import os
import socket

import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
UDP_SEGMENT = 103


def start(lab, a, b, **options):
    calls = topologies.Calls(lab, a=a, b=b, **options).start()
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    return calls, calls.a.wait_peer(NAME_B)["address"], calls.b.wait_peer(NAME_A)["address"]


def switches(tun, udp):
    return {"tun-offload": tun, "udp-offload": udp}


@pytest.mark.parametrize("a, b", [
    (switches("yes", "yes"), switches("yes", "yes")),
    (switches("yes", "no"), switches("no", "yes")),
    (switches("no", "yes"), switches("yes", "no")),
    (switches("no", "no"), switches("yes", "yes")),
], ids=["all", "crossed", "crossed-the-other-way", "none-to-all"])
def test_bulk_both_ways(lab, a, b):
    """Files over TCP, both ways at once, through a link that loses and reorders: every byte is right, no packet is malformed."""
    calls, to_b, to_a = start(lab, a, b, quality={"delay": 2, "loss": 0.002, "reorder": 0.01, "reorder-by": 3})
    content = {node.name: os.urandom(3 << 20) for node in (calls.node_a, calls.node_b)}
    for node in (calls.node_a, calls.node_b):
        programs.WebServer(node, {"file": content[node.name]})
    got = [calls.node_a.start("curl", "-sS", "--max-time", "60", "-o", calls.a.dir / "got", f"http://{to_b}/file"),
           calls.node_b.start("curl", "-sS", "--max-time", "60", "-o", calls.b.dir / "got", f"http://{to_a}/file")]
    for process in got:
        labs.wait_until(lambda: not process.is_running, 60, "the transfer ends")
    for host, sender in ((calls.a, calls.node_b), (calls.b, calls.node_a)):
        assert hashlib.sha256((host.dir / "got").read_bytes()).digest() == hashlib.sha256(content[sender.name]).digest()
        assert not host.status()["drops"].get("malformed"), host.status()["drops"]


def test_datagrams_leave_in_their_mtu(lab):
    """An application's super-datagram and a TCP stream: outside, no packet is longer than the link's MTU, and all are ours."""
    calls, to_b, _ = start(lab, {}, {})
    seen = capture.Capture(calls.net.node, "west", f"udp port 32589 and host {calls.nat_b.address}")
    receiver = calls.node_b.socket(bind=("0.0.0.0", 7000), timeout=5)
    sender = calls.node_a.socket(timeout=5)
    sender.connect((to_b, 7000))
    data = os.urandom(1200 * 20 + 17)
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
    sender.send(data)
    received = [receiver.recv(2000) for _ in range(21)]
    assert b"".join(received) == data and [len(r) for r in received] == [1200] * 20 + [17]
    calls.node_a.run(["ping", "-c1", to_b])
    packets = [p for p in seen.stop() if p.payload is not None and len(p.payload) > 1200]
    assert len(packets) >= 20 and max(len(p.data) for p in packets) <= 1500


def test_small_packets_do_not_wait(lab):
    """Nothing waits for company: a lone packet's way there and back takes no longer than with the offloads off, but for noise."""
    best = {}
    for value in ("no", "yes"):
        with labs.Lab() as one:
            calls, to_b, _ = start(one, switches(value, value), switches(value, value), quality=None)
            text = calls.node_a.run(["ping", "-c30", "-i0.02", "-q", to_b]).stdout
            best[value] = float(text.split("= ")[1].split("/")[0])
    assert best["yes"] < best["no"] + 1.0, best
