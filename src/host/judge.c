/* Scan, find the zone's connector if it is not known, rewrite. */
#include "host/judge.h"

#include "host/call.h"
#include "host/finder.h"
#include "host/host.h"
#include "host/lookup.h"
#include "host/met.h"
#include "host/session.h"
#include "host/vouch.h"
#include "io/clock.h"
#include "names/lookup.h"
#include "names/rewrite.h"
#include "wire/dns.h"
#include <stdlib.h>
#include <string.h>

#define JUDGES_MAX 128 /* held back at once; more pass unchanged */
#define NO_CONNECTOR_US                                                                            \
    (30 * SECOND_US) /* a zone without connector is not looked at again so long */
#define COMPLETION_TTL_S 5

struct judge {
    struct host *host;
    uint8_t *query;
    size_t query_len;
    uint8_t *answer;
    size_t len;
    bool is_tcp;
    bool is_completion; /* the answer came without address: build one */
    bool is_met;        /* … of a peer that was met before, since no server knows */
    bool is_ipv6;       /* … which has no such address to be asked for */
    struct rewrite rewrite;
    char name[NAME_TEXT_CAP];
    judge_done *done;
    void *context;
    struct judge **place; /* where the owner keeps the pointer */
    struct finder *finder;
    struct lookup *lookup;
};

static void free_judge(struct judge *judge)
{
    judge->host->judge_count--;
    finder_cancel(judge->finder);
    lookup_cancel(judge->lookup);
    free(judge->query);
    free(judge->answer);
    free(judge);
}

void judge_cancel(struct judge *judge)
{
    if (judge != NULL)
        free_judge(judge);
}

static void finish(struct judge *judge)
{
    judge_done *done = judge->done;
    void *context = judge->context;
    uint8_t *answer = judge->answer;
    size_t len = judge->len;
    judge->answer = NULL;
    *judge->place = NULL;
    free_judge(judge);
    done(context, answer, len);
}

static void build_completion(struct judge *judge, const struct address *address)
{
    size_t cap = judge->query_len + 512, len;
    uint8_t *answer = malloc(cap);
    if (answer == NULL)
        return;
    const int error = judge->is_ipv6 ? rewrite_build_error(judge->query, judge->query_len,
                                                           DNS_RCODE_NOERROR, answer, cap, &len)
                                     : rewrite_build_answer(judge->query, judge->query_len,
                                                            judge->is_tcp, judge->name, address,
                                                            COMPLETION_TTL_S, answer, cap, &len);
    if (error != ERR_OK) {
        free(answer);
        return;
    }
    free(judge->answer);
    judge->answer = answer;
    judge->len = len;
}

/* The name is a Detec host's: its peer address goes in, and the call begins. */
static void put_address(struct judge *judge)
{
    struct host *host = judge->host;
    struct peer *peer;
    uint64_t now_us = clock_now_us();
    int error = peer_get(host, judge->name, &peer);
    if (error != ERR_OK) {
        log_warn("%s: gets no peer address: %s", judge->name, error_text(error));
        finish(judge);
        return;
    }
    if (judge->is_completion)
        build_completion(judge, &peer->address);
    else
        error = rewrite_apply(judge->answer, judge->len, &judge->rewrite, &peer->address,
                              REWRITE_TTL_MAX_S);
    host->rewritten_count += error == ERR_OK;
    if (now_us >= peer->held_until_us)
        call_start(peer, false, now_us);
    peer_release(peer);
    finish(judge);
}

static bool is_known_zone(struct host *host, const char *name)
{
    for (const char *zone = name_parent(name); zone != NULL; zone = name_parent(zone)) {
        if (session_find(host, zone) != NULL)
            return true;
    }
    return false;
}

static void on_found(void *context, int error, const struct finder_result *result, const char *why)
{
    struct judge *judge = context;
    struct host *host = judge->host;
    struct session *session;
    judge->finder = NULL;
    if (error != ERR_OK) {
        log_debug("%s: answer 0.0.0.1 passes as it is: %s", judge->name, why);
        struct no_connector *entry =
            &host->no_connector[host->no_connector_next++ % NO_CONNECTOR_MAX];
        strcpy(entry->name, judge->name);
        entry->until_us = clock_now_us() + NO_CONNECTOR_US;
        finish(judge);
        return;
    }
    if (session_get(host, judge->name, result, &session) == ERR_OK)
        put_address(judge);
    else
        finish(judge);
}

static void on_key(void *context, int error, const uint8_t *answer, size_t len)
{
    struct judge *judge = context;
    struct lookup_keys keys;
    judge->lookup = NULL;
    if (answer != NULL && lookup_parse_keys(answer, len, judge->name, &keys) == ERR_OK)
        put_address(judge);
    else
        finish(judge);
}

static bool is_without_connector(const struct host *host, const char *name)
{
    uint64_t now_us = clock_now_us();
    for (size_t i = 0; i < NO_CONNECTOR_MAX; i++) {
        if (host->no_connector[i].until_us > now_us &&
            strcmp(host->no_connector[i].name, name) == 0)
            return true;
    }
    return false;
}

/* What the answer is about; false: nothing of ours. */
static bool scan(struct judge *judge)
{
    if (rewrite_scan(judge->answer, judge->len, &judge->rewrite) == ERR_OK) {
        strcpy(judge->name, judge->rewrite.name);
        return true;
    }
    judge->is_met = judge->query != NULL &&
                    rewrite_is_failure(judge->query, judge->query_len, judge->answer, judge->len,
                                       judge->name, &judge->is_ipv6) &&
                    met_knows(judge->host, judge->name);
    if (judge->is_met)
        return judge->is_completion = true;
    judge->is_completion = judge->query != NULL &&
                           rewrite_needs_completion(judge->query, judge->query_len, judge->answer,
                                                    judge->len, judge->name) &&
                           is_known_zone(judge->host, judge->name);
    return judge->is_completion;
}

static void decide(struct judge *judge)
{
    struct host *host = judge->host;
    int error = ERR_OK;
    if (!scan(judge)) {
        finish(judge);
    } else if (strcmp(judge->name, host->name) == 0) {
        /* Others have to call for it; here it is this host itself. */
        if (!judge->is_completion && rewrite_apply(judge->answer, judge->len, &judge->rewrite,
                                                   &host->own, REWRITE_TTL_MAX_S) == ERR_OK)
            host->rewritten_count++;
        finish(judge);
    } else if (judge->is_met) {
        put_address(judge);
    } else if (judge->is_completion) {
        error = lookup_start(&host->loop, HOST_MARK, judge->name, DNS_TYPE_IPSECKEY, on_key, judge,
                             &judge->lookup);
    } else if (is_known_zone(host, judge->name)) {
        put_address(judge);
    } else if (is_without_connector(host, judge->name)) {
        finish(judge);
    } else {
        vouch_want(host, clock_now_us());
        error = finder_start_name(host, judge->name, on_found, judge, &judge->finder);
    }
    if (error != ERR_OK)
        finish(judge);
}

void judge_start(struct host *host, const uint8_t *query, size_t query_len, uint8_t *answer,
                 size_t len, bool is_tcp, judge_done *done, void *context, struct judge **ret_judge)
{
    if (rewrite_disown(answer, len, host->pool, host->name))
        log_debug("DNS: a server's answer held pool addresses that are not its names' here");
    len = rewrite_drop_made_up(answer, len, &host->nat64.prefixes);
    struct judge *judge = host->judge_count < JUDGES_MAX ? calloc(1, sizeof(*judge)) : NULL;
    *ret_judge = NULL;
    if (judge == NULL) {
        done(context, answer, len);
        return;
    }
    host->judge_count++;
    judge->host = host;
    judge->answer = answer;
    judge->len = len;
    judge->is_tcp = is_tcp;
    judge->done = done;
    judge->context = context;
    judge->place = ret_judge;
    *ret_judge = judge;
    if (query != NULL && (judge->query = malloc(query_len)) != NULL) {
        memcpy(judge->query, query, query_len);
        judge->query_len = query_len;
    }
    decide(judge);
}
