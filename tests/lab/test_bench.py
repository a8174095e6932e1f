"""scripts/bench measures what it says: one contestant, as short as can be, and what it makes of the figures.

    a ── 192.0.2.1 ══ wire ══ 192.0.2.2 ── b
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import lab as labs

sys.path.insert(0, str(labs.ROOT / "tests/bench"))

import contestants  # noqa: E402
import measures  # noqa: E402
import peers  # noqa: E402
import results  # noqa: E402
import slow_lines  # noqa: E402

FIELDS = ("tcp1", "tcp4", "cpu", "udp64", "udp1400", "rtt50", "rtt99", "rss", "first_reply", "retransmits", "out_of_order")


def test_one_contestant(tmp_path):
    """The script itself, against this build: every field is there and none is absurd."""
    file = tmp_path / "bench.json"
    done = subprocess.run([sys.executable, labs.ROOT / "scripts/bench", "--no-build", "--runs", "1", "--seconds", "1", "--only",
                           "detecd aes256-gcm", "--json", file], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "DETEC_BUILD": str(labs.BUILD)})
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(file.read_text())
    assert data["machine"]["processor"] and data["runs"] == 1 and data["notes"] == []
    (row,) = data["rows"]["detecd aes256-gcm"]
    assert set(FIELDS) <= set(row) and all(row[field] is not None for field in FIELDS)
    assert row["tcp1"] > 0.01 and row["tcp4"] > 0.01 and row["udp64"] > 1 and row["udp1400"] > 1
    assert row["cpu"] > 0 and 2 < row["rss"] < 200 and 0 < row["rtt50"] <= row["rtt99"] and row["out_of_order"] == 0
    assert "| detecd aes256-gcm |" in done.stdout


@pytest.mark.parametrize("kind", [peers.StrongSwanCtr, contestants.Forwarder], ids=["strongswan", "forwarder"])
def test_others_come_up(lab, kind):
    """A peer that the tests need anyway, and the forwarder: reached, and their own programs are what is counted."""
    contestant = kind(lab)
    measures.warm_up(contestant)
    before = measures.cpu_seconds(contestant)
    contestant.a.run(["ping", "-q", "-f", "-c3000", contestant.address])
    assert measures.cpu_seconds(contestant) > before
    names = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in measures.tunnel_pids(contestant)}
    assert names == ({"charon"} if kind is peers.StrongSwanCtr else {"forwarder"})
    assert 0 < contestant.first_reply < 20


def test_what_is_missing_is_named(lab):
    kind = peers.wireguard_go("/nowhere/wireguard-go")
    with pytest.raises(contestants.NotInstalled, match="/nowhere/wireguard-go not installed"):
        kind(lab)


def test_slow_line(tmp_path):
    """On a line of 4 Mbit/s the tunnel loses what its longer packets explain, give or take little."""
    failures = []
    found = slow_lines.run(failures.append, lambda name: name in ("no tunnel", "detecd aes128-gcm"), {4_000_000: 1})
    assert not failures
    bare, ours = (found["rows"][name]["4000000"] for name in ("no tunnel", "detecd aes128-gcm"))
    assert bare["mss"] == 1448 and 1300 < ours["mss"] < 1448
    assert 0.90 < bare["goodput"] / 4_000_000 / bare["efficiency"] < 1.05
    assert 0.85 < ours["goodput"] / bare["goodput"] < 1.03
    assert "| detecd aes128-gcm | " in results.slow_table(found)


def test_ratios_and_readme(tmp_path):
    """Goals are judged by ratios of the same run; the section of a README is replaced and nothing else."""
    def run(tcp1, **more):
        return {"tcp1": tcp1, "tcp4": tcp1, "cpu": 10 / tcp1, "udp64": 100, "udp1400": 90, "rtt50": 60, "rtt99": 90, "rss": 9, "first_reply": 5,
                "out_of_order": 0, **more}
    rows = {"no tunnel": [run(13, rtt50=10, rtt99=15)] * 3, "forwarder": [run(8), run(4), run(8)],
            "detecd aes128-gcm": [run(7.2), run(3.6), run(7.2)], "OpenVPN": [run(0.6)] * 3, "fastd, no crypto": [run(1.5)] * 3}
    judged = {text: (value, goal, results.is_reached(value, goal, is_at_most)) for text, value, goal, is_at_most in results.goals(rows) if value is not None}
    assert judged["one TCP stream, aes128-gcm / forwarder"] == (pytest.approx(0.9), 0.85, True)
    assert judged["one TCP stream, aes128-gcm / best encrypting peer of Debian's (OpenVPN)"] == (pytest.approx(12), 7, True)
    assert judged["CPU per GB, aes128-gcm / forwarder"][2]
    assert not judged["64-byte packets, aes128-gcm / best peer (OpenVPN)"][2]
    data = {"machine": results.machine(), "runs": 3, "seconds": 1, "load": [0.1, 0.2], "notes": ["tinc: tincd not installed"], "rows": rows}
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    results.update_readme(readme, data, "docs/bench.png")
    text = readme.read_text()
    assert text.startswith(f"before\n{results.BEGIN}\n") and text.endswith(f"{results.END}\nafter\n") and "\nold\n" not in text
    assert "| no tunnel | 13.00 (13.00–13.00) |" in text and "(10 (10–10) in all)" in text
    assert "| OpenVPN | 0.60 (0.60–0.60) |" in text and "| 50 (50–50) | 75 (75–75) |" in text and "tincd not installed" in text
    why = results.chart(rows, tmp_path / "chart.png")
    if shutil.which("gnuplot"):
        assert why is None and (tmp_path / "chart.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert "gnuplot is not installed" in why
