"""Single cases of the matrix (docs/testing.md): lifetimes, clocks, DNS, a connector that swallows everything, a LAN in the pool.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
                                                             │
                                                   connector, resolver
"""
import glob

import pytest

import capture
import lab as labs
import probes
import programs
import topologies
from test_calls import NAME_A, NAME_B, both_directions, first_ping, hang_up

DAY_S = 86400
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


@pytest.mark.parametrize("quiet", ["a", "b"])
def test_inbound_packets_do_not_refresh(lab, quiet):
    """Both NATs keep a mapping for 3 s after a packet from inside, whatever comes from outside: who only listens keeps it open."""
    nat = {"emulated": {"lifetime": 3000, "inbound_refreshes": False}}
    settings = {"keepalive": "1s"}
    calls = topologies.Calls(lab, nat, nat, a=settings, b=settings).start()
    first_ping(calls.a, NAME_B)
    listener, talker = (calls.a, calls.b) if quiet == "a" else (calls.b, calls.a)
    address = talker.wait_peer(listener.name)["address"]
    endpoint = talker.peer(listener.name)["endpoint"]
    listener.node.nft("table ip mute { chain out { type filter hook output priority 0; icmp type echo-reply drop; }; }")
    before = listener.wait_peer(talker.name)["packets_in"]
    stream = talker.node.start("ping", "-i0.1", "-c45", "-q", "-W1", address)
    labs.wait_until(lambda: not stream.is_running, 20, "the stream ends")
    assert listener.peer(talker.name)["packets_in"] - before == 45
    assert talker.peer(listener.name)["endpoint"] == endpoint


def test_clocks_a_day_off(lab):
    """Two days between the hosts' clocks, one to the connector's: they log in, call, change keys."""
    calls = topologies.Calls(lab, a={"rekey": "1s"}, b={"rekey": "1s"})
    calls.connector.start()
    for host, days in ((calls.a, 1), (calls.b, -1)):
        calls.connector.add(host)
        host.start(env={"LD_PRELOAD": FAKETIME[0], "FAKETIME": f"{days * DAY_S:+d}s", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"})
    both_directions(calls)
    first_ping(calls.a, NAME_B)
    assert "0% packet loss" in calls.node_a.run(["ping", "-i0.1", "-c30", "-q", NAME_B]).stdout
    assert "tunnel down" not in calls.a.process.log.rsplit("tunnel up", 1)[1]


def test_dead_dns(lab):
    """No server answers any more: who was logged in stays so, open tunnels go on, and known addresses are called again."""
    calls = topologies.Calls(lab).start()
    first_ping(calls.a, NAME_B)
    address = calls.a.peer(NAME_B)["address"]
    calls.resolver.process.kill()
    assert calls.node_a.run(["ping", "-c2", "-i0.1", "-W2", address], check=False).returncode == 0
    hang_up(calls.a, calls.b)
    assert calls.node_a.run(["ping", "-c1", "-W10", address], check=False).returncode == 0, calls.a.process.log
    assert calls.a.login_state() == "logged-in"


def test_slow_dns(lab):
    """Each answer takes a second: log-in and call take their time, and succeed at the first try."""
    calls = topologies.Calls(lab)
    slow = lab.host("slow", calls.net.east, quality={"delay": 500})
    programs.Resolver(slow, {topologies.ZONE: calls.connector_node.address})
    for node in (calls.node_a, calls.node_b):
        node.use_resolver(slow.address, options="timeout:5")
    calls.start(login_within=30)
    first_ping(calls.a, NAME_B)
    assert "attempt 2" not in calls.a.process.log


def test_connector_that_swallows_everything(lab):
    """Nothing gets to the connector or back, without a word: tunnels go on and change keys; the hosts log in again afterwards."""
    calls = topologies.Calls(lab, a={"rekey": "2s"}, b={"rekey": "2s"}).start()
    first_ping(calls.a, NAME_B)
    address = calls.a.peer(NAME_B)["address"]
    hole = f"ip daddr {calls.connector_node.address} drop; ip saddr {calls.connector_node.address} drop;"
    calls.net.node.nft(f"table ip hole {{ chain forward {{ type filter hook forward priority 0; {hole} }}; }}")
    done = calls.node_a.run(["ping", "-i0.1", "-c50", "-q", address])
    assert " 0% packet loss" in done.stdout, f"{done.stdout}\n{calls.a.process.log}"
    assert "tunnel down" not in calls.a.process.log + calls.b.process.log
    calls.net.node.nft("delete table ip hole")
    for host in (calls.a, calls.b):
        host.wait_login(60)
    hang_up(calls.a, calls.b)
    labs.wait_until(lambda: calls.node_b.run(["ping", "-c1", "-W5", NAME_A], check=False).returncode == 0, 30, "b calls a again")


def test_lan_inside_the_pool(lab):
    """a's own LAN lies in its pool. Its neighbours' addresses stand for peers then, and never reach the LAN; calls go on as ever."""
    calls = topologies.Calls(lab, a={"pool": "10.0.0.0/8"})
    neighbour = lab.host("n", calls.nat_a.lan)
    calls.start()
    seen = capture.Capture(neighbour, "eth0", f"ip and host {calls.node_a.address}")
    for at_a, at_b in both_directions(calls):
        assert at_a["address"].startswith("10.") and at_a["path"].startswith("direct ") and at_b["path"].startswith("direct ")
    assert not probes.ping(calls.node_a, neighbour.address)
    assert seen.stop() == []
    assert "10.0.1.0/24" in calls.a.process.log and "overlap" in calls.a.process.log
