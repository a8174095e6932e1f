"""Keepalives: as often as the NAT needs them, and none where packets get in unasked.

    a ── what the test says ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── what the test says ── b
                                                        ▲               │
                                                   captures    connector 203.0.113.10 (and .99), resolver
"""
import threading

import pytest

import capture
import lab as labs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
PORT = 32589
SECOND = "203.0.113.99"
KEEPALIVE = b"\xff"


def up(lab, nat_a, nat_b, a=None, b=None, second=False):
    """Both hosts, and an IPv4 tunnel between them."""
    calls = topologies.Calls(lab, nat_a, nat_b, a=a, b=b,
                             connector_settings={"stun_alternate_address": SECOND} if second else None)
    if second:
        calls.connector_node.ip(f"addr add {SECOND}/24 dev eth0")
    calls.start()
    connect(calls)
    return calls


def connect(calls):
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.a.wait_peer(NAME_B), calls.b.wait_peer(NAME_A)


class Watch:
    """What goes between the hosts, and from them to the connector's UDP ports."""

    def __init__(self, calls):
        self.calls = calls
        self.at = capture.Capture(calls.net.node, "west", "udp and not port 53")
        self.a, self.b = calls.public_address("a"), calls.public_address("b")

    def keepalives(self, source):
        return [p for p in self.at.packets() if p.source == source and p.destination in (self.a, self.b) and p.payload == KEEPALIVE]

    def sent(self, source):
        return [p for p in self.at.packets() if p.source == source and p.source_port == PORT]


def wait_keepalive(host, timeout=15, **expected):
    def is_so():
        report = host.status()["keepalive"]
        return report if report and expected.items() <= report.items() else None
    return labs.wait_until(is_so, timeout, lambda: f"keepalive {expected}: {host.status()['keepalive']}\n{host.process.log}")


def answers_quickly(node, name):
    """The first packet after a silence is answered as if there had been none."""
    done = node.run(["ping", "-c1", "-W3", name])
    assert float(done.stdout.split("time=")[1].split()[0]) < 500


def test_public_host_sends_none(lab):
    """a, on a public address without a firewall, finds out that it need not; b, behind a NAT of 3 s, goes on; both stay reachable."""
    calls = up(lab, "none", {"udp_timeout": 3}, a={"keepalive": "1s"}, b={"keepalive": "1s"})
    wait_keepalive(calls.a, is_needed=False, unsolicited="yes")
    assert "not needed" in calls.a.detec("status").stdout
    wait_keepalive(calls.b, is_needed=True, unsolicited="no")
    watch = Watch(calls)
    labs.wait_until(lambda: len(watch.keepalives(watch.b)) >= 5, 15, "five keepalives of b")
    # Not one byte of its own accord, to b or to the connector: it may have answered b's IKE only.
    assert watch.sent(watch.a) == []
    assert calls.b.peer(NAME_A)["age_s"] > 3
    answers_quickly(calls.node_a, NAME_B)
    answers_quickly(calls.node_b, NAME_A)


def test_proof_goes_with_the_network(lab):
    """A firewall on a, and another address that makes it look again: it sends keepalives once more."""
    calls = up(lab, "none", {}, a={"keepalive": "1s"})
    wait_keepalive(calls.a, is_needed=False)
    calls.node_a.nft("""table inet firewall { chain input { type filter hook input priority 0;
        meta l4proto udp ct state != { established, related } drop; }\n}""")
    calls.node_a.ip("addr add 198.51.100.77/24 dev eth0")
    wait_keepalive(calls.a, is_needed=True, unsolicited="no")
    watch = Watch(calls)
    labs.wait_until(lambda: len(watch.keepalives(watch.a)) >= 2, 10, "two keepalives of a")


@pytest.mark.parametrize("kind, second, is_needed", [("full-cone", True, False), ("full-cone", False, True), ("address-restricted", True, True)],
                         ids=["full-cone", "full-cone-and-no-second-address", "address-restricted"])
def test_open_nats(lab, kind, second, is_needed):
    """Behind a full cone the mapping alone has to live: the connector is asked on, the peer is left alone. Without proof nothing is left out."""
    calls = up(lab, {"kind": kind}, {}, a={"keepalive": "1s"}, second=second)
    wait_keepalive(calls.a, is_needed=is_needed, unsolicited="no" if is_needed else "yes")
    watch = Watch(calls)
    connector = calls.connector_node.address
    labs.wait_until(lambda: len([p for p in watch.sent(watch.a) if p.destination == connector]) >= 3, 15, "a asks the connector")
    assert (len(watch.keepalives(watch.a)) > 0) == is_needed
    answers_quickly(calls.node_b, NAME_A)


def test_measures_by_itself(lab):
    """Nobody asks for it: after a few keepalives b looks for the lifetime in the background."""
    calls = topologies.Calls(lab, {}, {"udp_timeout": 3}, b={"keepalive": "2100ms"}).start()
    assert calls.b.status()["keepalive"] == {"interval_s": 2.1, "is_needed": True, "unsolicited": "unknown", "lifetime": None}
    report = wait_keepalive(calls.b, 30, interval_s=1.25)
    assert report["unsolicited"] == "no" and report["lifetime"] == {"alive_s": 0.0, "dead_s": 5.0}
    assert calls.b.status()["nat"]["filtering"] == "address-and-port-dependent"


@pytest.mark.parametrize("nat", [{"udp_timeout": 3}, {"emulated": {"lifetime": 3000, "inbound_refreshes": False}}],
                         ids=["kernel", "inbound-does-not-refresh"])
def test_quick_nats(lab, nat):
    """b's NAT forgets after 3 s. Once that has been measured, b sends as often as that takes, unasked for by its configuration."""
    calls = topologies.Calls(lab, {}, nat).start()
    assert calls.b.status()["keepalive"]["interval_s"] == 20
    assert calls.b.ask("netcheck --lifetime 5s")["lifetime"] == {"alive_s": 0.0, "dead_s": 5.0}
    assert wait_keepalive(calls.b, is_needed=True)["interval_s"] == 1.25
    connect(calls)
    watch = Watch(calls)
    # One way only: what comes in does not count for the NAT, or is not to be relied on.
    server = calls.node_b.socket(bind=("0.0.0.0", 9000), timeout=1)
    is_over, client = threading.Event(), calls.node_a.socket()
    to = (calls.a.peer(NAME_B)["address"], 9000)

    def send():
        number = 0
        while not is_over.wait(0.1):
            client.sendto(number.to_bytes(4, "big"), to)
            number += 1
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    labs.wait_until(lambda: len(watch.keepalives(watch.b)) >= 4, 12, "four keepalives of b")
    is_over.set()
    sender.join()
    got = []
    server.settimeout(0.3)
    try:
        while True:
            got.append(int.from_bytes(server.recv(10), "big"))
    except TimeoutError:
        pass
    assert len(got) > 30 and got == list(range(len(got)))
    times = [p.time for p in watch.keepalives(watch.b)]
    assert 0.9 < (times[-1] - times[0]) / (len(times) - 1) < 1.6, times
    assert calls.a.peer(NAME_B)["age_s"] > 4
    answers_quickly(calls.node_a, NAME_B)
