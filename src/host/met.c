/* See host/met.h. */
#include "host/met.h"

#include "crypto/memory.h"
#include "host/call_carry.h"
#include "host/call_internal.h"
#include "host/datapath.h"
#include "host/relay.h"
#include "io/clock.h"
#include "wire/ike.h"
#include <stdio.h>
#include <string.h>

#define SAVE_US SECOND_US       /* what has changed is written so much later, all at once */
#define WAIT_US (2 * SECOND_US) /* for an answer from the last addresses */
/* An SA that is being woken has so long before keys are begun anew beside it. */
#define WAKE_FIRST_US (500 * MS_US)
#define HALF_US       (3 * SECOND_US) /* for the caller's proof, where it began so */
#define CROSS_US      SECOND_US /* our own call has so long before a crossing one goes before it */
#define OPEN_US       (15 * SECOND_US) /* between two datagrams that keep a way open */
#define EARLY_US      (100 * MS_US)    /* for what the data path has handed over last */
#define CLOCKS_US                                                                                  \
    ((uint64_t)86400 * SECOND_US) /* two hosts' clocks differ by less, as their numbers do */
#define WALL_US(wall_s) ((uint64_t)(wall_s)*SECOND_US)

static uint64_t wall_s(void)
{
    return (uint64_t)clock_wall_seconds();
}

/* Is this the key that the name has now? */
static bool is_trusted(const struct host *host, const struct met_peer *met)
{
    struct trust_verdict verdict;
    return trust_check(host->trust, TRUST_HOST, met->name, &met->key, TRUST_LEVEL_CONNECTOR,
                       (enum trust_level)host->config.accept, &verdict) == ERR_OK &&
           verdict.is_accepted && verdict.result == TRUST_KNOWN;
}

static bool has_session(const struct host *host)
{
    const struct session *own = session_own(host);
    return own != NULL && session_is_up(own);
}

/* ---- remembering ---- */

static void on_save(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, met.save_task);
    if (host->met.table.is_dirty)
        (void)!state_save_met(host); /* which has said why not */
}

static void save_soon(struct host *host, uint64_t now_us)
{
    if (!host->met.table.is_dirty || host->met.save_task.deadline.index != 0)
        return;
    host->met.save_task.run = on_save;
    task_set(&host->tasks, &host->met.save_task, now_us + SAVE_US);
}

void met_on_established(struct call *call, const struct ike_sa *sa, uint64_t now_us)
{
    struct host *host = call->host;
    const struct peer *peer = call->peer;
    const struct met_peer *before = met_table_find(&host->met.table, peer->name, wall_s());
    struct ike_met met;
    if (ike_sa_met(sa, &met) != ERR_OK)
        return;
    /* Only a connector knows whether the name is a static one. */
    const bool is_static =
        call->session != NULL || before == NULL ? peer->is_static : before->is_static;
    if (met_table_note_proof(&host->met.table, peer->name, &call->key, is_static, met.id,
                             met.secret, wall_s()) != ERR_OK)
        log_error("%s: out of memory for what it would be known by", peer->name);
    crypto_wipe(&met, sizeof(met));
    save_soon(host, now_us);
}

void met_on_path(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    const struct endpoint *path = &peer->path;
    if (path->address.family != ADDRESS_IPV4 && path->address.family != ADDRESS_IPV6)
        return;
    if (path->socket != 0)
        return; /* nobody is reached there any more when that is closed */
    met_table_note_endpoint(&host->met.table, peer->name, path, wall_s());
    save_soon(host, now_us);
}

bool met_knows(const struct host *host, const char *name)
{
    const struct met_peer *met = met_table_find(&host->met.table, name, wall_s());
    return met != NULL && met->endpoint_count > 0 && met->proof_count > 0 && is_trusted(host, met);
}

/* ---- keeping the way open for callers ---- */

static void on_open(struct task *task, uint64_t now_us)
{
    static const uint8_t nothing = 0xff; /* a NAT keepalive (RFC 3948, 2.3): nobody answers it */
    struct host *host = CONTAINER_OF(task, struct host, met.open_task);
    const uint64_t now_s = wall_s();
    unsigned count = 0;
    met_table_expire(&host->met.table, now_s);
    save_soon(host, now_us);
    for (const struct met_peer *met = host->met.table.newest; met != NULL && count < MET_OPEN_PEERS;
         met = met->next) {
        const struct peer *peer = peer_find_by_name(host, met->name);
        if (has_session(host) || host->is_stopping || host->config.relay == RELAY_MODE_ALWAYS ||
            met->endpoint_count == 0 || now_s - met->last_s >= MET_OPEN_AGE_S ||
            (peer != NULL && peer->tunnel != NULL) || !is_trusted(host, met))
            continue;
        host_send(host, &met->endpoints[0], &nothing, sizeof(nothing));
        count++;
    }
    if (!host->is_stopping)
        task_set(&host->tasks, task, now_us + OPEN_US);
}

void met_start(struct host *host, uint64_t now_us)
{
    host->met.open_task.run = on_open;
    task_set(&host->tasks, &host->met.open_task, now_us + SECOND_US);
}

void met_done(struct host *host)
{
    if (host->met.table.is_dirty)
        (void)!state_save_met(host);
    met_table_done(&host->met.table);
}

/* ---- caller ---- */

/* Greater than all before, also those of an earlier run of the daemon. */
static uint64_t draw_number(struct host *host)
{
    const uint64_t number = WALL_US(wall_s()) + clock_now_us() % SECOND_US;
    const uint64_t least = host->met.number + IKE_MET_NUMBERS;
    host->met.number = number > least ? number : least;
    return host->met.number;
}

static int make_profile(struct call *call, const struct met_peer *met,
                        const struct met_proof *proof, struct ike_profile **ret_profile)
{
    struct ike_config config;
    call_fill_config(call, &config);
    config.has_expected_key = true;
    config.expected_key = met->key;
    /* The key is the one that is pinned for the name; a host that has not logged in since it began
     * may not know a name of its own. */
    config.expected_id[0] = '\0';
    if (proof != NULL) {
        config.has_met = true;
        memcpy(config.met.id, proof->id, sizeof(config.met.id));
        memcpy(config.met.secret, proof->secret, sizeof(config.met.secret));
        config.met_number = draw_number(call->host);
    }
    const int error = ike_profile_new(&config, ret_profile);
    crypto_wipe(&config.met, sizeof(config.met));
    return error;
}

static void begin(struct task *task, uint64_t now_us)
{
    struct call *call = CONTAINER_OF(task, struct call, met_task);
    struct host *host = call->host;
    const struct met_peer *met = met_table_find(&host->met.table, call->peer->name, wall_s());
    struct ike_profile *profile;
    if (call->peer->tunnel != NULL || call->state > CALL_ASKING ||
        !met_knows(host, call->peer->name))
        return;
    /* By turns: the peer may have lost the newest proof. */
    const struct met_proof *proof = &met->proofs[(call->attempt - 1) % met->proof_count];
    if (make_profile(call, met, proof, &profile) != ERR_OK)
        return;
    call->met_key = met->key;
    call->is_met_static = met->is_static;
    call->met_count = met->endpoint_count;
    memcpy(call->met_endpoints, met->endpoints, sizeof(call->met_endpoints));
    const int error =
        ike_sa_initiate(host->ike, profile, &call->met_endpoints[0], now_us, &call->met_sa);
    ike_profile_free(profile);
    if (error != ERR_OK) {
        call->met_sa = NULL;
        return;
    }
    call->met_us = now_us;
    peer_take_sa(call->peer, call->met_sa);
    datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
    log_debug("call %s: no connector answers yet; asking at its last %u addresses",
              call->peer->name, (unsigned)call->met_count);
    host_pump_ike(host, call->met_sa, now_us);
}

void met_begin(struct call *call, uint64_t now_us)
{
    if (call->peer->tunnel != NULL || call->is_upgrade || call->met_sa != NULL ||
        call->host->config.relay == RELAY_MODE_ALWAYS || !met_knows(call->host, call->peer->name))
        return;
    call->met_task.run = begin;
    if (call->wakes)
        task_set(&call->host->tasks, &call->met_task, now_us + WAKE_FIRST_US);
    else
        begin(&call->met_task, now_us);
}

void met_drop(struct call *call)
{
    struct ike_sa *sa = call->met_sa;
    task_clear(&call->host->tasks, &call->met_task);
    call->met_sa = NULL;
    if (sa == NULL)
        return;
    ike_sa_set_user(sa, NULL);
    if (call->host->pumped_sa == sa)
        ike_sa_close(sa, clock_now_us()); /* whoever drives it frees it */
    else
        ike_sa_free(sa);
}

uint64_t met_pending_us(const struct call *call, uint64_t now_us)
{
    /* Then with the other proof for half as long, and no longer: somebody waits. */
    const uint64_t wait_us = call->attempt < CALL_ATTEMPTS ? WAIT_US / call->attempt : 0;
    const uint64_t until_us = call->met_us + wait_us;
    return call->met_sa != NULL && now_us < until_us ? until_us : 0;
}

const char *met_blame(const struct call *call)
{
    return call->met_us != 0 && !call->is_incoming
               ? "; nor does the called host answer at its last addresses"
               : "";
}

static bool is_asked(const struct call *call, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < call->met_count; i++) {
        if (endpoint_is_equal(&call->met_endpoints[i], endpoint))
            return true;
    }
    return false;
}

bool met_send(const struct call *call, const struct ike_sa *sa, const uint8_t *message, size_t len)
{
    struct ike_header header;
    if (call == NULL || call->met_sa != sa || sa == NULL ||
        ike_header_parse(message, len, &header) != ERR_OK ||
        header.exchange != IKE_EXCHANGE_SA_INIT)
        return false;
    for (size_t i = 0; i < call->met_count; i++)
        host_send_ike(call->host, &call->met_endpoints[i], message, len);
    return true;
}

static struct call *call_of(const struct ike_sa *sa)
{
    const struct peer *peer = sa != NULL ? ike_sa_user(sa) : NULL;
    struct call *call = peer != NULL ? peer->call : NULL;
    return call != NULL && call->met_sa == sa ? call : NULL;
}

bool met_lets_in(const struct ike_sa *sa, const struct endpoint *from)
{
    const struct call *call = call_of(sa);
    return call == NULL || is_asked(call, from);
}

void met_on_ike(struct ike_sa *sa, const struct endpoint *from)
{
    const struct call *call = call_of(sa);
    if (call != NULL && is_asked(call, from) && !endpoint_is_equal(ike_sa_remote(sa), from))
        ike_sa_set_remote(sa, from);
}

bool met_take(struct call *call, struct ike_sa *sa, uint64_t now_us)
{
    char text[RELAY_TEXT_CAP];
    char detail[RELAY_TEXT_CAP + 32];
    if (call == NULL || call->met_sa != sa)
        return false;
    call->met_sa = NULL;
    call_drop_attempt(call); /* what else there is of it has been overtaken */
    call->sa = sa;
    call->session = NULL;
    call->key = call->met_key;
    call->has_key = true;
    call->peer->is_static = call->is_met_static && !has_session(call->host);
    snprintf(detail, sizeof(detail), "met again over %s",
             relay_format(call->host, ike_sa_remote(sa), text));
    call_step(call, CALL_KEYING, call_step_text(call), detail, now_us);
    task_set(&call->host->tasks, &call->task, now_us + call->host->config.attempt_us);
    return true;
}

bool met_on_closed(struct call *call, const struct ike_sa *sa)
{
    if (call == NULL || call->met_sa != sa)
        return false;
    call->met_sa = NULL;
    return true;
}

/* ---- called host ---- */

/* Does this call of ours, to the same peer, go before the one that comes in? Both may be sent at
 * once, and only one of the two may get through: that of the smaller key has a moment to be
 * answered. */
static bool goes_before(const struct call *call, const struct met_peer *met, uint64_t now_us)
{
    const struct public_key *own = identity_public(call->host->identity);
    if (call->is_incoming)
        return call->session != NULL; /* by the connector; else a newer attempt of the same */
    if (call->is_upgrade)
        return false; /* the peer knows nothing of that tunnel any more */
    if (call->state >= CALL_ASKING)
        return true;
    return call->met_sa != NULL && memcmp(own->bytes, met->key.bytes, PUBLIC_KEY_LEN) < 0 &&
           (ike_sa_is_answered(call->met_sa) || now_us < call->met_us + CROSS_US);
}

/* A number that was used before is a copy; one that is far from our clock was kept for later. */
static bool is_new(const struct met_proof *proof, uint64_t number)
{
    const uint64_t now_us = WALL_US(wall_s());
    return number > proof->seen && number < now_us + CLOCKS_US && now_us < number + CLOCKS_US;
}

/* NULL: it may. A static name is believed by what the connector said then only where it cannot say
 * anything now. */
static const char *refusal(struct host *host, const struct met_peer *met)
{
    if (!is_trusted(host, met))
        return "its key is not the one that is trusted for this name";
    if (!access_may_call(host, met->name, met->is_static && !has_session(host)))
        return "[allow] does not let it call";
    return NULL;
}

static struct call *take_in(struct host *host, const struct met_peer *met, uint64_t now_us)
{
    struct peer *peer;
    uint64_t number;
    if (crypto_random(&number, sizeof(number)) != ERR_OK ||
        peer_get(host, met->name, &peer) != ERR_OK)
        return NULL;
    if (peer->call != NULL) {
        if (goes_before(peer->call, met, now_us))
            return NULL;
        call_free(peer->call); /* whoever waits for it now waits for this one */
    }
    struct call *call =
        call_count_incoming(host) < HOST_CALLS_IN_MAX ? call_new(peer, true, number, now_us) : NULL;
    if (call == NULL || make_profile(call, met, NULL, &call->profile) != ERR_OK) {
        if (call != NULL)
            call_free(call);
        peer_release(peer);
        return NULL;
    }
    call->state = CALL_KEYING;
    call->key = met->key;
    call->has_key = true;
    snprintf(call->zone, sizeof(call->zone), "%s", host->config.zone);
    peer->is_static = met->is_static && !has_session(host);
    task_set(&host->tasks, &call->task, now_us + HALF_US);
    return call;
}

struct ike_profile *met_responder_profile(struct host *host, const uint8_t *message, size_t len,
                                          const struct endpoint *from, uint64_t now_us,
                                          struct peer **ret_peer)
{
    struct ike_met_claim claim;
    const struct met_proof *proof;
    struct ike_met known;
    if (host->is_stopping || host->config.relay == RELAY_MODE_ALWAYS || relay_is_endpoint(from) ||
        from->socket != 0 || ike_met_parse(message, len, &claim) != ERR_OK)
        return NULL;
    const struct met_peer *met = met_table_find_proof(&host->met.table, claim.id, wall_s(), &proof);
    if (met == NULL)
        return NULL;
    memcpy(known.id, proof->id, sizeof(known.id));
    memcpy(known.secret, proof->secret, sizeof(known.secret));
    const bool is_right =
        ike_met_is_right(&known, &claim, &met->key, identity_public(host->identity)) &&
        is_new(proof, claim.number);
    crypto_wipe(&known, sizeof(known));
    if (!is_right)
        return NULL;
    const char *why = refusal(host, met);
    struct call *call = why == NULL ? take_in(host, met, now_us) : NULL;
    if (why != NULL)
        host_note_refused(host, met->name, &met->key, why, now_us);
    if (call == NULL)
        return NULL;
    met_table_note_seen(&host->met.table, claim.id, claim.number);
    save_soon(host, now_us);
    *ret_peer = call->peer;
    return call->profile;
}
