"""Keys between two hosts: their negotiation, renewal, loss and change.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
                                                             │
                                                   connector, resolver
"""
import json
import re

import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
QUICK = {"attempt_timeout": "500ms"}
EXCHANGES = {34: "IKE_SA_INIT", 35: "IKE_AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL"}


def connect(calls):
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.b.wait_direct(NAME_A)
    return calls.a.wait_direct(NAME_B)


def exported(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def export_keys(host):
    """Makes the daemon write its tunnels' keys; the file."""
    path = host.dir / "exported"
    host.options = ("--export-keys", path)
    return path


def ping_result(log):
    """(sent, received, duplicates) of ping's summary."""
    numbers = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", log)
    assert numbers, log
    return int(numbers[1]), int(numbers[2]), int(numbers[3] or 0)


@pytest.mark.alone
@pytest.mark.parametrize("suite, quality", [
    pytest.param("aes128-gcm", None, id="aead"),
    pytest.param("paper", None, id="paper"),
    pytest.param("aes128-gcm", {"delay": 5, "reorder": 0.01, "reorder-by": 8}, id="reordered"),
])
def test_rekeys_lose_no_packet(lab, suite, quality):
    """Keys of IKE and of the tunnel change every second or two under continuous traffic; every packet arrives, once."""
    settings = {"rekey": "1s", "suites": suite}
    calls = topologies.Calls(lab, a=settings, b=settings, quality=quality)
    keys = export_keys(calls.a)
    calls.start()
    connect(calls)
    before = len(exported(keys))
    seen = capture.Capture(calls.net.node, "west", f"udp port 32589 and host {calls.nat_b.address}")
    ping = calls.node_a.start("ping", "-i0.005", "-c600", "-q", "-W3", NAME_B)
    back = calls.node_b.start("ping", "-i0.005", "-c600", "-q", "-W3", NAME_A)
    for one in (ping, back):
        labs.wait_until(lambda: not one.is_running, 40, "the pings end")
        drops = [host.status()["drops"] for host in (calls.a, calls.b)]
        assert ping_result(one.log) == (600, 600, 0), f"{drops}\n{one.log}\n{calls.a.process.log}\n{calls.b.process.log}"
    found = exported(keys)
    children = {entry["child"] for entry in found[before:]}
    assert len(children) >= 3, "the tunnel's keys did not change"
    assert len({entry["key"] for entry in found}) == len(found), "a key came twice"
    # IKE's own keys changed too: more than one pair of SPIs.
    spis = {p.payload[4:20] for p in seen.stop() if p.payload and p.payload[:4] == bytes(4)}
    assert len(spis) >= 3
    assert "tunnel down" not in calls.a.process.log + calls.b.process.log
    assert calls.a.peer(NAME_B)["age_s"] > 2.5


@pytest.mark.alone
def test_rekeys_under_a_full_stream(lab):
    """The same with one TCP stream as fast as it goes, and UDP beside it: TCP finishes, UDP loses nothing to the rekey."""
    settings = {"rekey": "1s"}
    calls = topologies.Calls(lab, a=settings, b=settings)
    keys = export_keys(calls.a)
    calls.start()
    address = connect(calls)["address"]
    iperf = programs.Iperf(calls.node_b)
    report = iperf.measure(calls.node_a, address, "-t", "3")
    assert report["end"]["sum_received"]["bytes"] > 10 << 20
    # So slow that no buffer overflows when the machine stops for half a second, and still a packet every 2 ms.
    report = iperf.measure(calls.node_a, address, "-u", "-b", "800K", "-t", "3", "-l", "200")
    assert report["end"]["sum"]["lost_packets"] == 0, report["end"]["sum"]
    assert len({entry["child"] for entry in exported(keys)}) >= 3
    assert "tunnel down" not in calls.a.process.log + calls.b.process.log


def tunnels_of(calls):
    return [(host.status()["tunnels"], [(p["name"], p["state"]) for p in host.peers() if p["state"] == "up"]) for host in (calls.a, calls.b)]


@pytest.mark.parametrize("quality, rounds", [(None, 10), ({"delay": 15, "jitter": 3}, 5)], ids=["at-once", "far-apart"])
def test_simultaneous_calls_end_in_one_tunnel(lab, quality, rounds):
    """Both hosts call each other at the same moment, time and again: one tunnel at each end, the same one, that works both ways."""
    calls = topologies.Calls(lab, quality=quality)
    keys = {host: export_keys(host) for host in (calls.a, calls.b)}
    calls.start()
    for _ in range(rounds):
        pings = [calls.node_a.start("ping", "-c1", "-W10", NAME_B), calls.node_b.start("ping", "-c1", "-W10", NAME_A)]
        for ping in pings:
            labs.wait_until(lambda: not ping.is_running, 15, "the ping ends")
            assert "1 received" in ping.log, f"{ping.log}\n{calls.a.process.log}\n{calls.b.process.log}"
        labs.wait_until(lambda: tunnels_of(calls) == [(1, [(NAME_B, "up")]), (1, [(NAME_A, "up")])], 5,
                        lambda: f"one tunnel each: {tunnels_of(calls)}")
        newest = {host: {entry["direction"]: entry["key"] for entry in exported(file)} for host, file in keys.items()}
        assert newest[calls.a]["in"] == newest[calls.b]["out"] and newest[calls.a]["out"] == newest[calls.b]["in"]
        at_a, at_b = calls.a.peer(NAME_B), calls.b.peer(NAME_A)
        assert {at_a["direction"], at_b["direction"]} == {"in", "out"}
        calls.node_a.run(["ping", "-c2", "-i0.05", "-W2", NAME_B])
        calls.node_b.run(["ping", "-c2", "-i0.05", "-W2", NAME_A])
        calls.a.detec(["hangup", NAME_B])
        calls.a.wait_peer(NAME_B, "down")
        calls.b.wait_peer(NAME_A, "down")


def test_a_killed_daemon_comes_back(lab):
    """A daemon dies without a word and is started again: the other host's traffic brings the tunnel back by itself."""
    calls = topologies.Calls(lab).start()
    address = connect(calls)["address"]
    calls.b.kill()
    calls.b.start()
    ping = calls.node_a.start("ping", "-i0.2", "-c200", "-W1", address)
    ping.wait_log("bytes from", 30)
    assert calls.b.peer(NAME_A)["state"] == "up"


def test_traffic_of_the_killed_side_brings_it_back(lab):
    calls = topologies.Calls(lab).start()
    address = connect(calls)["address"]
    calls.a.kill()
    calls.a.start()
    assert "1 received" in calls.node_a.run(["ping", "-c1", "-W10", address], check=False).stdout  # known from before its death
    assert "1 received" in calls.node_b.run(["ping", "-c1", "-W10", NAME_A], check=False).stdout


def test_on_the_wire(lab):
    """IKE of the hosts goes over the tunnel's own port behind the marker, and tells nobody who talks; IKE_SA_INIT travels in the call."""
    calls = topologies.Calls(lab, quality=None)
    calls.start()
    seen = capture.Capture(calls.net.node, "west", f"udp and host {calls.nat_a.address} and host {calls.nat_b.address}")
    connect(calls)
    calls.a.detec(["hangup", NAME_B])
    calls.b.wait_peer(NAME_A, "down")
    packets = [p for p in seen.stop() if p.payload is not None]
    assert packets and all({p.source_port, p.destination_port} == {32589} for p in packets)
    ike = [p for p in packets if p.payload[:4] == bytes(4)]
    exchanges = [EXCHANGES.get(p.payload[4 + 18]) for p in ike]
    assert exchanges[0] == "IKE_AUTH" and set(exchanges) == {"IKE_AUTH", "INFORMATIONAL"}, exchanges
    assert ike[0].source == calls.nat_a.address and {p.source for p in ike} == {calls.nat_a.address, calls.nat_b.address}
    for p in ike:  # version 2.0, and a length that is the datagram's
        assert p.payload[4 + 17] == 0x20 and int.from_bytes(p.payload[4 + 24:4 + 28], "big") == len(p.payload) - 4
    secrets = [calls.a.public_key, calls.b.public_key]
    import base64
    for p in packets:
        for text in [NAME_A.encode(), NAME_B.encode(), b"detec", *map(base64.b64decode, secrets)]:
            assert text not in p.payload


def test_changed_key(lab):
    """b's name gets another key: a refuses loudly, says what accepts it, and calls again after `detec trust`."""
    calls = topologies.Calls(lab, a=QUICK, b=QUICK).start()
    connect(calls)
    old = calls.b.public_key
    calls.b.stop()
    calls.a.wait_peer(NAME_B, "down")
    calls.b.key_path.unlink()
    calls.b.public_key = calls.node_b.run([programs.DETEC, "genkey", calls.b.key_path]).stdout.strip()
    calls.connector.detec(["host", "remove", NAME_B])
    calls.connector.add(calls.b)
    calls.b.start()
    end = calls.a.call(NAME_B, check=False)[-1]
    assert end["up"] is False and end["step"] == "candidates"
    assert "detec trust" in end["error"] + end["hint"] and "key" in end["error"]
    assert calls.b.public_key in calls.a.process.log and old in calls.a.process.log
    done = calls.node_a.run(["ping", "-c1", "-W10", NAME_B], check=False)
    assert done.returncode == 1 and "Unreachable" in done.stdout
    # b knows a's key still; b's call comes to a with the wrong key and is refused there, visibly.
    done = calls.node_b.run(["ping", "-c1", "-W10", NAME_A], check=False)
    assert done.returncode == 1 and "Unreachable" in done.stdout
    refused = labs.wait_until(lambda: calls.a.status()["refused"], 5, "the refused caller is reported")[0]
    assert (refused["name"], refused["key"]) == (NAME_B, calls.b.public_key)
    assert calls.b.status()["tunnels"] == 0
    calls.a.detec(["trust", NAME_B, "--yes"])
    labs.wait_until(lambda: calls.a.call(NAME_B, check=False)[-1]["up"], 10, "the new key is accepted")
    assert calls.a.peer(NAME_B)["key"] == calls.b.public_key
