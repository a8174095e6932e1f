/* One function a request. */
#include "host/commands.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/netcheck.h"
#include "host/ping.h"
#include "host/plain.h"
#include "host/session.h"
#include "host/wake.h"
#include "io/clock.h"
#include <stdlib.h>
#include <string.h>

#define CALL_WAIT_MAX_US (600 * SECOND_US)

/* The request's name in canonical form; a failed request if there is none. A bare label is one of
 * the own zone. */
static bool take_name(struct control_client *client, json_t *request, char name[NAME_TEXT_CAP])
{
    const char *text = json_string_value(json_object_get(request, "name"));
    const struct host *host = control_client_host(client);
    char full[2 * NAME_TEXT_CAP];
    if (text == NULL || strlen(text) >= NAME_TEXT_CAP) {
        control_fail(client, "the request needs a name");
        return false;
    }
    if (strchr(text, '.') == NULL && plain_find_name(host, text, name))
        return true;
    if (strchr(text, '.') == NULL)
        snprintf(full, sizeof(full), "%s.%s", text, host->config.zone);
    else
        snprintf(full, sizeof(full), "%s", text);
    if (name_normalize(full, name) != ERR_OK || name_parent(name) == NULL) {
        control_fail(client, "%s is not a host name", text);
        return false;
    }
    return true;
}

static uint64_t take_ms(json_t *request, const char *key, uint64_t otherwise_us, uint64_t max_us)
{
    json_t *value = json_object_get(request, key);
    if (!json_is_integer(value) || json_integer_value(value) <= 0)
        return otherwise_us;
    uint64_t us = (uint64_t)json_integer_value(value) * MS_US;
    return us < max_us ? us : max_us;
}

static void run_status(struct control_client *client, json_t *request)
{
    control_finish(client,
                   json_pack("{s:o*}", "status", report_status(control_client_host(client))));
}

/* ---- peers: some at a time, so that nobody waits for thousands of them ---- */

#define BACKLOG_WAIT_US (20 * MS_US)

struct peers_request {
    struct sweep sweep;
    struct control_client *client;
    json_t *list; /* not sent yet */
};

static void add_peer(struct sweep *sweep, struct peer *peer, uint64_t now_us)
{
    struct peers_request *asked = CONTAINER_OF(sweep, struct peers_request, sweep);
    if (report_has_peer(peer))
        json_array_append_new(asked->list, report_peer(peer));
}

static void on_peers_gone(void *context)
{
    struct peers_request *asked = context;
    sweep_stop(&asked->sweep);
    json_decref(asked->list);
    free(asked);
}

/* Waits where the client does not read. */
static bool send_peers(struct sweep *sweep, bool is_over, uint64_t now_us)
{
    struct peers_request *asked = CONTAINER_OF(sweep, struct peers_request, sweep);
    struct control_client *client = asked->client;
    if (is_over) {
        control_finish(client, json_pack("{s:O}", "peers", asked->list));
        on_peers_gone(asked);
        return false;
    }
    if (control_is_backed_up(client)) {
        task_set(&sweep->host->tasks, &sweep->task, now_us + BACKLOG_WAIT_US);
        return false;
    }
    if (json_array_size(asked->list) > 0) {
        control_send(client, json_pack("{s:O}", "peers", asked->list));
        json_array_clear(asked->list);
    }
    return true;
}

static void run_peers(struct control_client *client, json_t *request)
{
    struct host *host = control_client_host(client);
    struct peers_request *asked = calloc(1, sizeof(*asked));
    if (asked == NULL || (asked->list = json_array()) == NULL) {
        free(asked);
        control_fail(client, "out of memory");
        return;
    }
    asked->client = client;
    asked->sweep.visit = add_peer;
    asked->sweep.pause = send_peers;
    control_on_gone(client, on_peers_gone, asked);
    sweep_start(host, &asked->sweep, clock_now_us());
}

/* ---- call ---- */

struct call_request {
    struct call_watcher watcher;
    struct control_client *client;
    struct host *host;
    struct task task;
    char name[NAME_TEXT_CAP];
    uint64_t started_us;
};

static void end_call_request(struct call_request *wait)
{
    struct peer *peer = peer_find_by_name(wait->host, wait->name);
    if (peer != NULL)
        peer_unwatch(peer, &wait->watcher);
    task_clear(&wait->host->tasks, &wait->task);
    free(wait);
}

static double elapsed_ms(const struct call_request *wait)
{
    return (double)(clock_now_us() - wait->started_us) / 1000;
}

static void on_call_step(struct call_watcher *watcher, const char *step, uint64_t took_us,
                         const char *detail)
{
    struct call_request *wait = CONTAINER_OF(watcher, struct call_request, watcher);
    control_send(wait->client, json_pack("{s:s, s:f, s:s}", "step", step, "ms",
                                         (double)took_us / 1000, "detail", detail));
}

static void finish_up(struct control_client *client, struct peer *peer, double total_ms)
{
    control_finish(client, json_pack("{s:b, s:f, s:o*}", "up", 1, "total_ms", total_ms, "peer",
                                     report_peer(peer)));
}

static void on_call_done(struct call_watcher *watcher, const char *failed_step, const char *why,
                         const char *hint)
{
    struct call_request *wait = CONTAINER_OF(watcher, struct call_request, watcher);
    struct control_client *client = wait->client;
    struct peer *peer = peer_find_by_name(wait->host, wait->name);
    double total_ms = elapsed_ms(wait);
    control_on_gone(client, NULL, NULL);
    end_call_request(wait);
    if (failed_step == NULL && peer != NULL)
        finish_up(client, peer, total_ms);
    else
        control_finish(client, json_pack("{s:b, s:s, s:s, s:s?, s:f}", "up", 0, "step", failed_step,
                                         "error", why, "hint", hint, "total_ms", total_ms));
}

static void on_call_gone(void *context)
{
    end_call_request(context);
}

static void on_call_timeout(struct task *task, uint64_t now_us)
{
    struct call_request *wait = CONTAINER_OF(task, struct call_request, task);
    struct peer *peer = peer_find_by_name(wait->host, wait->name);
    const char *step = "name";
    if (peer != NULL)
        peer_unwatch(peer, &wait->watcher);
    if (peer != NULL && peer->call != NULL)
        step = call_step_text(peer->call);
    else if (peer != NULL && peer->plain != NULL)
        step = plain_step_text(peer->plain);
    on_call_done(&wait->watcher, step, "not up within the time given",
                 "the call itself goes on; see `detec peers`");
}

static void run_call(struct control_client *client, json_t *request)
{
    struct host *host = control_client_host(client);
    char name[NAME_TEXT_CAP];
    struct peer *peer;
    uint64_t now_us = clock_now_us();
    if (!take_name(client, request, name))
        return;
    if (strcmp(name, host->name) == 0) {
        control_fail(client, "%s is this host itself", name);
        return;
    }
    int error = peer_get(host, name, &peer);
    if (error != ERR_OK) {
        control_fail(client, "%s gets no peer address: %s", name, error_text(error));
        return;
    }
    if (peer->tunnel != NULL && !peer->is_closing) {
        finish_up(client, peer, 0);
        return;
    }
    struct call_request *wait = calloc(1, sizeof(*wait));
    if (wait == NULL) {
        control_fail(client, "out of memory");
        return;
    }
    wait->client = client;
    wait->host = host;
    wait->started_us = now_us;
    strcpy(wait->name, name);
    wait->watcher.step = on_call_step;
    wait->watcher.done = on_call_done;
    wait->task.run = on_call_timeout;
    control_on_gone(client, on_call_gone, wait);
    task_set(&host->tasks, &wait->task,
             now_us + take_ms(request, "timeout_ms", CALL_WAIT_MAX_US, CALL_WAIT_MAX_US));
    peer_watch(peer, &wait->watcher);
    call_start(peer, true, now_us);
}

static void run_hangup(struct control_client *client, json_t *request)
{
    struct host *host = control_client_host(client);
    char name[NAME_TEXT_CAP];
    if (!take_name(client, request, name))
        return;
    struct peer *peer = peer_find_by_name(host, name);
    const bool was_resting = peer != NULL && peer->rest != NULL;
    if (was_resting)
        wake_forget(peer);
    if (was_resting && peer->tunnel == NULL && peer->call == NULL) {
        control_finish(client, NULL);
        return;
    }
    const bool is_calling = peer != NULL && peer->plain != NULL && plain_is_calling(peer->plain);
    if (peer == NULL || (peer->tunnel == NULL && peer->call == NULL && !is_calling)) {
        control_fail(client, "there is no tunnel to %s", name);
        return;
    }
    if (is_calling)
        plain_cancel(peer->plain);
    if (peer->call != NULL)
        call_cancel(peer->call);
    if (peer->tunnel != NULL)
        peer_down(peer, "hung up here", true, clock_now_us());
    peer_release(peer);
    control_finish(client, NULL);
}

static void run_ping(struct control_client *client, json_t *request)
{
    struct host *host = control_client_host(client);
    char name[NAME_TEXT_CAP];
    if (!take_name(client, request, name))
        return;
    struct peer *peer = peer_find_by_name(host, name);
    json_t *count = json_object_get(request, "count");
    if (peer == NULL || peer->tunnel == NULL)
        control_fail(client, "there is no tunnel to %s; `detec call %s` opens one", name, name);
    else if (ping_start(client, peer, json_is_integer(count) ? json_integer_value(count) : 4,
                        take_ms(request, "timeout_ms", 2 * SECOND_US, 60 * SECOND_US)) != ERR_OK)
        control_fail(client, "out of memory");
}

static void run_netcheck(struct control_client *client, json_t *request)
{
    netcheck_start(client, take_ms(request, "lifetime_ms", 0, NETCHECK_LIFETIME_MAX_US));
}

/* Forgets a pinned key: the user's word that the next one is right. */
static void run_trust(struct control_client *client, json_t *request)
{
    struct host *host = control_client_host(client);
    bool is_connector = json_is_true(json_object_get(request, "connector"));
    enum trust_kind kind = is_connector ? TRUST_CONNECTOR : TRUST_HOST;
    char name[NAME_TEXT_CAP];
    char text[PUBLIC_KEY_TEXT_CAP];
    struct public_key key;
    enum trust_origin origin;
    if (!take_name(client, request, name))
        return;
    if (trust_find(host->trust, kind, name, &key, &origin) != ERR_OK) {
        control_fail(client, "no key is pinned for %s", name);
        return;
    }
    if (origin == TRUST_ORIGIN_CONFIGURATION) {
        control_fail(client, "the key of %s is pinned in %s; change it there", name,
                     host->config.file);
        return;
    }
    int error = trust_remove(host->trust, kind, name);
    if (error == ERR_OK)
        error = state_save_trust(host);
    if (error != ERR_OK) {
        control_fail(client, "the pinned key of %s cannot be forgotten: %s", name,
                     error_text(error));
        return;
    }
    log_warn("%s: its pinned key was forgotten by command", name);
    if (is_connector) {
        struct session *session = session_find(host, name);
        if (session != NULL) {
            login_client_hurry(session_login(session), clock_now_us());
            session_pump(session, clock_now_us());
        }
    }
    control_finish(client, json_pack("{s:s}", "forgotten", public_key_format(&key, text)));
}

void commands_run(struct control_client *client, json_t *request)
{
    static const struct {
        const char *name;
        void (*run)(struct control_client *client, json_t *request);
    } commands[] = {
        {"status", run_status},     {"peers", run_peers}, {"call", run_call},
        {"hangup", run_hangup},     {"ping", run_ping},   {"trust", run_trust},
        {"netcheck", run_netcheck},
    };
    const char *name = json_string_value(json_object_get(request, "command"));
    for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].run(client, request);
            return;
        }
    }
    control_fail(client, "this daemon knows no command %s", name != NULL ? name : "without a name");
}
