/* Tagged packets, and the judgement of what arrives. */
#include "traffic.h"

#include "hub.h"
#include "path/punch.h"
#include "sim.h"
#include "wire/checksum.h"
#include "wire/demux.h"
#include "wire/ip.h"
#include "wire/stun.h"
#include <stdlib.h>
#include <string.h>

#define APPLICATION_PORT 7777
#define UDP_LEN          8
#define TAG_LEN          (TRAFFIC_MAGIC_LEN + 1 + 1 + 4)
#define PACKET_LEN_MAX   700
/* Of one host, with all its peers and retries; an attempt that fails sends some 13 checks to each
 * of a few addresses. */
#define ATTEMPTS_PER_MINUTE 60
#define PLAIN_CHECKS        50
#define HASTY_US            (20 * MS_US)
#define HASTY_MAX           4
#define ATTEMPTS_US         (120 * SECOND_US) /* in so long, where nothing happens: */
#define ATTEMPTS_MAX        14                /* of one pair */
#define ADDRESS_CHECKS_MAX  (PUNCH_ADDRESS_CHECKS + PUNCH_PREDICT_ROUNDS) /* beside a sweep's */
/* In peace a message now and then; some dozens while everything moves at once, hundreds if two
 * hosts kept each other busy. */
#define IKE_WINDOW_US    (10 * SECOND_US)
#define IKE_MESSAGES_MAX 100u

struct beat {
    struct event event;
    struct sim *sim;
    size_t from, to;
    uint64_t interval_us;
    uint64_t since_us; /* of the flow: another one means that this beat is over */
};

void traffic_init(struct traffic *traffic, struct core *core)
{
    memset(traffic, 0, sizeof(*traffic));
    rng_fill(&core->rng, traffic->magic, sizeof(traffic->magic));
}

void traffic_done(struct traffic *traffic)
{
    for (size_t i = 0; i < TRAFFIC_MACHINES; i++) {
        for (size_t j = 0; j < TRAFFIC_MACHINES; j++)
            free(traffic->flows[i][j]);
        for (size_t j = 0; j < traffic->attempt_count[i]; j++)
            free(traffic->attempts[i][j].probed);
        free(traffic->attempts[i]);
    }
    memset(traffic, 0, sizeof(*traffic));
}

struct flow *traffic_flow(struct sim *sim, size_t from, size_t to)
{
    struct flow **flow = &sim->traffic.flows[from][to];
    if (*flow == NULL)
        *flow = sim_new(sizeof(**flow));
    return *flow;
}

static void send_one(struct sim *sim, size_t from, size_t to)
{
    uint8_t packet[PACKET_LEN_MAX];
    struct machine *machine = &sim->machines[from];
    struct flow *flow = traffic_flow(sim, from, to);
    struct address peer;
    struct writer w, udp;
    if (machine->host == NULL || machine->is_asleep || flow->sent >= TRAFFIC_SEQ_MAX ||
        !machine_find_peer(machine, &sim->machines[to], &peer))
        return;
    const size_t pad =
        rng_below(&sim->core.rng, PACKET_LEN_MAX - IP4_HEADER_LEN - UDP_LEN - TAG_LEN);
    const size_t len = UDP_LEN + TAG_LEN + pad;
    const struct ip_header header = {.src = machine->host->own,
                                     .dst = peer,
                                     .payload_len = (uint32_t)len,
                                     .protocol = IP_UDP,
                                     .ttl = IP_TTL_DEFAULT,
                                     .dont_fragment = true};
    writer_init(&w, packet, sizeof(packet));
    if (ip_build_header(&w, &header) != ERR_OK)
        abort();
    writer_init(&udp, packet + w.len, len);
    writer_u16(&udp, APPLICATION_PORT);
    writer_u16(&udp, APPLICATION_PORT);
    writer_u16(&udp, (uint16_t)len);
    writer_u16(&udp, 0);
    writer_bytes(&udp, sim->traffic.magic, TRAFFIC_MAGIC_LEN);
    writer_u8(&udp, (uint8_t)from);
    writer_u8(&udp, (uint8_t)to);
    writer_u32(&udp, flow->sent++);
    writer_zero(&udp, pad);
    if (checksum_write_payload(IP_UDP, packet + w.len, len, &header.src, &header.dst) != ERR_OK)
        abort();
    machine_send_packet(machine, packet, w.len + len);
}

static void run_echo(struct event *event)
{
    struct beat *beat = (struct beat *)event;
    send_one(beat->sim, beat->from, beat->to);
    free(beat);
}

static void drop_beat(struct event *event)
{
    free(event);
}

static void run_beat(struct event *event)
{
    struct beat *beat = (struct beat *)event;
    struct sim *sim = beat->sim;
    struct flow *flow = traffic_flow(sim, beat->from, beat->to);
    if (!flow->is_on || flow->since_us != beat->since_us) {
        free(beat);
        return;
    }
    send_one(sim, beat->from, beat->to);
    core_add(&sim->core, event,
             sim->core.now_us + beat->interval_us / 2 +
                 rng_below(&sim->core.rng, beat->interval_us));
}

/* Not from within: the packet is being delivered yet. */
static void echo_soon(struct sim *sim, size_t from, size_t to)
{
    struct beat *beat = sim_new(sizeof(*beat));
    *beat = (struct beat){
        .event = {.run = run_echo, .drop = drop_beat}, .sim = sim, .from = from, .to = to};
    core_add(&sim->core, &beat->event, sim->core.now_us);
}

void traffic_set(struct sim *sim, size_t from, size_t to, uint64_t interval_us)
{
    struct flow *flow = traffic_flow(sim, from, to);
    flow->is_on = interval_us > 0;
    flow->interval_us = interval_us;
    flow->since_us = sim->core.now_us;
    flow->first_us = 0;
    if (!flow->is_on)
        return;
    struct beat *beat = sim_new(sizeof(*beat));
    *beat = (struct beat){.event = {.run = run_beat, .drop = drop_beat},
                          .sim = sim,
                          .from = from,
                          .to = to,
                          .interval_us = interval_us,
                          .since_us = flow->since_us};
    core_add(&sim->core, &beat->event, sim->core.now_us);
}

void traffic_inspect(struct traffic *traffic, struct core *core, const void *data, size_t len)
{
    if (memmem(data, len, traffic->magic, TRAFFIC_MAGIC_LEN) != NULL)
        core_break(core, "an application's data crosses the network in the clear");
}

/* ---- probing ---- */

static struct attempt *find_attempt(struct traffic *traffic, size_t machine, const uint8_t *user)
{
    size_t *count = &traffic->attempt_count[machine];
    /* From the newest on: those before are over as a rule. */
    for (size_t i = *count; i > 0; i--) {
        struct attempt *attempt = &traffic->attempts[machine][i - 1];
        if (memcmp(attempt->user, user, sizeof(attempt->user)) == 0)
            return attempt;
    }
    traffic->attempts[machine] =
        realloc(traffic->attempts[machine], (*count + 1) * sizeof(struct attempt));
    if (traffic->attempts[machine] == NULL)
        abort();
    struct attempt *attempt = &traffic->attempts[machine][(*count)++];
    memset(attempt, 0, sizeof(*attempt));
    memcpy(attempt->user, user, sizeof(attempt->user));
    return attempt;
}

/* A pair without a direct path tries again after longer and longer pauses. */
static void check_pauses(struct sim *sim, const struct machine *machine)
{
    const struct traffic *traffic = &sim->traffic;
    const size_t index = (size_t)machine->index;
    const size_t count = traffic->attempt_count[index];
    const size_t most = ATTEMPTS_MAX * (sim->machine_count - 1);
    if (count > most && traffic->is_quiet &&
        sim->core.now_us - traffic->attempts[index][count - 1 - most].began_us < ATTEMPTS_US)
        core_break(&sim->core, "%s begins more than %zu attempts in %u s", machine->name, most,
                   (unsigned)(ATTEMPTS_US / SECOND_US));
}

static const struct probed *count_probe(struct attempt *attempt, uint16_t port,
                                        const struct endpoint *to, uint64_t now_us)
{
    for (size_t i = 0; i < attempt->count; i++) {
        struct probed *probed = &attempt->probed[i];
        if (probed->port != port || !endpoint_is_equal(&probed->to, to))
            continue;
        probed->checks++;
        probed->hasty += now_us - probed->last_us < HASTY_US;
        probed->last_us = now_us;
        return probed;
    }
    if (attempt->count == attempt->cap) {
        attempt->cap = attempt->cap > 0 ? attempt->cap * 2 : 8;
        attempt->probed = realloc(attempt->probed, attempt->cap * sizeof(*attempt->probed));
        if (attempt->probed == NULL)
            abort();
    }
    attempt->probed[attempt->count] = (struct probed){*to, port, 1, 0, now_us};
    return &attempt->probed[attempt->count++];
}

/* Two hosts that answer each other's challenges for ever would be found here. */
static void count_ike(struct sim *sim, const struct machine *machine)
{
    struct traffic *traffic = &sim->traffic;
    const size_t index = (size_t)machine->index;
    if (sim->core.now_us - traffic->ike_from_us[index] > IKE_WINDOW_US) {
        traffic->ike_from_us[index] = sim->core.now_us;
        traffic->ike[index] = 0;
    }
    if (traffic->ike[index] / (sim->machine_count - 1) > traffic->ike_most)
        traffic->ike_most = traffic->ike[index] / (sim->machine_count - 1);
    if (++traffic->ike[index] > IKE_MESSAGES_MAX * (sim->machine_count - 1))
        core_break(&sim->core, "%s sends more than %u IKE messages in %u s to one host on average",
                   machine->name, IKE_MESSAGES_MAX, (unsigned)(IKE_WINDOW_US / SECOND_US));
}

void traffic_count(struct sim *sim, const struct machine *machine, uint16_t port,
                   const struct endpoint *to, const uint8_t *data, size_t len, bool is_opener)
{
    struct stun_message message;
    char text[ENDPOINT_TEXT_CAP];
    const size_t index = (size_t)machine->index;
    if (!is_opener && datagram_classify(data, len) == DATAGRAM_IKE)
        count_ike(sim, machine);
    if (is_opener || datagram_classify(data, len) != DATAGRAM_STUN_MAYBE ||
        stun_parse(data, len, &message) != ERR_OK || message.class != STUN_REQUEST ||
        message.username == NULL || message.username_len != sizeof(((struct attempt *)0)->user))
        return;
    struct attempt *attempt = find_attempt(&sim->traffic, index, message.username);
    if (attempt->began_us == 0) {
        attempt->began_us = sim->core.now_us;
        check_pauses(sim, machine);
    }
    const bool is_seen = hub_has_seen(sim->hub, &to->address);
    const struct probed *probed = count_probe(attempt, port, to, sim->core.now_us);
    if (probed->hasty > HASTY_MAX)
        core_break(&sim->core, "%s probes %s in too much haste", machine->name,
                   endpoint_format(to, text, sizeof(text)));
    if (probed->checks > ADDRESS_CHECKS_MAX)
        core_break(&sim->core, "%s probes %s more than %d times in one attempt", machine->name,
                   endpoint_format(to, text, sizeof(text)), ADDRESS_CHECKS_MAX);
    /* Bursts go to where the connector has seen a host, and nowhere else. */
    attempt->seen += is_seen;
    attempt->unseen += !is_seen;
    if (attempt->unseen > PUNCH_CHECKS_MAX)
        core_break(&sim->core, "%s sends more than %d checks to where nobody was seen",
                   machine->name, PUNCH_CHECKS_MAX);
    if (attempt->seen > PUNCH_CHECKS_MAX + PUNCH_BIRTHDAY_CHECKS)
        core_break(&sim->core, "%s sends more than %d checks in one attempt", machine->name,
                   PUNCH_CHECKS_MAX + PUNCH_BIRTHDAY_CHECKS);
    /* The host's budget, and what its attempts may send beside it. */
    const uint64_t alive_us = sim->core.now_us - SIM_START_US;
    sim->traffic.bursts[index] += attempt->seen > PUNCH_CHECKS_MAX;
    if (sim->traffic.bursts[index] > PUNCH_BUDGET_PACKETS + alive_us / PUNCH_BUDGET_REFILL_US)
        core_break(&sim->core, "%s sends more in bursts than its budget", machine->name);
    if (++sim->traffic.checks[index] >
        PUNCH_BUDGET_PACKETS + alive_us / PUNCH_BUDGET_REFILL_US +
            ATTEMPTS_PER_MINUTE * PLAIN_CHECKS * (1 + alive_us / (60 * SECOND_US)))
        core_break(&sim->core, "%s probes without end", machine->name);
}

/* ---- what arrives ---- */

static void take_own(struct machine *machine, const struct ip_view *ip, const uint8_t *tag)
{
    struct sim *sim = machine->sim;
    struct core *core = &sim->core;
    const size_t from = tag[TRAFFIC_MAGIC_LEN], to = tag[TRAFFIC_MAGIC_LEN + 1];
    const uint8_t *n = tag + TRAFFIC_MAGIC_LEN + 2;
    const uint32_t number =
        (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 | (uint32_t)n[2] << 8 | (uint32_t)n[3];
    struct address sender;
    if (from >= sim->machine_count || to != (size_t)machine->index || number >= TRAFFIC_SEQ_MAX) {
        core_break(core, "%s gets a packet of %zu for %zu: it is not its own", machine->name, from,
                   to);
        return;
    }
    struct flow *flow = traffic_flow(sim, from, to);
    if (!machine_find_peer(machine, &sim->machines[from], &sender) ||
        !address_is_equal(&sender, &ip->src))
        core_break(core, "%s gets a packet of %s under another one's address", machine->name,
                   sim->machines[from].name);
    if (flow->seen[number / 8] & 1 << number % 8)
        core_break(core, "%s gets packet %u of %s twice", machine->name, number,
                   sim->machines[from].name);
    if (number >= flow->sent)
        core_break(core, "%s gets a packet that %s never sent", machine->name,
                   sim->machines[from].name);
    if (machine->blocks & 1u << from)
        core_break(core, "%s gets a packet of %s, which may not call it", machine->name,
                   sim->machines[from].name);
    flow->seen[number / 8] |= (uint8_t)(1 << number % 8);
    flow->received++;
    if (flow->last_us > 0 && core->now_us - flow->last_us > flow->gap_us)
        flow->gap_us = core->now_us - flow->last_us;
    flow->last_us = core->now_us;
    if (flow->first_us == 0)
        flow->first_us = core->now_us;
    core_trace(core, "%s has packet %u of %s", machine->name, number, sim->machines[from].name);
    if (flow->is_echoed)
        echo_soon(sim, to, from);
}

void traffic_take(struct machine *machine, const uint8_t *packet, size_t len)
{
    struct sim *sim = machine->sim;
    struct ip_view ip;
    if (ip_parse(packet, len, &ip) != ERR_OK) {
        core_break(&sim->core, "%s gets what is no IP packet", machine->name);
        return;
    }
    if (ip.protocol == IP_ICMP)
        return; /* from its own daemon: refused, or too big */
    uint32_t sum = checksum_add_pseudo(0, &ip.src, &ip.dst, IP_UDP, ip.payload_len);
    sum = checksum_add(sum, ip.payload, ip.payload_len);
    if (ip.protocol != IP_UDP || ip.payload_len < UDP_LEN + TAG_LEN || checksum_finish(sum) != 0 ||
        !address_is_equal(&ip.dst, &machine->host->own) ||
        memcmp(ip.payload + UDP_LEN, sim->traffic.magic, TRAFFIC_MAGIC_LEN) != 0) {
        core_break(&sim->core, "%s gets a packet that nobody sent so", machine->name);
        return;
    }
    take_own(machine, &ip, ip.payload + UDP_LEN);
}
