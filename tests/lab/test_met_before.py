"""Hosts that have met before: the SA of a tunnel that nobody uses is kept at rest, and one exchange wakes it.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                                connector, resolver

b without natb where the test says so: then it can be reached without a call.
"""
import signal

import pytest

import capture
import lab as labs
import programs
import topologies

ZONE = "detec.example.net"
NAME_A, NAME_B = f"a.{ZONE}", f"b.{ZONE}"
DELAY = 40
ROUND_TRIP = 4 * DELAY / 1000
BLOCK = "table inet block { chain forward { type filter hook forward priority 0; udp sport 32589 udp dport 32589 drop; }; }"
CREATE_CHILD_SA = 36


def rest(calls):
    """Until the tunnel is closed, since nobody uses it."""
    for host, name in ((calls.a, NAME_B), (calls.b, NAME_A)):
        host.wait_peer(name, "down", timeout=15)
        labs.wait_until(lambda host=host: host.status()["resting"] == 1, 5, "its SA is at rest")


def ping(calls, check=True):
    return calls.node_a.run(["ping", "-4", "-n", "-c1", "-W10", NAME_B], check=check)


@pytest.mark.alone
@pytest.mark.parametrize("way", ["last", "relay"])
def test_in_two_round_trips(lab, way):
    """One round trip until the keys are there, one for packet and reply; by the last path, or by the relay where that is dead."""
    calls = topologies.Calls(lab, quality={"delay": DELAY}, connector_quality=None, a={"idle": "1s"}, b={"idle": "1s"}).start()
    programs.Echo(calls.node_b)
    first = programs.first_reply(calls.node_a, NAME_B)
    assert first["call"] > 2.9 * ROUND_TRIP
    rest(calls)
    if way == "relay":
        calls.net.node.nft(BLOCK)
    seen = capture.Capture(calls.node_a, "eth0")
    took = programs.first_reply(calls.node_a, NAME_B)
    assert took["call"] < 2.4 * ROUND_TRIP, (took, calls.a.process.log, calls.b.process.log)
    assert calls.a.peer(NAME_B)["path"].startswith("direct " if way == "last" else "relay ")
    exchanges = [p.payload[22] for p in seen.stop() if p.protocol == 17 and p.source == calls.node_a.address
                 and p.destination_port == 32589 and p.payload[:4] == bytes(4)]
    assert exchanges[0] == CREATE_CHILD_SA and 34 not in exchanges and 35 not in exchanges, exchanges
    if way == "relay":
        calls.net.node.nft("delete table inet block")
        calls.a.wait_direct(NAME_B, timeout=8), calls.b.wait_direct(NAME_A, timeout=8)


def reload(host, *rules):
    host.sections["allow"] = {"allow": list(rules)}
    host.write_config()
    host.process.send_signal(signal.SIGHUP)
    host.process.wait_log("reloaded; other changes")


def test_no_connector(lab):
    """Connector and zone are gone: hosts meet again at their last addresses, if they still may, and it is said where they do not."""
    calls = topologies.Calls(lab, nat_b="none", a={"idle": "1s", "attempt_timeout": "2s"}, b={"idle": "1s"}).start()
    ping(calls)
    there, back = calls.a.wait_peer(NAME_B)["address"], calls.b.wait_peer(NAME_A)["address"]
    rest(calls)
    calls.connector.stop()
    calls.node_a.run(["ping", "-n", "-c1", "-W10", there])
    assert calls.a.peer(NAME_B)["path"].startswith("direct ") and calls.b.peer(NAME_A)["direction"] == "in"
    rest(calls)
    calls.node_b.run(["ping", "-n", "-c1", "-W10", back])  # the hole in a's NAT is open yet
    assert calls.b.peer(NAME_A)["direction"] == "out"
    rest(calls)
    reload(calls.b, "nobody")
    end = calls.a.call(NAME_B, check=False)[-1]
    assert end["up"] is False and "nor does the called host answer at its last address" in end["error"], end
    assert any(entry["name"] == NAME_A for entry in calls.b.status()["refused"])
    assert calls.b.peer(NAME_A) is None and calls.b.status()["tunnels"] == 0
