"""Calls through NATs that take strangers' packets for their own: a check that came too early would spoil the port.

    a ── LAN ── [nata's neighbour ──] nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                                       │
                                                              connector, resolver

`neighbours`: natb is on west too, with nothing between the NATs. Double: another NAT between host and nata, natb.
"""
import pytest

import capture
import topologies

PORT = 32589


class Calls(topologies.Calls):
    """As there; {"double": True} puts a second NAT of the same kind between nata or natb and the host's own."""

    def make_nat(self, name, outside, lan, options, quality):
        options = dict(options or {})
        if options.pop("double", False):
            middle = "192.168.1.0/24" if name == "nata" else "192.168.2.0/24"
            outer = self.lab.nat(f"{name}outer", outside, lan=middle, quality=quality, **options)
            self.outer = {**getattr(self, "outer", {}), name: outer}
            return self.lab.nat(name, outer.lan, lan=lan, **options)
        return super().make_nat(name, outside, lan, options, quality)

    def public_nat(self, name):
        return getattr(self, "outer", {}).get(name) or (self.nat_a if name == "nata" else self.nat_b)


def start(lab, nat_a, nat_b, **options):
    calls = Calls(lab, nat_a=nat_a, nat_b=nat_b, a={"relay": "no"}, b={"relay": "no"}, **options)
    for name, segment in (("nata", calls.net.west), ("natb", calls.net.west if options.get("neighbours") else calls.net.east)):
        # Both ends of the link know each other's hardware address, as they do on a line in use.
        calls.public_nat(name).run(f"ping -c1 -W2 {segment.gateway}", check=False)
    return calls.start()


def call(calls, caller):
    """One call, without the relay; its steps by name. The tunnel must stand at the first attempt, over the port that the host has."""
    me, other = (calls.a, calls.b) if caller == "a" else (calls.b, calls.a)
    *steps, done = me.call(other.name)
    assert done["up"], steps
    found = {step["step"]: step for step in steps}
    assert len(found) == len(steps), f"more than one attempt: {steps}"
    address = calls.public_nat("natb" if caller == "a" else "nata").address
    assert done["peer"]["endpoint"] == f"{address}:{PORT}"
    return found


ACCEPT, DROP, REJECT = ({"unsolicited": verdict} for verdict in ("accept", "drop", "reject"))


@pytest.mark.parametrize("caller", ["a", "b"])
@pytest.mark.parametrize("neighbours", [False, True], ids=["router-between", "neighbours"])
@pytest.mark.parametrize("nat_a, nat_b", [
    pytest.param(ACCEPT, ACCEPT, id="accept"),
    pytest.param(DROP, ACCEPT, id="drop-accept"),
    pytest.param(REJECT, REJECT, id="reject"),
    pytest.param({**ACCEPT, "double": True}, {**ACCEPT, "double": True}, id="double"),
])
def test_nats_keep_the_port(lab, nat_a, nat_b, neighbours, caller):
    call(start(lab, nat_a, nat_b, neighbours=neighbours), caller)


def test_every_nat_is_opened_from_inside(lab):
    """Between the two public addresses no NAT sees a packet from outside before one from inside; openers reach neither."""
    calls = start(lab, ACCEPT, ACCEPT)
    captures = {nat: capture.Capture(nat, "wan", "udp") for nat in (calls.nat_a, calls.nat_b)}
    call(calls, "a")
    for nat, seen in captures.items():
        other = calls.nat_b if nat is calls.nat_a else calls.nat_a
        seen.wait_for(lambda p: (p.source, p.destination) == (other.address, nat.address))
        between = [p for p in seen.stop() if {p.source, p.destination} == {nat.address, other.address}]
        assert [p.source for p in between[:2]] == [nat.address] * 2
        option, short = between[:2]
        assert option.data[20:28] == bytes([68, 8, 9, 0xF0, 0, 0, 0, 0]) and option.payload == b"\xff"
        assert short.data[0] & 15 == 5 and short.ttl == 1 and short.payload == b"\xff"
        assert not any(p.payload == b"\xff" for p in between if p.source == other.address)
        assert {p.source_port for p in between} == {PORT}


@pytest.mark.parametrize("neighbours, limit_ms", [(False, 300), (True, 600)], ids=["router-between", "neighbours"])
def test_nats_that_drop_options(lab, neighbours, limit_ms):
    """The one whose TTL ends does it; neighbours it would reach, so they wait until the called host's checks come after all."""
    calls = start(lab, DROP, DROP, neighbours=neighbours)
    for nat in (calls.nat_a, calls.nat_b):
        nat.nft("table ip eater { chain c { type filter hook prerouting priority raw; ip hdrlength > 5 drop; }; }")
    assert call(calls, "b")["punch"]["ms"] < limit_ms


@pytest.mark.alone
def test_no_time_is_lost(lab):
    """Four hops of 20 ms, one round trip of 80 ms: the punch takes that and the grace for a better path, and no more."""
    calls = start(lab, ACCEPT, ACCEPT, quality={"delay": 20})
    assert 80 <= call(calls, "a")["punch"]["ms"] < 80 + 80
