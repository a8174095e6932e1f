"""IPv6 outside: hosts of either family or both, firewalls without NAT, translators between the families.

    a ── LAN ── ra ── west ── net ── east ── rb ── LAN ── b
                                      │
                            connector, resolver                  (topologies_ipv6.py)
"""
import ipaddress
import socket
import time

import pytest

import capture
import dns_server
import lab as labs
import programs
from topologies import PLAIN_NAME
from topologies_ipv6 import Dns64, Families

ONLY_IPV6, ONLY_IPV4, BOTH = {"ipv4": False}, {"ipv6": False}, {}
WELL_KNOWN = "64:ff9b::/96"


def first_ping(host, name):
    done = host.node.run(["ping", "-c1", "-W10", name], check=False)
    assert done.returncode == 0, f"the first ping was not answered:\n{done.stdout}{done.stderr}\n{host.process.log}"


def wait_direct(host, other, timeout=5):
    """A call begins over the relay; the report of the tunnel once it goes directly."""
    def is_direct():
        peer = host.peer(other.name)
        return peer and peer["state"] == "up" and peer["path"].startswith("direct ") and peer
    return labs.wait_until(is_direct, timeout, lambda: f"{host.node.name} reaches {other.name} directly\n{host.process.log}")


def call_both_ways(world):
    """A call from a to b, and after its end one from b to a: the endpoints that each side used for the other."""
    endpoints = []
    for caller, called in ((world.a, world.b), (world.b, world.a)):
        first_ping(caller, called.name)
        reports = {caller: wait_direct(caller, called), called: wait_direct(called, caller)}
        endpoints.append((reports[world.a], reports[world.b]))
        caller.detec(["hangup", called.name])
        caller.wait_peer(called.name, "down")
        called.wait_peer(caller.name, "down")
    return endpoints


def address_of(report):
    return report["endpoint"].rsplit(":", 1)[0].strip("[]")


def own_ipv4(node):
    """All IPv4 addresses of a node that lead out of it."""
    text = node.run(["ip", "-4", "-o", "addr"]).stdout
    return [line.split()[3] for line in text.splitlines() if line.split()[1] not in ("lo", "detec0")]


@pytest.mark.parametrize("a, b, connector", [
    pytest.param(ONLY_IPV6, ONLY_IPV6, "ipv6", id="ipv6-ipv6"),
    pytest.param(ONLY_IPV6, BOTH, "both", id="ipv6-both"),
    pytest.param({**ONLY_IPV6, "firewall": True}, {**ONLY_IPV6, "firewall": True}, "both", id="firewalls"),
    pytest.param({**BOTH, "firewall": True}, ONLY_IPV6, "both", id="one-firewall"),
    pytest.param(BOTH, BOTH, "ipv4", id="both-both"),
])
def test_direct_over_ipv6(lab, a, b, connector):
    world = Families(lab, a, b, connector).start()
    if a.get("ipv4") is False:
        assert own_ipv4(world.a.node) == []
    for at_a, at_b in call_both_ways(world):
        assert at_a["path"].startswith("direct ") and at_b["path"].startswith("direct ")
        assert address_of(at_a) == world.b.node.address6
        assert address_of(at_b) == world.a.node.address6


def ipv4_behind(prefix, address):
    """RFC 6052's address for an IPv4 one."""
    from nat64 import embed
    return str(ipaddress.ip_address(embed(ipaddress.ip_network(prefix), ipaddress.ip_address(address).packed)))


def behind_dns64(lab, prefix=WELL_KNOWN, connector="ipv4", b=ONLY_IPV4):
    """a in a network without IPv4, with a translator and a resolver that makes up AAAA records for it."""
    world = Families(lab, {**ONLY_IPV6, "nat64": prefix}, b, connector,
                     resolver_options=["--host-record=ipv4only.arpa,192.0.0.170", "--host-record=ipv4only.arpa,192.0.0.171"])
    world.dns64 = Dns64(lab.host("dns64", world.net.east), prefix, world.resolver_node.address)
    world.a.node.use_resolver(world.dns64.addresses[1], options="timeout:3")
    return world


@pytest.mark.parametrize("prefix", [WELL_KNOWN, "2001:db8:64:ff00::/56"])
def test_ipv4_only_through_a_translator(lab, prefix):
    """
    a (IPv6 alone) ── ra (NAT64) ── west ── net ── east ── rb (NAT) ── b (IPv4 alone);  the connector has IPv4 alone
    """
    world = behind_dns64(lab, prefix).start()
    assert own_ipv4(world.a.node) == []
    for at_a, at_b in call_both_ways(world):
        assert at_a["path"].startswith("direct ") and at_b["path"].startswith("direct ")
        assert address_of(at_a) == ipv4_behind(prefix, world.rb.node.address)
        assert address_of(at_b) == world.ra.node.address


def test_dns64_makes_nothing_of_detec_names(lab):
    """What a DNS64 server makes of 0.0.0.1 reaches no application, and nothing goes there; other names it may complete."""
    world = behind_dns64(lab).start()
    server = world.dns64.addresses[1]
    made_up = ipv4_behind(WELL_KNOWN, "0.0.0.1")
    assert programs.dig(world.resolver_node, world.b.name, "AAAA", server=world.dns64.addresses[0])[1] == [("AAAA", made_up)], "no DNS64?"
    watched = capture.Capture(world.ra.node, "lan", "ip6 and dst net 64:ff9b::/104")
    for tcp in ("+notcp", "+tcp"):
        assert programs.dig(world.a.node, world.b.name, "AAAA", tcp, server=server)[:2] == ("NOERROR", [])
        (kind, address), = programs.dig(world.a.node, world.b.name, "A", tcp, server=server)[1]
        assert kind == "A" and address.startswith("0.") and address != "0.0.0.1"
        assert programs.dig(world.a.node, PLAIN_NAME, "AAAA", tcp, server=server)[1] == [
            ("AAAA", ipv4_behind(WELL_KNOWN, "198.51.100.1"))]
    first_ping(world.a, world.b.name)
    assert watched.stop() == []


def checks(packets):
    """(time, destination, nominates?) of each connectivity check among these packets."""
    found = []
    for packet in packets:
        data = packet.payload
        if data[:2] == b"\0\1" and data[4:8] == b"\x21\x12\xa4\x42" and b"\0\6\0\x11" in data:
            found.append((packet.time, packet.destination, b"\0\x25\0\0" in data))
    return found


def punch(world):
    """A call from a to b: its report, the checks that left a, and the seconds from the first one to the nomination."""
    watched = capture.Capture(world.a.node, "eth0", "udp src port 32589")
    steps = world.a.call(world.b.name)
    assert steps[-1]["up"], steps
    report = wait_direct(world.a, world.b)
    sent = checks(watched.stop())
    return report, sent, next(time for time, _, nominates in sent if nominates) - sent[0][0]


def block_ipv6(router):
    """Nothing of IPv6 passes any more, and nobody is told."""
    router.node.nft("table ip6 broken { chain forward { type filter hook forward priority -10; policy drop; }; }")


def test_broken_ipv6_costs_nothing(lab):
    """Addresses and routes of IPv6 that lead nowhere: IPv6 is tried first, and IPv4 in the same moment; case 21."""
    world = Families(lab)
    block_ipv6(world.ra)
    world.start()
    report, sent, took = punch(world)
    assert address_of(report) == world.rb.node.address
    first = {family: next(time for time, to, _ in sent if (":" in to) == (family == 6)) for family in (4, 6)}
    assert first[6] <= first[4] < first[6] + 0.1, "the families are not checked side by side"
    assert took < 0.5, f"{took} s from the first check to the nomination"


def test_both_families_are_seen_and_told(lab):
    """STUN over both, whatever the log-in goes over; the candidates of both arrive and are probed."""
    world = Families(lab, connector="both").start()
    seen = labs.wait_until(lambda: len(world.a.status()["nat"]["seen"]) == 2 and world.a.status()["nat"]["seen"], 5,
                           lambda: f"a is seen over both families: {world.a.status()}")
    assert {s.rsplit(":", 1)[0] for s in seen} == {world.ra.node.address, f"[{world.a.node.address6}]"}
    watched = capture.Capture(world.b.node, "eth0", "udp src port 32589")
    first_ping(world.a, world.b.name)
    wait_direct(world.b, world.a)
    probed = {to for _, to, _ in checks(watched.stop())}
    assert world.a.node.address6 in probed
    assert address_of(wait_direct(world.a, world.b)) == world.b.node.address6


def test_without_a_translator_by_the_relay(lab):
    """
    a (IPv6 alone) and b (IPv4 alone) have no network in common but the connector's
    """
    world = Families(lab, ONLY_IPV6, ONLY_IPV4).start()
    first_ping(world.a, world.b.name)
    assert world.a.wait_peer(world.b.name)["path"].startswith("relay")


def test_a_liar_about_the_translator(lab):
    """
    The resolver names a victim's network as the translator's prefix. What reaches the victim is what one call may probe.
    """
    world = Families(lab, ONLY_IPV6, ONLY_IPV4, resolver_options=[
        "--host-record=ipv4only.arpa,2001:db8:dead::192.0.0.170", "--host-record=ipv4only.arpa,::ffff:192.0.0.170",
        "--host-record=ipv4only.arpa,ff0e::192.0.0.170", "--host-record=ipv4only.arpa,fe80::192.0.0.170"], a_settings={"attempt_timeout": "1s"})
    victim = world.net.node
    watched = capture.Capture(victim, "west", "ip6 and dst net 2001:db8:dead::/96")
    world.start()
    world.a.process.wait_log("2001:db8:dead::/96")
    # In the beginning nothing is probed over what has not answered yet; later it is, as connectors may be out of UDP's reach.
    labs.wait_until(lambda: world.a.status()["login"]["since_s"] > 1.5, 5, "the translator has had its time to answer")
    first_ping(world.a, world.b.name)
    assert world.a.wait_peer(world.b.name)["path"].startswith("relay")
    packets = watched.stop()
    assert 0 < len(checks(packets)) <= 24
    assert len(packets) <= 60


def test_a_configured_ipv4_connector_through_a_translator(lab):
    """Nothing but the connector's IPv4 address is known, no DNS64; the log-in goes through the translator all the same."""
    world = behind_dns64(lab)
    world.a.sections["host"]["connector"] = f"{world.connector_node.address}:4500"
    world.start()
    assert world.a.status()["login"]["connector"] == f"{world.connector_node.address}:4500"
    first_ping(world.a, world.b.name)
    assert address_of(wait_direct(world.a, world.b)) == ipv4_behind(WELL_KNOWN, world.rb.node.address)


def test_from_one_family_to_the_other(lab):
    """
    A tunnel over IPv6; a's IPv6 goes away, and the tunnel moves to IPv4; IPv4 goes and IPv6 comes back, and it moves back.
    A TCP connection through the tunnel outlives both.
    """
    world = Families(lab, b_settings={"allow": ["*"]}).start()
    first_ping(world.a, world.b.name)
    report = wait_direct(world.a, world.b)
    assert address_of(report) == world.b.node.address6
    a = world.a.node
    server = world.b.node.socket(socket.SOCK_STREAM, bind=("0.0.0.0", 7000))
    server.listen()
    client = a.socket(socket.SOCK_STREAM, bind=None)
    client.connect((report["address"], 7000))
    connection = server.accept()[0]
    connection.settimeout(20)

    def moved_to(address):
        """Whether the connection lives and the tunnel goes this way by then; the seconds until data passed."""
        began = time.monotonic()
        client.sendall(b"x")
        assert connection.recv(1) == b"x"
        took = time.monotonic() - began
        labs.wait_until(lambda: address_of(wait_direct(world.a, world.b)) == address, 3,
                        lambda: f"over {address}: {world.a.peer(world.b.name)}\n{world.a.process.log}")
        return took
    gateway6 = world.ra.lan.gateway6
    a.ip(f"route del default via {gateway6}", f"addr del {a.address6}/64 dev eth0")
    assert moved_to(world.rb.node.address) < 3
    a.ip(f"addr add {a.address6}/64 dev eth0 nodad", f"route add default via {gateway6}")
    a.ip(f"addr del {a.address}/24 dev eth0")
    assert moved_to(world.b.node.address6) < 3
    client.close(), connection.close(), server.close()
