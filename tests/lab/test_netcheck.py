"""`detec netcheck` through every kind of NAT, against the connector's second port and second address.

    a ── NAT under test ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── connector 203.0.113.10, .99
                                                                             ports 4500 and 4501 each
"""
import json
import re
import socket

import pytest

import matrix
import matrix_world
import topologies
from lab import wait_until

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
EITHER = "not port-dependent"
EMULATED = {"ei": EI, "ad": AD, "apd": APD}
SECOND = "203.0.113.99"


def network(lab, nat, second=True, **connector_settings):
    """One host behind that NAT, logged in; the connector with a second address or without."""
    calls = topologies.Calls(lab, nat_a=nat, nat_b="none", connector_settings={
        **({"stun_alternate_address": SECOND} if second else {}), **connector_settings})
    if ":" in connector_settings.get("address", ""):
        calls.a.sections["host"]["connector"] = f"[{connector_settings['address']}]:4500"
    if second:
        calls.connector_node.ip(f"addr add {SECOND}/24 dev eth0")
    return calls.start([calls.a])


def check(calls, options=""):
    return calls.a.ask(f"netcheck {options}", timeout=90)


def kinds(result):
    return result["mapping"], result["filtering"]


# The kernel's own NATs; the last column is what a connector with one address can tell.
KERNEL = [
    ("port-restricted", (EI, APD), "preserved", (EITHER, APD)),
    ("symmetric", (APD, APD), "random", (APD, APD)),
    ("full-cone", (EI, EI), "preserved", (EITHER, EITHER)),
    ("address-restricted", (EI, AD), "preserved", (EITHER, EITHER)),
]


@pytest.mark.parametrize("kind,expected,ports,expected_one", KERNEL, ids=[row[0] for row in KERNEL])
def test_kernel_nats(lab, kind, expected, ports, expected_one):
    calls = network(lab, {"kind": kind})
    result = check(calls)
    assert kinds(result) == expected
    assert result["ports"] == ports
    assert result["is_udp_open"] and result["public"].startswith(f"{calls.nat_a.address}:")
    assert result["alternate"] == {"has_port": True, "has_address": True, "is_open": True}
    assert result["mtu"] == 1500 and 0 < result["rtt_ms"] < 1000 and result["lifetime"] is None
    assert result["hairpin"] is False or kind in ("full-cone", "address-restricted")
    assert result["port_mapping"]["state"] in ("searching", "unavailable")
    calls.connector.stop()
    del calls.connector.sections["connector"]["stun_alternate_address"]
    calls.connector.start()
    result = check(calls)
    assert kinds(result) == expected_one
    assert result["alternate"] == {"has_port": True, "has_address": False, "is_open": True}


def test_emulated_nats(lab):
    """Every mapping with every filtering, with sequential, random and preserved ports, and with hairpin."""
    calls = topologies.Calls(lab, nat_a={"emulated": {}}, nat_b="none", connector_settings={"stun_alternate_address": SECOND})
    calls.connector_node.ip(f"addr add {SECOND}/24 dev eth0")
    hosts = {}
    for n, mapping in enumerate(EMULATED):
        for m, filtering in enumerate(EMULATED):
            ports = ("preserve", "sequential", "random")[(n + m) % 3]
            name, hairpin = f"{mapping}{filtering}", m == 0
            nat = lab.emulated_nat(f"nat{name}", calls.net.west, lan=f"10.1.{3 * n + m}.0/24", mapping=mapping,
                                   filtering=filtering, ports=ports, hairpin=hairpin)
            hosts[mapping, filtering, ports, hairpin] = calls.add_host(name, nat.lan)
    calls.start(list(hosts.values()))
    # All at once: each takes a few seconds of waiting for what must not come.
    runs = {row: host.node.start(calls.a.program.parent.parent / "cli/detec", "netcheck", "--json", "--socket", host.socket_path)
            for row, host in hosts.items()}
    for (mapping, filtering, ports, hairpin), run in runs.items():
        assert run.popen.wait(40) == 0, run.log
        result = json.loads(run.log)
        assert kinds(result) == (EMULATED[mapping], EMULATED[filtering]), run.log
        if ports != "preserve":
            assert result["ports"] == ports, run.log
        elif mapping == "ei":
            assert result["ports"] == "preserved", run.log
        if mapping == "ei":
            assert result["hairpin"] is hairpin, run.log


def test_every_kind_of_the_matrix(lab):
    """All that the matrix puts hosts behind (matrix.py), in one world: as RFC 5780 has it, and UDP blocked where it is."""
    world = matrix_world.Many(lab, matrix.KINDS)
    world.start([host for _, host in world.hosts], login_within=60)
    program = world.a.program.parent.parent / "cli/detec"
    runs = [(kind, host.node.start(program, "netcheck", "--json", "--socket", host.socket_path)) for kind, host in world.hosts]
    seen, expected = {}, {}
    for kind, run in runs:
        assert run.popen.wait(60) == 0, run.log
        result = json.loads(run.log)
        mapping, filtering, ports = expected[kind.name] = matrix.netcheck(kind)
        seen[kind.name] = (result["mapping"], result["filtering"], result["ports"] if ports else None)
        assert result["is_udp_open"] is kind.has_udp, run.log
    assert seen == expected


def test_double_nat_and_narrow_path(lab):
    """Two NATs in a row are as hard as the harder one; no ICMP tells of a narrow link."""
    calls = network(lab, {"kind": "symmetric", "behind": {"emulated": {"filtering": "ei", "lan": "100.64.0.0/24"}}})
    calls.net.node.ip("link set dev east mtu 1280")
    calls.net.node.nft("table inet silent { chain out { type filter hook output priority 0; meta l4proto icmp drop; }\n}")
    result = check(calls)
    assert kinds(result) == (APD, APD)
    assert result["mtu"] == 1280


def test_public_host(lab):
    calls = network(lab, "none")
    result = check(calls)
    assert kinds(result) == ("none", EI)
    assert result["ports"] == "preserved" and result["hairpin"] is None
    assert "Nothing stands in the way" in calls.a.detec("netcheck").stdout
    # The same host behind a firewall of its own.
    calls.node_a.nft("""table inet firewall { chain input { type filter hook input priority 0;
        meta l4proto udp ct state != { established, related } drop; }\n}""")
    assert kinds(check(calls)) == ("none", APD)


@pytest.mark.parametrize("listen,address,second,port", [
    ("203.0.113.10:4500", "203.0.113.10", SECOND, 5000),
    ("[::]:4500", "203.0.113.10", SECOND, 4501),
    ("[::]:4500", "2001:db8:2::a", "2001:db8:2::99", 4501)], ids=["one", "any", "ipv6"])
def test_however_the_connector_listens(lab, listen, address, second, port):
    """One socket for all addresses or one for each; IPv4 through an IPv6 socket; IPv6."""
    calls = network(lab, "none", second=False, listen=listen, address=address, stun_alternate_address=second,
                    stun_alternate_port=port)
    # Now it has the address that it could not find at its start.
    assert "cannot be opened" in calls.connector.process.log
    calls.connector.stop()
    calls.connector_node.ip(f"addr add {second}/{64 if ':' in second else 24} dev eth0{' nodad' if ':' in second else ''}")
    calls.connector.start()
    result = check(calls)
    assert kinds(result) == ("none", EI) and result["mtu"] == 1500
    assert result["alternate"] == {"has_port": True, "has_address": True, "is_open": True}


def test_udp_blocked(lab):
    calls = network(lab, {})
    before = calls.a.status()["nat"]
    assert "mapping" not in before
    calls.nat_a.nft('table inet block { chain out { type filter hook forward priority -10; udp dport 4500-4501 drop; }\n}')
    result = check(calls)
    assert not result["is_udp_open"] and result["public"] is None and kinds(result) == ("unknown", "unknown")
    assert result["took_ms"] < 12000
    assert "mapping" not in calls.a.status()["nat"]


def test_second_port_unreachable(lab):
    """A firewall before the connector's second port is not taken for the NAT's filter; nor is its absence."""
    calls = network(lab, {})
    calls.connector_node.nft("table inet firewall { chain input { type filter hook input priority 0; udp dport 4501 drop; }\n}")
    result = check(calls)
    assert result["is_udp_open"] and not result["alternate"]["is_open"]
    assert result["filtering"] == "unknown"
    calls.connector.stop()
    calls.connector.sections["connector"]["stun_alternate_port"] = "off"
    del calls.connector.sections["connector"]["stun_alternate_address"]
    calls.connector.start()
    result = check(calls)
    assert result["is_udp_open"] and not result["alternate"]["has_port"] and kinds(result) == ("unknown", "unknown")


def test_lifetime(lab):
    calls = network(lab, {"emulated": {"lifetime": 3000}}, second=False)
    result = check(calls, "--lifetime 30s")
    assert result["lifetime"] == {"alive_s": 0.0, "dead_s": 5.0}
    assert re.search(r"lifetime\s+at least 2 s of silence", calls.a.detec("netcheck --lifetime 2s").stdout)


def test_status_remembers(lab):
    calls = network(lab, {})
    assert calls.a.status()["nat"]["class"] == "behind NAT" and "mapping" not in calls.a.status()["nat"]
    check(calls)
    nat = calls.a.status()["nat"]
    assert (nat["class"], nat["mapping"], nat["filtering"]) == ("behind NAT", EI, APD)


def test_one_at_a_time_and_gone_clients(lab):
    """A second run is refused while one is under way; a client that leaves ends its run."""
    calls = network(lab, {})
    first = socket.socket(socket.AF_UNIX)
    first.connect(str(calls.a.socket_path))
    first.sendall(b'{"command": "netcheck", "lifetime_ms": 60000}\n')
    refused = calls.a.detec("netcheck", check=False)
    assert refused.returncode == 1 and "another check is running" in refused.stderr
    first.close()
    wait_until(lambda: calls.a.detec("netcheck", check=False).returncode == 0, 10, "the next one runs")
    calls.a.stop()


def test_connector_helps_no_attacker(lab):
    """Answers go to the asker alone and are no longer than their questions; costly ones are limited by source."""
    calls = network(lab, "none")
    server = (calls.connector_node.address, 4500)
    sock = calls.node_b.socket(timeout=1)
    transaction = bytes(range(12))

    def ask(attributes, at=sock):
        request = b"\x00\x01" + len(attributes).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + transaction + attributes
        at.sendto(request, server)
        try:
            answer, source = at.recvfrom(2000)
        except TimeoutError:
            return None, None
        return answer, source

    padding = b"\x00\x26" + (120).to_bytes(2, "big") + bytes(120)
    change = b"\x00\x03\x00\x04\x00\x00\x00\x06"
    plain, _ = ask(b"")
    assert len(plain) == 32
    answer, source = ask(padding)
    assert len(answer) <= 144 and source == server
    assert b"\x80\x2c\x00\x08\x00\x01" + (4501).to_bytes(2, "big") + bytes([203, 0, 113, 99]) in answer
    # Another address and port, but no more bytes than asked with.
    answer, source = ask(change)
    assert answer is None
    answer, source = ask(change + padding)
    assert source == (SECOND, 4501) and len(answer) <= 152
    # No RESPONSE-PORT without a ticket: error 420, to the asker.
    victim = calls.node_b.socket(timeout=0.3)
    answer, source = ask(b"\x00\x27\x00\x04" + victim.getsockname()[1].to_bytes(2, "big") + b"\x00\x00")
    assert answer[:2] == b"\x01\x11" and source == server
    with pytest.raises(TimeoutError):
        victim.recv(100)
    # A flood of costly questions from one address.
    flood = calls.node_b.socket(timeout=0.3)
    request = b"\x00\x01" + len(change + padding).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + transaction + change + padding
    for _ in range(1000):
        flood.sendto(request, server)
    count = 0
    with pytest.raises(TimeoutError):
        while True:
            flood.recv(2000)
            count += 1
    assert 100 < count < 260
