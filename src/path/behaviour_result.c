/* What the answers mean (RFC 5780, 4). */
#include "path/behaviour_internal.h"

#define STEP_MAX 32 /* between ports given out in order; others' mappings may come in between */

const char *behaviour_kind_text(enum behaviour_kind kind)
{
    switch (kind) {
    case BEHAVIOUR_NONE:
        return "none";
    case BEHAVIOUR_ENDPOINT_INDEPENDENT:
        return "endpoint-independent";
    case BEHAVIOUR_ADDRESS_DEPENDENT:
        return "address-dependent";
    case BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT:
        return "address-and-port-dependent";
    case BEHAVIOUR_NOT_PORT_DEPENDENT:
        return "not port-dependent";
    case BEHAVIOUR_UNKNOWN:
        break;
    }
    return "unknown";
}

const char *behaviour_ports_text(enum behaviour_ports ports)
{
    static const char *const texts[] = {"unknown", "preserved", "sequential", "random"};
    return texts[ports];
}

static bool is_answered(const struct question *q)
{
    return q != NULL && q->state == QUESTION_ANSWERED;
}

static bool is_local(const struct behaviour *b, const struct question *q)
{
    if (q->mapped.port != b->config.ports[q->socket])
        return false;
    for (size_t i = 0; i < b->config.local_count; i++) {
        if (address_is_equal(&q->mapped.address, &b->config.locals[i]))
            return true;
    }
    return false;
}

static bool is_same(const struct question *a, const struct question *b)
{
    return endpoint_is_equal(&a->mapped, &b->mapped);
}

static enum behaviour_kind conclude_mapping(const struct behaviour *b)
{
    const struct question *first = behaviour_find(b, ASK_REACH, SOCKET_MAPPING);
    const struct question *second = behaviour_find(b, ASK_OTHER_ADDRESS, SOCKET_MAPPING);
    const struct question *third = behaviour_find(b, ASK_OTHER_PORT, SOCKET_MAPPING);
    if (!is_answered(first))
        return BEHAVIOUR_UNKNOWN;
    if (is_local(b, first))
        return BEHAVIOUR_NONE;
    if (!is_answered(third))
        return BEHAVIOUR_UNKNOWN;
    if (!behaviour_has_alternate_address(b))
        return is_same(first, third) ? BEHAVIOUR_NOT_PORT_DEPENDENT
                                     : BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT;
    if (is_same(first, third))
        return BEHAVIOUR_ENDPOINT_INDEPENDENT;
    if (!is_answered(second))
        return BEHAVIOUR_UNKNOWN;
    return is_same(second, third) ? BEHAVIOUR_ADDRESS_DEPENDENT
                                  : BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT;
}

static enum behaviour_kind conclude_filtering(const struct behaviour *b)
{
    const struct question *elsewhere = behaviour_find(b, ASK_FROM_ELSEWHERE, SOCKET_FILTERING);
    const struct question *port = behaviour_find(b, ASK_FROM_OTHER_PORT, SOCKET_FILTERING);
    if (!is_answered(behaviour_find(b, ASK_REACH, SOCKET_FILTERING)))
        return BEHAVIOUR_UNKNOWN;
    if (is_answered(elsewhere))
        return BEHAVIOUR_ENDPOINT_INDEPENDENT;
    if (is_answered(port)) {
        if (!behaviour_has_alternate_address(b))
            return BEHAVIOUR_NOT_PORT_DEPENDENT;
        return elsewhere->state == QUESTION_SILENT ? BEHAVIOUR_ADDRESS_DEPENDENT
                                                   : BEHAVIOUR_UNKNOWN;
    }
    /* Silence is a filter's only if it is known that the connector's other port can be heard. */
    return port != NULL && port->state == QUESTION_SILENT &&
                   (elsewhere == NULL || elsewhere->state == QUESTION_SILENT) &&
                   is_answered(behaviour_find(b, ASK_OTHER_PORT, SOCKET_MAPPING))
               ? BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT
               : BEHAVIOUR_UNKNOWN;
}

#define SEQUENCE_MAX (BEHAVIOUR_SOCKETS + 2)

/* Outer ports in the order in which the NAT gave them out. */
static size_t list_ports(const struct behaviour *b, const struct question *ret_list[SEQUENCE_MAX])
{
    static const enum question_kind later[] = {ASK_OTHER_ADDRESS, ASK_OTHER_PORT};
    size_t count = 0;
    for (unsigned i = 0; i < BEHAVIOUR_SOCKETS; i++) {
        const struct question *q = behaviour_find(b, ASK_REACH, i);
        if (is_answered(q))
            ret_list[count++] = q;
    }
    const struct question *last = behaviour_find(b, ASK_REACH, SOCKET_MAPPING);
    for (unsigned i = 0; i < 2; i++) {
        const struct question *q = behaviour_find(b, later[i], SOCKET_MAPPING);
        if (is_answered(q) && is_answered(last) && !is_same(q, last)) {
            ret_list[count++] = q;
            last = q;
        }
    }
    return count;
}

static int common_divisor(int a, int b)
{
    while (b != 0) {
        const int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Does each socket keep its own port, at least towards whom it asks first? */
static bool are_kept(const struct behaviour *b)
{
    size_t count = 0, kept = 0;
    for (unsigned i = 0; i < BEHAVIOUR_SOCKETS; i++) {
        const struct question *q = behaviour_find(b, ASK_REACH, i);
        count += is_answered(q);
        kept += is_answered(q) && q->mapped.port == b->config.ports[i];
    }
    return count > 1 && kept + 1 >= count;
}

/* All but one of the steps may be odd ones, as of a lost packet. Others' mappings between ours make
 * a step a multiple of what it is. */
static enum behaviour_ports conclude_ports(const struct behaviour *b, int *ret_step)
{
    const struct question *list[SEQUENCE_MAX];
    const size_t count = list_ports(b, list);
    size_t ups = 0, downs = 0;
    int up = 0, down = 0;
    if (count < 3)
        return BEHAVIOUR_PORTS_UNKNOWN;
    if (are_kept(b))
        return BEHAVIOUR_PORTS_PRESERVED;
    for (size_t i = 1; i < count; i++) {
        const int step = list[i]->mapped.port - list[i - 1]->mapped.port;
        if (step > 0 && step <= STEP_MAX) {
            ups++;
            up = common_divisor(step, up);
        } else if (step < 0 && step >= -STEP_MAX) {
            downs++;
            down = common_divisor(-step, down);
        }
    }
    if (ups + 2 < count && downs + 2 < count)
        return BEHAVIOUR_PORTS_RANDOM;
    *ret_step = ups >= downs ? up : -down;
    return BEHAVIOUR_PORTS_SEQUENTIAL;
}

static enum behaviour_answer conclude_hairpin(const struct behaviour *b)
{
    const struct question *a = behaviour_find(b, ASK_HAIRPIN, SOCKET_HAIRPIN_A);
    const struct question *c = behaviour_find(b, ASK_HAIRPIN, SOCKET_HAIRPIN_B);
    if (is_answered(a) || is_answered(c))
        return BEHAVIOUR_YES;
    if (a == NULL || c == NULL || a->state == QUESTION_ASKING || c->state == QUESTION_ASKING)
        return BEHAVIOUR_ANSWER_UNKNOWN;
    return BEHAVIOUR_NO;
}

static void conclude_lifetime(const struct behaviour *b, struct behaviour_result *result)
{
    for (unsigned i = 0; i < b->lifetime_count; i++) {
        const struct question *q = behaviour_find(b, ASK_ALIVE, SOCKET_LIFETIME + i);
        if (is_answered(q)) {
            result->is_lifetime_known = true;
            result->lifetime_min_us = b->silences_us[i];
        } else if (q != NULL && q->state == QUESTION_SILENT) {
            result->is_lifetime_known = true;
            result->lifetime_max_us = b->silences_us[i];
            return;
        }
    }
}

void behaviour_get_result(const struct behaviour *b, struct behaviour_result *ret_result)
{
    struct behaviour_result result = {.round_trip_us = b->round_trip_us};
    for (unsigned i = BEHAVIOUR_SOCKETS; i-- > 0;) {
        const struct question *q = behaviour_find(b, ASK_REACH, i);
        if (is_answered(q)) {
            result.is_udp_open = true;
            result.mapped = q->mapped;
        }
    }
    result.has_alternate_port = b->elsewhere.port != 0;
    result.has_alternate_address = behaviour_has_alternate_address(b);
    result.is_alternate_open = is_answered(behaviour_find(b, ASK_OTHER_PORT, SOCKET_MAPPING));
    result.mapping = conclude_mapping(b);
    result.filtering = conclude_filtering(b);
    result.ports = conclude_ports(b, &result.port_step);
    result.hairpin =
        result.mapping == BEHAVIOUR_NONE ? BEHAVIOUR_ANSWER_UNKNOWN : conclude_hairpin(b);
    if (b->is_mtu_done && result.is_udp_open && !b->is_padding_refused)
        result.mtu = b->mtu_good;
    conclude_lifetime(b, &result);
    *ret_result = result;
}
