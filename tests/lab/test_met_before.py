"""Hosts that have met before: the SA of a tunnel that nobody uses is kept at rest, and one exchange wakes it.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                                connector, resolver

b without natb where the test says so: then it can be reached without a call.
"""
import contextlib
import signal
import struct
import time

import pytest

import capture
import lab as labs
import liar
import programs
import test_speed
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
    assert took["call"] < 2.9 * ROUND_TRIP, (took, calls.a.process.log, calls.b.process.log)
    if way == "last":  # asked there and by the call: where both answers come at the same moment, either begins
        calls.a.wait_direct(NAME_B)
    else:
        assert calls.a.peer(NAME_B)["path"].startswith("relay ")
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


# ---- a connector that lies ----

def split(data, has_reason):
    """Candidates (and the reason of an ANSWER), and the fields behind."""
    at = 1
    for _ in range(data[0] & 0x7f):
        at += 8 if data[at + 1] == 4 else 20
    at += 6 if data[0] & 0x80 else 0
    at += 1 + data[at] if has_reason else 0
    head, found = data[:at], {}
    while at < len(data):
        length = int.from_bytes(data[at + 1:at + 3], "big")
        found[data[at]] = data[at + 3:at + 3 + length]
        at += 3 + length
    return head, found


def join(head, found):
    return head + b"".join(bytes([kind]) + len(data).to_bytes(2, "big") + data for kind, data in found.items())


class Passing(test_speed.Spoiler):
    """Passes calls on with all their fields, and changes what it likes."""

    def pass_whole(self, until, request=lambda f: f, response=lambda f: f, key=None, timeout=15):
        a, b = self.numbers[self.calls.a], self.numbers[self.calls.b]
        deadline = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < deadline, self.calls.a.process.log + self.calls.b.process.log
            events = self.liar.events()
            for event in events[self.taken:]:
                self.taken += 1
                if event[:3] == ["notify", str(a), str(liar.CALL)]:
                    self.call = liar.parse_call(bytes.fromhex(event[3]))
                    head, self.asked = split(self.call["candidates"], False)
                    self.send_call(self.call["number"], head, request(self.asked), key)
                elif event[:3] == ["notify", str(b), str(liar.ANSWER)]:
                    answer = liar.parse_answer(bytes.fromhex(event[3]))
                    head, self.answered = split(answer["rest"], True)
                    self.liar.notify(liar.ANSWER, struct.pack("!BBQ", 1, 0, answer["number"]) + liar.raw_key(self.calls.b.public_key)
                                     + answer["creds"] + join(head, response(self.answered)), a)

    def send_call(self, number, head, fields, key=None):
        self.liar.notify(liar.CALL, struct.pack("!BBQ", 1, 6, number) + liar.text8(NAME_B) + liar.text8(NAME_A)
                         + (key or liar.raw_key(self.calls.a.public_key)) + self.call["creds"] + join(head, fields),
                         self.numbers[self.calls.b])

    def ping(self, **changes):
        """One ping from a to b gets its answer, whatever is changed."""
        self.answered = None
        ping = self.calls.node_a.start("ping", "-4", "-n", "-c1", "-W12", NAME_B)
        self.pass_whole(until=lambda: not ping.is_running, **changes)
        assert "1 received" in ping.log, (changes, ping.log, self.calls.a.process.log)


def flipped(fields):
    return {**fields, 3: fields[3][:-1] + bytes([fields[3][-1] ^ 1])} if 3 in fields else fields


def test_what_a_connector_cannot_wake(lab):
    """Directly nobody is woken here, so that all depends on CALL and ANSWER; and whatever the connector does to them, the ping is
    answered, by keys that it does not have. An old request brings nothing, nor does one that comes with another key.
    """
    spoiler = Passing(lab, idle="1s")
    calls = spoiler.calls
    calls.net.node.nft("table inet sleep { chain forward { type filter hook forward priority 0; "
                       f"udp dport 32589 @th,64,32 0 @th,240,8 {CREATE_CHILD_SA} drop; }}; }}")
    spoiler.ping()
    rest(calls)
    # The relay that the connector does not have is not waited for: the nominated path carries it.
    spoiler.ping()
    assert set(spoiler.asked) == {1, 3} and set(spoiler.answered) == {3}, (spoiler.asked, spoiler.answered)
    head, old = split(spoiler.call["candidates"], False)
    for changes in ({"request": flipped}, {"response": flipped}, {"request": lambda f: {1: f[1]}}):
        rest(calls)
        spoiler.ping(**changes)
    rest(calls)
    # Once more what woke the SA before: the rest goes on, and the answer is that to a stranger's first message.
    before = len(spoiler.liar.events())
    spoiler.send_call(4711, head, old)
    labs.wait_until(lambda: any(e[:3] == ["notify", str(spoiler.numbers[calls.b]), str(liar.ANSWER)] for e in spoiler.liar.events()[before:]),
                    5, "b answers")
    event = next(e for e in spoiler.liar.events()[before:] if e[2:3] == [str(liar.ANSWER)])
    assert set(split(liar.parse_answer(bytes.fromhex(event[3]))["rest"], True)[1]) <= {1}
    assert calls.b.status()["resting"] == 1 and calls.b.status()["tunnels"] == 0
    spoiler.taken = len(spoiler.liar.events())
    # A call with another key than the one that is pinned gets nothing, whatever it carries.
    ping = calls.node_a.start("ping", "-4", "-n", "-c1", "-W3", NAME_B)
    spoiler.answered = None
    spoiler.pass_whole(until=lambda: calls.b.status()["refused"], key=bytes(range(32)))
    assert spoiler.answered is None and calls.b.status()["resting"] == 1
    ping.stop()


# ---- after a restart of both daemons, without any connector ----

def is_remembered(host, name):
    """In its state directory, with an address."""
    path = host.dir / "state" / "met"
    lines = path.read_text().splitlines() if path.exists() else []
    return any(line.startswith(f"peer {name} ") and not line.endswith(" -") for line in lines)


def stop_all(calls, stops):
    """The connector for good, and then both daemons in these two ways."""
    for host, name in ((calls.a, NAME_B), (calls.b, NAME_A)):
        labs.wait_until(lambda host=host, name=name: is_remembered(host, name), 10, f"{name} is written down")
        assert (host.dir / "state" / "met").stat().st_mode & 0o777 == 0o600
    calls.connector.kill()
    for host, stop in zip((calls.a, calls.b), stops):
        getattr(host, stop)()
    for nat in filter(None, (calls.nat_a, calls.nat_b)):
        nat.run(["conntrack", "-F"])  # nor do the NATs remember anything


@pytest.mark.parametrize("nat_b, stops", [("none", ("stop", "kill")), ({}, ("kill", "stop"))], ids=["public", "both filter"])
def test_no_connector_after_a_restart(lab, nat_b, stops):
    """Both daemons have been restarted, connector and zone are gone: they meet again by what they wrote down; where both filter, what
    each sends to its acquaintances lets the other one in. A copy of the caller's first message brings nothing, nor does [allow] stay
    behind.
    """
    calls = topologies.Calls(lab, nat_b=nat_b, a={"attempt_timeout": "4s"}).start()
    ping(calls)
    there = calls.a.wait_direct(NAME_B)["address"]
    calls.b.wait_direct(NAME_A)
    stop_all(calls, stops)
    seen = capture.Capture(calls.node_a, "eth0", "udp port 32589")
    for host in (calls.b, calls.a):
        host.start(login=False)
    begin = time.monotonic()
    done = calls.node_a.run(["ping", "-n", "-c1", "-W12", there], check=False)
    took = time.monotonic() - begin
    print("met again after", took)
    assert done.returncode == 0, calls.a.process.log + calls.b.process.log
    assert calls.a.peer(NAME_B)["path"].startswith("direct ") and calls.b.peer(NAME_A)["direction"] == "in"
    assert calls.a.peer(NAME_B)["address"] == there
    # Once more, by name: no DNS answers for the zone.
    calls.a.detec(["hangup", NAME_B])
    calls.b.wait_peer(NAME_A, "down")
    end = calls.a.call(NAME_B)[-1]
    assert end["up"] is True, end
    calls.resolver.process.stop()
    found = calls.node_a.run(["getent", "ahostsv4", NAME_B], check=False).stdout
    assert found.split()[:1] == [there], (found, calls.a.process.log)
    first = next(p.payload for p in seen.stop() if p.source == calls.node_a.address and p.payload[:4] == bytes(4) and p.payload[22] == 34)
    if nat_b == "none":
        check_strangers(calls, first)


def answers(sock, spi):
    """What comes within a second for this initiator's SPI; keepalives and farewells of before may come as well."""
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            data = sock.recv(2000)
            found += [data] if data[4:12] == spi else []
    return found


def check_strangers(calls, first):
    """A copy of the first message, changed or not, and one without the proof: no answer."""
    calls.a.stop()
    with calls.node_a.socket(bind=("0.0.0.0", 32589)) as sock:
        sock.settimeout(1)
        proof = first.index(struct.pack("!H", 56816))
        for message in (first, first[:proof] + b"\xdd\xe0" + first[proof + 2:], first[:-1] + bytes([first[-1] ^ 1])):
            sock.sendto(message, (calls.node_b.address, 32589))
            assert not answers(sock, first[4:12])
    calls.b.wait_peer(NAME_A, "down")
    reload(calls.b, "nobody")
    calls.a.start(login=False)
    assert calls.a.call(NAME_B, timeout=2, check=False)[-1]["up"] is False
    assert any(entry["name"] == NAME_A for entry in calls.b.status()["refused"])


def test_damaged_memory(lab):
    """A state file that is damaged is said and ignored; what is not there any more is found by the connector."""
    calls = topologies.Calls(lab, nat_b="none").start()
    ping(calls)
    calls.b.wait_direct(NAME_A)
    labs.wait_until(lambda: is_remembered(calls.b, NAME_A), 10, "a is written down")
    calls.b.stop()
    path = calls.b.dir / "state" / "met"
    path.write_text(path.read_text().replace("static", "statik", 1))
    calls.b.start()
    calls.b.process.wait_log("state/met: the content does not match the checksum")
    calls.a.wait_peer(NAME_B, "down")
    ping(calls)
    labs.wait_until(lambda: "statik" not in path.read_text() and is_remembered(calls.b, NAME_A), 10, "it is written anew")
