"""Pairs where a NAT gives every destination another port: direct where that can be, relayed where not, as theory says.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                       connector (two addresses), resolver
"""
import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
DELAY = {"delay": 5}


def nat(mapping, filtering="apd", **options):
    return {"emulated": {"mapping": mapping, "filtering": filtering, **options}}


SECOND = "203.0.113.99"  # the connector's second address: mapping by address alone shows only there
QUICK = {"attempt_timeout": "1s"}

# What stands before a host: mapping, filtering, ports.
KINDS = {
    "easy": nat("ei"), "easy-address": nat("ei", "ad"), "preserving": nat("apd", ports="preserve"),
    "sequential": nat("apd", ports="sequential"), "sequential-by-address": nat("ad", ports="sequential"),
    "random": nat("apd", ports="random"), "random-by-address": nat("ad", ports="random"),
    "kernel-easy": {}, "kernel-random": {"kind": "symmetric"},
}


def theory(a, b):
    """How two sides can meet; None: not at all.

    An endpoint that all see is known. A port that comes next in order can be predicted. A random one is found by chance if
    many sockets and many probes may be spent on it, and the other side's endpoint is known: two unknown ports at once cannot be.
    """
    def port(kind):
        mapping, order = ("ei", None) if "easy" in kind else ("apd", "random" if "random" in kind else "in order")
        return "known" if mapping == "ei" else order
    ports = {port(a), port(b)}
    if ports == {"known"}:
        return "plain"
    if ports == {"known", "random"} and ("easy-address" in (a, b)):
        return "plain"  # the easy side's filter does not ask for the port
    if ports == {"known", "random"}:
        return "birthday"
    return "predicted" if "random" not in ports else None


PAIRS = [
    ("easy", "sequential"), ("sequential", "easy"), ("kernel-easy", "sequential-by-address"), ("easy", "preserving"),
    ("sequential", "sequential"), ("sequential-by-address", "sequential"), ("sequential-by-address", "sequential-by-address"),
    ("easy", "random"), ("random", "easy"), ("kernel-easy", "random-by-address"), ("kernel-random", "kernel-easy"),
    ("random", "easy-address"), ("random", "sequential"), ("random", "random"),
]


def hosts(lab, behind_a, behind_b, **options):
    calls = topologies.Calls(lab, KINDS.get(behind_a, behind_a) if isinstance(behind_a, str) else behind_a,
                             KINDS.get(behind_b, behind_b) if isinstance(behind_b, str) else behind_b,
                             connector_settings={"stun_alternate_address": SECOND}, **options)
    calls.connector_node.ip(f"addr add {SECOND}/24 dev eth0")
    return calls.start()


def learnt(host):
    return labs.wait_until(lambda: "NAT: mapping" in host.process.log, 10, lambda: f"what its NAT is like\n{host.process.log}")


def path(host, name):
    return (host.peer(name) or {}).get("path", "")


def wait_direct(calls, within=25):
    for host, name in ((calls.a, NAME_B), (calls.b, NAME_A)):
        labs.wait_until(lambda: path(host, name).startswith("direct"), within,
                        lambda: f"a direct path: {host.peer(name)}\n{host.process.log}")


@pytest.mark.parametrize("a, b", PAIRS, ids=["-and-".join(pair) for pair in PAIRS])
def test_pair(lab, a, b):
    expected = theory(a, b)
    settings = {"log": "debug", **({} if expected else QUICK)}
    calls = hosts(lab, a, b, a=settings, b=settings)
    for host in (calls.a, calls.b):
        learnt(host)
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    if expected is None:
        assert path(calls.a, NAME_B).startswith("relay") and path(calls.b, NAME_A).startswith("relay")
        return
    wait_direct(calls)
    calls.node_b.run(["ping", "-c2", "-i0.2", "-W5", NAME_A])
    calls.node_a.run(["ping", "-c2", "-i0.2", "-W5", NAME_B])


def test_a_tunnel_lives_on_the_socket_that_met(lab):
    """Bulk both ways, rekeying, and the tunnel's end: over one of the fan's sockets; all others are closed by then."""
    settings = {"rekey": "5s"}
    calls = hosts(lab, "random", "easy", a=settings, b=settings)
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    wait_direct(calls)

    def sockets():
        return [line.split()[3].rsplit(":", 1)[1] for line in calls.node_a.run("ss -Hnau").stdout.splitlines()
                if int(line.split()[3].rsplit(":", 1)[1]) > 1024]
    labs.wait_until(lambda: len(sockets()) <= 8, 5, lambda: f"the others are closed: {sockets()}")
    wire = capture.Capture(calls.node_a, "eth0", "udp")
    server = calls.node_b.start("iperf3", "-s", "-1", "--forceflush")
    server.wait_log("listening")
    report = calls.node_a.run(f"iperf3 -c {NAME_B} -t 6 --bidir -b 3M", timeout=60).stdout
    assert "iperf Done" in report
    assert path(calls.a, NAME_B).startswith("direct") and path(calls.b, NAME_A).startswith("direct")
    bulk = [p for p in wire.stop() if p.protocol == 17 and len(p.payload) > 500]
    ports = {p.source_port if p.source == calls.node_a.address else p.destination_port for p in bulk}
    assert len(bulk) > 1000 and len(ports) == 1 and ports.isdisjoint({32589}) and ports <= {int(s) for s in sockets()}
    calls.a.detec(["hangup", NAME_B])
    calls.b.wait_peer(NAME_A, "down")


def test_birthday_switched_off(lab):
    """Then such a pair is relayed, and no port is swept."""
    calls = hosts(lab, "random", "easy", b={"birthday": "no", **QUICK}, a=QUICK)
    wire = capture.Capture(calls.node_b)
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    assert path(calls.a, NAME_B).startswith("relay")
    targets = {p.destination_port for p in wire.stop() if p.protocol == 17 and p.destination == calls.nat_a.address}
    assert len(targets) <= 4


def test_ports_in_order_with_other_hosts_in_between(lab):
    """Fifty other connections a second behind both NATs, and steps of two."""
    busy = nat("apd", ports="sequential", step=2, traffic=50)
    calls = hosts(lab, busy, busy, quality={"delay": 5})
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    wait_direct(calls)
    calls.node_b.run(["ping", "-c2", "-i0.2", "-W5", NAME_A])


def test_bursts_go_only_where_the_connector_sees_the_host(lab):
    """A NAT with an address pool: datagrams leave from any of three addresses, of which the connector's TCP knows one."""
    pool = nat("apd", ports="random", publics=["198.51.100.90", "198.51.100.91"], pooling="arbitrary")
    calls = hosts(lab, pool, "easy", a=QUICK, b=QUICK)
    observed = {line.split()[4].rsplit(":", 1)[0].strip("[]").removeprefix("::ffff:") for line in
                calls.connector_node.run("ss -Htn state established sport = :4500").stdout.splitlines() for line in ["x " + line]}
    wire = capture.Capture(calls.node_b)
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.b.wait_peer(NAME_A)
    pooled = {calls.nat_a.address, "198.51.100.90", "198.51.100.91"}
    assert len(observed & pooled) == 1
    others = {(p.destination, p.destination_port) for p in wire.stop() if p.protocol == 17 and p.destination in pooled - observed}
    assert len(others) <= 4
