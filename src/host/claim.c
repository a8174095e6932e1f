/* A claim that shows its zone's voucher needs that connector's key: pinned, or from DNS. Any other
 * waits for the connector: found through DNS, connected to as a guest, asked. All that strangers
 * can cause here is bounded, and ends after one attempt's time. */
#include "host/claim.h"

#include "crypto/memory.h"
#include "host/call_internal.h"
#include "io/clock.h"
#include "login/voucher.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MAX     16
#define CLAIMS_KEY_MAX 4 /* of one caller's key */
/* Vouchers looked at, each a signature: beyond that the zone is asked. */
#define VOUCHERS_BURST 60
#define VOUCHERS_US    (50 * MS_US)

struct claim {
    struct claim *next;
    struct host *host;
    struct notify_call asked; /* the call, as it will be taken up */
    /* For a voucher: does DNS have a connector for the zone, and which key? */
    char service[NAME_TEXT_CAP + 16];
    struct lookup *service_lookup, *key_lookup;
    bool has_service, has_key;
    struct public_key key;
    struct finder *finder;
    struct session *verifier; /* the caller's zone; NULL while its connector is looked for */
    uint64_t query;           /* number of the look-up there */
    struct task task;         /* time-out */
};

static void free_claim(struct claim *claim)
{
    struct host *host = claim->host;
    struct claim **link = &host->claims;
    while (*link != claim)
        link = &(*link)->next;
    *link = claim->next;
    lookup_cancel(claim->service_lookup);
    lookup_cancel(claim->key_lookup);
    finder_cancel(claim->finder);
    task_clear(&host->tasks, &claim->task);
    crypto_wipe(&claim->asked, sizeof(claim->asked));
    free(claim);
}

static void refuse(struct claim *claim, const char *reason, uint64_t now_us)
{
    call_refuse(claim->host, &claim->asked, reason, now_us);
    free_claim(claim);
}

static void on_timeout(struct task *task, uint64_t now_us)
{
    refuse(CONTAINER_OF(task, struct claim, task), "its zone does not answer", now_us);
}

static void ask_zone(struct claim *claim, struct session *session, uint64_t now_us)
{
    claim->verifier = session;
    if (crypto_random(&claim->query, sizeof(claim->query)) != ERR_OK ||
        login_client_lookup(session_login(session), claim->query, claim->asked.caller, now_us) !=
            ERR_OK)
        refuse(claim, "its zone cannot be asked for its key", now_us);
    else
        session_pump(session, now_us);
}

static void on_zone_found(void *context, int error, const struct finder_result *result,
                          const char *why)
{
    struct claim *claim = context;
    struct session *session;
    uint64_t now_us = clock_now_us();
    claim->finder = NULL;
    if (error != ERR_OK)
        refuse(claim, why, now_us);
    else if (session_get(claim->host, claim->asked.caller, result, &session) != ERR_OK)
        refuse(claim, "too many foreign zones at once", now_us);
    else
        ask_zone(claim, session, now_us);
}

/* Nobody has vouched, or not so that it counts. */
static void look_up(struct claim *claim, uint64_t now_us)
{
    struct host *host = claim->host;
    for (const char *zone = name_parent(claim->asked.caller); zone != NULL;
         zone = name_parent(zone)) {
        struct session *session = session_find(host, zone);
        if (session != NULL) {
            ask_zone(claim, session, now_us);
            return;
        }
    }
    if (finder_start_name(host, claim->asked.caller, on_zone_found, claim, &claim->finder) !=
        ERR_OK)
        refuse(claim, "its zone's connector cannot be looked up", now_us);
}

/* Its zone gives the name this very key. */
static void take_up(struct claim *claim, uint64_t now_us)
{
    struct host *host = claim->host;
    struct notify_call asked = claim->asked;
    free_claim(claim);
    call_take_in(host, &asked, false, now_us);
    crypto_wipe(&asked, sizeof(asked));
}

/* ---- vouchers ---- */

/* The zone that has to vouch: the one right above the name. Names further below it are looked up.
 */
static const char *zone_of(const struct claim *claim)
{
    return name_parent(claim->asked.caller);
}

/* connector: the zone's, pinned or as DNS has it. */
static bool is_vouched_for(const struct claim *claim, const struct public_key *connector)
{
    struct host *host = claim->host;
    const struct notify_call *asked = &claim->asked;
    const struct voucher_claim vouched = {zone_of(claim), asked->caller, asked->caller_key};
    struct trust_verdict verdict;
    return asked->has_voucher &&
           voucher_is_fresh(&asked->voucher, (uint64_t)clock_wall_seconds()) &&
           voucher_check(&asked->voucher, connector, &vouched) == ERR_OK &&
           session_pin(host, zone_of(claim), connector, &verdict) == ERR_OK;
}

static void judge_voucher(struct claim *claim, const struct public_key *connector, uint64_t now_us)
{
    if (connector != NULL && is_vouched_for(claim, connector)) {
        log_debug("%s: its zone's connector has vouched for its key", claim->asked.caller);
        take_up(claim, now_us);
    } else {
        log_debug("%s: its voucher proves nothing; asking its zone", claim->asked.caller);
        look_up(claim, now_us);
    }
}

static void on_found(struct claim *claim)
{
    if (claim->service_lookup == NULL && claim->key_lookup == NULL)
        judge_voucher(claim, claim->has_service && claim->has_key ? &claim->key : NULL,
                      clock_now_us());
}

static void on_service(void *context, int error, const uint8_t *answer, size_t len)
{
    struct claim *claim = context;
    struct lookup_services services;
    claim->service_lookup = NULL;
    claim->has_service = answer != NULL &&
                         lookup_parse_services(answer, len, claim->service, 0, &services) == ERR_OK;
    on_found(claim);
}

static void on_zone_key(void *context, int error, const uint8_t *answer, size_t len)
{
    struct claim *claim = context;
    struct lookup_keys keys;
    claim->key_lookup = NULL;
    claim->has_key =
        answer != NULL && lookup_parse_keys(answer, len, zone_of(claim), &keys) == ERR_OK;
    if (claim->has_key)
        claim->key = keys.items[0];
    on_found(claim);
}

/* Both at once: this is what a first contact waits for. */
static int ask_dns(struct claim *claim)
{
    struct host *host = claim->host;
    snprintf(claim->service, sizeof(claim->service), "_detec._tcp.%s", zone_of(claim));
    int error = lookup_start(&host->loop, HOST_MARK, claim->service, DNS_TYPE_SRV, on_service,
                             claim, &claim->service_lookup);
    if (error == ERR_OK)
        error = lookup_start(&host->loop, HOST_MARK, zone_of(claim), DNS_TYPE_IPSECKEY, on_zone_key,
                             claim, &claim->key_lookup);
    if (error != ERR_OK) {
        lookup_cancel(claim->service_lookup);
        claim->service_lookup = NULL;
    }
    return error;
}

static void begin(struct claim *claim, uint64_t now_us)
{
    struct public_key key;
    enum trust_origin origin;
    if (!claim->asked.has_voucher || zone_of(claim) == NULL ||
        !bucket_take(&claim->host->vouchers, VOUCHERS_BURST, VOUCHERS_US, now_us))
        look_up(claim, now_us);
    else if (trust_find(claim->host->trust, TRUST_CONNECTOR, zone_of(claim), &key, &origin) ==
             ERR_OK)
        judge_voucher(claim, &key, now_us);
    else if (ask_dns(claim) != ERR_OK)
        look_up(claim, now_us);
}

/* ---- claims ---- */

static struct claim *find_same(struct host *host, const struct notify_call *notify,
                               size_t *ret_count, size_t *ret_key_count)
{
    struct claim *found = NULL;
    *ret_count = *ret_key_count = 0;
    for (struct claim *claim = host->claims; claim != NULL; claim = claim->next) {
        bool is_same_key = memcmp(claim->asked.caller_key, notify->caller_key, PUBLIC_KEY_LEN) == 0;
        ++*ret_count;
        *ret_key_count += is_same_key;
        if (is_same_key && strcmp(claim->asked.caller, notify->caller) == 0)
            found = claim;
    }
    return found;
}

void claim_start(struct host *host, const struct notify_call *notify, uint64_t now_us)
{
    size_t count, key_count;
    struct claim *claim = find_same(host, notify, &count, &key_count);
    if (claim != NULL) {
        claim->asked = *notify;
        return;
    }
    if (count >= CLAIMS_MAX || key_count >= CLAIMS_KEY_MAX ||
        (claim = calloc(1, sizeof(*claim))) == NULL) {
        call_refuse(host, notify, "too many callers of other zones at once", now_us);
        return;
    }
    claim->host = host;
    claim->asked = *notify;
    claim->task.run = on_timeout;
    claim->next = host->claims;
    host->claims = claim;
    task_set(&host->tasks, &claim->task, now_us + host->config.attempt_us);
    begin(claim, now_us);
}
bool claim_on_key(struct session *session, const struct notify_key *key, uint64_t now_us)
{
    struct host *host = session_host(session);
    struct claim *claim = host->claims;
    while (claim != NULL && (claim->verifier != session || claim->query != key->number))
        claim = claim->next;
    if (claim == NULL)
        return false;
    if (!key->is_known) {
        refuse(claim, "its zone does not know the name", now_us);
    } else if (memcmp(key->key, claim->asked.caller_key, PUBLIC_KEY_LEN) != 0) {
        refuse(claim, "its zone says that the name has another key", now_us);
    } else {
        take_up(claim, now_us);
    }
    return true;
}

bool claim_uses_session(const struct session *session)
{
    const struct claim *claim = session_host(session)->claims;
    while (claim != NULL && claim->verifier != session)
        claim = claim->next;
    return claim != NULL;
}

void claims_free(struct host *host)
{
    while (host->claims != NULL)
        free_claim(host->claims);
}
