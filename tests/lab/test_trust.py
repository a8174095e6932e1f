"""Which key belongs to a name: pinned at the first contact, and whatever differs later is refused, loudly.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── b (public)
                                                         │
                                                connector, resolver
"""
import base64
import os

import pytest

import lab as labs
import probes
import programs
import topologies

QUICK = {"attempt_timeout": "500ms"}
NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"


def make(lab, a=None, b=None):
    return topologies.Calls(lab, nat_b="none", a={**QUICK, **(a or {})}, b={**QUICK, **(b or {})})


def new_key(daemon):
    """Another key for a program that is not running; returns the public key."""
    daemon.key_path.unlink()
    daemon.public_key = daemon.node.run([programs.DETEC, "genkey", daemon.key_path]).stdout.strip()
    return daemon.public_key


def rebind(calls, host):
    """The administrator gives the host's name to its new key."""
    calls.connector.detec(["host", "remove", host.name])
    calls.connector.add(host)


def pins(host):
    return (host.dir / "state/pins").read_text()


def other_key():
    return base64.b64encode(os.urandom(32)).decode()


def test_changed_key_of_the_called_host(lab):
    calls = make(lab).start()
    probes.call(calls.a, calls.b)
    assert calls.b.public_key in pins(calls.a) and calls.a.public_key in pins(calls.b)
    old = calls.b.public_key
    calls.b.stop()
    new = new_key(calls.b)
    rebind(calls, calls.b)
    calls.b.start()

    end = probes.refused_call(calls.a, NAME_B)
    assert "has changed" in end["error"] and old in end["error"] and new in end["error"]
    assert f"detec trust {NAME_B}" in end["error"] + (end["hint"] or "")
    assert "has changed" in calls.a.process.log
    assert calls.a.peer(NAME_B)["state"] != "up" and old in pins(calls.a)

    # The command that it names accepts the next key.
    calls.a.detec(["trust", NAME_B, "--yes"])
    assert old not in pins(calls.a)
    assert "forgotten by command" in calls.a.process.log
    labs.wait_until(lambda: calls.a.call(NAME_B, check=False)[-1]["up"], 10, "a calls b")
    assert new in pins(calls.a)


def test_changed_key_of_the_caller(lab):
    calls = make(lab).start()
    probes.call(calls.a, calls.b)
    calls.a.stop()
    old, new = calls.a.public_key, new_key(calls.a)
    rebind(calls, calls.a)
    calls.a.start()
    probes.refused_call(calls.a, NAME_B)
    seen = probes.refusal(calls.b, NAME_A)
    assert seen["key"] == new and "not the one that is trusted" in seen["reason"]
    calls.b.process.wait_log("has changed")
    assert old in pins(calls.b) and new not in pins(calls.b)
    calls.b.detec(["trust", NAME_A, "--yes"])
    labs.wait_until(lambda: calls.a.call(NAME_B, check=False)[-1]["up"], 10, "a calls b")
    assert new in pins(calls.b)


def test_only_pinned_keys(lab):
    calls = make(lab, a={"trust": {"accept": "pinned"}})
    calls.a.sections["host"]["connector-key"] = calls.connector.public_key
    calls.start()
    end = probes.refused_call(calls.a, NAME_B)
    assert "accept = pinned" in end["error"] and calls.b.public_key in end["error"]
    # What it says is what has to be written.
    calls.a.stop()
    calls.a.sections["trust"]["pin"] = f"{NAME_B} {calls.b.public_key}"
    calls.a.start()
    there, _ = probes.call(calls.a, calls.b)
    assert there["key"] == calls.b.public_key
    assert calls.b.public_key not in pins(calls.a) if (calls.a.dir / "state/pins").exists() else True


def test_configured_pin_differs(lab):
    wrong = other_key()
    calls = make(lab, b={"trust": {"pin": f"{NAME_A} {wrong}"}}).start()
    probes.refused_call(calls.a, NAME_B)
    assert probes.refusal(calls.b, NAME_A)["key"] == calls.a.public_key
    done = calls.b.detec(["trust", NAME_A, "--yes"], check=False)
    assert done.returncode == 1 and "change it there" in done.stdout + done.stderr
    end = probes.refused_call(calls.b, NAME_A)
    assert "in the configuration" in end["error"] and wrong in end["error"]


def test_connector_key(lab):
    """Pinned at the first contact; a changed one is refused with the command that accepts it."""
    calls = make(lab)
    calls.start([calls.a])
    assert calls.connector.public_key in pins(calls.a)
    assert "first contact" in calls.a.process.log
    calls.connector.stop()
    old, new = calls.connector.public_key, new_key(calls.connector)
    calls.connector.start()
    command = "detec trust --connector detec.example.net"
    labs.wait_until(lambda: command in (calls.a.status()["login"]["error"] or ""), 15,
                    lambda: f"a refuses the new key: {calls.a.status()['login']}")
    assert calls.a.login_state() == "refused"
    assert old in pins(calls.a) and new not in pins(calls.a)
    calls.a.detec(["trust", "--connector", "detec.example.net", "--yes"])
    calls.a.wait_login()
    assert new in pins(calls.a)


def test_configured_connector_key_differs(lab):
    calls = make(lab, a={"connector_key": other_key()})
    calls.connector.start()
    calls.connector.add(calls.a)
    calls.a.start(login=False)
    labs.wait_until(lambda: calls.a.login_state() == "refused", 10, lambda: f"{calls.a.status()['login']}")
    # Nothing was told to it: it does not know the host.
    assert "connector-key" in calls.a.status()["login"]["error"]
    assert "logged in" not in calls.connector.process.log


@pytest.mark.parametrize("damage", ["bytes", "cut", "unreadable"])
def test_damaged_pins_refuse(lab, damage):
    calls = make(lab)
    calls.a.sections["host"]["connector-key"] = calls.connector.public_key
    calls.start()
    probes.call(calls.a, calls.b)
    calls.a.stop()
    path = calls.a.dir / "state/pins"
    text = path.read_bytes()
    if damage == "bytes":
        path.write_bytes(text.replace(calls.b.public_key[:5].encode(), b"AAAAA"))
    elif damage == "cut":
        path.write_bytes(text[:-10])
    else:
        path.unlink()
        path.mkdir()
    calls.a.start(login=False)
    labs.wait_until(lambda: "pins" in calls.a.process.log, 5, "it says so")
    # Neither callers nor calls, whatever key they have.
    calls.a.wait_login()
    probes.refused_call(calls.b, NAME_A)
    assert "trusted" in probes.refusal(calls.a, NAME_B)["reason"]
    assert "nobody's key can be told from a changed one" in probes.refused_call(calls.a, NAME_B)["error"]


def test_key_file_for_others_to_read(lab):
    calls = make(lab)
    calls.a.key_path.chmod(0o644)
    calls.a.write_config()
    done = calls.node_a.run([programs.DETECD, "-c", calls.a.config_path], check=False, timeout=10)
    assert done.returncode == 1 and str(calls.a.key_path) in done.stderr
    calls.connector.key_path.chmod(0o640)
    calls.connector.write_config()
    done = calls.connector_node.run([programs.CONNECTOR, "-c", calls.connector.config_path], check=False, timeout=10)
    assert done.returncode == 1 and str(calls.connector.key_path) in done.stderr
