"""Who may call, and what may come in: each host's own [allow] decides, whichever side opened the tunnel.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── b, d (public)
                                                         │
                                                connector, resolver

a and b have static names, d a dynamic one.
"""
import signal
import socket

import pytest

import lab as labs
import probes
import programs
import topologies

QUICK = {"attempt_timeout": "500ms"}


def make(lab, a=None, b=None):
    return topologies.Calls(lab, nat_b="none", a={**QUICK, **(a or {})}, b={**QUICK, **(b or {})})


def reload(host, *rules):
    host.sections["allow"] = {"allow": list(rules)}
    host.write_config()
    host.process.send_signal(signal.SIGHUP)


def test_default_is_static_names_of_the_own_zone(lab):
    calls = make(lab)
    calls.start()
    node = lab.host("d", calls.net.east)
    node.use_resolver(*calls.resolver.addresses)
    d = programs.Host(node, calls.connector, **QUICK).start()
    assert d.name.startswith("h-")
    probes.call(calls.a, calls.b)

    end = probes.refused_call(d, calls.b.name)
    assert "does not answer" in end["error"] and end["step"] == "candidates"
    seen = probes.refusal(calls.b, d.name)
    assert "[allow]" in seen["reason"] and seen["key"] == d.public_key and seen["count"] >= 1
    assert calls.b.peer(d.name) is None

    # Calling out does not open the caller: d may take b in (b's name is static), b lets nothing of d's in but replies.
    ports_b, ports_d = probes.Ports(calls.node_b, 80), probes.Ports(node, 80)
    there, here = probes.call(calls.b, d)
    assert probes.tcp(calls.node_b, there["address"], 80) == "open"
    assert probes.ping(calls.node_b, there["address"])
    assert probes.tcp(node, here["address"], 80) == "silent"
    assert not probes.ping(node, here["address"])
    assert probes.udp(node, here["address"], 53) == "silent"
    ports_b.close(), ports_d.close()


def test_ports_and_reload(lab):
    calls = make(lab, b={"allow": "a.detec.example.net tcp/22"})
    calls.start()
    ports = probes.Ports(calls.node_b, 22, 80)
    there, _ = probes.call(calls.a, calls.b)
    address = there["address"]
    assert probes.tcp(calls.node_a, address, 22) == "open"
    assert probes.ping(calls.node_a, address)  # who may open anything may ping
    # Silence: neither RST nor ICMP error, as if nobody were there; a closed port that is allowed does answer.
    assert probes.tcp(calls.node_a, address, 80) == "silent"
    assert probes.udp(calls.node_a, address, 53) == "silent"

    with calls.node_a.socket(socket.SOCK_STREAM) as old:
        old.connect((address, 22))
        accepted = ports.accept(22, old)
        old.sendall(b"before")
        assert accepted.recv(100) == b"before"
        # The tunnel is the same one, what may come in through it is not.
        reload(calls.b, "a.detec.example.net tcp/80,udp/53")
        labs.wait_until(lambda: probes.tcp(calls.node_a, address, 80) == "open", 5, "port 80 opens")
        assert probes.tcp(calls.node_a, address, 22) == "silent"
        assert probes.udp(calls.node_a, address, 53) == "refused"  # allowed, and nobody listens
        old.sendall(b"after")
        accepted.settimeout(0.5)
        with pytest.raises(TimeoutError):  # a connection does not outlive the right to it
            accepted.recv(100)
    assert calls.a.peer(calls.b.name)["age_s"] >= there["age_s"]

    # A policy that cannot be read changes nothing.
    reload(calls.b, "*example.net tcp/22")
    calls.b.process.wait_log("not reloaded")
    assert probes.tcp(calls.node_a, address, 80) == "open"
    assert probes.tcp(calls.node_a, address, 22) == "silent"
    reload(calls.b, "nobody")
    labs.wait_until(lambda: probes.tcp(calls.node_a, address, 80) == "silent", 5, "port 80 closes")
    assert not probes.ping(calls.node_a, address)


def test_nobody_may_call_who_may_be_answered(lab):
    """a lets nobody in, and still calls b: replies and ICMP errors come back, nothing else."""
    calls = make(lab, a={"allow": "nobody"}, b={"allow": "*.example.net"})
    calls.start()
    end = probes.refused_call(calls.b, calls.a.name)
    assert end["step"] == "candidates"
    assert "[allow]" in probes.refusal(calls.a, calls.b.name)["reason"]

    there, here = probes.call(calls.a, calls.b)
    ports_a, ports_b = probes.Ports(calls.node_a, 80), probes.Ports(calls.node_b, 80)
    assert probes.tcp(calls.node_a, there["address"], 80) == "open"
    assert probes.tcp(calls.node_a, there["address"], 81) == "refused"
    assert probes.udp(calls.node_a, there["address"], 9999) == "refused"  # an ICMP error comes back
    assert probes.tcp(calls.node_b, here["address"], 80) == "silent"
    assert probes.tcp(calls.node_b, here["address"], 81) == "silent"
    assert not probes.ping(calls.node_b, here["address"])
    ports_a.close(), ports_b.close()


def test_ping_alone_and_patterns(lab):
    calls = make(lab, b={"allow": ["a.*.net icmp", "x.detec.example.net"]})
    calls.start()
    ports = probes.Ports(calls.node_b, 80)
    there, _ = probes.call(calls.a, calls.b)
    assert probes.ping(calls.node_a, there["address"])
    assert probes.tcp(calls.node_a, there["address"], 80) == "silent"
    ports.close()
    # Not on the list: refused before anything is told.
    c = calls.add_host("c", calls.net.west, **QUICK)
    calls.connector.add(c)
    c.start()
    assert probes.refused_call(c, calls.b.name)["step"] == "candidates"
    assert "[allow]" in probes.refusal(calls.b, c.name)["reason"]
