"""Networks for what concerns IPv6: hosts of one family or both, firewalls without NAT, translators.

                    net (2001:db8:1::/64, 198.51.100.0/24 west; 2001:db8:2::/64, 203.0.113.0/24 east)
        west ────────┴──────── east
         │                      │
    ra (router)        rb, connector, resolver
         │                      │
         a                      b          each LAN with the families that the test says
"""
import ipaddress
import pathlib
import sys

import lab as labs
import programs
from topologies import PLAIN_ADDRESS, PLAIN_NAME, ZONE

_FIREWALL = """
table ip6 firewall {
    chain forward { type filter hook forward priority filter; policy accept;
        iifname "wan" ct state != { established, related } meta l4proto != icmpv6 drop
    }
}
"""


class Router:
    """A router with an IPv6 LAN behind it, firewall or not; with IPv4, NAT as at home; or a translator in its place."""

    def __init__(self, lab, net, name, outside, number, ipv4=True, ipv6=True, firewall=False, nat64=None):
        self.lab, self.name, self.has_ipv4, self.has_ipv6 = lab, name, ipv4, ipv6
        self.node = labs.Node(lab, name)
        lab.join(self.node, outside, interface="wan")
        self.node.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.lan = labs.Segment(self.node, "lan", f"10.0.{number}.0/24", f"2001:db8:{number:x}00::/64")
        net.node.ip(f"-6 route add {self.lan.network6} via {self.node.address6}".replace("-6 ", ""))
        if ipv4:
            self.node.nft(labs.nat_rules("port-restricted", "drop", ""))
        else:
            self.node.ip("addr del %s/24 dev lan" % self.lan.gateway)
        if firewall:
            self.node.nft(_FIREWALL)
        if nat64:
            self.add_translator(nat64)

    def add_translator(self, prefix):
        script = pathlib.Path(__file__).with_name("nat64.py")
        self.node.ip("tuntap add nat64 mode tun", "link set dev nat64 mtu 1480 up", "addr add 192.168.255.254/24 dev nat64")
        self.translator = self.node.start(sys.executable, script, "nat64", prefix, "192.168.255.0/25")
        self.translator.wait_log("ready")
        self.node.ip(f"route add {prefix} dev nat64")
        self.node.nft("""
table ip nat64 {
    chain postrouting { type nat hook postrouting priority srcnat; ip saddr 192.168.255.0/24 oifname "wan" masquerade; }
    chain forward { type filter hook forward priority filter;
        iifname "wan" ct state != { established, related } drop
    }
    chain input { type filter hook input priority filter;
        iifname "wan" ct state != { established, related } meta l4proto != icmp drop
    }
}
""")

    def host(self, name):
        """A host on the LAN, with the families that the LAN has."""
        node = labs.Node(self.lab, name)
        self.lab.attach(node, "eth0", self.lan)
        number = self.lan.next_host()
        if self.has_ipv4:
            node.address = str(self.lan.network[number])
            node.ip(f"addr add {node.address}/24 dev eth0", f"route add default via {self.lan.gateway}")
        if self.has_ipv6:
            node.address6 = str(self.lan.network6[number])
            node.ip(f"addr add {node.address6}/64 dev eth0 nodad", f"route add default via {self.lan.gateway6}")
        return node


class Families:
    """Connector, resolver, and hosts a and b, each behind a Router with these options."""

    def __init__(self, lab, a=None, b=None, connector="both", resolver_options=(), a_settings=None, b_settings=None, zone=ZONE):
        self.lab, self.net = lab, lab.internet()
        self.connector_node = lab.host("connector", self.net.east)
        self.resolver_node = lab.host("resolver", self.net.east)
        addresses = {"both": [self.connector_node.address, self.connector_node.address6],
                     "ipv4": self.connector_node.address, "ipv6": self.connector_node.address6}[connector]
        self.connector = programs.Connector(self.connector_node, zone, address=addresses, listen="[::]:4500", dns="[::]:53")
        self.resolver = programs.Resolver(self.resolver_node, {zone: self.connector_node.address}, {PLAIN_NAME: PLAIN_ADDRESS},
                                          cache=0, options=resolver_options)
        self.ra = Router(lab, self.net, "ra", self.net.west, 0xa, **(a or {}))
        self.rb = Router(lab, self.net, "rb", self.net.east, 0xb, **(b or {}))
        self.a = self.add("a", self.ra, **(a_settings or {}))
        self.b = self.add("b", self.rb, **(b_settings or {}))

    def add(self, name, router, **settings):
        node = router.host(name)
        ways = [node.address, node.address6]
        node.use_resolver(*[a for a, way in zip(self.resolver.addresses, ways) if way], options="timeout:3")
        return programs.Host(node, self.connector, f"{name}.{self.connector.zone}", **settings)

    def start(self, *hosts):
        self.connector.start()
        for host in hosts or (self.a, self.b):
            self.connector.add(host)
            host.start(login=False)
        for host in hosts or (self.a, self.b):
            host.wait_login()
        return self


class Dns64:
    """unbound, that makes up AAAA records from A records under a prefix, in front of another resolver."""

    def __init__(self, node, prefix, upstream):
        self.node = node
        config = node.lab.dir / f"{node.name}-unbound.conf"
        config.write_text(f"""server:
    interface: {node.address}
    interface: {node.address6}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    module-config: "dns64 iterator"
    dns64-prefix: {prefix}
    username: ""
    chroot: ""
    directory: "{node.lab.dir}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    cache-max-ttl: 0
    local-zone: "test." nodefault
    log-queries: yes
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {upstream}
""")
        self.process = node.start("unbound", "-d", "-c", config)
        labs.wait_until(lambda: programs.is_listening(node, 53, "udp"), 10, lambda: f"unbound listens\n{self.process.log}")

    @property
    def addresses(self):
        return [self.node.address, self.node.address6]
