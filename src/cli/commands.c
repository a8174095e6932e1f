/* The table of commands: their operands, options and help. */
#include "cli/cli.h"

const struct command cli_commands[] = {
    {"status", "", 0, OPTION_JSON | OPTION_SOCKET, "show this host: name, log-in, NAT, tunnels",
     "Shows this host: its name and key, whether it is logged in, what NAT it is behind, how its\n"
     "DNS look-ups are treated, dropped packets and refused callers.\n",
     report_status},
    {"peers", "", 0, OPTION_JSON | OPTION_SOCKET, "list the tunnels to other hosts",
     "Lists the tunnels: a row each, with the peer's name and address on this host, the path, the\n"
     "cipher suite, age, bytes, round-trip time and the last error.\n",
     report_peers},
    {"call", "NAME", 1, OPTION_JSON | OPTION_SOCKET | OPTION_TIMEOUT,
     "open the tunnel to a host now",
     "Opens the tunnel to the host NAME now, and prints each step with its milliseconds: the "
     "name,\n"
     "its connector, the candidates, punching, and the keys. A name without dots is one of this\n"
     "host's own zone. Exit status 1: it did not come up, and what to do.\n",
     call_start},
    {"hangup", "NAME", 1, OPTION_JSON | OPTION_SOCKET, "close the tunnel to a host",
     "Closes the tunnel to the host NAME. The next packet to it opens a new one.\n", call_hang_up},
    {"ping", "NAME", 1, OPTION_COUNT | OPTION_JSON | OPTION_SOCKET | OPTION_TIMEOUT,
     "ping a host through its tunnel",
     "Pings the host NAME through its tunnel and shows the round-trip time and the path of each\n"
     "answer. Exit status 1: no answer at all.\n",
     call_ping},
    {"trust", "NAME", 1, OPTION_CONNECTOR | OPTION_YES | OPTION_SOCKET,
     "forget the pinned key of a host",
     "Forgets the key that is pinned for the host NAME (with --connector: for the connector of "
     "the\n"
     "zone NAME), after a question: the next call pins the key that it has then. Do this only if\n"
     "you know why the key has changed.\n",
     call_trust},
    {"netcheck", "", 0, OPTION_JSON | OPTION_LIFETIME | OPTION_SOCKET,
     "examine the network between here and others",
     "Examines this host's network with the connector's help: whether UDP gets through, what the\n"
     "NAT does (mapping, filtering, ports, hairpin), how long packets can be, and, where asked "
     "for,\n"
     "after how long a silence the NAT forgets. Takes a few seconds.\n",
     netcheck_run},
    {"genkey", "FILE", 1, 0, "make a private key and print its public key",
     "Writes a new private key to FILE (mode 0600; an existing file is never overwritten) and\n"
     "prints its public key, one line of base64.\n",
     keys_generate},
    {"pubkey", "FILE", 1, 0, "print the public key of a private key",
     "Prints the public key of the private key in FILE, one line of base64.\n", keys_show_public},
    {"host add", "NAME KEY", 2, OPTION_MAC | OPTION_DATABASE | OPTION_SOCKET,
     "give a static name to a key (on the connector)",
     "Binds NAME to the public KEY (base64, from `detec pubkey`) in the connector's host "
     "database,\n"
     "at once. A name and a key stand there once only. A name without dots is one of the\n"
     "connector's zone.\n",
     hosts_add},
    {"host remove", "NAME", 1, OPTION_DATABASE | OPTION_SOCKET,
     "take a static name away (on the connector)",
     "Removes NAME from the connector's host database, closes its session and withdraws its\n"
     "records, at once.\n",
     hosts_remove},
    {"host list", "", 0, OPTION_JSON | OPTION_DATABASE | OPTION_SOCKET,
     "list the connector's hosts (on the connector)",
     "Lists the hosts of the connector's database and those logged in.\n", hosts_list},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
