"""libreswan's daemon in a Linux guest (ipsec.Guest), whose kernel does its ESP. Its package conflicts with strongSwan's: it is unpacked
somewhere, and LIBRESWAN says where. It is configured as charon is (ipsec.Charon), in the words of that one."""
import ipaddress
import os
import re
import shlex
import subprocess

from lab import LabError

FOLDER = "/usr/libexec/ipsec"
CTL = "/run/pluto/pluto.ctl"


def missing():
    """Why it cannot run; None: it can."""
    return None if os.environ.get("LIBRESWAN") else "LIBRESWAN does not say where it is unpacked"


def _subnet(text):
    """With a length, without which it takes an address for something else."""
    return str(ipaddress.ip_network(text))


def _conf(name, connection):
    """A connection of charon's as pluto writes it: left is its own end."""
    child = connection["children"]["c"]
    is_null = connection["local"]["auth"] == "null"
    lines = {"left": connection["local_addrs"], "right": connection["remote_addrs"],
             "leftid": "%null" if is_null else "@" + connection["local"]["id"],
             "rightid": "%null" if is_null else "@" + connection["remote"]["id"],
             "ikev2": "insist" if connection["version"] == 2 else "no", "type": child["mode"], "auto": "add",
             "retransmit-timeout": "10s", "dpddelay": "30s", "dpdtimeout": "120s", "pfs": "no", "leftupdown": "/bin/true"}
    if is_null:
        lines.update({"leftauth": "null", "rightauth": "null"})
    else:
        lines["authby"] = "secret"
    if child["mode"] == "tunnel":
        lines.update({"leftsubnet": _subnet(child["local_ts"]), "rightsubnet": _subnet(child["remote_ts"])})
    if "proposals" in connection:
        lines["ike"] = connection["proposals"]
    if "esp_proposals" in child:
        lines["esp"] = child["esp_proposals"]
    lines.update(connection.get("pluto", {}))
    return f"conn {name}\n" + "".join(f"    {key}={value}\n" for key, value in lines.items())


class GuestPluto:
    def __init__(self, guest):
        self.guest = guest
        self.dir = guest.dir / "pluto"
        (self.dir / "nss").mkdir(parents=True), (self.dir / "d").mkdir()
        subprocess.run(["certutil", "-N", "-d", f"sql:{self.dir}/nss", "--empty-password"], check=True, capture_output=True)
        (self.dir / "conf").write_text("config setup\n    ikev1-policy=accept\n")
        (self.dir / "secrets").write_text("")
        tree = os.environ["LIBRESWAN"]
        guest.run(f"""mount -t tmpfs none /usr/libexec && mkdir {FOLDER} && mount --bind {tree}{FOLDER} {FOLDER}
mkdir -p /run/pluto && cp -r {self.dir} /run/lsw""")
        self.is_running = False

    def _start(self):
        self.guest.run(f"""cd {FOLDER}
nohup ./pluto --config /run/lsw/conf --secretsfile /run/lsw/secrets --nssdir sql:/run/lsw/nss --ipsecdir /run/lsw/d \\
  --rundir /run/pluto --nofork --logfile /run/pluto.log --no-dnssec >/run/pluto.out 2>&1 </dev/null &
for i in $(seq 100); do ./whack --ctlsocket {CTL} --status >/dev/null 2>&1 && exit 0; sleep 0.1; done
cat /run/pluto.out /run/pluto.log; exit 1""", 40)
        self.is_running = True

    def put(self, folder, name, data):
        raise LabError("pluto is given shared secrets, or nothing, in this lab")

    def configure(self, connections, secrets=None):
        (self.dir / "conf").write_text("config setup\n    ikev1-policy=accept\n" + "".join(_conf(n, c) for n, c in connections.items()))
        if secrets is not None: # else those there are stay
            (self.dir / "secrets").write_text("".join(f"@{s['id-1']} @{s['id-2']} : PSK {s['secret']}\n" for s in secrets.values()))
        self.guest.run(f"cp {self.dir}/conf {self.dir}/secrets /run/lsw/; chmod 600 /run/lsw/secrets")
        if not self.is_running:
            self._start()
        self.whack("--rereadsecrets")
        for name, connection in connections.items():
            child = connection["children"]["c"]
            if child["mode"] == "tunnel":
                self.guest.run(f"ip route replace {child['remote_ts']} via {self.guest.gateway} src {child['local_ts'].split('/')[0]}")
            done = self.guest.run(f"cd {FOLDER}; ./addconn --config /run/lsw/conf --ctlsocket {CTL} {name} 2>&1", check=False)
            if f'"{name}"' not in self.whack("--status"):
                raise LabError(f"pluto does not take {name}: {done}\n{self.log[-1500:]}")
        self.whack("--listen")

    def whack(self, words, check=True, timeout=30):
        return self.guest.run(f"cd {FOLDER}; ./whack --ctlsocket {CTL} {words} 2>&1", timeout, check)

    def impair(self, *faults):
        """These and no others; what has been ended from outside is not begun again by itself, in any case."""
        return self.whack("--impair none " + " ".join(f"--impair {shlex.quote(f)}" for f in ("revival", *faults)))

    def initiate(self, name="t", timeout=15):
        text = self.guest.run(f"cd {FOLDER}; timeout {timeout} ./whack --ctlsocket {CTL} --initiate --name {name} 2>&1",
                              timeout + 10, check=False)
        if "established" not in text:
            raise LabError(f"pluto: {text[-800:]}")
        return text

    def terminate(self, name="t"):
        return self.whack(f"--terminate --name {name}", check=False)

    def sas(self):
        return self.whack("--status | grep -E '^[^ ]* #'; ip xfrm state", check=False)

    def is_up(self):
        return re.search(r"#\d+: \"t\"", self.whack("--trafficstatus", check=False)) is not None

    @property
    def log(self):
        return self.guest.run("cat /run/pluto.log", check=False)
