/* Who may open connections to this host (`[allow]`). One rule is `NAME-PATTERN [proto/port,…]`: '*'
 * in a pattern stands for any characters, a pattern that is '*' alone for everybody with an
 * authentic name; proto is tcp, udp, sctp, dccp or udplite, port a number, a range a-b or '*';
 * `icmp` alone is ping only. A rule without a list allows everything. `nobody` refuses everybody.
 * Without any rule: hosts with static names in one's own zone, everything. Who is allowed anything
 * at all may also ping (ICMP echo request); ICMP errors and replies belong to connections and are
 * not decided here. */
#ifndef NAMES_ALLOW_H
#define NAMES_ALLOW_H

#include "base/error.h"
#include "base/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOW_RULES_MAX   256
#define ALLOW_PORTS_MAX   512 /* of all rules together */
#define ALLOW_MESSAGE_CAP 256

struct allow_port {
    uint8_t protocol; /* IP protocol number */
    uint16_t first;   /* range, both ends included */
    uint16_t last;
};

struct allow_rule {
    char pattern[NAME_TEXT_CAP];
    bool is_any;       /* every protocol and port */
    size_t port_first; /* in allow.ports */
    size_t port_count;
};

/* Zero-initialised is the default policy. */
struct allow {
    struct allow_rule *rules;
    size_t rule_count;
    struct allow_port ports[ALLOW_PORTS_MAX];
    size_t port_count;
    bool is_nobody;     /* `nobody` was given */
    bool is_unreadable; /* refuses everybody */
};

struct allow_verdict {
    bool is_allowed; /* may open anything at all */
    bool is_any;     /* every protocol and port; ports is empty */
    bool is_ping;    /* ICMP and ICMPv6 echo requests */
    struct allow_port ports[ALLOW_PORTS_MAX];
    size_t port_count;
};

void allow_init(struct allow *allow);
void allow_done(struct allow *allow);
/* Adds one rule. ERR_INVALID or ERR_FULL: message says what is wrong and what is allowed; the
 * policy is as before. */
MUST_USE int allow_add(struct allow *allow, const char *text, char message[ALLOW_MESSAGE_CAP]);
/* A policy that could not be read refuses everybody. */
void allow_refuse_all(struct allow *allow);
/* name: the caller's canonical name, authentic (its key proven and bound to it); NULL or empty: a
 * caller without a name, always refused. is_static: the word of one's own zone's connector.
 * own_zone: canonical. The union of all rules that match. */
void allow_decide(const struct allow *allow, const char *name, bool is_static, const char *own_zone,
                  struct allow_verdict *ret_verdict);
bool allow_verdict_permits(const struct allow_verdict *verdict, uint8_t protocol, uint16_t port);
/* "tcp" … for a protocol of allow_port; NULL for others. */
const char *allow_protocol_text(uint8_t protocol);

#endif
