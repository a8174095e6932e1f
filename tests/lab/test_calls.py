"""Calls: whatever stands between two hosts, the first packet to a name opens a tunnel, or the application is told why not.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                                connector, resolver

Each test says what stands in the places of nata and natb.
"""
import errno
import json
import socket
import time

import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
QUICK = {"attempt_timeout": "400ms"}
UNREACHABLE = "Destination Host Unreachable"


def first_ping(host, name):
    """One echo request to a name nobody has asked for yet: it must be answered, whatever the call takes."""
    done = host.node.run(["ping", "-c1", "-W10", name], check=False)
    assert done.returncode == 0, f"the first ping was not answered:\n{done.stdout}{done.stderr}\n{host.process.log}"
    return done.stdout


def hang_up(host, other):
    host.detec(["hangup", other.name])
    host.wait_peer(other.name, "down")
    other.wait_peer(host.name, "down")


def both_directions(calls):
    """Calls from a to b, and once that is over from b to a; the reports of a's and b's ends of each."""
    reports = []
    for caller, called in ((calls.a, calls.b), (calls.b, calls.a)):
        first_ping(caller, called.name)
        there, here = caller.wait_direct(called.name), called.wait_direct(caller.name)
        assert (there["direction"], here["direction"]) == ("out", "in")
        reports.append((there, here) if caller is calls.a else (here, there))
        hang_up(caller, called)
    return reports


KERNEL = {kind: {"kind": kind} for kind in ("port-restricted", "full-cone", "address-restricted")}
EMULATED = {filtering: {"emulated": {"filtering": filtering}} for filtering in ("ei", "ad", "apd")}


@pytest.mark.parametrize("nat_a, nat_b", [
    pytest.param("none", "none", id="public-public"),
    pytest.param("none", KERNEL["port-restricted"], id="public-nat"),
    pytest.param(KERNEL["port-restricted"], KERNEL["port-restricted"], id="address-and-port"),
    pytest.param(KERNEL["address-restricted"], KERNEL["port-restricted"], id="address"),
    pytest.param(KERNEL["full-cone"], KERNEL["full-cone"], id="endpoint-independent"),
    pytest.param({"unsolicited": "reject"}, {"unsolicited": "reject"}, id="rejecting"),
    pytest.param({"unsolicited": "accept"}, {"unsolicited": "accept"}, id="no-filter"),
    pytest.param({"kind": "symmetric"}, KERNEL["full-cone"], id="symmetric-and-endpoint-independent"),
    pytest.param({"kind": "symmetric"}, "none", id="symmetric-and-public"),
    pytest.param(EMULATED["apd"], EMULATED["apd"], id="emulated-address-and-port"),
    pytest.param(EMULATED["ad"], EMULATED["ad"], id="emulated-address"),
    pytest.param(EMULATED["ei"], EMULATED["apd"], id="emulated-endpoint-independent"),
    pytest.param({"emulated": {"ports": "random"}}, {"emulated": {"ports": "random"}}, id="emulated-other-ports"),
    pytest.param({"behind": {}}, {}, id="double-nat-one-side"),
    pytest.param({"behind": {}}, {"behind": {}}, id="double-nat-both-sides"),
])
def test_whatever_is_between(lab, nat_a, nat_b):
    calls = topologies.Calls(lab, nat_a, nat_b).start()
    for at_a, at_b in both_directions(calls):
        assert at_a["path"].startswith("direct ") and at_b["path"].startswith("direct ")
        for side, report in (("a", at_b), ("b", at_a)):
            assert report["endpoint"].rsplit(":", 1)[0].strip("[]") in outermost_addresses(calls, side)


def outermost_addresses(calls, side):
    """Where the other host must see this one: at its outermost NAT, or, where there is none, at its own addresses."""
    outer = next((node for node in calls.lab.nodes if node.name == f"nat{side}out"), None)
    node = calls.node_a if side == "a" else calls.node_b
    is_public = (calls.nat_a if side == "a" else calls.nat_b) is None
    return [node.address, node.address6] if is_public else [outer.address if outer else calls.public_address(side)]


@pytest.mark.parametrize("unsolicited", ["drop", "accept"])
def test_nats_that_are_neighbours(lab, unsolicited):
    """
    a ── nata ──┬── west ── net ── east ── connector, resolver
    b ── natb ──┘
    """
    calls = topologies.Calls(lab, {"unsolicited": unsolicited}, {"unsolicited": unsolicited}, neighbours=True).start()
    for at_a, at_b in both_directions(calls):
        assert at_a["endpoint"] == f"{calls.nat_b.address}:32589"
        assert at_b["endpoint"] == f"{calls.nat_a.address}:32589"


def test_one_lan(lab):
    """
    a ──┐
        ├── LAN ── nata ── west ── net ── east ── connector, resolver
    b ──┘
    The path is the LAN; of what passes between the two, nothing but fruitless checks may reach the NAT's other side.
    """
    calls = topologies.Calls(lab, nat_b="shared").start()
    outside = capture.Capture(calls.nat_a, "wan", f"udp and not host {calls.connector_node.address} and not port 53")
    for at_a, at_b in both_directions(calls):
        assert at_a["endpoint"] == f"{calls.node_b.address}:32589"
        assert at_b["endpoint"] == f"{calls.node_a.address}:32589"
    assert all(p.payload[4:8] == b"\x21\x12\xa4\x42" or len(p.payload) <= 1 for p in outside.stop())


def test_the_same_private_address(lab):
    """
    a 10.0.1.10 ── nata ── west ── net ── east ── natb ── b 10.0.1.10
    """
    calls = topologies.Calls(lab, {"lan": "10.0.1.0/24"}, {"lan": "10.0.1.0/24"})
    assert calls.node_a.address == calls.node_b.address
    calls.start()
    for at_a, at_b in both_directions(calls):
        assert at_a["endpoint"] == f"{calls.nat_b.address}:32589"
        assert at_b["endpoint"] == f"{calls.nat_a.address}:32589"


def test_a_stranger_at_the_peers_private_address(lab):
    """
    a 10.0.1.10 ──┐
                  ├── nata ── west ── net ── east ── natb ── b 10.0.1.11
    c 10.0.1.11 ──┘   (runs Detec too, and listens on the same port)
    """
    calls = topologies.Calls(lab, {"lan": "10.0.1.0/24"}, {"lan": "10.0.1.0/24"})
    c = calls.add_host("c", calls.nat_a.lan)
    calls.node_b.ip("addr del 10.0.1.10/24 dev eth0", "addr add 10.0.1.11/24 dev eth0", "route replace default via 10.0.1.1")
    assert c.node.address == "10.0.1.11"
    calls.start([calls.a, calls.b, c])
    for at_a, _ in both_directions(calls):
        assert at_a["endpoint"] == f"{calls.nat_b.address}:32589"
    assert c.peers() == []


def test_several_hosts_behind_one_nat(lab):
    """
    a ──┐
    c ──┼── nata ── west ── net ── east ── natb ── b        all three call b at once
    d ──┘
    """
    calls = topologies.Calls(lab)
    callers = [calls.a, calls.add_host("c", calls.nat_a.lan), calls.add_host("d", calls.nat_a.lan)]
    calls.start([calls.b, *callers])
    pings = [host.node.start("ping", "-c3", "-i0.2", "-W10", NAME_B) for host in callers]
    for ping in pings:
        labs.wait_until(lambda: not ping.is_running, 20, "the pings end")
        assert "3 packets transmitted, 3 received" in ping.log, ping.log
    for host in callers:
        host.wait_direct(NAME_B), calls.b.wait_direct(host.name)
    peers = {peer["name"]: peer for peer in calls.b.peers()}
    assert set(peers) == {host.name for host in callers}
    assert {peer["state"] for peer in peers.values()} == {"up"}
    assert len({peer["endpoint"] for peer in peers.values()}) == len({peer["address"] for peer in peers.values()}) == 3
    for host in callers:  # and back, to each its own
        assert first_ping(calls.b, host.name).count("1 received") == 1
        assert host.wait_peer(NAME_B)["packets_in"] == 4


# ---- calls that cannot succeed ----

BLOCK_UDP = """table ip block { chain forward { type filter hook forward priority -10
    udp dport 53 accept
    udp sport 53 accept
    meta l4proto udp drop
}; }"""


def failed_call(host, name, timeout=30):
    """The end of a `detec call` that must fail."""
    end = host.call(name, timeout, check=False)[-1]
    assert end["up"] is False
    return end


def refused_connect(node, address, timeout=10):
    """How a connect() to the address ends, and after how many seconds."""
    sock = node.socket(socket.SOCK_STREAM, bind=None, timeout=timeout)
    begun = time.monotonic()
    with sock, pytest.raises(OSError) as caught:
        sock.connect((address, 22))
    return caught.value.errno, time.monotonic() - begun


def test_blocked_udp(lab):
    calls = topologies.Calls(lab, a={**QUICK, "relay": "no"}, b=QUICK)
    calls.nat_a.nft(BLOCK_UDP)
    calls.start()
    end = failed_call(calls.a, NAME_B)
    assert end["step"] == "punch" and "firewall blocks UDP" in end["hint"]
    assert 1100 < end["total_ms"] < 8000  # three attempts of 400 ms
    assert "after 3 attempts" in calls.a.process.log
    labs.wait_until(lambda: calls.a.peers() == [], 10, "the peer is forgotten")
    ping = calls.node_a.start("ping", "-c1", "-W10", NAME_B)
    address = programs.dig(calls.node_a, NAME_B)[1][0][1]
    error, seconds = refused_connect(calls.node_a, address)
    assert error == errno.EHOSTUNREACH and seconds < 8
    labs.wait_until(lambda: not ping.is_running, 10, "ping ends")
    assert UNREACHABLE in ping.log


def test_symmetric_on_both_sides(lab):
    calls = topologies.Calls(lab, {"kind": "symmetric"}, {"kind": "symmetric"}, a={**QUICK, "relay": "no"}, b=QUICK).start()
    end = failed_call(calls.a, NAME_B)
    assert end["step"] == "punch" and "both NATs give every destination another port" in end["hint"]
    assert "no check" in end["error"] or "answer" in end["error"] or "path" in end["error"]


def test_absent_host(lab):
    """b was there, an application holds its address, b goes: by name and by address one hears so, not silence."""
    calls = topologies.Calls(lab, a=QUICK, resolver={"cache": 0}).start()
    first_ping(calls.a, NAME_B)
    address = calls.a.peer(NAME_B)["address"]
    calls.b.stop()
    calls.a.wait_peer(NAME_B, "down")
    end = failed_call(calls.a, NAME_B)
    assert end["step"] == "name" and "no such name" in end["error"]
    labs.wait_until(lambda: calls.a.peers() == [], 10, "the peer is forgotten")
    error, seconds = refused_connect(calls.node_a, address)
    assert error == errno.EHOSTUNREACH and seconds < 8
    # Called back to life, it is reached at the same address.
    calls.b.start()
    labs.wait_until(lambda: calls.a.peers() == [], 10, "the peer is forgotten")
    calls.node_a.run(["ping", "-c1", "-W10", address])
    assert calls.a.peer(NAME_B)["address"] == address


def test_silent_host(lab):
    """b is logged in, but hangs."""
    calls = topologies.Calls(lab, a=QUICK).start()
    calls.b.freeze()
    end = failed_call(calls.a, NAME_B)
    assert end["step"] == "candidates" and "does not answer" in end["error"]
    assert 1100 < end["total_ms"] < 8000
    calls.b.thaw()


def test_connector_that_is_gone(lab):
    calls = topologies.Calls(lab, a=QUICK).start()
    first_ping(calls.a, NAME_B)
    address = calls.a.peer(NAME_B)["address"]
    hang_up(calls.a, calls.b)
    calls.connector.kill()
    calls.b.kill()  # else they meet again where they were
    labs.wait_until(lambda: calls.a.login_state() != "logged-in", 10, "a sees that the connector is gone")
    labs.wait_until(lambda: calls.a.peers() == [], 10, "the peer is forgotten")
    error, seconds = refused_connect(calls.node_a, address)
    assert error == errno.EHOSTUNREACH and seconds < 8
    calls.connector.start()
    calls.b.start(login=False)
    calls.a.wait_login(30)
    calls.b.wait_login(30)
    labs.wait_until(lambda: calls.a.peers() == [], 10, "the peer is forgotten")
    calls.node_a.run(["ping", "-c1", "-W10", address])


# ---- the life of a tunnel ----

def test_idle_close_and_reopening(lab):
    """No packet for `idle`: the tunnel closes at both ends; the next packet opens it again, and is answered."""
    calls = topologies.Calls(lab, a={"idle": "1s"}).start()
    for _ in range(2):
        first_ping(calls.a, NAME_B)
        calls.a.wait_peer(NAME_B, "down")
        calls.b.wait_peer(NAME_A, "down")
    assert calls.a.process.log.count("tunnel down: idle") == 2


def test_a_call_while_the_tunnel_closes(lab):
    """Hung up and called in one breath: what comes while the old tunnel is closing gets a new one, not that."""
    calls = topologies.Calls(lab)
    calls.start()
    first_ping(calls.a, NAME_B)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(calls.a.socket_path))
        sock.sendall(b"".join(json.dumps({"command": c, "name": NAME_B}).encode() + b"\n" for c in ("hangup", "call")))
        with sock.makefile() as lines:
            assert json.loads(lines.readline()) == {"done": True}
            answers = [json.loads(lines.readline())]
            while not answers[-1].get("done"):
                answers.append(json.loads(lines.readline()))
    assert answers[-1]["up"] and [a["step"] for a in answers[:-1]][-1] == "keys", answers
    assert calls.a.process.log.count("tunnel up") == 2
    first_ping(calls.a, NAME_B)


def test_keepalives_hold_the_nats_open(lab):
    """Both NATs forget what they have not heard of for 3 s; the tunnel stays open without a packet of the hosts' own."""
    nat = {"udp_timeout": 3}
    calls = topologies.Calls(lab, nat, nat, a={"keepalive": "1s"}, b={"keepalive": "1s"}).start()
    first_ping(calls.a, NAME_B)
    at = {side: capture.Capture(node, "wan", "udp and not port 53") for side, node in (("a", calls.nat_a), ("b", calls.nat_b))}

    def keepalives(side):
        me, other = calls.public_address(side), calls.public_address("b" if side == "a" else "a")
        return [p for p in at[side].packets() if p.source == me and p.destination == other and p.payload == b"\xff"]
    labs.wait_until(lambda: len(keepalives("a")) >= 4 and len(keepalives("b")) >= 4, 15, "four keepalives of each side")
    age = calls.b.wait_peer(NAME_A)["age_s"]
    assert age > 3 and calls.b.peer(NAME_A)["packets_in"] == 1
    done = calls.node_b.run(["ping", "-c1", "-W2", NAME_A])
    assert float(done.stdout.split("time=")[1].split()[0]) < 500
    assert calls.b.peer(NAME_A)["age_s"] >= age and calls.b.peer(NAME_A)["packets_in"] == 2


def test_a_fifth_of_all_packets_lost(lab):
    """The way between the two hosts loses a fifth of the packets in each direction; calls succeed all the same."""
    calls = topologies.Calls(lab, {"emulated": {}}, {}).start()
    calls.nat_a.box.command("set wan,loss=0.2")
    calls.nat_a.box.command("set lan,loss=0.2")
    for _ in range(2):
        end = calls.a.call(NAME_B, timeout=30)[-1]
        assert end["up"] is True
        hang_up(calls.a, calls.b)
