"""A caller of another zone shows its own connector's word, so that nobody has to be asked; and what such a word is worth.

    a (one.example) ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b (two.example)
                                      │                              │
                             connector one, resolver           connector two: real, or mallory
"""
import base64
import os
import struct
import time

import pytest

import capture
import lab as labs
import liar
import programs
import topologies

NAME_A, NAME_B = "a.one.example", "b.two.example"
DELAY = 60
ROUND_TRIP = 4 * DELAY / 1000
OPEN = {"attempt_timeout": "2s", "allow": "*"}


def connections_to(packets, address):
    """The TCP connections that were begun there."""
    return {p.source_port for p in packets if p.protocol == 6 and p.destination == address}


@pytest.mark.alone
def test_a_first_contact_in_five_round_trips(lab):
    """TCP, IKE_SA_INIT; CALL within IKE_AUTH, DNS at b and ANSWER; IKE_AUTH between the hosts; a packet and its reply."""
    zones = topologies.Zones(lab, b={"allow": "*.one.example"}, quality={"delay": DELAY}).start()
    programs.Echo(zones.node_b)
    # Routers between hosts and connectors know each other from before; ARP over a slow link would count as a round trip.
    zones.node_a.run(["ping", "-c1", "-W2", zones.node_two.address])
    seen, sent = capture.Capture(zones.node_b, "eth0"), capture.Capture(zones.node_a, "eth0")
    took = programs.first_reply(zones.node_a, NAME_B)
    assert took["call"] < 5.9 * ROUND_TRIP, (took, zones.a.process.log, zones.b.process.log)
    assert took["call"] > 4 * ROUND_TRIP  # the network is as slow as it should be
    # The second message to connector two is IKE_AUTH, and CALL is in it: neither is that long alone.
    messages = [len(p.payload) for p in sent.stop() if p.protocol == 6 and p.source == zones.node_a.address
                and p.destination == zones.node_two.address and len(p.payload) > 6]
    assert messages[0] < 250 and messages[1] > 550, messages
    # b has asked DNS which key zone one's connector has, pinned it, and never spoken with it.
    assert not connections_to(seen.stop(), zones.node_one.address)
    assert "one.example: first contact with its connector" in zones.b.process.log
    assert "one.example: connected as a guest" not in zones.b.process.log
    text = (zones.b.dir / "state/pins").read_text()
    assert zones.one.public_key in text and zones.a.public_key in text


def test_the_own_connector_is_far_away(lab):
    """The log-in at zone two is done long before zone one's word is there: the CALL waits for it, as a question of b's would take longer."""
    zones = topologies.Zones(lab, b={"allow": "*.one.example"}, quality_one={"delay": 60}).start()
    seen = capture.Capture(zones.node_b, "eth0")
    zones.a.call(NAME_B)
    assert not connections_to(seen.stop(), zones.node_one.address)
    assert "one.example: connected as a guest" not in zones.b.process.log


class Mallory:
    """b's own connector: puts any key and any voucher into a CALL. Zone one is as it should be, and a is logged in there."""

    def __init__(self, lab, trust):
        """trust: of these Zones, b's [trust]."""
        self.zones = zones = topologies.Zones(lab, b=OPEN, serve_two=False)
        zones.one.start()
        zones.one.add(zones.a)
        zones.a.start()
        self.host = zones.b
        self.liar = liar.HostileConnector(zones.node_two, "two.example", key_path=zones.two.key_path)
        self.host.sections["host"]["connector"] = f"{zones.node_two.address}:4500"
        self.host.sections["trust"] = trust(zones)
        self.calls = 0
        self.host.start(login=False)
        self.number = self.liar.log_in(NAME_B)
        self.host.wait_login()

    def call(self, caller, key, *fields):
        """Sends a CALL with these fields behind it; its number."""
        self.calls += 1
        data = liar.call(self.calls, NAME_B, caller, key=key, flags=0, endpoints=[("198.51.100.77", 4000)])
        self.liar.notify(liar.CALL, data + b"".join(fields), self.number)
        return self.calls

    def answered(self):
        """The numbers of the calls that b has accepted."""
        return {liar.parse_answer(bytes.fromhex(e[3]))["number"] for e in self.liar.events()
                if e[:3] == ["notify", str(self.number), str(liar.ANSWER)]}

    def accepts(self, number):
        labs.wait_until(lambda: number in self.answered(), 10, lambda: f"b answers: {self.host.status()['refused']}\n{self.host.process.log}")

    def refuses(self, number, key, reason):
        wanted = base64.b64encode(key).decode()
        seen = labs.wait_until(lambda: next((r for r in self.host.status()["refused"] if r["key"] == wanted), None), 10,
                               lambda: f"b refuses: {self.host.status()['refused']}\n{self.host.process.log}")
        assert reason in seen["reason"] and number not in self.answered(), seen


def word(daemon, zone, caller, key, expires=120):
    """The field of CALL; expires: seconds from now."""
    return liar.field(5, liar.voucher(daemon.key_path, zone, caller, key, int(time.time()) + expires))


def test_what_a_voucher_is_worth(lab):
    """The zone's connector's word is believed without a question, also where a question would be answered otherwise; no other is."""
    pinned, other = os.urandom(32), os.urandom(32)
    mallory = Mallory(lab, lambda zones: {"pin": f"c.one.example {base64.b64encode(pinned).decode()}",
                                          "connector-key": f"three.example {zones.a.public_key}"})  # a's key serves for another zone's
    zones, b = mallory.zones, mallory.host
    number = mallory.call(NAME_A, other, word(zones.one, "one.example", NAME_A, other))
    mallory.accepts(number)
    assert "one.example: first contact with its connector" in b.process.log
    # A zone whose connector is pinned: DNS knows nothing of it, and is not asked.
    key = os.urandom(32)
    number = mallory.call("h.three.example", key, word(zones.a, "three.example", "h.three.example", key))
    mallory.accepts(number)
    assert not [name for name in zones.resolver.queries() if name.endswith("three.example")]
    # The user's word goes first.
    key = os.urandom(32)
    number = mallory.call("c.one.example", key, word(zones.one, "one.example", "c.one.example", key))
    mallory.refuses(number, key, "not the one that is trusted")
    assert "one.example: connected as a guest" not in b.process.log

    # What is no such word costs the caller the time of a question, and b believes the answer.
    def flipped(key):
        good = word(zones.one, "one.example", NAME_A, key)
        return good[:-1] + bytes([good[-1] ^ 1])
    worthless = {
        "mallory's own": lambda key: word(zones.two, "one.example", NAME_A, key),
        "a host's": lambda key: word(zones.a, "one.example", NAME_A, key),
        "of another zone": lambda key: word(zones.one, "example", NAME_A, key),
        "for another name": lambda key: word(zones.one, "one.example", "x.one.example", key),
        "for another key": lambda key: word(zones.one, "one.example", NAME_A, other),
        "expired": lambda key: word(zones.one, "one.example", NAME_A, key, expires=-90),
        "good for a year": lambda key: word(zones.one, "one.example", NAME_A, key, expires=365 * 86400),
        "spoilt": flipped,
        "none": lambda key: b"",
    }
    for make in worthless.values():
        key = os.urandom(32)
        mallory.refuses(mallory.call(NAME_A, key, make(key)), key, "its zone says that the name has another key")
    # … also for the caller, whose own key is what one says.
    number = mallory.call(NAME_A, liar.raw_key(zones.a.public_key), word(zones.two, "one.example", NAME_A, other))
    mallory.accepts(number)
    # A host of zone one is no connector of a zone below it, although DNS has its key where that zone's would be.
    key = os.urandom(32)
    number = mallory.call(f"x.{NAME_A}", key, word(zones.a, NAME_A, f"x.{NAME_A}", key))
    mallory.refuses(number, key, "its zone does not know the name")
    assert f"{NAME_A}: first contact" not in b.process.log
    # Cut, too long, twice: no CALL at all.
    key = os.urandom(32)
    good = word(zones.one, "one.example", NAME_A, key)
    data = good[3:]
    for fields in (good[:-1], liar.field(5, data[:-1]), liar.field(5, data + b"\0"), good + good, liar.field(5, b"")):
        number = mallory.call(NAME_A, key, fields)
    last = mallory.call(NAME_A, key, good)
    mallory.accepts(last)
    assert number not in mallory.answered()


def test_a_voucher_is_the_connectors_word_and_no_more(lab):
    """accept = pinned: as little as a connector's answer is it enough."""
    mallory = Mallory(lab, lambda zones: {"accept": "pinned", "connector-key": f"two.example {zones.two.public_key}"})
    zones = mallory.zones
    key = os.urandom(32)
    mallory.refuses(mallory.call(NAME_A, key, word(zones.one, "one.example", NAME_A, key)), key, "its zone does not answer")
    pins = mallory.host.dir / "state/pins"
    assert not pins.exists() or zones.one.public_key not in pins.read_text()


def test_a_connector_that_does_not_vouch(lab):
    """a's own connector is mallory: silent, or with somebody else's voucher, it costs a a moment, and b believes nobody but zone one."""
    quick = {"attempt_timeout": "600ms"}
    zones = topologies.Zones(lab, a={**quick, "log": "debug"}, b={**quick, "allow": "*"})
    zones.two.start()
    zones.two.add(zones.b)
    zones.b.sections["trust"] = {"connector-key": f"one.example {zones.one.public_key}"}
    zones.b.start()
    mallory = liar.HostileConnector(zones.node_one, "one.example", key_path=zones.one.key_path)
    zones.a.sections["host"]["connector"] = f"{zones.node_one.address}:4500"
    zones.a.start(login=False)
    number = mallory.log_in(NAME_A)
    zones.a.wait_login()
    key = liar.raw_key(zones.a.public_key)

    def vouch(of):
        word = liar.voucher(mallory.key_path, "one.example", NAME_A, of, int(time.time()) + 120)
        mallory.notify(liar.VOUCHER, struct.pack("!BH", 1, 120) + word, number)

    vouch(key)
    zones.a.process.wait_log("that nobody has asked for")
    assert zones.a.call(NAME_B, check=False)[-1]["up"] is False
    assert mallory.wait_notify(liar.VOUCH, number) == b"\x01"
    refused = labs.wait_until(lambda: next((r for r in zones.b.status()["refused"] if r["name"] == NAME_A), None), 10,
                              lambda: f"b has been called: {zones.b.process.log}")
    assert refused["key"] == zones.a.public_key and "zone" in refused["reason"], refused
    vouch(os.urandom(32))
    zones.a.process.wait_log("that is for something else")
    vouch(key)
    assert zones.a.call(NAME_B)[-1]["up"] is True
