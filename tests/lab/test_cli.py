"""The command line as users meet it: what it prints, for people and as JSON, and how it ends.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
                                                             │
                                                   connector, resolver
"""
import base64
import json
import os
import re

import pytest

import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
STEPS = ["name", "connector", "candidates", "punch", "keys"]


def objects(done):
    """The objects of an answer in JSON, one a line; the last one of several, and only that, says that it is done."""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if len(lines) == 1 and "done" not in lines[0]:
        return lines  # what was asked for, without an envelope
    assert [line.get("done", False) for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines


def says_error(done, *words):
    """A failure: on the standard error, one line that starts with the program's name, with these words."""
    assert done.stdout == "" and done.stderr.startswith("detec: "), (done.stdout, done.stderr)
    assert all(word in done.stderr for word in words), done.stderr


def test_keys_in_files(lab):
    node = lab.host("a", lab.internet().west)
    path = lab.dir / "key"
    done = node.run([programs.DETEC, "genkey", path])
    key = done.stdout.strip()
    assert done.stdout == key + "\n" and len(base64.b64decode(key, validate=True)) == 32
    assert path.stat().st_mode & 0o777 == 0o600 and "PRIVATE KEY" in path.read_text()
    assert node.run([programs.DETEC, "pubkey", path]).stdout == done.stdout
    before = path.read_bytes()
    again = node.run([programs.DETEC, "genkey", path], check=False)
    assert again.returncode == 1 and path.read_bytes() == before
    says_error(again, str(path))
    for damage in (b"", b"nonsense", before[:60]):
        path.write_bytes(damage)
        done = node.run([programs.DETEC, "pubkey", path], check=False)
        assert done.returncode == 1
        says_error(done, str(path))
    done = node.run([programs.DETEC, "pubkey", lab.dir / "missing"], check=False)
    assert done.returncode == 1
    says_error(done, "missing")


@pytest.mark.parametrize("words, about", [
    ([], "a command is missing"), (["frobnicate"], "frobnicate"), (["call"], "NAME"), (["call", "x", "y"], "y"), (["status", "--nonsense"], "--nonsense"),
    (["call", "x", "--timeout", "soon"], "--timeout"), (["ping", "x", "--count", "0"], "--count"), (["hangup"], "NAME"),
    (["host"], "host"), (["host", "add", "x"], "KEY"), (["genkey"], "FILE"), (["call", "bad..name"], "bad..name"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_wrong_usage(words, about):
    done = labs.command(str(programs.DETEC), *words, check=False)
    assert done.returncode == 2 and about in done.stderr and done.stdout == ""


def test_help_and_version():
    text = labs.command(str(programs.DETEC), "--help").stdout
    for word in ("genkey", "pubkey", "status", "peers", "call", "hangup", "ping", "host add", "trust", "netcheck"):
        assert f"\n  {word}" in text
        assert labs.command(str(programs.DETEC), *word.split(), "--help").stdout.startswith("Usage: detec " + word)
    assert re.search(r"\d+\.\d+", labs.command(str(programs.DETEC), "--version").stdout)


def test_without_a_daemon(tmp_path):
    for command in ("status", "peers", "call x.example.net", "hangup x.example.net", "ping x.example.net"):
        words = [*command.split(), "--json", "--socket", str(tmp_path / "none.sock")]
        done = labs.command(str(programs.DETEC), *words, check=False)
        assert done.returncode == 1
        says_error(done, "none.sock", "detecd is not running")


def test_a_host_from_login_to_hangup(lab):
    """Everything that one asks of detecd, in the order of a day."""
    calls = topologies.Calls(lab).start()
    a = calls.a

    status = a.status()
    assert (status["name"], status["is_static"], status["zone"]) == (NAME_A, True, "detec.example.net")
    assert status["key"] == a.public_key and status["login"]["connector"] == f"{calls.connector_node.address}:4500"
    assert status["login"]["connector_key"] == calls.connector.public_key
    public = f"{calls.nat_a.address}:32589"
    status["nat"].pop("is_learning", None)  # half a second after the log-in
    assert status["nat"] | {"local": []} == {"class": "behind NAT", "public": public, "seen": [public], "local": []}
    assert status["nat"]["local"] == [f"{calls.node_a.address}:32589"]
    status["drops"].pop("stray-stun", None)  # a question repeated on a busy machine is answered twice
    assert (status["tunnels"], status["calls"], status["drops"], status["refused"]) == (0, 0, {}, [])
    assert status["dns"]["is_active"] and status["guard"]["is_intact"]
    text = a.detec("status").stdout
    for word in (NAME_A, "static", a.public_key, "logged in", f"{calls.nat_a.address}:32589", "behind NAT", "0.0.0.0/8", "intact"):
        assert word in text, text
    assert a.peers() == [] and objects(a.detec("peers --json")) == [[]]
    assert NAME_B not in a.detec("peers").stdout

    lines = objects(a.detec(["call", NAME_B, "--json"]))
    assert [line.get("step") for line in lines] == [*STEPS, None]
    assert lines[-1]["up"] is True and lines[-1]["peer"]["name"] == NAME_B
    assert 0 < sum(line["ms"] for line in lines[:-1]) <= lines[-1]["total_ms"] + 1
    assert lines[-1]["peer"]["key"] == calls.b.public_key
    again = objects(a.detec(["call", "b", "--json"]))  # up already; a name without dots is of the own zone
    assert again[-1]["up"] is True

    ping = objects(a.detec(["ping", NAME_B, "--count", "3", "--json"]))
    assert [line["reply"] for line in ping[:-1]] == [1, 2, 3] and (ping[-1]["sent"], ping[-1]["received"]) == (3, 3)
    assert all(line["ms"] > 0 and calls.nat_b.address in line["path"] for line in ping[:-1])
    text = a.detec(["ping", "b", "-c2"]).stdout
    assert "2 sent, 2 received, 0 % lost" in text and f"{calls.nat_b.address}:32589" in text

    a.node.run(["ping", "-c2", "-i0.05", "-s", "100", NAME_B])
    peer = a.peer(NAME_B)
    assert (peer["path"], peer["suite"], peer["direction"]) == (f"direct {calls.nat_b.address}:32589", "aes128-gcm", "out")
    assert (peer["packets_in"], peer["bytes_in"]) == (peer["packets_out"], peer["bytes_out"]) == (2, 256)
    assert calls.b.peer(NAME_A)["direction"] == "in" and a.status()["tunnels"] == 1
    header, row = a.detec("peers").stdout.splitlines()
    assert header.split()[:4] == ["PEER", "ADDRESS", "STATE", "PATH"]
    for word in (NAME_B, peer["address"], "up", f"direct {calls.nat_b.address}:32589", "aes128-gcm", "256 B"):
        assert word in row

    assert objects(a.detec(["hangup", NAME_B, "--json"])) == [{"done": True}]
    a.wait_peer(NAME_B, "down")
    calls.b.wait_peer(NAME_A, "down")
    done = a.detec(["hangup", "nobody"], check=False)
    assert done.returncode == 1
    says_error(done, "nobody.detec.example.net")
    text = a.detec(["call", "b"]).stdout  # and for people
    lines = [line for line in text.splitlines() if line.split()[:1] == ["done"]]
    assert [line.split()[1] for line in lines] == STEPS and all(" ms" in line for line in lines), text
    path = text.splitlines()[-1]  # whichever was there first
    assert " is up after " in path and (calls.nat_b.address in path or "relay detec.example.net" in path), text
    a.wait_direct(NAME_B)


def test_calls_that_fail(lab):
    calls = topologies.Calls(lab, resolver={"cache": 0}).start()
    lines = objects(calls.a.detec("call nobody --json", check=False))
    assert (lines[-1]["up"], lines[-1]["step"]) == (False, "name") and lines[-1]["error"] and lines[-1]["hint"]
    done = calls.a.detec("call nobody", check=False)
    assert done.returncode == 1
    for words in (lines[-1]["error"], lines[-1]["hint"], "name"):
        assert words in done.stdout + done.stderr
    # An ordinary name needs no tunnel, and is said to need none.
    end = objects(calls.a.detec(["call", topologies.PLAIN_NAME, "--json"], check=False))[-1]
    assert end["up"] is False and "without Detec" in end["hint"]
    done = calls.a.detec("ping nobody -c1", check=False)
    assert done.returncode == 1 and "1 received" not in done.stdout
    # --timeout is the user's patience, not the call's.
    calls.b.freeze()
    done = calls.a.detec(["call", NAME_B, "--timeout", "500ms", "--json"], check=False)
    end = objects(done)[-1]
    assert done.returncode == 1 and end["up"] is False and end["total_ms"] < 3000
    calls.b.thaw()


def test_hosts_of_a_connector(lab, monkeypatch):
    """The host database: by the running connector at once, and on the file without one."""
    monkeypatch.setenv("PATH", f"{programs.CONNECTOR.parent}:{os.environ['PATH']}")  # --database starts it for a moment
    calls = topologies.Calls(lab)
    connector, a, b = calls.connector, calls.a, calls.b
    connector.start()

    def hosts():
        return {host["name"]: host for host in objects(connector.detec("host list --json"))[-1]}

    assert hosts() == {}
    connector.detec(["host", "add", "a", a.public_key])
    assert hosts()[NAME_A]["key"] == a.public_key and hosts()[NAME_A]["is_static"] and not hosts()[NAME_A]["is_logged_in"]
    for words, about in ((["a", b.public_key], NAME_A), (["other", a.public_key], NAME_A), (["c", "nokey"], "nokey"),
                         (["c.other.test", b.public_key], "c.other.test"), (["b", b.public_key, "--mac", "x"], "--mac")):
        done = connector.detec(["host", "add", *words], check=False)
        assert done.returncode in (1, 2)
        says_error(done, about)
    assert set(hosts()) == {NAME_A}
    connector.detec(["host", "add", NAME_B, b.public_key, "--mac", "02:00:5e:10:00:01"])
    assert hosts()[NAME_B]["mac"] == "02:00:5e:10:00:01"
    a.start()
    assert hosts()[NAME_A]["is_logged_in"] and 0 < hosts()[NAME_A]["lease_s"] <= 120
    rows = connector.detec("host list").stdout.splitlines()
    assert rows[0].split()[:3] == ["NAME", "KIND", "STATE"] and "logged in" in rows[1] and "away" in rows[2]
    assert programs.dig(calls.resolver_node, NAME_A, server=calls.connector_node.address)[1] == [("A", "0.0.0.1")]

    connector.detec("host remove a")
    assert set(hosts()) >= {NAME_B} and NAME_A not in hosts()
    labs.wait_until(lambda: programs.dig(calls.resolver_node, NAME_A, server=calls.connector_node.address)[0] == "NXDOMAIN", 5)
    done = connector.detec("host remove a", check=False)
    assert done.returncode == 1
    says_error(done, NAME_A)

    connector.stop()
    database = connector.dir / "hosts.db"
    offline = ["--database", database]
    done = connector.detec("host list", check=False)
    assert done.returncode == 1
    says_error(done, "detec-connector is not running")
    connector.detec(["host", "add", NAME_A, a.public_key, *offline])
    listed = objects(connector.detec(["host", "list", "--json", *offline]))[-1]
    assert {host["name"] for host in listed} == {NAME_A, NAME_B}
    connector.detec(["host", "remove", NAME_B, *offline])
    connector.start()
    assert [name for name, host in hosts().items() if host["is_static"]] == [NAME_A]


def test_no_colours_where_nobody_sees_them(lab):
    calls = topologies.Calls(lab).start([])
    calls.a.start(login=False)
    for command in ("status", "peers"):
        assert "\033" not in calls.a.detec(command).stdout
    done = calls.a.node.run(["script", "-qec", f"{programs.DETEC} status", "/dev/null"], env={"DETEC_SOCKET": str(calls.a.socket_path),
                                                                                          "TERM": "xterm"})
    assert "\033[" in done.stdout
    done = calls.a.node.run(["script", "-qec", f"{programs.DETEC} status", "/dev/null"],
                            env={"DETEC_SOCKET": str(calls.a.socket_path), "TERM": "xterm", "NO_COLOR": "1"})
    assert "\033[" not in done.stdout
