/* One test at a time, of the own zone's connector; the lifetime is netcheck's to measure. */
#include "host/keeper.h"

#include "host/host.h"
#include "host/nat.h"
#include "host/netcheck.h"
#include "host/peer.h"
#include "host/portmap.h"
#include "host/relay.h"
#include "host/session.h"
#include "io/route.h"
#include "path/keepalive.h"

#define PROOF_LIFE_US    (3600 * SECOND_US) /* then it is proven anew */
#define RETRY_US         (1800 * SECOND_US) /* where it could not be */
#define LIFETIME_LIFE_US (24 * 3600 * SECOND_US)
#define MEASURE_AFTER    3 /* things that were sent for no other reason */
#define MEASURE_AGAIN_US (6 * 3600 * SECOND_US)
#define REFRESH_RARE_US  (300 * SECOND_US)
#define MAPPED_CAP       4
#define LOOK_US          (60 * SECOND_US)
/* IKE asks a silent peer whether it lives; where nothing else keeps a NAT busy, rarely. */
#define LIVENESS_US        (30 * SECOND_US)
#define LIVENESS_PROVEN_US (300 * SECOND_US)

static struct keeper_proof *proof_of(struct host *host, const struct address *source)
{
    return &host->keeper.proofs[source->family == ADDRESS_IPV6];
}

static bool find_source(struct host *host, const struct endpoint *to, struct address *ret_source)
{
    struct route_lookup lookup;
    if (route_lookup(&host->netlink, &to->address, HOST_MARK, &lookup) != ERR_OK ||
        lookup.is_unreachable)
        return false;
    *ret_source = lookup.source;
    return true;
}

/* Where the own zone's connector answers over this family, how it sees us, and from which address
 * of ours it is asked. */
struct view_out {
    struct endpoint server, public;
    struct address source;
};

static bool find_view(struct host *host, uint8_t family, struct view_out *ret_view)
{
    const struct session *session = session_own(host);
    return session != NULL && session_is_up(session) &&
           session_stun_view(session, family, &ret_view->server, &ret_view->public) &&
           find_source(host, &ret_view->server, &ret_view->source);
}

static bool is_mapped(struct host *host, const struct endpoint *endpoint)
{
    struct endpoint mapped[MAPPED_CAP];
    const size_t count = portmap_endpoints(host->portmap, mapped, MAPPED_CAP);
    for (size_t i = 0; i < count; i++) {
        if (endpoint_is_equal(&mapped[i], endpoint))
            return true;
    }
    return false;
}

/* ---- the proof ---- */

/* Then a stranger's packet may have come in only because another socket has sent something there.
 */
static bool is_filtered_by_address(const struct host *host)
{
    const struct behaviour_result *nat =
        host->keeper.asked_from.family == ADDRESS_IPV4 ? nat_result(host) : NULL;
    return nat != NULL && nat->filtering == BEHAVIOUR_ADDRESS_DEPENDENT;
}

/* Only another address of the connector's stands for strangers where there is a NAT: some let in
 * whatever comes from an address that was sent to. And only where its mapping is one for all is the
 * one towards a peer kept by what is sent to the connector. */
static void take_result(struct host *host, const struct openness_result *r, uint64_t now_us)
{
    struct keeper_proof *proof = proof_of(host, &host->keeper.asked_from);
    const bool was_proven = proof->is_proven;
    const bool is_public = address_is_equal(&r->mapped.address, &host->keeper.asked_from) &&
                           r->mapped.port == host->config.port;
    *proof = (struct keeper_proof){
        .at_us = now_us, .source = host->keeper.asked_from, .mapped = r->mapped};
    proof->is_leased = r->is_open && !is_public && is_mapped(host, &r->mapped);
    const bool is_open = r->is_open && (proof->is_leased || !is_filtered_by_address(host));
    proof->is_lasting = is_open && (is_public || proof->is_leased);
    proof->is_proven = proof->is_lasting || (is_open && r->is_by_address && r->is_mapping_same);
    if (proof->is_proven && !was_proven)
        log_info("packets get in here that nobody asked for: no keepalives are needed%s",
                 proof->is_lasting ? "" : " but the connector's");
}

static void pump(struct host *host, uint64_t now_us)
{
    struct keeper *keeper = &host->keeper;
    uint8_t data[OPENNESS_CAP];
    struct openness_result result;
    struct endpoint to;
    struct writer w;
    for (writer_init(&w, data, sizeof(data));
         openness_transmit(keeper->openness, &w, &to, now_us) == ERR_OK;
         writer_init(&w, data, sizeof(data)))
        host_send(host, &to, data, w.len);
    if (openness_is_done(keeper->openness, &result)) {
        openness_free(keeper->openness);
        keeper->openness = NULL;
        take_result(host, &result, now_us);
    }
    task_set(&host->tasks, &keeper->task,
             keeper->openness != NULL ? openness_deadline(keeper->openness) : DEADLINE_NEVER);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, keeper.task);
    if (host->keeper.openness == NULL)
        return;
    openness_expire(host->keeper.openness, now_us);
    pump(host, now_us);
}

int keeper_on_stun(struct host *host, const uint8_t *data, size_t len, const struct endpoint *from,
                   uint64_t now_us)
{
    if (host->keeper.openness == NULL)
        return ERR_NOT_FOUND;
    const int error = openness_receive(host->keeper.openness, data, len, from, now_us);
    if (error == ERR_OK)
        pump(host, now_us);
    return error;
}

static bool is_fresh(const struct keeper_proof *proof, const struct address *source,
                     uint64_t now_us)
{
    return proof->at_us != 0 && address_is_equal(&proof->source, source) &&
           now_us - proof->at_us < (proof->is_proven ? PROOF_LIFE_US : RETRY_US);
}

bool keeper_is_proven(struct host *host, const struct address *source, uint64_t now_us)
{
    const struct keeper_proof *proof = proof_of(host, source);
    return proof->is_proven && is_fresh(proof, source, now_us) &&
           (!proof->is_leased || is_mapped(host, &proof->mapped));
}

/* ---- the lifetime ---- */

static const struct keeper_lifetime *find_lifetime(const struct host *host,
                                                   const struct address *source, uint64_t now_us)
{
    const struct session *session = session_own(host);
    struct endpoint server, seen;
    if (session == NULL || !session_stun_view(session, source->family, &server, &seen))
        return NULL;
    for (size_t i = 0; i < KEEPER_NETWORKS_MAX; i++) {
        const struct keeper_lifetime *l = &host->keeper.lifetimes[i];
        if (l->at_us != 0 && now_us - l->at_us < LIFETIME_LIFE_US &&
            address_is_equal(&l->source, source) && address_is_equal(&l->public, &seen.address))
            return l;
    }
    return NULL;
}

void keeper_note_lifetime(struct host *host, const struct address *source,
                          const struct behaviour_result *result, uint64_t now_us)
{
    struct keeper_lifetime *place = &host->keeper.lifetimes[0];
    if (!result->is_udp_open || !result->is_lifetime_known)
        return;
    for (size_t i = 0; i < KEEPER_NETWORKS_MAX; i++) {
        struct keeper_lifetime *l = &host->keeper.lifetimes[i];
        if (address_is_equal(&l->source, source) &&
            address_is_equal(&l->public, &result->mapped.address)) {
            place = l;
            break;
        }
        if (l->at_us < place->at_us)
            place = l;
    }
    *place = (struct keeper_lifetime){.source = *source,
                                      .public = result->mapped.address,
                                      .alive_us = result->lifetime_min_us,
                                      .dead_us = result->lifetime_max_us,
                                      .at_us = now_us};
}

uint64_t keeper_interval_us(const struct host *host, const struct address *source, uint64_t now_us)
{
    const struct keeper_lifetime *l = find_lifetime(host, source, now_us);
    return keepalive_interval_us(host->config.keepalive_us, l != NULL ? l->alive_us : 0,
                                 l != NULL ? l->dead_us : 0);
}

uint64_t keeper_refresh_us(struct host *host, const struct endpoint *server, uint64_t now_us)
{
    struct address source;
    if (!find_source(host, server, &source))
        return keepalive_interval_us(host->config.keepalive_us, 0, 0);
    if (keeper_is_proven(host, &source, now_us) && proof_of(host, &source)->is_lasting)
        return REFRESH_RARE_US;
    return keeper_interval_us(host, &source, now_us);
}

/* ---- when ---- */

void keeper_on_due(struct host *host, uint8_t family, uint64_t now_us)
{
    struct keeper *keeper = &host->keeper;
    struct view_out view;
    if (host->is_stopping || nat_is_learning(host) || !find_view(host, family, &view))
        return;
    if (keeper->openness == NULL && !is_fresh(proof_of(host, &view.source), &view.source, now_us)) {
        keeper->asked_from = view.source;
        keeper->task.run = on_task;
        if (openness_new(&view.server, &host->config.pool, now_us, &keeper->openness) == ERR_OK)
            pump(host, now_us);
    }
    if (keeper->wants < MEASURE_AFTER) {
        keeper->wants++;
        return;
    }
    /* Every packet that is saved later was not worth one now, if the user wants them so often. */
    const bool is_wanted =
        host->config.keepalive_us == 0 || host->config.keepalive_us > 2 * KEEPALIVE_LEAST_US;
    if (is_wanted && keeper->openness == NULL && !keeper_is_proven(host, &view.source, now_us) &&
        find_lifetime(host, &view.source, now_us) == NULL &&
        (keeper->measured_us == 0 || now_us - keeper->measured_us >= MEASURE_AGAIN_US)) {
        keeper->measured_us = now_us;
        netcheck_start_background(host, 2 * KEEPALIVE_MOST_US);
    }
}

/* When anything last went out on the path. */
static uint64_t last_us(const struct peer *peer, const struct tunnel_status *status)
{
    return status->sent_us > peer->keepalive_us ? status->sent_us : peer->keepalive_us;
}

/* What is known concerns direct paths, a relay's is a TCP connection; and what is proven concerns
 * the usual socket's mapping. */
static void apply(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    const bool is_direct = !relay_is_endpoint(&peer->path);
    const bool is_proven =
        is_direct && peer->path.socket == 0 && keeper_is_proven(host, &peer->source, now_us);
    const uint64_t interval_us = is_direct ? keeper_interval_us(host, &peer->source, now_us)
                                           : keepalive_interval_us(host->config.keepalive_us, 0, 0);
    keepalive_set_proven(&peer->keepalive, is_proven);
    keepalive_set_interval(&peer->keepalive, interval_us);
    if (peer->sa != NULL)
        ike_sa_set_liveness(peer->sa, is_proven                   ? LIVENESS_PROVEN_US
                                      : interval_us > LIVENESS_US ? interval_us
                                                                  : LIVENESS_US);
}

void keeper_keep(struct peer *peer, const struct tunnel_status *status, uint64_t now_us)
{
    const uint8_t byte = KEEPALIVE_BYTE;
    apply(peer, now_us);
    if (!keepalive_expire(&peer->keepalive, last_us(peer, status), now_us))
        return;
    keeper_on_due(peer->host, peer->source.family, now_us);
    host_send(peer->host, &peer->path, &byte, 1);
    peer->keepalive_us = now_us;
}

uint64_t keeper_next_us(const struct peer *peer, const struct tunnel_status *status,
                        uint64_t now_us)
{
    /* What is proven holds for a while only. */
    return deadline_min(keepalive_deadline(&peer->keepalive, last_us(peer, status)),
                        now_us + LOOK_US);
}

static void cancel(struct host *host)
{
    openness_free(host->keeper.openness);
    host->keeper.openness = NULL;
    task_clear(&host->tasks, &host->keeper.task);
    netcheck_cancel_background(host);
}

void keeper_doubt(struct host *host)
{
    for (size_t i = 0; i < 2; i++)
        host->keeper.proofs[i] = (struct keeper_proof){0};
}

void keeper_on_network(struct host *host, uint64_t now_us)
{
    cancel(host);
    keeper_doubt(host);
    host->keeper.wants = 0;
    host->keeper.measured_us = 0;
    /* Whoever rests because nothing was needed looks again. */
    for (struct map_node *node = NULL; (node = map_walk(&host->peers_by_name, node)) != NULL;) {
        struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        if (peer->tunnel != NULL && !peer->is_closing)
            task_set(&host->tasks, &peer->task, now_us);
    }
}

void keeper_stop(struct host *host)
{
    cancel(host);
}

json_t *keeper_report(struct host *host, uint64_t now_us)
{
    struct view_out view;
    if (!find_view(host, ADDRESS_IPV4, &view) && !find_view(host, ADDRESS_IPV6, &view))
        return json_null();
    const struct address source = view.source;
    const struct keeper_proof *proof = proof_of(host, &source);
    const struct keeper_lifetime *l = find_lifetime(host, &source, now_us);
    const bool is_proven = keeper_is_proven(host, &source, now_us);
    return json_pack(
        "{s:f, s:b, s:s, s:o}", "interval_s",
        (double)keeper_interval_us(host, &source, now_us) / SECOND_US, "is_needed", !is_proven,
        "unsolicited",
        is_proven                          ? "yes"
        : is_fresh(proof, &source, now_us) ? "no"
                                           : "unknown",
        "lifetime",
        l == NULL
            ? json_null()
            : json_pack("{s:f, s:o}", "alive_s", (double)l->alive_us / SECOND_US, "dead_s",
                        l->dead_us > 0 ? json_real((double)l->dead_us / SECOND_US) : json_null()));
}
