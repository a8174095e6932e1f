/* See host/dial.h. One table of ways; each is waiting, under way or has failed. */
#include "host/dial.h"

#include "host/proxy.h"
#include "host/session_internal.h"
#include "io/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTORS_MAX 8
#define MODE_COUNT     5
#define WAYS_MAX       (CONNECTORS_MAX * MODE_COUNT + 1)
#define QUEUE_MAX      ((size_t)64 * 1024)

enum way_state {
    WAY_WAITING,
    WAY_TRYING,
    WAY_TAKEN, /* by the session */
    WAY_FAILED,
};

struct way {
    struct dial *dial;
    enum dial_mode mode;
    struct endpoint connector; /* ADDRESS_NONE: by its zone's name, which the proxy looks up */
    enum way_state state;
    struct carrier *carrier;
    struct ike_sa *sa;
    struct login_early early;
};

struct dial {
    struct session *session;
    struct way ways[WAYS_MAX];
    size_t way_count;
    struct endpoint connectors[CONNECTORS_MAX];
    size_t connector_count;
    bool is_racing;
    bool is_complete; /* no more addresses will come */
    unsigned agains;  /* how often all had failed while others may come */
    uint64_t next_us; /* when the next way may begin */
    uint64_t lost_us; /* when the race is lost */
    uint64_t name_us; /* when the proxy may be asked by name */
    struct way *newest, *taken;
    struct proxy_search *search;
    struct endpoint proxy; /* its address; port 0: not known */
    bool is_proxy_failed;
    enum dial_mode good_mode, last_mode;
    struct endpoint good; /* what worked last; port 0 and ADDRESS_NONE: by name */
    bool has_good, has_last;
    uint64_t good_until_us;
    struct endpoint last;
    char error[192];
    bool has_proxy_error;
    struct task task;
};

static struct host *host_of(const struct dial *dial)
{
    return session_host(dial->session);
}

static bool is_by_proxy(enum dial_mode mode)
{
    return mode == DIAL_PROXY_TLS || mode == DIAL_PROXY_TCP;
}

static void note(struct dial *dial, const char *why)
{
    if (dial->error[0] == '\0') /* the first is that of the best way */
        snprintf(dial->error, sizeof(dial->error), "%s", why);
}

/* … beside which somebody who has set up a proxy wants to hear what that says. */
static void note_proxy(struct dial *dial, const char *why)
{
    const size_t len = strlen(dial->error);
    if (!dial->has_proxy_error)
        snprintf(dial->error + len, sizeof(dial->error) - len, "%sby the proxy: %s",
                 len > 0 ? "; " : "", why);
    dial->has_proxy_error = true;
}

static void let_go(struct way *way, enum way_state state)
{
    ike_sa_free(way->sa);
    carrier_close(way->carrier);
    way->sa = NULL;
    way->carrier = NULL;
    way->state = state;
    if (way->dial->newest == way)
        way->dial->newest = NULL;
}

static size_t count_ways(const struct dial *dial, enum way_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < dial->way_count; i++)
        count += dial->ways[i].state == state;
    return count;
}

/* ---- the order ---- */

static bool is_good(const struct dial *dial, const struct way *way, uint64_t now_us)
{
    return dial->has_good && way->mode == dial->good_mode &&
           endpoint_is_equal(&way->connector, &dial->good) &&
           (way->mode == DIAL_TCP || now_us < dial->good_until_us);
}

static bool is_possible(const struct dial *dial, const struct way *way, uint64_t now_us)
{
    if (way->state != WAY_WAITING)
        return false;
    if (is_by_proxy(way->mode) && dial->proxy.port == 0)
        return false;
    /* A first contact waits for the key that DNS may have. */
    if (way->connector.address.family == ADDRESS_NONE && !dial->is_complete)
        return now_us >= dial->name_us && session_is_pinned(dial->session);
    return true;
}

/* The best of those that wait. Ways are in order of modes, and of addresses in each. */
static struct way *best_way(struct dial *dial, uint64_t now_us)
{
    struct way *best = NULL;
    for (size_t i = 0; i < dial->way_count; i++) {
        struct way *way = &dial->ways[i];
        if (!is_possible(dial, way, now_us))
            continue;
        if (is_good(dial, way, now_us))
            return way;
        if (best == NULL || way->mode < best->mode)
            best = way;
    }
    return best;
}

/* ---- one attempt ---- */

static void schedule(struct dial *dial, uint64_t now_us);

static void on_way_failed(void *context, const char *why)
{
    struct way *way = context;
    struct dial *dial = way->dial;
    const uint64_t now_us = clock_now_us();
    const bool was_newest = dial->newest == way;
    log_debug("%s: way %d to its connector: %s", session_zone(dial->session), (int)way->mode, why);
    if (is_by_proxy(way->mode))
        note_proxy(dial, why);
    else
        note(dial, why);
    let_go(way, WAY_FAILED);
    if (was_newest)
        dial->next_us = now_us; /* no use in waiting for it (RFC 8305, 5) */
    schedule(dial, now_us);
}

static void send_messages(struct way *way, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    for (;;) {
        writer_init(&w, message, sizeof(message));
        if (ike_sa_transmit(way->sa, &w, &remote, now_us) != ERR_OK)
            return;
        if (carrier_write(way->carrier, 0, message, w.len, QUEUE_MAX) != ERR_OK)
            return;
    }
}

static void on_way_ready(void *context)
{
    struct way *way = context;
    struct dial *dial = way->dial;
    const uint64_t now_us = clock_now_us();
    if (session_make_sa(dial->session, &carrier_target(way->carrier)->connect, now_us, &way->sa,
                        &way->early) != ERR_OK) {
        on_way_failed(way, "cannot start IKE on it");
        return;
    }
    send_messages(way, now_us);
    if (dial->newest == way) {
        const uint64_t twice_us = 2 * carrier_connect_us(way->carrier);
        dial->next_us =
            now_us + DIAL_STEP_US + (twice_us < DIAL_STEP_MAX_US ? twice_us : DIAL_STEP_MAX_US);
        schedule(dial, now_us);
    }
}

/* Somebody speaks IKE there: the others stand by. */
static void take(struct way *way, uint64_t now_us)
{
    struct dial *dial = way->dial;
    struct carrier *carrier = way->carrier;
    struct ike_sa *sa = way->sa;
    way->carrier = NULL;
    way->sa = NULL;
    way->state = WAY_TAKEN;
    dial->taken = way;
    for (size_t i = 0; i < dial->way_count; i++) {
        if (dial->ways[i].state == WAY_TRYING)
            let_go(&dial->ways[i], WAY_WAITING);
    }
    dial->newest = NULL;
    dial->last = way->connector;
    dial->last_mode = way->mode;
    dial->has_last = true;
    task_set(&host_of(dial)->tasks, &dial->task,
             now_us + DIAL_PROVE_US + 4 * carrier_connect_us(carrier));
    session_on_answered(dial->session, carrier, sa, way->early,
                        way->connector.address.family != ADDRESS_NONE ? &way->connector : NULL,
                        now_us);
}

static void on_way_frame(void *context, uint32_t channel, const uint8_t *data, size_t len)
{
    struct way *way = context;
    struct ike_sa *sa = NULL;
    const uint64_t now_us = clock_now_us();
    if (channel != 0 || way->sa == NULL)
        return;
    const struct endpoint remote = carrier_target(way->carrier)->connect;
    if (ike_table_receive(host_of(way->dial)->ike_tcp, NULL, data, len, &remote, now_us, &sa) ==
            ERR_OK &&
        sa == way->sa)
        take(way, now_us);
}

static const struct carrier_handler way_handler = {on_way_ready, on_way_frame, on_way_failed};

static void describe(const struct way *way, struct carrier_target *ret_target)
{
    const struct dial *dial = way->dial;
    const struct host *host = host_of(dial);
    struct endpoint connector = way->connector;
    char text[ENDPOINT_TEXT_CAP];
    *ret_target = (struct carrier_target){0};
    if (way->mode != DIAL_TCP && way->mode != DIAL_PROXY_TCP)
        connector.port = DIAL_PORT;
    ret_target->is_tls = way->mode == DIAL_TLS_443 || way->mode == DIAL_PROXY_TLS;
    if (!session_is_addressed(dial->session))
        strcpy(ret_target->server_name, session_zone(dial->session));
    ret_target->connect = connector;
    if (!is_by_proxy(way->mode)) {
        ret_target->connect.address = nat64_reach(host_of(dial), &connector.address);
        return;
    }
    ret_target->proxy = &host->config.proxy;
    ret_target->connect = dial->proxy;
    if (connector.address.family == ADDRESS_NONE)
        snprintf(ret_target->authority, sizeof(ret_target->authority), "%s:%u",
                 session_zone(dial->session), connector.port);
    else
        snprintf(ret_target->authority, sizeof(ret_target->authority), "%s",
                 endpoint_format(&connector, text, sizeof(text)));
}

static void try_way(struct way *way, uint64_t now_us)
{
    struct dial *dial = way->dial;
    struct carrier_target target;
    describe(way, &target);
    way->state = WAY_TRYING;
    dial->newest = way;
    dial->next_us = now_us + DIAL_STEP_US;
    dial->lost_us = now_us + DIAL_RACE_US;
    if (carrier_open(host_of(dial), &target, &way_handler, way, &way->carrier) != ERR_OK) {
        note(dial, "there is no route to it");
        let_go(way, WAY_FAILED);
        dial->next_us = now_us;
    }
}

/* ---- the race ---- */

static void lose(struct dial *dial, uint64_t now_us)
{
    note(dial, "no answer");
    dial_stop(dial);
    session_on_unreachable(dial->session, now_us);
}

/* All have failed, and DNS does not say whether there are others: what answers for the zone may be
 * the very connector that is away for a moment. */
static void begin_again(struct dial *dial, uint64_t now_us)
{
    for (size_t i = 0; i < dial->way_count; i++)
        dial->ways[i].state = WAY_WAITING;
    dial->next_us = now_us + (DIAL_AGAIN_US << (dial->agains < 2 ? dial->agains : 2));
    dial->lost_us = dial->next_us + DIAL_RACE_US;
    dial->agains++;
}

/* Begins what is due; sets the timer for the rest. */
static void schedule(struct dial *dial, uint64_t now_us)
{
    struct way *way;
    if (!dial->is_racing || dial->taken != NULL)
        return;
    while (dial->next_us <= now_us && (way = best_way(dial, now_us)) != NULL)
        try_way(way, now_us);
    way = best_way(dial, now_us);
    const bool is_searching = dial->search != NULL && count_ways(dial, WAY_WAITING) > 0;
    if (way == NULL && dial->is_complete && count_ways(dial, WAY_TRYING) == 0 && !is_searching) {
        lose(dial, now_us);
        return;
    }
    if (!dial->is_complete && dial->way_count > 0 &&
        count_ways(dial, WAY_FAILED) == dial->way_count) {
        begin_again(dial, now_us);
        way = best_way(dial, now_us);
    }
    uint64_t due_us = dial->lost_us;
    if (way != NULL)
        due_us = deadline_min(due_us, dial->next_us);
    if (dial->name_us > now_us)
        due_us = deadline_min(due_us, dial->name_us);
    task_set(&host_of(dial)->tasks, &dial->task, due_us);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct dial *dial = CONTAINER_OF(task, struct dial, task);
    if (!dial->is_racing)
        return;
    if (dial->taken != NULL)
        session_on_unproven(dial->session, now_us);
    else if (now_us >= dial->lost_us)
        lose(dial, now_us);
    else
        schedule(dial, now_us);
}

static void add_way(struct dial *dial, enum dial_mode mode, const struct endpoint *connector)
{
    if (dial->way_count == WAYS_MAX)
        return;
    dial->ways[dial->way_count++] =
        (struct way){.dial = dial, .mode = mode, .connector = *connector};
}

void dial_add(struct dial *dial, const struct endpoint *connectors, size_t count, uint64_t now_us)
{
    const bool has_proxy = host_of(dial)->config.has_proxy;
    for (size_t i = 0; i < count && dial->connector_count < CONNECTORS_MAX; i++) {
        bool is_known = false;
        for (size_t k = 0; k < dial->connector_count; k++)
            is_known |= endpoint_is_equal(&dial->connectors[k], &connectors[i]);
        if (is_known)
            continue;
        dial->connectors[dial->connector_count++] = connectors[i];
        add_way(dial, DIAL_TCP, &connectors[i]);
        if (connectors[i].port != DIAL_PORT)
            add_way(dial, DIAL_TCP_443, &connectors[i]);
        add_way(dial, DIAL_TLS_443, &connectors[i]);
        if (has_proxy)
            add_way(dial, DIAL_PROXY_TLS, &connectors[i]);
        if (has_proxy && connectors[i].port != DIAL_PORT)
            add_way(dial, DIAL_PROXY_TCP, &connectors[i]);
        if (dial->agains > 0)
            dial->next_us = now_us; /* nobody waits for those that have failed */
    }
    schedule(dial, now_us);
}

void dial_complete(struct dial *dial, const char *why, uint64_t now_us)
{
    char text[sizeof(dial->error)];
    dial->is_complete = true;
    if (why != NULL && dial->connector_count == 0) {
        snprintf(text, sizeof(text), "it is not found: %s", why);
        note(dial, text);
    }
    schedule(dial, now_us);
}

static void on_proxy_found(void *context, const struct endpoint *proxy)
{
    struct dial *dial = context;
    dial->search = NULL;
    if (proxy != NULL)
        dial->proxy = *proxy;
    else
        note_proxy(dial, "its name is not found");
    schedule(dial, clock_now_us());
}

void dial_start(struct dial *dial, uint64_t now_us)
{
    const struct endpoint by_name = {0};
    struct host *host = host_of(dial);
    dial_stop(dial);
    dial->way_count = dial->connector_count = 0;
    dial->is_complete = false;
    dial->agains = 0;
    dial->error[0] = '\0';
    dial->has_proxy_error = false;
    dial->is_racing = true;
    dial->next_us = now_us;
    dial->name_us = now_us + DIAL_NAME_US;
    dial->lost_us = now_us + DIAL_RACE_US;
    dial->proxy = (struct endpoint){0};
    if (host->config.has_proxy) {
        if (!session_is_addressed(dial->session))
            add_way(dial, DIAL_PROXY_TLS, &by_name);
        if (proxy_search_start(host, on_proxy_found, dial, &dial->proxy, &dial->search) != ERR_OK)
            note_proxy(dial, "its name is not found");
    }
    schedule(dial, now_us);
}

void dial_add_early(struct dial *dial, uint64_t now_us)
{
    for (size_t i = 0; i < dial->way_count; i++) {
        struct way *way = &dial->ways[i];
        if (way->state == WAY_TRYING && way->sa != NULL)
            session_add_early(dial->session, way->sa, &way->early, now_us);
    }
}

bool dial_go_on(struct dial *dial, const char *why, uint64_t now_us)
{
    if (!dial->is_racing)
        return false;
    if (dial->taken != NULL)
        dial->taken->state = WAY_FAILED;
    dial->taken = NULL;
    note(dial, why);
    if (count_ways(dial, WAY_WAITING) == 0 && dial->is_complete) {
        dial_stop(dial);
        return false;
    }
    dial->next_us = now_us;
    dial->lost_us = now_us + DIAL_RACE_US;
    schedule(dial, now_us);
    return true;
}

void dial_confirm(struct dial *dial, uint64_t now_us)
{
    const bool is_kept =
        dial->has_good && dial->good_mode == dial->last_mode && now_us < dial->good_until_us;
    dial_stop(dial);
    if (!is_kept)
        dial->good_until_us = now_us + DIAL_MEMORY_US;
    dial->has_good = true;
    dial->good_mode = dial->last_mode;
    dial->good = dial->last;
}

void dial_stop(struct dial *dial)
{
    dial->is_racing = false;
    for (size_t i = 0; i < dial->way_count; i++) {
        if (dial->ways[i].state == WAY_TRYING)
            let_go(&dial->ways[i], WAY_WAITING);
    }
    dial->newest = dial->taken = NULL;
    proxy_search_cancel(dial->search);
    dial->search = NULL;
    task_clear(&host_of(dial)->tasks, &dial->task);
}

void dial_forget(struct dial *dial)
{
    dial->has_good = false;
}

int dial_new(struct session *session, struct dial **ret_dial)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL)
        return ERR_NOMEM;
    dial->session = session;
    dial->task.run = on_task;
    *ret_dial = dial;
    return ERR_OK;
}

void dial_free(struct dial *dial)
{
    if (dial == NULL)
        return;
    dial_stop(dial);
    free(dial);
}

const char *dial_format(const struct dial *dial, char ret_text[DIAL_TEXT_CAP])
{
    static const char *const kinds[MODE_COUNT] = {"tcp", "tcp", "tls", "tls", "tcp"};
    char proxy[HTTP_PROXY_TEXT_CAP];
    ret_text[0] = '\0';
    if (!dial->has_last)
        return ret_text;
    const bool is_own_port = dial->last_mode == DIAL_TCP || dial->last_mode == DIAL_PROXY_TCP;
    const int len = snprintf(ret_text, DIAL_TEXT_CAP, "%s %u", kinds[dial->last_mode],
                             is_own_port ? dial->last.port : DIAL_PORT);
    if (is_by_proxy(dial->last_mode))
        snprintf(ret_text + len, DIAL_TEXT_CAP - (size_t)len, " via %s",
                 http_proxy_format(&host_of(dial)->config.proxy, proxy, sizeof(proxy)));
    return ret_text;
}

const char *dial_error(const struct dial *dial)
{
    return dial->error;
}
