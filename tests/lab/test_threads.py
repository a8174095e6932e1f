"""Several data path threads at both ends: flows use them side by side, and each arrives whole and in order.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b

Says most of a build with -Db_sanitize=thread (docs/testing.md).
"""
import hashlib
import os
import pathlib
import re
import socket
import struct

import pytest

import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
UDP_SEGMENT = 103
RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE
FLOWS, ROUNDS, BURST, LENGTH = 8, 15, 20, 1000


def threads_that_worked(host):
    """How many of the daemon's threads but the first have used the processor since they began."""
    tasks = pathlib.Path(f"/proc/{host.process.pid}/task")
    used = {task.name: int(re.sub(r".*\) ", "", (task / "schedstat").read_text()).split()[2]) for task in tasks.iterdir()}
    return sum(slices > 20 for task, slices in used.items() if task != str(host.process.pid))


def flows_in_order(sender, receiver, address):
    """Numbered datagrams of several flows, in bursts; every burst has arrived before the next one leaves."""
    into = receiver.socket(bind=("0.0.0.0", 7000), timeout=20)
    into.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER, 8 << 20)
    flows = [sender.socket() for _ in range(FLOWS)]
    for flow in flows:
        flow.connect((address, 7000))
        flow.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, LENGTH)
    expected = {}
    for turn in range(ROUNDS):
        for number, flow in enumerate(flows):
            flow.send(b"".join(struct.pack("!II", number, turn * BURST + i).ljust(LENGTH, b".") for i in range(BURST)))
        for _ in range(FLOWS * BURST):
            number, place = struct.unpack("!II", into.recv(LENGTH)[:8])
            assert place == expected.get(number, 0), f"flow {number}: {place} instead of {expected.get(number, 0)}"
            expected[number] = place + 1
    assert expected == {number: ROUNDS * BURST for number in range(FLOWS)}


def test_flows_stay_whole_and_in_order(lab):
    """UDP flows both ways keep their order; files over TCP, both ways at once, are right; a command finds its answer; no packet is
    taken twice, lost by us or malformed."""
    options = {"threads": "2", "relay": "no"}
    calls = topologies.Calls(lab, a=options, b=options).start()
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    to_b, to_a = calls.a.wait_direct(NAME_B)["address"], calls.b.wait_direct(NAME_A)["address"]
    assert "numqueues 2" in calls.node_a.run(["ip", "-d", "link", "show", "detec0"]).stdout
    assert len(calls.node_a.run(["ss", "-Hlun", "sport = :32589"]).stdout.splitlines()) == 2
    flows_in_order(calls.node_a, calls.node_b, to_b)
    flows_in_order(calls.node_b, calls.node_a, to_a)
    content = {node.name: os.urandom(4 << 20) for node in (calls.node_a, calls.node_b)}
    for node in (calls.node_a, calls.node_b):
        programs.WebServer(node, {"file": content[node.name]})
    got = []
    for i in range(3):
        got.append((calls.node_a.start("curl", "-sS", "--max-time", "60", "-o", calls.a.dir / f"got{i}", f"http://{to_b}/file"), calls.a, calls.node_b))
        got.append((calls.node_b.start("curl", "-sS", "--max-time", "60", "-o", calls.b.dir / f"got{i}", f"http://{to_a}/file"), calls.b, calls.node_a))
    for process, _, _ in got:
        labs.wait_until(lambda: not process.is_running, 60, "the transfer ends")
    for i in range(3):
        for host, sender in ((calls.a, calls.node_b), (calls.b, calls.node_a)):
            assert hashlib.sha256((host.dir / f"got{i}").read_bytes()).digest() == hashlib.sha256(content[sender.name]).digest()
    calls.a.detec(["ping", NAME_B, "--count", "1"])
    for host in (calls.a, calls.b):
        drops = host.status()["drops"]
        assert not {"malformed", "replay", "crypto"} & set(drops), drops
        assert drops.get("not-authentic", 0) < 10, drops  # late checks of the path, which a tunnel looks at first
        assert threads_that_worked(host) >= 2
        assert "ThreadSanitizer" not in host.process.log


@pytest.mark.alone
def test_small_packets_beside_bulk(lab):
    """A third host's echo requests through a tunnel of its own, while another tunnel of the same daemon carries all it can both ways:
    each is answered, and none waits behind the bulk for longer than it takes to work off a few batches."""
    calls = topologies.Calls(lab, a={"relay": "no"}, b={"relay": "no"})
    c = calls.add_host("c", calls.net.west, relay="no")
    calls.start(hosts=(calls.a, calls.b, c))
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B]), c.node.run(["ping", "-c1", "-W10", NAME_B])
    to_b = calls.a.wait_direct(NAME_B)["address"]
    c.wait_direct(NAME_B)
    iperf = programs.Iperf(calls.node_b)
    bulk = calls.node_a.start("iperf3", "-c", to_b, "-p", iperf.port, "-t", "20", "-P", "4", "--bidir")
    before = calls.b.peer(NAME_A)["packets_in"]
    labs.wait_until(lambda: calls.b.peer(NAME_A)["packets_in"] > before + 20000, 15, "bulk flows")
    text = c.node.run(["ping", "-c60", "-i0.05", "-W2", NAME_B], timeout=30).stdout
    assert bulk.is_running, bulk.log
    bulk.stop()
    times = sorted(float(t) for t in re.findall(r"time=([\d.]+)", text))
    assert len(times) >= 59 and times[len(times) // 2] < 200, text
