"""The programs that the tests run in nodes: Detec's own, and the ordinary ones that talk through it."""
import json
import shlex
import signal
import sys

from lab import BUILD, LabError, wait_until

DETECD = BUILD / "src/host/detecd"
CONNECTOR = BUILD / "src/connector/detec-connector"
DETEC = BUILD / "src/cli/detec"


def ini(sections):
    """{"host": {"port": 1, "allow": ["a", "b"]}} as an INI file; a list is a repeated key."""
    lines = []
    for section, entries in sections.items():
        lines.append(f"[{section}]")
        for key, value in entries.items():
            for one in value if isinstance(value, list) else [value]:
                lines.append(f"{key.replace('_', '-')} = {one}")
    return "\n".join(lines) + "\n"


class Daemon:
    """What detecd and detec-connector have in common: a directory of their own, a configuration, a control socket."""

    program = None
    options = ()  # more words for its command line

    def __init__(self, node, kind, sections):
        self.node, self.kind = node, kind
        self.dir = node.lab.dir / f"{node.name}-{kind}"
        self.dir.mkdir(mode=0o700, exist_ok=True)
        self.config_path, self.socket_path = self.dir / f"{kind}.conf", self.dir / f"{kind}.sock"
        self.key_path = self.dir / "key"
        self.sections = sections
        self.process = None
        if not self.key_path.exists():
            node.run([DETEC, "genkey", self.key_path])
        self.public_key = node.run([DETEC, "pubkey", self.key_path]).stdout.strip()

    def write_config(self):
        self.config_path.write_text(ini(self.sections))

    def start(self, wait=True, env=None):
        self.write_config()
        self.process = self.node.start(self.program, "-c", self.config_path, *self.options, env=env)
        if wait:
            wait_until(self.answers, 10, lambda: f"{self.kind} of {self.node.name} answers\n{self.process.log}")
        return self

    def answers(self):
        if not self.process.is_running:
            raise LabError(f"{self.kind} of {self.node.name} ended ({self.process.popen.returncode}):\n{self.process.log}")
        return self.socket_path.exists() and self.detec("status --json", check=False).returncode == 0

    def detec(self, words, check=True, timeout=60):
        """The command line against this daemon."""
        words = shlex.split(words) if isinstance(words, str) else [str(w) for w in words]
        return self.node.run([DETEC, *words], check=check, timeout=timeout, env={"DETEC_SOCKET": str(self.socket_path)})

    def ask(self, words, timeout=60):
        """The last JSON object that a command prints."""
        return json.loads(self.detec(f"{words} --json", timeout=timeout).stdout.strip().splitlines()[-1])

    def stop(self):
        """SIGTERM: it must end by itself with status 0."""
        status = self.process.stop()
        if status != 0:
            raise LabError(f"{self.kind} of {self.node.name} ended with {status} on SIGTERM:\n{self.process.log}")

    def kill(self):
        self.process.kill()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def memory_kib(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(field))


class Connector(Daemon):
    """detec-connector with its zone."""

    program = CONNECTOR

    def __init__(self, node, zone="detec.example.net", **settings):
        super().__init__(node, "connector", {})
        self.zone = zone
        self.sections = {"connector": {
            "zone": zone, "address": node.address, "listen": "0.0.0.0:4500", "dns": "0.0.0.0:53", "key": self.key_path,
            "database": self.dir / "hosts.db", "socket": self.socket_path, **settings}}

    def answers(self):
        if not self.process.is_running:
            raise LabError(f"connector of {self.node.name} ended ({self.process.popen.returncode}):\n{self.process.log}")
        return self.socket_path.exists() and self.detec("host list --json", check=False).returncode == 0

    def add(self, host):
        """Binds a host's name to its key."""
        self.detec(["host", "add", host.name, host.public_key])


class Host(Daemon):
    """detecd. name=None: a dynamic name."""

    program = DETECD

    def __init__(self, node, connector=None, name=None, allow=None, trust=None, **settings):
        super().__init__(node, "detecd", {})
        self.connector, self.name = connector, name
        host = {"key": self.key_path, "state": self.dir / "state", "socket": self.socket_path}
        if name:
            host["name"] = name
        elif connector:
            host["zone"] = connector.zone
        self.sections = {"host": {**host, **settings}}
        if trust:
            self.sections["trust"] = trust
        if allow is not None:
            self.sections["allow"] = {"allow": allow}

    def start(self, wait=True, env=None, login=True):
        super().start(wait, env)
        if wait and login and self.connector:
            self.wait_login()
        return self

    def status(self):
        answer = self.ask("status")
        return answer.get("status", answer)

    def peers(self):
        answer = self.ask("peers")
        return answer.get("peers", answer) if isinstance(answer, dict) else answer

    def peer(self, name):
        return next((p for p in self.peers() if p["name"].rstrip(".") == name.rstrip(".")), None)

    def login_state(self):
        return self.status()["login"]["state"]

    def wait_login(self, timeout=15):
        wait_until(lambda: self.login_state() == "logged-in", timeout,
                   lambda: f"{self.node.name} is logged in\n{self.process.log}")
        self.name = self.status()["name"]

    def call(self, name, timeout=30, check=True):
        """`detec call`: every step and the end, as a list of objects; the last one says whether the tunnel is up."""
        done = self.detec(["call", name, "--json", "--timeout", str(timeout)], check=check, timeout=timeout + 10)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_peer(self, name, state="up", timeout=10):
        """Waits until the peer is in this state ("down": or forgotten), and returns its report."""
        def is_there():
            peer = self.peer(name)
            return peer and peer["state"] == state or state == "down" and not peer
        wait_until(is_there, timeout, lambda: f"{name} is {state} at {self.node.name}: {self.peer(name)}\n{self.process.log}")
        return self.peer(name)

    def wait_direct(self, name, timeout=12):
        """Waits until the tunnel to the peer has left the relay that it may have begun on, and returns the peer's report."""
        def is_direct():
            peer = self.peer(name)
            return peer and peer["state"] == "up" and peer["path"].startswith("direct ")
        wait_until(is_direct, timeout, lambda: f"{name} is direct at {self.node.name}: {self.peer(name)}\n{self.process.log}")
        return self.peer(name)

    def cleanup(self):
        self.node.run([DETECD, "-c", self.config_path, "--cleanup"])


class Resolver:
    """A recursive server as hosts have it: dnsmasq, that knows the servers of the test's zones and a few names."""

    def __init__(self, node, zones, names=None, rebind_protection=False, cache=150, options=()):
        """zones: {zone: server's address or [addresses]}; names: {name: address} that it answers itself; options: more of dnsmasq's."""
        self.node = node
        args = ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
                "--log-queries", f"--cache-size={cache}", "--bind-interfaces", "--no-negcache"]
        args += [f"--listen-address={a}" for a in (node.address, node.address6) if a]
        for zone, servers in zones.items():
            args += [f"--server=/{zone}/{server}" for server in ([servers] if isinstance(servers, str) else servers)]
        args += [f"--host-record={name},{address}" for name, address in (names or {}).items()]
        args += ["--stop-dns-rebind"] if rebind_protection else []
        args += options
        self.process = node.start(*args, name="dnsmasq")
        self.process.wait_log("started, version")

    @property
    def addresses(self):
        return [a for a in (self.node.address, self.node.address6) if a]

    def queries(self):
        """The names that it was asked for, in order."""
        return [line.split("query[")[1].split()[1] for line in self.process.log.splitlines() if "query[" in line]


# What an application does: looks a name up, sends a datagram to what it gets, waits for the answer.
FIRST_REPLY = """
import socket, sys, time
begin = time.monotonic()
address = socket.getaddrinfo(sys.argv[1], 7, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
named = time.monotonic()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"first", address)
s.recv(100)
print(begin, named, time.monotonic())
"""
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
"""


class Echo:
    """Answers every datagram to port 7."""

    def __init__(self, node):
        self.process = node.start(sys.executable, "-c", ECHO)
        self.process.wait_log("ready")


def first_reply(node, name):
    """Seconds: of the look-up, and of the call, from the look-up's answer to the first reply; and the times, by time.monotonic()."""
    begin, named, end = map(float, node.run([sys.executable, "-c", FIRST_REPLY, name]).stdout.split())
    return {"look-up": named - begin, "call": end - named, "total": end - begin, "begin": begin, "named": named, "end": end}


class WebServer:
    """nginx with a page or two."""

    def __init__(self, node, pages=None, port=80):
        self.node, self.port = node, port
        self.dir = node.lab.dir / f"{node.name}-www-{port}"
        (self.dir / "www").mkdir(parents=True)
        for name, content in (pages or {"index.html": "a page\n"}).items():
            (self.dir / "www" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        temporary = "".join(f"{kind}_temp_path {self.dir}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.dir / "nginx.conf"
        config.write_text(f"""
daemon off; master_process off; user root; pid {self.dir}/pid; error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    {temporary} access_log {self.dir}/access.log; sendfile on;
    server {{ listen 0.0.0.0:{port}; listen [::]:{port} ipv6only=on; root {self.dir}/www; }}
}}
""")
        self.process = node.start("nginx", "-c", config, "-p", self.dir)
        wait_until(lambda: is_listening(node, port), 10, lambda: f"nginx listens\n{self.process.log}")

    def access_log(self):
        path = self.dir / "access.log"
        return path.read_text() if path.exists() else ""


class SecureShell:
    """sshd with keys of its own; command() is what the other side types."""

    def __init__(self, node, port=22):
        self.node, self.port = node, port
        self.dir = node.lab.dir / f"{node.name}-ssh"
        self.dir.mkdir(mode=0o700)
        for name in ("server", "client"):
            node.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / name])
        (self.dir / "authorized").write_text((self.dir / "client.pub").read_text())
        config = self.dir / "config"
        config.write_text(f"""Port {port}
HostKey {self.dir}/server
AuthorizedKeysFile {self.dir}/authorized
PidFile none
UsePAM no
StrictModes no
UseDNS no
PermitRootLogin yes
""")
        node.run("mkdir -p /run/sshd")
        self.process = node.start("/usr/sbin/sshd", "-D", "-e", "-f", config)
        wait_until(lambda: is_listening(node, port), 10, lambda: f"sshd listens\n{self.process.log}")

    def client(self):
        """ssh with the options that make it talk to this server and nobody else's files."""
        return ["ssh", "-p", str(self.port), "-i", str(self.dir / "client"), "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-F", "none"]

    def command(self, from_node, host, command, **options):
        return from_node.run([*self.client(), f"root@{host}", command], **options)

    def rsync(self, from_node, source, host, target, **options):
        return from_node.run(["rsync", "-a", "-e", shlex.join(self.client()), str(source), f"root@{host}:{target}"], **options)


class Iperf:
    """An iperf3 server; measure() runs the client elsewhere."""

    def __init__(self, node, port=5201):
        self.node, self.port = node, port
        self.process = node.start("iperf3", "-s", "-p", port, "--forceflush")
        wait_until(lambda: is_listening(node, port), 10, lambda: f"iperf3 listens\n{self.process.log}")

    def measure(self, from_node, host, *options, timeout=60):
        done = from_node.run(["iperf3", "-c", host, "-p", self.port, "-J", *options], check=False, timeout=timeout)
        report = json.loads(done.stdout)
        if "error" in report:
            raise LabError(f"iperf3: {report['error']}\n{self.process.log}")
        return report


def is_listening(node, port, protocol="tcp"):
    """Whether something in the node listens on this port."""
    flag = "-t" if protocol == "tcp" else "-u"
    return f":{port} " in node.run(["ss", "-Hln", flag]).stdout


def dig(node, name, kind="A", *options, server=None):
    """(status, [(type, data)], text) of a look-up with dig."""
    target = [f"@{server}"] if server else []
    text = node.run(["dig", *target, name, kind, "+tries=1", "+time=3", *options], check=False, timeout=30).stdout
    status = text.split("status: ")[1].split(",")[0] if "status: " in text else "no answer"
    answers = []
    if ";; ANSWER SECTION:" in text:
        for line in text.split(";; ANSWER SECTION:\n")[1].split("\n\n")[0].splitlines():
            words = line.split(None, 4)
            answers.append((words[3], words[4]))
    return status, answers, text
