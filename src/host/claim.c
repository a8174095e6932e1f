/* A claim waits for its zone's connector: found through DNS, connected to as a guest, asked. All
 * that strangers can cause here is bounded, and ends after one attempt's time. */
#include "host/claim.h"

#include "crypto/memory.h"
#include "host/call_internal.h"
#include "io/clock.h"
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MAX     16
#define CLAIMS_KEY_MAX 4 /* of one caller's key */

struct claim {
    struct claim *next;
    struct host *host;
    struct notify_call asked; /* the call, as it will be taken up */
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
        struct notify_call asked = claim->asked;
        free_claim(claim);
        call_take_in(host, &asked, false, now_us);
        crypto_wipe(&asked, sizeof(asked));
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
