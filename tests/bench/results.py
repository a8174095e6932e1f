"""What the measurements say: tables, ratios beside the goals, the chart, and README's section made of them."""
import math
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess

from contestants import OURS
from peers import PEERS

CLASSES = {c.name: c for c in OURS + PEERS}
BASE = "no tunnel"
# (key, title, digits)
COLUMNS = (("tcp1", "TCP, 1 stream, Gbit/s", 2), ("tcp4", "4 streams", 2), ("cpu", "CPU s/GB, both ends", 2),
           ("udp64", "64 bytes, kpackets/s", 0), ("udp1400", "1400 bytes, kpackets/s", 0), ("rtt50", "round trip, µs: p50", 0),
           ("rtt99", "p99", 0), ("rss", "RSS, MiB", 1), ("first_reply", "first reply, ms", 1))


def group_of(name):
    return CLASSES[name].group if name in CLASSES else "peer"


def values(rows, name, key):
    return [run[key] for run in rows.get(name, []) if run.get(key) is not None]


def median(rows, name, key):
    found = values(rows, name, key)
    return statistics.median(found) if found else None


def number(value, digits):
    return f"{value:,.{digits}f}" if digits == 0 else f"{value:.{digits}f}"


def cell(found, digits):
    if not found:
        return "–"
    text = number(statistics.median(found), digits)
    return text if len(found) == 1 or max(found) == 0 else f"{text} ({number(min(found), digits)}–{number(max(found), digits)})"


def added(rows, name, key):
    """Round trips without those of the bare link, run by run; what is not a round trip, and the bare link itself, as they are."""
    if key not in ("rtt50", "rtt99") or name == BASE or not rows.get(BASE):
        return values(rows, name, key)
    return [run[key] - bare[key] for run, bare in zip(rows[name], rows[BASE]) if run.get(key) is not None and bare.get(key) is not None]


def markdown(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def table(rows):
    is_added = bool(rows.get(BASE))
    head = [""] + [title.replace("round trip", "added round trip") if is_added else title for _, title, _ in COLUMNS]
    lines = []
    for name in rows:
        cells = [cell(added(rows, name, key), digits) for key, _, digits in COLUMNS]
        if is_added and name == BASE:
            cells = [f"({text} in all)" if key.startswith("rtt") else text for (key, _, _), text in zip(COLUMNS, cells)]
        lines.append([name, *cells])
    return markdown(head, lines)


# ---- goals ----

def best(rows, key, want, is_fit):
    """The peer (of others) with the best median of key: its name, or None."""
    found = {name: median(rows, name, key) for name in rows if group_of(name) == "peer" and is_fit(name)}
    found = {name: value for name, value in found.items() if value}
    return want(found, key=found.get) if found else None


def goals(rows):
    """[(text, value or None, goal, is_at_most)], ratios of medians of the same runs."""
    ours, forwarder = "detecd aes128-gcm", "forwarder"

    def encrypts(name):
        return name not in CLASSES or CLASSES[name].encrypts

    def is_debians(name):
        return encrypts(name) and name != "wireguard-go, current"

    def ratio(name, other, key):
        pairs = [(run[key], base[key]) for run, base in zip(rows.get(name, []), rows.get(other, [])) if run.get(key) and base.get(key)]
        return statistics.median(a / b for a, b in pairs) if pairs else None

    quick, thrifty = best(rows, "tcp1", max, is_debians), best(rows, "cpu", min, is_debians)
    packets, near = best(rows, "udp64", max, lambda name: True), best(rows, "rtt50", min, lambda name: True)
    return [
        ("one TCP stream, aes128-gcm / forwarder", ratio(ours, forwarder, "tcp1"), 0.85, False),
        ("four TCP streams, aes128-gcm / forwarder", ratio(ours, forwarder, "tcp4"), 0.85, False),
        (f"one TCP stream, aes128-gcm / best encrypting peer of Debian's ({quick})", ratio(ours, quick, "tcp1"), 7, False),
        ("one TCP stream, aes128-gcm / current wireguard-go", ratio(ours, "wireguard-go, current", "tcp1"), 2.1, False),
        ("one TCP stream, paper / aes128-gcm", ratio("detecd paper", ours, "tcp1"), 0.7, False),
        ("one TCP stream, paper / strongSwan's userspace ESP with CTR and HMAC-SHA-256",
         ratio("detecd paper", "strongSwan userspace ESP, CTR + HMAC-SHA-256", "tcp1"), 10, False),
        ("one TCP stream, chacha20-poly1305 / aes128-gcm", ratio("detecd chacha20-poly1305", ours, "tcp1"), 0.65, False),
        ("CPU per GB, aes128-gcm / forwarder", ratio(ours, forwarder, "cpu"), 1.3, True),
        (f"CPU per GB, aes128-gcm / best encrypting peer of Debian's ({thrifty})", ratio(ours, thrifty, "cpu"), 0.125, True),
        (f"64-byte packets, aes128-gcm / best peer ({packets})", ratio(ours, packets, "udp64"), 3.5, False),
        (f"round trip, p50, aes128-gcm / quickest peer ({near})", ratio(ours, near, "rtt50"), 1, True),
        (f"round trip, p99, aes128-gcm / the same peer ({near})", ratio(ours, near, "rtt99"), 1, True),
        ("RSS under load, MiB, aes128-gcm", median(rows, ours, "rss"), 12, True),
        ("datagrams out of order in a flow, aes128-gcm", median(rows, ours, "out_of_order"), 0, True),
    ]


def is_reached(value, goal, is_at_most):
    return value <= goal if is_at_most else value >= goal


def goal_table(rows):
    lines = []
    for text, value, goal, is_at_most in goals(rows):
        if value is None:
            continue
        verdict = "reached" if is_reached(value, goal, is_at_most) else "not reached"
        lines.append([text, f"{'at most' if is_at_most else 'at least'} {goal:g}", f"{value:.2f}", verdict])
    return markdown(["ratio", "goal", "here", ""], lines) if lines else ""


# ---- slow lines ----

def slow_table(results):
    """{"rates": […], "rows": {name: {rate: {"goodput":, "explained":}}}}, bit/s and share."""
    rates = [str(rate) for rate in results["rates"]]
    lines = []
    for name, by_rate in results["rows"].items():
        cells = []
        for rate in rates:
            one, bare = by_rate.get(rate), results["rows"].get(BASE, {}).get(rate)
            if not one:
                cells.append("–")
                continue
            text = kbits(one["goodput"])
            if bare and name != BASE:
                text += f": {100 * (1 - one['goodput'] / bare['goodput']):.1f}% lost, {100 * (1 - one['efficiency'] / bare['efficiency']):.1f}%"
            cells.append(text)
        lines.append([name, *cells])
    return markdown(["goodput, kbit/s"] + [f"line of {kbits(int(rate))} kbit/s" for rate in rates], lines)


def kbits(bits):
    return f"{bits / 1000:,.{0 if bits >= 1e6 else 1}f}".removesuffix(".0")


# ---- chart ----

COLOURS = {"ceiling": "0x9a9a9a", "detecd": "0x2a6db0", "peer": "0xd9812e", "open": "0xf0c9a0"}


def chart(rows, file):
    """Two panels of bars, by gnuplot. Returns None, or why there is none."""
    if not shutil.which("gnuplot"):
        return "no chart: gnuplot is not installed (package gnuplot-nox)"
    names = sorted((name for name in rows if name != BASE and median(rows, name, "tcp1")), key=lambda name: median(rows, name, "tcp1"))
    lines, ticks = [], []
    for y, name in enumerate(names):
        kind = group_of(name)
        colour = COLOURS["open" if kind == "peer" and name in CLASSES and not CLASSES[name].encrypts else kind]
        lines.append(f"{y} {median(rows, name, 'tcp1'):.4f} {max(median(rows, name, 'cpu') or 0, 0.001):.4f} {colour}")
        ticks.append(f'"{name}" {y}')
    frame = f"set yrange [-0.7:{len(names) - 0.3}]\nset ytics ({', '.join(ticks)}) nomirror scale 0\nset xtics nomirror\nset grid xtics lc rgb '#dddddd'\nset border 1"
    bars = "$data using {column}:1:({low}):{column}:($1-0.36):($1+0.36):4 with boxxyerrorbars fs solid 1 noborder lc rgb variable"
    labels = "$data using {column}:1:(sprintf(' %.2f', ${column})) with labels left font ',8'"
    largest_cpu = max(float(line.split()[2]) for line in lines)
    script = "\n".join([
        f"set terminal pngcairo size 1060,{90 + 22 * len(names)} font 'Sans,9'", f"set output '{file}'", "$data << END", *lines, "END",
        "unset key", "set tics out", frame, "set multiplot layout 1,2",
        "set lmargin at screen 0.34; set rmargin at screen 0.645; set title 'One TCP stream, Gbit/s'", "set xrange [0:*]; set offsets 0,0,0,0",
        f"set xrange [0:{1.15 * median(rows, names[-1], 'tcp1'):.3f}]",
        f"plot {bars.format(column=2, low=0)}, {labels.format(column=2)}",
        "set lmargin at screen 0.68; set rmargin at screen 0.96; unset ytics; set title 'CPU seconds for one GB, both ends (logarithmic)'", "set logscale x",
        f"set xrange [0.5:{1.6 * largest_cpu:.3f}]", f"plot {bars.format(column=3, low=0.5)}, {labels.format(column=3)}", "unset multiplot", ""])
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True)
    return f"no chart: gnuplot: {done.stderr.strip()}" if done.returncode or not os.path.exists(file) else None


# ---- where it was measured, and README ----

def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", text)
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    return {"processor": model[1].strip() if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "is_virtual": "hypervisor" in text, "memory_gib": round(memory / 2**20), "kernel": ".".join(platform.release().split(".")[:2])}


def machine_words(m):
    return (f"{m['processor']}, {m['cores']} cores{' of a virtual machine' if m['is_virtual'] else ''}, {m['memory_gib']} GiB, "
            f"Linux {m['kernel']}")


BEGIN, END = "<!-- scripts/bench --readme: begin -->", "<!-- scripts/bench --readme: end -->"


def section(data, chart_path):
    """README's text between the marks."""
    runs = data["runs"]
    parts = [f"{machine_words(data['machine'])}; {f'{runs} runs in turns' if runs > 1 else 'one run'}, {data['seconds']} s a measurement"
             + ("; medians, and the lowest and the highest in brackets." if runs > 1 else ".")]
    if data["load"][0] > data["machine"]["cores"]:
        parts[0] += (f" **The machine was busy with other things (load {data['load'][0]:.0f})**: absolute figures are far too low, round trips "
                     "far too long, and even ratios say little.")
    if chart_path:
        parts.append(f"![One TCP stream, and processor time for one GB]({chart_path})")
    parts.append(table(data["rows"]))
    if data["notes"]:
        parts.append("Left out or failed: " + "; ".join(data["notes"]) + ".")
    parts.append("What was aimed at, ratios of one run, medians:\n\n" + goal_table(data["rows"]))
    if data.get("slow"):
        parts.append("Slow lines, goodput of one TCP stream in kbit/s; lost to the tunnel against no tunnel, and behind it what the longer "
                     "packets alone explain:\n\n" + slow_table(data["slow"]))
    return "\n\n".join(parts)


def update_readme(path, data, chart_path):
    path = pathlib.Path(path)
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path} has no lines '{BEGIN}' and '{END}'")
    before, rest = text.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{section(data, chart_path)}\n{END}{rest.split(END, 1)[1]}")


def rounded(value):
    """Four digits are more than any of it is exact to."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float) and value and math.isfinite(value):
        return round(value, max(0, 4 - math.ceil(math.log10(abs(value)))))
    return value
