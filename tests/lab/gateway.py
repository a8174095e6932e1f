"""A home router that maps ports when asked: miniupnpd beside the kernel's NAT."""
import signal
import uuid

from lab import LabError, wait_until

# miniupnpd maps nothing where its own address is one of those for documentation, which the lab's outside consists of.
OUTSIDE = "198.51.101.0/24"

_RULES = """
flush ruleset
table inet miniupnpd {{
    chain forward_upnp {{ }}
    chain prerouting_upnp {{ }}
    chain postrouting_upnp {{ }}
    chain prerouting {{ type nat hook prerouting priority dstnat; jump prerouting_upnp; }}
    chain postrouting {{ type nat hook postrouting priority srcnat; jump postrouting_upnp; oifname "wan" {masquerade}; }}
    chain forward {{ type filter hook forward priority filter; jump forward_upnp
        iifname "wan" ct state != {{ established, related }} drop
    }}
    chain input {{ type filter hook input priority filter
        iifname "wan" ct state != {{ established, related }} meta l4proto != icmp drop
    }}
}}
"""

SYMMETRIC = "masquerade fully-random"


class Gateway:
    """miniupnpd on a node made by Lab.nat; without either protocol, the NAT alone."""

    def __init__(self, nat, pcp=True, upnp=True, masquerade=SYMMETRIC):
        self.nat = nat
        self.rules = _RULES.format(masquerade=masquerade)
        nat.nft(self.rules)
        self.config = nat.lab.dir / f"{nat.name}-miniupnpd.conf"
        yes = {True: "yes", False: "no"}
        self.config.write_text(f"""ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp={yes[pcp]}
enable_upnp={yes[upnp]}
secure_mode=yes
min_lifetime=10
max_lifetime=86400
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=forward_upnp
upnp_nat_chain=prerouting_upnp
upnp_nat_postrouting_chain=postrouting_upnp
uuid={uuid.uuid4()}
allow 1024-65535 {nat.lan.network} 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        self.pcp, self.upnp = pcp, upnp
        if pcp or upnp:
            self.start()

    def start(self):
        self.process = self.nat.start("miniupnpd", "-d", "-f", self.config, "-P", self.nat.lab.dir / f"{self.nat.name}.pid")
        ports = [5351] * self.pcp + [1900] * self.upnp

        def listens():
            if not self.process.is_running:
                raise LabError(f"miniupnpd ended:\n{self.process.log}")
            sockets = self.nat.run(["ss", "-lunH"]).stdout
            return all(f":{port} " in sockets for port in ports)
        wait_until(listens, 10, lambda: f"miniupnpd listens\n{self.process.log}")

    def reboot(self, address):
        """Off and on, with another address of its provider's; all it knew is gone, and it announces itself."""
        outside = self.nat.interfaces["wan"]
        self.process.kill()
        self.nat.nft(self.rules)
        self.nat.run(["conntrack", "-F"])
        self.nat.ip("addr flush dev wan", f"addr add {address}/{outside.network.prefixlen} dev wan",
                    f"route add default via {outside.gateway}")
        self.nat.address = address
        self.start()
        self.process.send_signal(signal.SIGUSR1)

    def redirects(self):
        """The rules of its mappings, as text lines."""
        text = self.nat.run(["nft", "list", "chain", "inet", "miniupnpd", "prerouting_upnp"]).stdout
        return [line.strip() for line in text.splitlines() if "dnat" in line]
