"""How many round trips a call takes, and what becomes of it where the connector spoils what it carries.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                                connector, resolver

The links of nata and natb have a delay, the connector's and the resolver's have none: by way of the connector it is as far
from host to host as directly.
"""
import re
import struct
import time

import pytest

import capture
import lab as labs
import liar
import programs
import topologies

ZONE = "detec.example.net"
NAME_A, NAME_B = f"a.{ZONE}", f"b.{ZONE}"
DELAY = 40
ROUND_TRIP = 4 * DELAY / 1000
BLOCK = "table inet block { chain forward { type filter hook forward priority 0; udp sport 32589 udp dport 32589 drop; }; }"


def far_apart(lab, **options):
    calls = topologies.Calls(lab, quality={"delay": DELAY}, connector_quality=None, **options).start()
    programs.Echo(calls.node_b)
    return calls


def test_own_zone_in_three_round_trips(lab):
    """CALL and ANSWER, IKE_AUTH, the first packet and its reply: by what passes on the wire, and by the clock."""
    calls = far_apart(lab)
    seen = capture.Capture(calls.node_a, "eth0")
    took = programs.first_reply(calls.node_a, NAME_B)
    assert took["call"] < 3.9 * ROUND_TRIP, (took, calls.a.process.log)
    assert took["call"] > 2.9 * ROUND_TRIP  # the network is as slow as it should be
    # Of IKE between the hosts only IKE_AUTH has come before the first data.
    packets = [p for p in seen.stop() if p.protocol == 17 and 32589 in (p.source_port, p.destination_port)]
    data = next((p.time for p in packets if p.source == calls.node_a.address and p.destination == calls.public_address("b")
                 and len(p.payload) > 24 and p.payload[:4] != bytes(4) and p.payload[4:8] != b"\x21\x12\xa4\x42"), None)
    exchanges = {p.payload[22] for p in packets if p.payload[:4] == bytes(4) and (data is None or p.time < data)}
    assert 34 not in exchanges, exchanges


@pytest.mark.parametrize("settings", [{"a": {"relay": "no"}}, {"b": {"relay": "no"}}, {"connector_settings": {"relay": "no"}}],
                         ids=["caller", "called-host", "connector"])
def test_without_the_relay_as_fast(lab, settings):
    calls = far_apart(lab, **settings)
    for host in (calls.a, calls.b):  # before that a call without a relay would wait for it
        labs.wait_until(lambda: host.status()["nat"]["public"] and not host.status()["nat"].get("is_learning"), 5, "its NAT is known")
    took = programs.first_reply(calls.node_a, NAME_B)
    assert took["call"] < 3.9 * ROUND_TRIP, (took, calls.a.process.log)
    assert calls.a.peer(NAME_B)["path"].startswith("direct ")


def test_begins_on_the_relay_and_moves(lab):
    """The direct path opens a second later: data flows at once by the relay, then directly, and no packet is lost or late."""
    calls = topologies.Calls(lab)
    calls.net.node.nft(BLOCK)
    calls.start()
    stream = calls.node_a.start("ping", "-i0.02", "-W10", "-q", NAME_B)
    there = calls.a.wait_peer(NAME_B, timeout=1)
    assert there["path"] == f"relay {ZONE}" and "direct path is being looked for" in there["path_reason"]
    labs.wait_until(lambda: calls.a.peer(NAME_B)["packets_in"] > 20, 1, "replies come by the relay")
    calls.net.node.nft("delete table inet block")
    calls.a.wait_direct(NAME_B, timeout=5), calls.b.wait_direct(NAME_A, timeout=5)
    packets = calls.a.peer(NAME_B)["packets_in"]
    labs.wait_until(lambda: calls.a.peer(NAME_B)["packets_in"] > packets + 20, 2, "replies come directly")
    stream.send_signal(2)
    labs.wait_until(lambda: not stream.is_running, 12, "ping ends")
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", stream.log).groups())
    assert sent - received <= 1, stream.log  # the last one may be under way
    assert calls.a.process.log.count("tunnel up") == 1 and "moved from relay" in calls.a.process.log


@pytest.mark.parametrize("where", ["called-host", "connector"])
def test_says_why_there_is_no_relay(lab, where):
    settings = {"b": {"relay": "no"}} if where == "called-host" else {"connector_settings": {"relay": "no"}}
    calls = topologies.Calls(lab, {"kind": "symmetric"}, {"kind": "symmetric"}, **{"a": {"attempt_timeout": "500ms"}, **settings})
    calls.net.node.nft(BLOCK)
    calls.start()
    end = calls.a.call(NAME_B, check=False)[-1]
    assert end["up"] is False and end["step"] == "punch"
    assert ("the called host wants no relay" if where == "called-host" else "connector relays nothing") in end["error"], end


# ---- a connector that spoils what it carries ----

def split_fields(data):
    """The candidates (and what belongs to them), and the IKE message that follows, of the end of a CALL or ANSWER."""
    for at in range(len(data) - 31):
        length = int.from_bytes(data[at + 1:at + 3], "big")
        if data[at] == 1 and 28 <= length <= 700 and at + 3 + length <= len(data) and \
                int.from_bytes(data[at + 3 + 24:at + 3 + 28], "big") == length and data[at + 3 + 17] == 0x20:
            return data[:at], data[at + 3:at + 3 + length]
    raise AssertionError(f"no IKE message in {data.hex()}")


def field(message):
    return b"\x01" + struct.pack("!H", len(message)) + message if message else b""


def flip(at):
    return lambda m: m[:at] + bytes([m[at] ^ 1]) + m[at + 1:]


SPOILT = {
    "dropped": lambda m: b"",
    "cut": lambda m: m[:40],
    "header": flip(20),
    "spi": flip(3),
    "key": flip(28 + 60),
    "end": lambda m: flip(len(m) - 1)(m),
    "longer": lambda m: m + bytes(700 - len(m)),
}


class Spoiler:
    """A hostile connector with both hosts logged in: passes their calls on, and changes what it likes."""

    def __init__(self, lab, **settings):
        settings = {"attempt_timeout": "2s", **settings}
        self.calls = calls = topologies.Calls(lab, "none", "none", a=settings, b=settings, resolver={
            "options": [option for name in (NAME_A, NAME_B) for option in (f"--host-record={name},0.0.0.1", f"--local=/{name}/")]})
        self.liar = liar.HostileConnector(calls.connector_node, ZONE, key_path=calls.connector.key_path)
        self.numbers = {}
        self.taken = 0
        for host in (calls.a, calls.b):
            host.sections["host"]["connector"] = f"{calls.connector_node.address}:4500"
            host.start(login=False)
            self.numbers[host] = self.liar.log_in(host.name)
            host.wait_login()
        self.taken = len(self.liar.events())

    def pass_on(self, request=lambda m: m, response=lambda m: m, until=None, timeout=15):
        """Passes CALL and ANSWER between a and b until that is so."""
        a, b = self.numbers[self.calls.a], self.numbers[self.calls.b]
        deadline = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < deadline, self.calls.a.process.log + self.calls.b.process.log
            events = self.liar.events()
            for event in events[self.taken:]:
                self.taken += 1
                if event[:3] == ["notify", str(a), str(liar.CALL)]:
                    self.call = call = liar.parse_call(bytes.fromhex(event[3]))
                    rest, message = split_fields(call["candidates"])
                    self.liar.notify(liar.CALL, struct.pack("!BBQ", 1, 6, call["number"]) + liar.text8(call["called"])
                                     + liar.text8(call["caller"]) + liar.raw_key(self.calls.a.public_key) + call["creds"] + rest
                                     + field(request(message)), b)
                elif event[:3] == ["notify", str(b), str(liar.ANSWER)]:
                    answer = liar.parse_answer(bytes.fromhex(event[3]))
                    try:
                        rest, message = split_fields(answer["rest"])
                    except AssertionError:
                        rest, message = answer["rest"], b""
                    data = struct.pack("!BBQ", 1, 0, answer["number"]) + liar.raw_key(self.calls.b.public_key) + answer["creds"]
                    self.liar.notify(liar.ANSWER, data + rest + field(response(message)), a)

    def hang_up(self):
        self.calls.a.detec(["hangup", NAME_B])
        self.calls.a.wait_peer(NAME_B, "down")
        self.calls.b.wait_peer(NAME_A, "down")


def test_spoilt_messages_cost_time_alone(lab):
    """Whatever the connector does to the request or the response, the next ping is answered, by keys negotiated directly."""
    spoiler = Spoiler(lab)
    calls = spoiler.calls
    first = {}
    for side in ("request", "response"):
        for name, change in SPOILT.items():
            ping = calls.node_a.start("ping", "-4", "-n", "-c1", "-W10", NAME_B)
            spoiler.pass_on(**{side: lambda m, change=change: change(m) if m else m}, until=lambda: not ping.is_running)
            assert "1 received" in ping.log, (side, name, ping.log, calls.a.process.log)
            assert calls.a.peer(NAME_B)["path"].startswith("direct "), (side, name)
            first.setdefault("message", spoiler.call)
            spoiler.hang_up()
    # The response of another call, and one's own request sent back.
    old = []
    for change in (lambda m: old.append(m) or m, lambda m: old[0], lambda m: split_fields(spoiler.call["candidates"])[1]):
        ping = calls.node_a.start("ping", "-4", "-n", "-c1", "-W10", NAME_B)
        spoiler.pass_on(response=change, until=lambda: not ping.is_running)
        assert "1 received" in ping.log, ping.log
        spoiler.hang_up()


def test_a_repeated_call_gains_nothing(lab):
    """CALL once more, with the same IKE message, while the tunnel is up: it stays, with the keys it has."""
    spoiler = Spoiler(lab)
    calls = spoiler.calls
    ping = calls.node_a.start("ping", "-4", "-n", "-c1", "-W10", NAME_B)
    spoiler.pass_on(until=lambda: not ping.is_running)
    assert "1 received" in ping.log
    before = calls.b.peer(NAME_A)
    rest, message = split_fields(spoiler.call["candidates"])
    for number in range(1, 6):
        spoiler.liar.notify(liar.CALL, struct.pack("!BBQ", 1, 6, number) + liar.text8(NAME_B) + liar.text8(NAME_A)
                            + liar.raw_key(calls.a.public_key) + spoiler.call["creds"][:7] + bytes([65 + number])
                            + spoiler.call["creds"][8:] + rest + field(message), spoiler.numbers[calls.b])
    labs.wait_until(lambda: sum(e[:3] == ["notify", str(spoiler.numbers[calls.b]), str(liar.ANSWER)]
                                for e in spoiler.liar.events()) >= 6, 5, "b answers each")
    calls.node_a.run(["ping", "-4", "-n", "-c3", "-i0.1", "-W2", NAME_B])
    after = calls.b.peer(NAME_A)
    assert after["age_s"] >= before["age_s"] and after["endpoint"] == before["endpoint"]
