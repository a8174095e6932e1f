"""Networks behind a plain peer and behind ourselves, of both families: detecd as a gateway, strongSwan's charon as the other.

    inside ── 10.3.0.0/24 ── ours ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs ── (10.9.0.0/16, 192.168.20.1)
              2001:db8:a3::/64                                                                      (2001:db8:a9::/64)
"""
import signal

import pytest

import interop
import ipsec
import lab as labs

pytestmark = pytest.mark.skipif(not ipsec.has_charon(), reason="strongSwan is not installed: scripts/install-deps")

LOCAL = "10.3.0.1, 10.3.0.0/24, 2001:db8:a3::1, 2001:db8:a3::/64"
REMOTE = "192.168.20.1, 10.9.0.0/16, 2001:db8:a9::/64"
THEIRS = ("10.9.0.9", "2001:db8:a9::9")
PARTNER = "partner.peer.detec.internal"
OUTSIDE = ("10.9.200.1", "2001:db8:a9:0:8000::1")  # of what we wish, and they do not give


def gateways(lab, local_ts, remote_ts, **options):
    """interop.Pair between two gateways, and the host inside ours."""
    pair = interop.Pair(lab, nats=0, ours={"local-ts": LOCAL, "remote-ts": REMOTE},
                        child={"local_ts": local_ts, "remote_ts": remote_ts}, **options)
    for address in (*THEIRS, *OUTSIDE, "2001:db8:a9::1"):
        pair.node_b.ip(f"addr add {address} dev lo")
    segment = labs.Segment(pair.node_a, "lan", "10.3.0.0/24", "2001:db8:a3::/64")
    pair.node_a.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    return pair, lab.host("inside", segment)


def ping(node, address, *options):
    return interop.received(node.run(["ping", "-c1", "-W1", *options, address], check=False).stdout)


def check_both_ways(pair, inside):
    """Between the hosts, from gateway to gateway, and to the addresses that stand for either."""
    peer = pair.ours.wait_peer(interop.PEER)
    for ours, theirs in zip((inside.address, inside.address6), THEIRS):
        assert ping(inside, theirs) == 1
        assert ping(pair.node_b, ours, "-I", theirs) == 1
        assert ping(pair.node_a, theirs) == 1  # the gateway's own programs, as from what stands for it
    assert ping(pair.node_a, peer["address"]) == ping(pair.node_a, peer["address_ipv6"]) == 1
    assert ping(pair.node_b, "10.3.0.1", "-I", "10.9.0.9") == 1
    assert ping(inside, THEIRS[0], "-s", "3000") == 1  # in fragments


def both_ways(lab):
    pair, inside = gateways(lab, "192.168.20.1/32,10.9.0.0/16,2001:db8:a9::/64", "10.3.0.0/24,2001:db8:a3::/64")
    assert ping(inside, THEIRS[0]) == 1  # the first packet, of another host, calls
    check_both_ways(pair, inside)


def narrowed(lab):
    """They offer less at their end and more at ours."""
    pair, inside = gateways(lab, "192.168.20.1/32,10.9.0.0/17,2001:db8:a9::/65", "10.0.0.0/12,2001:db8::/32")
    assert ping(inside, THEIRS[0]) == 1
    check_both_ways(pair, inside)
    before = pair.ours.peer(interop.PEER)["packets_out"]
    inside.ip("addr add 10.4.0.9/32 dev eth0")
    pair.node_b.ip("route add 10.4.0.9/32 dev lo")
    assert ping(inside, THEIRS[0], "-I", "10.4.0.9") == 0  # of ours, but not agreed upon
    for outside in OUTSIDE:
        assert ping(pair.node_a, outside) == 0 == ping(inside, outside)
    assert pair.ours.peer(interop.PEER)["packets_out"] == before
    assert pair.ours.status()["drops"]["destination"] == 4
    return pair, inside


def replaced(pair, inside):
    """Another [peer] with the same networks, by SIGHUP: [allow] is asked for its name."""
    def reload(allow):
        seen = pair.ours.process.log.count("[peer] reloaded")
        pair.ours.sections["allow"] = {"allow": allow}
        pair.ours.write_config()
        pair.ours.process.send_signal(signal.SIGHUP)
        labs.wait_until(lambda: pair.ours.process.log.count("[peer] reloaded") > seen, 5, "reloaded")

    assert ping(pair.node_b, inside.address, "-I", THEIRS[0]) == 1
    pair.ours.sections["peer partner"] = pair.ours.sections.pop("peer theirs")
    reload([interop.PEER])
    pair.ours.detec("call partner --timeout 20")
    pair.ours.wait_peer(PARTNER)
    assert ping(inside, THEIRS[0]) == 1
    assert ping(pair.node_b, inside.address, "-I", THEIRS[0]) == 0
    reload([PARTNER])
    assert ping(pair.node_b, inside.address, "-I", THEIRS[0]) == 1


def test_networks(lab):
    """Every packet between the two sides' networks passes, in both directions and families; no other does, and is counted. What they
    may open is what [allow] says for the name of now."""
    replaced(*narrowed(lab))


def test_no_way_but_the_tunnel(lab):
    """Without the tunnel nothing goes to those networks, whatever other routes say; with the daemon killed neither."""
    pair, inside = gateways(lab, "10.9.0.0/16,2001:db8:a9::/64", "10.3.0.0/24,2001:db8:a3::/64")
    pair.node_a.ip(f"route add 10.9.0.0/16 via {pair.net.west.gateway}", f"route add 2001:db8:a9::/64 via {pair.net.west.gateway6}")
    assert ping(inside, THEIRS[0]) == 1
    seen = pair.net.node.start("tcpdump", "-ni", "any", "-l", "net 10.9.0.0/16 or net 2001:db8:a9::/64 or net 10.3.0.0/24")
    seen.wait_log("listening")
    pair.ours.process.kill()
    for theirs in THEIRS:
        assert ping(inside, theirs) == ping(pair.node_a, theirs) == 0
        assert "unreachable" in pair.node_a.route_to(theirs)
    assert "ICMP" not in seen.log
