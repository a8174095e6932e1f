"""Connectors and hosts that lie: about names, keys, addresses, calls of others.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── b (public), victim
                         │                               │
                       mallory                  connector, resolver

mallory is whatever the test says, run by lab_liar with bytes of the test's own.
"""
import os

import pytest

import capture
import lab as labs
import liar
import probes
import programs
import topologies

ZONE, NAME_A, NAME_B = "detec.example.net", "a.detec.example.net", "b.detec.example.net"
QUICK = {"attempt_timeout": "600ms"}
RSS_GROWTH_KIB = 4096 if "asan" not in str(labs.BUILD) else 200000


class Watch:
    """That nothing was harmed: the tunnel from a to b carries traffic, the daemons live, their memory is bounded."""

    def __init__(self, calls):
        self.calls = calls
        there, _ = probes.call(calls.a, calls.b)
        self.address, self.age = there["address"], there["age_s"]
        self.daemons = [calls.a, calls.b, calls.connector]
        self.before = [d.memory_kib() for d in self.daemons]

    def check(self):
        assert probes.ping(self.calls.node_a, self.address, timeout=3), self.calls.a.process.log
        assert self.calls.a.peer(NAME_B)["age_s"] >= self.age, "it is another tunnel"
        for daemon, before in zip(self.daemons, self.before):
            assert daemon.answers()
            assert daemon.memory_kib() - before < RSS_GROWTH_KIB, (daemon.node.name, before, daemon.memory_kib())
            assert "Sanitizer" not in daemon.process.log and "runtime error" not in daemon.process.log, daemon.process.log


def make(lab, **b):
    return topologies.Calls(lab, nat_b="none", a=QUICK, b={**QUICK, **b})


def host_and_hostile_connector(lab, **settings):
    """A public host b that is logged in at a hostile connector, and its connection's number."""
    net = lab.internet()
    node = lab.host("mallory", net.west)
    connector = liar.HostileConnector(node, ZONE)
    host = programs.Host(lab.host("b", net.east), None, NAME_B, **{**QUICK, **settings})
    host.sections["host"]["connector"] = f"{node.address}:4500"
    host.start(login=False)
    number = connector.log_in(NAME_B)
    host.wait_login()
    return net, connector, host, number


def no_sanitizer_report(*daemons):
    for daemon in daemons:
        assert "Sanitizer" not in daemon.process.log and "runtime error" not in daemon.process.log, daemon.process.log


# ---- hostile connectors ----

def test_connector_aims_probes_at_a_victim(lab):
    """Whatever candidates it gives: nothing to addresses that are no host's, a handful to any other."""
    net, connector, b, number = host_and_hostile_connector(lab)
    victim = lab.host("victim", net.east)
    seen = capture.Capture(b.node, "any", "udp and not port 4500 and not port 4501")
    key = os.urandom(32)
    bad = [("127.0.0.1", 53), ("224.0.0.251", 5353), ("255.255.255.255", 67), ("0.0.0.86", 22), ("169.254.1.1", 80),
           ("240.0.0.1", 1), (victim.address, 0), ("0.0.0.0", 9)]
    connector.notify(liar.CALL, liar.call(1, NAME_B, f"c.{ZONE}", key, endpoints=bad), number)
    connector.wait_notify(liar.ANSWER, number)
    labs.wait_until(lambda: b.status()["calls"] == 0, 5, "the call ends")
    # The host itself asks its resolver at 127.0.0.1 for the caller's zone: that is no STUN message.
    probes = [p for p in seen.packets() if p.destination != "203.0.113.255" and p.destination_port != 4500
              and (p.destination_port != 53 or p.payload[4:8] == b"\x21\x12\xa4\x42")]
    assert not probes, probes

    for i in range(8):
        connector.notify(liar.CALL, liar.call(2 + i, NAME_B, f"c{i}.{ZONE}", key, kind=2,
                                              endpoints=[(victim.address, 1000 + n) for n in range(8)]), number)
    for i in range(8):
        connector.wait_notify(liar.ANSWER, number)
    labs.wait_until(lambda: b.status()["calls"] == 0, 5, "the calls end")
    probed = [p for p in seen.stop() if p.destination == victim.address]
    # Of eight calls with eight addresses each: some, and never more than 24 an address and 256 a call.
    assert 0 < len(probed) <= 8 * 256
    assert all(len(p.payload) <= 160 for p in probed)
    by_port = [sum(p.destination_port == 1000 + n for p in probed) for n in range(8)]
    assert max(by_port) <= 8 * (24 + 3), by_port
    no_sanitizer_report(b)


def test_connector_sends_garbage_and_others_messages(lab):
    net, connector, b, number = host_and_hostile_connector(lab)
    key = os.urandom(32)
    good = liar.call(1, NAME_B, f"c.{ZONE}", key, endpoints=[("198.51.100.99", 1)])
    for length in range(len(good)):
        connector.notify(liar.CALL, good[:length], number)
    connector.notify(liar.CALL, good + b"x", number)
    connector.notify(liar.CALL, b"\x02" + good[1:], number)
    connector.notify(liar.CALL, liar.call(1, "other." + ZONE, f"c.{ZONE}", key), number)      # not us
    connector.notify(liar.CALL, liar.call(1, NAME_B, NAME_B, key), number)                   # ourselves
    connector.notify(liar.CALL, liar.call(1, NAME_B, "", key), number)                       # nobody
    connector.notify(liar.CALL, liar.call(1, NAME_B, "Bad Name!", key), number)
    connector.notify(liar.CALL, liar.call(1, NAME_B, f"c.{ZONE}", key, creds=b"\n" * 32), number)
    for n in range(20):
        connector.notify(liar.ANSWER, liar.answer(n, key, [("198.51.100.99", 1)]), number)
        connector.notify(liar.KEY, liar.key_answer(n, key), number)
    connector.notify(liar.ANSWER, os.urandom(1000), number)
    for kind in (liar.LOGIN, liar.RELAY, liar.LOOKUP, 57000, 65535):
        connector.notify(kind, os.urandom(60), number)
    # The session goes on as if nothing had been said.
    connector.notify(liar.CALL, liar.call(77, NAME_B, f"d.{ZONE}", key, endpoints=[("198.51.100.99", 1)]), number)
    said = liar.parse_answer(connector.wait_notify(liar.ANSWER, number))
    assert said["number"] == 77 and said["key"] == bytes(32)
    assert b.login_state() == "logged-in"
    assert not [e for e in connector.events() if e[0] == "closed"]
    no_sanitizer_report(b)
    # Not IKE any more: the host hangs up and tries again, with an error that says so.
    connector.raw(b"\x00\x01garbage", number)
    connector.wait("closed", number)
    assert "does not speak IKE" in b.process.log


@pytest.mark.alone
def test_connector_floods_with_calls(lab):
    """Hundreds of callers: few at once, the pool keeps room, and the host goes on."""
    net, connector, b, number = host_and_hostile_connector(lab)
    before = b.memory_kib()
    for i in range(400):
        connector.notify(liar.CALL, liar.call(i, NAME_B, f"c{i}.{ZONE}", os.urandom(32), endpoints=[("198.51.100.99", 1)]), number)
        if i % 40 == 39:
            assert b.status()["calls"] <= 24
    labs.wait_until(lambda: any(r["reason"] == "too many calls at once" for r in b.status()["refused"]), 5,
                    lambda: f"{b.status()['refused']}")
    assert len(b.status()["refused"]) <= 32
    labs.wait_until(lambda: b.status()["calls"] == 0, 5, "the calls end")
    assert b.memory_kib() - before < RSS_GROWTH_KIB
    no_sanitizer_report(b)


def test_connector_lies_about_keys(lab):
    """To a pinned name, both ways; and to a name never met it can give its own key, but then is held to it for ever."""
    pinned = liar.raw_key("AAAAC3NzaC1lZDI1NTE5AAAAIJustSomeBytes0123A=")
    net, connector, b, number = host_and_hostile_connector(
        lab, trust={"pin": f"c.{ZONE} {labs_b64(pinned)}"})
    lie = os.urandom(32)
    connector.notify(liar.CALL, liar.call(1, NAME_B, f"c.{ZONE}", lie, endpoints=[("198.51.100.99", 1)]), number)
    seen = probes.refusal(b, f"c.{ZONE}")
    assert seen["key"] == labs_b64(lie) and "trusted" in seen["reason"]
    b.process.wait_log("is not the one in the configuration")
    # A name of ours that it does not vouch for.
    connector.notify(liar.CALL, liar.call(2, NAME_B, f"d.{ZONE}", lie, flags=0), number)
    assert "vouched" in probes.refusal(b, f"d.{ZONE}")["reason"]
    # The other way: b calls c, and is told another key.
    called = b.node.start(programs.DETEC, "call", f"c.{ZONE}", "--json", "--timeout", 5, env={"DETEC_SOCKET": str(b.socket_path)})
    for _ in range(1):
        asked = liar.parse_call(connector.wait_notify(liar.CALL, number))
        assert asked["called"] == f"c.{ZONE}" and asked["flags"] & 6 == 0 and asked["key"] == bytes(32)
        connector.notify(liar.ANSWER, liar.answer(asked["number"], lie, [("198.51.100.99", 1)]), number)
    labs.wait_until(lambda: not called.is_running, 10, "the call ends")
    assert '"up":false' in called.log.replace(" ", "") and "is not the one in the configuration" in called.log
    assert labs_b64(lie) not in (b.dir / "state/pins").read_text()
    no_sanitizer_report(b)


def labs_b64(data):
    import base64
    return base64.b64encode(data).decode()


# ---- hostile hosts ----

class Mallory:
    """A host with a static name of its own, that says over its session and its socket whatever it likes."""

    def __init__(self, lab, calls, name="m.detec.example.net", udp_identity=None, udp_key=None):
        self.node = lab.host("mallory", calls.net.west)
        self.node.use_resolver(*calls.resolver.addresses)
        self.session = liar.Liar(self.node, name, "connect", f"{calls.connector_node.address}:4500")
        calls.connector.detec(["host", "add", name, self.session.public_key])
        self.name = name
        self.said = liar.log_in(self.session, name)
        self.udp = liar.Liar(self.node, udp_identity or name, "udp", 40000, udp_key or self.session.key_path)

    def call(self, called, number=1, caller=None):
        """CALL with our socket as the only candidate; the answer."""
        self.session.notify(liar.CALL, liar.call(number, called, self.name if caller is None else caller, flags=0,
                                                 endpoints=[(self.node.address, 40000)]))
        return liar.parse_answer(self.session.wait_notify(liar.ANSWER))

    def punch(self, host, credentials, **options):
        """A check with a nomination, answered; `host` takes IKE from us then."""
        self.udp.send("udp", f"{host.node.address}:32589", liar.stun_check(credentials, **options).hex())

    def wait_checked(self):
        """Until the host has validated our address: our answer to its check."""
        while True:
            event = self.udp.wait("udp")
            data = bytes.fromhex(event[2])
            if data[:2] == b"\x00\x01":
                return event[1], data


def answer_checks(mallory, password):
    """The liar's answer to the host's check, so that it believes our address."""
    import binascii
    import hmac
    import socket
    import struct
    to, check = mallory.wait_checked()
    address, port = to.rsplit(":", 1)
    xor = struct.pack("!BBH", 0, 1, int(port) ^ 0x2112) + bytes(
        x ^ y for x, y in zip(socket.inet_aton(address), struct.pack("!I", liar.COOKIE)))
    def header(length):
        return struct.pack("!HHI", 0x101, length, liar.COOKIE) + check[8:20]
    body = liar.attribute(0x20, xor)
    body += liar.attribute(8, hmac.digest(password, header(len(body) + 24) + body, "sha1"))
    body += liar.attribute(0x8028, struct.pack("!I", binascii.crc32(header(len(body) + 8) + body) ^ 0x5354554E))
    mallory.udp.send("udp", to, (header(len(body)) + body).hex())


def reach(mallory, host, number=1):
    """CALL, checks both ways: the host's IKE is open to us."""
    said = mallory.call(host.name, number)
    assert said["result"] == 0
    mallory.punch(host, said["creds"])
    answer_checks(mallory, liar.PASSWORD.encode())
    mallory.udp.wait("udp", f"{host.node.address}:32589")
    return said


def test_wrong_key_over_a_punched_path(lab):
    """Who has every right to call, and then negotiates with another key or name than the call's, gets no tunnel."""
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    other = liar.Liar(calls.resolver_node, "-", "udp", 1)  # only for its key
    honest = Mallory(lab, calls)
    # The lab's own proof: without a lie, it works.
    reach(honest, calls.b)
    honest.udp.send("ike", f"{calls.node_b.address}:32589", NAME_B)
    honest.udp.wait("ike-child")
    calls.b.wait_peer(honest.name)
    assert calls.b.peer(honest.name)["key"] == honest.session.public_key
    calls.b.detec(["hangup", honest.name])
    calls.b.wait_peer(honest.name, "down")

    honest.udp.stop()
    honest.udp = liar.Liar(honest.node, honest.name, "udp", 40000, other.key_path)
    reach(honest, calls.b, 2)
    honest.udp.send("ike", f"{calls.node_b.address}:32589", NAME_B)
    honest.udp.wait("ike-closed")
    calls.b.process.wait_log("key negotiation failed")
    peer = calls.b.peer(honest.name)
    assert peer is None or peer["state"] != "up"

    honest.udp.stop()
    honest.udp = liar.Liar(honest.node, NAME_A, "udp", 40000, honest.session.key_path)
    labs.wait_until(lambda: calls.b.status()["calls"] == 0, 5, "the call before ends")
    reach(honest, calls.b, 3)
    honest.udp.send("ike", f"{calls.node_b.address}:32589", NAME_B)
    honest.udp.wait("ike-closed")
    assert calls.b.peer(NAME_A)["key"] == calls.a.public_key
    watch.check()


def test_ike_and_checks_from_nowhere(lab):
    """IKE from an endpoint that no check has validated is not taken; checks with a wrong password are not answered."""
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    mallory = Mallory(lab, calls)
    mallory.udp.send("ike", f"{calls.node_b.address}:32589", NAME_B)
    said = mallory.call(NAME_B)
    for wrong in (dict(password=b"x" * 24), dict(own_fragment="AAAAAAAA", password=b"y" * 24)):
        mallory.punch(calls.b, said["creds"], **wrong)
    good = liar.stun_check(said["creds"])
    for bit in range(0, 8 * (len(good) - 8), 5):  # all but FINGERPRINT, which MESSAGE-INTEGRITY does not cover
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        mallory.udp.send("udp", f"{calls.node_b.address}:32589", bytes(flipped).hex())
    for length in range(0, len(good), 3):
        mallory.udp.send("udp", f"{calls.node_b.address}:32589", good[:length].hex())
    mallory.udp.send("ike", f"{calls.node_b.address}:32589", NAME_B)
    labs.wait_until(lambda: calls.b.status()["calls"] == 0, 10, "the call ends")
    answered = [e for e in mallory.udp.events() if e[0] == "udp" and e[2].startswith("0101")]
    assert not answered and not [e for e in mallory.udp.events() if e[0] in ("ike-up", "ike-child")]
    drops = calls.b.status()["drops"]
    assert drops["stray-ike"] >= 1 and drops["stray-stun"] >= 10, drops
    watch.check()


def test_host_lies_to_the_connector(lab):
    """Names of others, answers to calls of others, floods: the connector counts them, nobody else notices."""
    calls = make(lab)
    calls.start()
    watch = Watch(calls)
    # Another's name is not given to a wrong key.
    thief = liar.Liar(calls.resolver_node, NAME_A, "connect", f"{calls.connector_node.address}:4500")
    assert liar.log_in(thief, NAME_A)["result"] == 2
    mallory = Mallory(lab, calls)
    # A call under another's name: the connector does not pass it on.
    mallory.session.notify(liar.CALL, liar.call(5, NAME_B, NAME_A, flags=6, key=liar.raw_key(calls.a.public_key),
                                                endpoints=[(mallory.node.address, 40000)]))
    # Answers to calls that were never asked of it.
    for number in range(64):
        mallory.session.notify(liar.ANSWER, liar.answer(number, endpoints=[(mallory.node.address, 40000)]))
    # Every length, other versions, types of connectors.
    good = liar.call(6, NAME_B, mallory.name, flags=0)
    for length in range(0, len(good), 2):
        mallory.session.notify(liar.CALL, good[:length])
    for kind in (liar.NAME, liar.KEY, liar.RELAY, 60000):
        mallory.session.notify(kind, os.urandom(50))
    # More calls than anyone may make.
    for number in range(100, 160):
        mallory.session.notify(liar.CALL, liar.call(number, NAME_B, mallory.name, flags=0, endpoints=[(mallory.node.address, 40000)]))
    limited = []
    def is_limited():
        limited.append(liar.parse_answer(mallory.session.wait_notify(liar.ANSWER)))
        return limited[-1]["result"] == 1
    labs.wait_until(is_limited, 10, "the connector limits calls")
    # A guest may do no more.
    guest = liar.Liar(calls.resolver_node, "-", "connect", f"{calls.connector_node.address}:4500")
    assert liar.log_in(guest, guest=True)["result"] == 7
    for number in range(60):
        guest.notify(liar.CALL, liar.call(number, NAME_B, NAME_A, flags=6, endpoints=[("198.51.100.99", 1)]))
        guest.notify(liar.LOOKUP, b"\x01" + number.to_bytes(8, "big") + liar.text8(NAME_B))
    guest.wait_notify(liar.KEY)
    counters = calls.connector.ask("status")
    counters = counters.get("status", counters)
    assert counters["forged"] >= 20 and counters["invalid"] >= 64 and counters["limited"] >= 30, counters
    assert NAME_A not in {r["name"] for r in calls.b.status()["refused"]}
    watch.check()


def test_foreign_caller_lies_about_its_name(lab):
    """It claims a name of b's own zone, and names of zones that cannot be found."""
    calls = make(lab, allow="*")
    calls.start()
    watch = Watch(calls)
    node = lab.host("mallory", calls.net.west)
    guest = liar.Liar(node, "-", "connect", f"{calls.connector_node.address}:4500")
    assert liar.log_in(guest, guest=True)["result"] == 7
    pool = (calls.b.dir / "state/pool").read_text()
    endpoints = [(node.address, 40000)]
    guest.notify(liar.CALL, liar.call(1, NAME_B, f"x.{ZONE}", flags=0, endpoints=endpoints))
    for number in range(2, 12):
        guest.notify(liar.CALL, liar.call(number, NAME_B, f"h{number}.nowhere.example", flags=0, endpoints=endpoints))
    def reasons():
        return {r["name"]: r["reason"] for r in calls.b.status()["refused"]}
    labs.wait_until(lambda: len(reasons()) >= 10, 10, lambda: f"all are refused: {reasons()}")
    assert not [e for e in guest.events() if e[0] == "notify" and e[2] == str(liar.ANSWER)]
    assert any("too many callers of other zones" in r for r in reasons().values())
    # A claim takes nothing: no peer address, no peer.
    assert (calls.b.dir / "state/pool").read_text() == pool
    assert {p["name"] for p in calls.b.peers()} == {NAME_A}
    watch.check()
