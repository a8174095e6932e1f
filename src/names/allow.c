/* The policy: rules parsed from text, and the union of those that match a caller. */
#include "names/allow.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE_LEN_MAX 4096

static const struct {
    const char *text;
    uint8_t number;
} PROTOCOLS[] = {
    {"tcp", IPPROTO_TCP},   {"udp", IPPROTO_UDP},         {"sctp", IPPROTO_SCTP},
    {"dccp", IPPROTO_DCCP}, {"udplite", IPPROTO_UDPLITE},
};
#define PROTOCOL_COUNT (sizeof PROTOCOLS / sizeof PROTOCOLS[0])

const char *allow_protocol_text(uint8_t protocol)
{
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        if (PROTOCOLS[i].number == protocol)
            return PROTOCOLS[i].text;
    return NULL;
}

void allow_init(struct allow *allow)
{
    memset(allow, 0, sizeof *allow);
}

void allow_done(struct allow *allow)
{
    free(allow->rules);
    allow_init(allow);
}

void allow_refuse_all(struct allow *allow)
{
    allow->is_unreadable = true;
}

static int fail(char message[ALLOW_MESSAGE_CAP], int error, const char *format, ...)
    PRINTF_LIKE(3, 4);
static int fail(char message[ALLOW_MESSAGE_CAP], int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, ALLOW_MESSAGE_CAP, format, arguments);
    va_end(arguments);
    return error;
}

/* ---- patterns ---- */

/* A pattern must end in a whole domain, since '*' stands for dots too: "laptop-*" and
 * "*example.net" would let in hosts of any zone, whatever was meant. */
static int parse_pattern(const char *text, char ret_pattern[NAME_TEXT_CAP],
                         char message[ALLOW_MESSAGE_CAP])
{
    char probe[NAME_TEXT_CAP], canonical[NAME_TEXT_CAP];
    size_t len = strlen(text);

    if (strcmp(text, "*") == 0) {
        snprintf(ret_pattern, NAME_TEXT_CAP, "*");
        return ERR_OK;
    }
    if (len >= sizeof probe)
        return fail(message, ERR_INVALID, "the name is longer than %d characters",
                    NAME_TEXT_CAP - 1);
    /* With a letter for each '*' it must be a host name. */
    for (size_t i = 0; i <= len; i++)
        probe[i] = text[i] == '*' ? 'a' : text[i];
    if (name_normalize(probe, canonical) != ERR_OK)
        return fail(message, ERR_INVALID,
                    "'%.100s' is not a host name or a pattern such as *.example.net", text);
    const char *star = strrchr(text, '*');
    if (star != NULL && (star[1] != '.' || star[2] == '\0'))
        return fail(message, ERR_INVALID,
                    "'%.100s' would match names of any zone: after the last '*' there must be a "
                    "dot and a domain, such as *.example.net",
                    text);
    size_t canonical_len = strlen(canonical); /* without the last dot */
    for (size_t i = 0; i < canonical_len; i++)
        if (text[i] == '*')
            canonical[i] = '*';
    memcpy(ret_pattern, canonical, canonical_len + 1);
    return ERR_OK;
}

/* ---- ports ---- */

static bool parse_number(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)value;
    return true;
}

/* "22", "8000-8100" or "*". */
static bool parse_range(const char *text, struct allow_port *port)
{
    const char *dash = strchr(text, '-');

    if (strcmp(text, "*") == 0) {
        port->first = 0;
        port->last = UINT16_MAX;
        return true;
    }
    size_t first_len = dash != NULL ? (size_t)(dash - text) : strlen(text);
    if (!parse_number(text, first_len, &port->first))
        return false;
    port->last = port->first;
    if (dash != NULL && !parse_number(dash + 1, strlen(dash + 1), &port->last))
        return false;
    return port->first <= port->last;
}

static int parse_item(const char *item, struct allow_port *ret_port,
                      char message[ALLOW_MESSAGE_CAP])
{
    const char *slash = strchr(item, '/');
    struct allow_port port = {.protocol = 0};

    for (size_t i = 0; slash != NULL && i < PROTOCOL_COUNT; i++)
        if (strlen(PROTOCOLS[i].text) == (size_t)(slash - item) &&
            memcmp(PROTOCOLS[i].text, item, (size_t)(slash - item)) == 0)
            port.protocol = PROTOCOLS[i].number;
    if (port.protocol == 0 || !parse_range(slash + 1, &port))
        return fail(message, ERR_INVALID,
                    "'%.60s' must be icmp, or PROTOCOL/PORT with tcp, udp, sctp, dccp or udplite "
                    "and a port from 1 to 65535, a range such as 8000-8100, or '*'",
                    item);
    *ret_port = port;
    return ERR_OK;
}

/* list: "tcp/22,udp/53", cut up by this. Ports go behind those of the policy. */
static int parse_list(struct allow *allow, char *list, struct allow_rule *rule,
                      char message[ALLOW_MESSAGE_CAP])
{
    bool is_last = false;

    while (!is_last) {
        char *comma = strchr(list, ',');
        is_last = comma == NULL;
        if (comma != NULL)
            *comma = '\0';
        while (*list == ' ' || *list == '\t')
            list++;
        for (size_t len = strlen(list); len > 0 && (list[len - 1] == ' ' || list[len - 1] == '\t');)
            list[--len] = '\0';
        if (strcmp(list, "icmp") != 0) { /* ping alone: no ports */
            size_t at = rule->port_first + rule->port_count;
            if (at == ALLOW_PORTS_MAX)
                return fail(message, ERR_FULL, "more than %d ports in all rules", ALLOW_PORTS_MAX);
            int error = parse_item(list, &allow->ports[at], message);
            if (error != ERR_OK)
                return error;
            rule->port_count++;
        }
        if (comma != NULL)
            list = comma + 1;
    }
    return ERR_OK;
}

static int add_rule(struct allow *allow, const struct allow_rule *rule,
                    char message[ALLOW_MESSAGE_CAP])
{
    if (allow->rule_count == ALLOW_RULES_MAX)
        return fail(message, ERR_FULL, "more than %d rules", ALLOW_RULES_MAX);
    struct allow_rule *rules =
        realloc(allow->rules, (allow->rule_count + 1) * sizeof *allow->rules);
    if (rules == NULL)
        return fail(message, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    allow->rules = rules;
    rules[allow->rule_count++] = *rule;
    allow->port_count += rule->port_count;
    return ERR_OK;
}

int allow_add(struct allow *allow, const char *text, char message[ALLOW_MESSAGE_CAP])
{
    struct allow_rule rule = {.port_first = allow->port_count};
    char copy[RULE_LEN_MAX + 1];

    text += strspn(text, " \t");
    size_t len = strlen(text);
    if (len == 0)
        return fail(message, ERR_INVALID,
                    "must be NAME-PATTERN, perhaps followed by ports such as tcp/22,udp/53");
    if (len > RULE_LEN_MAX)
        return fail(message, ERR_INVALID, "longer than %d characters", RULE_LEN_MAX);
    memcpy(copy, text, len + 1);
    char *list = copy + strcspn(copy, " \t");
    if (*list != '\0')
        *list++ = '\0';
    list += strspn(list, " \t");

    if (strcmp(copy, "nobody") == 0) {
        if (*list != '\0' || allow->rule_count > 0)
            return fail(message, ERR_INVALID, "'nobody' must stand alone");
        allow->is_nobody = true;
        return ERR_OK;
    }
    if (allow->is_nobody)
        return fail(message, ERR_INVALID, "another rule says 'nobody', which must stand alone");
    int error = parse_pattern(copy, rule.pattern, message);
    rule.is_any = *list == '\0';
    if (error == ERR_OK && !rule.is_any)
        error = parse_list(allow, list, &rule, message);
    if (error == ERR_OK)
        error = add_rule(allow, &rule, message);
    return error;
}

/* ---- the decision ---- */

static void allow_rule_to(struct allow_verdict *verdict, const struct allow *allow,
                          const struct allow_rule *rule)
{
    verdict->is_allowed = true;
    verdict->is_ping = true;
    if (rule->is_any)
        verdict->is_any = true;
    /* Never more than all rules hold together: it fits. */
    for (size_t i = 0; i < rule->port_count; i++)
        verdict->ports[verdict->port_count++] = allow->ports[rule->port_first + i];
}

void allow_decide(const struct allow *allow, const char *name, bool is_static, const char *own_zone,
                  struct allow_verdict *ret_verdict)
{
    char canonical[NAME_TEXT_CAP];

    memset(ret_verdict, 0, sizeof *ret_verdict);
    if (allow->is_unreadable || allow->is_nobody || name == NULL ||
        name_normalize(name, canonical) != ERR_OK || strcmp(name, canonical) != 0)
        return;
    if (allow->rule_count == 0) {
        if (is_static && own_zone != NULL && name_is_in_zone(name, own_zone) &&
            strcmp(name, own_zone) != 0)
            ret_verdict->is_allowed = ret_verdict->is_any = ret_verdict->is_ping = true;
        return;
    }
    for (size_t i = 0; i < allow->rule_count; i++)
        if (name_matches(allow->rules[i].pattern, name))
            allow_rule_to(ret_verdict, allow, &allow->rules[i]);
    if (ret_verdict->is_any)
        ret_verdict->port_count = 0;
}

bool allow_verdict_permits(const struct allow_verdict *verdict, uint8_t protocol, uint16_t port)
{
    if (verdict->is_any)
        return true;
    for (size_t i = 0; i < verdict->port_count; i++)
        if (verdict->ports[i].protocol == protocol && port >= verdict->ports[i].first &&
            port <= verdict->ports[i].last)
            return true;
    return false;
}
