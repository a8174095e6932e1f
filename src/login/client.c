/* The host's login session: when to connect, what to send, how long to wait. Calls wait here until
 * a session is up; what a call is good for is left to the owner. */
#include "crypto/memory.h"
#include "login/build.h"
#include "login/client_internal.h"
#include <stdlib.h>
#include <string.h>

/* NULL without memory: the owner then misses an event, and the timers get things going again. */
static struct login_event *emit(struct login_client *client, enum login_event_type type,
                                size_t data_len)
{
    struct event_node *node = calloc(1, sizeof *node + data_len);
    if (node == NULL)
        return NULL;
    node->event.type = type;
    *client->events_end = node;
    client->events_end = &node->next;
    return &node->event;
}

int login_client_emit_send(struct login_client *client, uint16_t type, const uint8_t *data,
                           size_t len)
{
    struct login_event *event = emit(client, LOGIN_SEND, len);
    if (event == NULL)
        return ERR_NOMEM;
    struct event_node *node = CONTAINER_OF(event, struct event_node, event);
    memcpy(node->data, data, len);
    event->send.type = type;
    event->send.len = (uint16_t)len;
    event->send.data = node->data;
    return ERR_OK;
}

/* Events carry credentials of calls. */
static void free_node(struct event_node *node)
{
    if (node == NULL)
        return;
    if (node->event.type == LOGIN_SEND)
        crypto_wipe(node->data, node->event.send.len);
    crypto_wipe(&node->event, sizeof node->event);
    free(node);
}

void login_client_drop_waiting(struct login_client *client, struct waiting **link)
{
    struct waiting *waiting = *link;
    *link = waiting->next;
    if (*link == NULL)
        client->waiting_end = link;
    client->waiting_count--;
    crypto_wipe(waiting->data, waiting->len);
    free(waiting);
}

/* base_us plus or minus half of it. */
static uint64_t with_jitter(uint64_t base_us)
{
    uint32_t random = 0;
    if (crypto_random(&random, sizeof random) != ERR_OK)
        return base_us;
    return base_us / 2 + (uint64_t)random * base_us / UINT32_MAX;
}

void login_client_connect(struct login_client *client, uint64_t now_us)
{
    client->state = LOGIN_CONNECTING;
    client->at_us = now_us + LOGIN_CONNECT_TIMEOUT_US;
    client->is_held = false;
    emit(client, LOGIN_CONNECT, 0);
}

static uint64_t lost_wait_us(struct login_client *client, bool was_stable)
{
    if (was_stable)
        client->failures = 0;
    const unsigned failures = client->failures++;
    if (failures == 0)
        return with_jitter(LOGIN_RETRY_QUICK_US);
    const unsigned doublings = failures - 1 < 6 ? failures - 1 : 6;
    const uint64_t wait_us = LOGIN_RETRY_FIRST_US << doublings;
    return with_jitter(wait_us < LOGIN_RETRY_MAX_US ? wait_us : LOGIN_RETRY_MAX_US);
}

/* From any state with a connection to LOGIN_WAITING. */
static void start_waiting(struct login_client *client, uint64_t wait_us, bool is_held,
                          uint64_t now_us)
{
    const bool was_up = client->state == LOGIN_UP;
    client->state = LOGIN_WAITING;
    client->at_us = now_us + wait_us;
    client->is_held = is_held;
    if (!was_up)
        return;
    struct login_event *event = emit(client, LOGIN_DOWN, 0);
    if (event != NULL)
        event->down.retry_us = wait_us;
}

static void session_lost(struct login_client *client, uint64_t now_us)
{
    const bool was_stable =
        client->state == LOGIN_UP && now_us - client->up_since_us >= LOGIN_STABLE_US;
    start_waiting(client, lost_wait_us(client, was_stable), false, now_us);
}

static void fall_asleep(struct login_client *client)
{
    const bool was_up = client->state == LOGIN_UP;
    const bool was_connected =
        was_up || client->state == LOGIN_NAMING || client->state == LOGIN_CONNECTING;
    client->state = LOGIN_ASLEEP;
    client->at_us = DEADLINE_NEVER;
    struct login_event *event = was_up ? emit(client, LOGIN_DOWN, 0) : NULL;
    if (event != NULL)
        event->down.retry_us = DEADLINE_NEVER;
    if (was_connected)
        emit(client, LOGIN_CLOSE, 0);
}

static void send_login(struct login_client *client)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    login_build(&client->config, &w);
    /* login_client_new has built it once already; without memory the timer tries again. */
    if (writer_is_ok(&w) && login_client_emit_send(client, NOTIFY_LOGIN, buffer, w.len) != ERR_OK)
        client->at_us = 0;
}

int login_client_new(const struct login_config *config, uint64_t now_us,
                     struct login_client **ret_client)
{
    const int error = login_check(config);
    if (error != ERR_OK)
        return error;
    struct login_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return ERR_NOMEM;
    client->config = *config;
    if (client->config.lease_s == 0)
        client->config.lease_s = LOGIN_LEASE_S;
    client->events_end = &client->events;
    client->waiting_end = &client->waiting;
    client->at_us = DEADLINE_NEVER;
    client->state = LOGIN_ASLEEP;
    client->config_version = 1;
    if (!config->is_guest)
        login_client_connect(client, now_us);
    *ret_client = client;
    return ERR_OK;
}

void login_client_free(struct login_client *client)
{
    if (client == NULL)
        return;
    while (client->events != NULL) {
        struct event_node *node = client->events;
        client->events = node->next;
        free_node(node);
    }
    while (client->waiting != NULL)
        login_client_drop_waiting(client, &client->waiting);
    free_node(client->current);
    free(client);
}

static bool send_early_login(struct login_client *client, login_send *send, void *context)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    login_build(&client->config, &w);
    return writer_is_ok(&w) && send(context, NOTIFY_LOGIN, buffer, w.len) == ERR_OK;
}

struct login_early login_client_send_early(struct login_client *client, struct login_early sent,
                                           login_send *send, void *context, uint64_t now_us)
{
    if (sent.waiting == 0) {
        if (!send_early_login(client, send, context))
            return sent;
        sent.config = client->config_version;
        sent.waiting = 1; /* numbers begin behind it */
    }
    for (const struct waiting *waiting = client->waiting; waiting != NULL;
         waiting = waiting->next) {
        if (waiting->number <= sent.waiting)
            continue;
        if (waiting->until_us > now_us &&
            send(context, waiting->type, waiting->data, waiting->len) != ERR_OK)
            break;
        sent.waiting = waiting->number;
    }
    return sent;
}

void login_client_connected(struct login_client *client, struct login_early early, uint64_t now_us)
{
    if (client->state != LOGIN_CONNECTING)
        return;
    client->state = LOGIN_NAMING;
    client->at_us = now_us + LOGIN_NAME_TIMEOUT_US;
    client->last_use_us = now_us;
    if (early.config != client->config_version)
        send_login(client);
    /* What waited follows at once: the connector takes it behind LOGIN, which saves a round trip.
     */
    while (client->waiting != NULL) {
        const struct waiting *first = client->waiting;
        if (first->until_us > now_us && first->number > early.waiting &&
            login_client_emit_send(client, first->type, first->data, first->len) != ERR_OK)
            break;
        login_client_drop_waiting(client, &client->waiting);
    }
}

static uint64_t keepalive_us(const struct login_client *client)
{
    const uint64_t lease_s = client->name.lease_s > 15 ? client->name.lease_s : 15;
    return lease_s * SECOND_US / 3;
}

static void take_refusal(struct login_client *client, const struct notify_name *name,
                         uint64_t now_us)
{
    struct login_event *event = emit(client, LOGIN_REFUSED, 0);
    if (event != NULL)
        event->name = *name;
    uint64_t wait_us;
    switch (name->result) {
    case NAME_REPLACED:
        wait_us = LOGIN_RETRY_REPLACED_US + with_jitter(LOGIN_RETRY_REPLACED_US / 4);
        break;
    case NAME_TOO_OFTEN:
        wait_us = with_jitter(LOGIN_RETRY_OFTEN_US);
        break;
    case NAME_TOO_MANY_HOSTS:
        wait_us = with_jitter(LOGIN_RETRY_MAX_US);
        break;
    default:
        wait_us = with_jitter(LOGIN_RETRY_REFUSED_US);
    }
    start_waiting(client, wait_us, true, now_us);
    emit(client, LOGIN_CLOSE, 0);
}

/* Is this what a connector in its right mind says to us? */
static bool name_is_plausible(const struct login_client *client, const struct notify_name *name)
{
    if (client->config.is_guest)
        return true;
    return name->name[0] != '\0' && name->zone[0] != '\0' &&
           name_is_in_zone(name->name, name->zone);
}

static int take_name(struct login_client *client, const struct notify_name *name, uint64_t now_us)
{
    const bool is_accepted =
        client->config.is_guest ? name->result == NAME_GUEST : name->result == NAME_OK;
    if (!is_accepted) {
        take_refusal(client, name, now_us);
        return ERR_OK;
    }
    if (!name_is_plausible(client, name))
        return ERR_INVALID; /* the time-out ends this session */
    if (client->state == LOGIN_NAMING)
        client->up_since_us = now_us;
    client->state = LOGIN_UP;
    client->name = *name;
    client->at_us = now_us + keepalive_us(client);
    struct login_event *event = emit(client, LOGIN_DONE, 0);
    if (event != NULL)
        event->name = *name;
    return ERR_OK;
}

/* Parses straight into the event: it is the largest thing there is. */
static int take_message(struct login_client *client, uint16_t type, const void *data, size_t len)
{
    static const enum login_event_type event_types[] = {
        [NOTIFY_CALL - NOTIFY_LOGIN] = LOGIN_CALL,
        [NOTIFY_ANSWER - NOTIFY_LOGIN] = LOGIN_ANSWER,
        [NOTIFY_RELAY - NOTIFY_LOGIN] = LOGIN_RELAY,
        [NOTIFY_KEY - NOTIFY_LOGIN] = LOGIN_KEY,
        [NOTIFY_VOUCHER - NOTIFY_LOGIN] = LOGIN_VOUCHER,
    };
    struct login_event event = {.type = event_types[type - NOTIFY_LOGIN]};
    int error;
    if (type == NOTIFY_CALL)
        error = notify_parse_call(data, len, &event.call);
    else if (type == NOTIFY_ANSWER)
        error = notify_parse_answer(data, len, &event.answer);
    else if (type == NOTIFY_RELAY)
        error = notify_parse_relay(data, len, &event.relay);
    else if (type == NOTIFY_KEY)
        error = notify_parse_key(data, len, &event.key);
    else
        error = notify_parse_vouched(data, len, &event.vouched);
    if (error != ERR_OK)
        return error;
    if ((type == NOTIFY_CALL || type == NOTIFY_VOUCHER) && client->config.is_guest)
        return ERR_REFUSED; /* a guest has no name that could be called or vouched for */
    struct login_event *slot = emit(client, event.type, 0);
    if (slot == NULL)
        return ERR_NOMEM;
    *slot = event;
    return ERR_OK;
}

int login_client_notify(struct login_client *client, uint16_t type, const void *data, size_t len,
                        uint64_t now_us)
{
    if (client->state != LOGIN_NAMING && client->state != LOGIN_UP)
        return ERR_STATE;
    struct notify_name name;
    int error;
    switch (type) {
    case NOTIFY_NAME:
        error = notify_parse_name(data, len, &name);
        return error != ERR_OK ? error : take_name(client, &name, now_us);
    case NOTIFY_CALL:
    case NOTIFY_ANSWER:
    case NOTIFY_RELAY:
    case NOTIFY_KEY:
    case NOTIFY_VOUCHER:
        client->last_use_us = now_us;
        return take_message(client, type, data, len);
    default:
        return ERR_UNSUPPORTED;
    }
}

static bool is_connected(const struct login_client *client)
{
    return client->state == LOGIN_CONNECTING || client->state == LOGIN_NAMING ||
           client->state == LOGIN_UP;
}

void login_client_disconnected(struct login_client *client, enum login_end end, uint64_t now_us)
{
    if (!is_connected(client))
        return;
    /* Whoever answers on some network with another key, or changes a byte of ours, shall not keep
     * us out for longer than that network is in use: no hold. */
    if (end == LOGIN_END_REFUSED)
        start_waiting(client, with_jitter(LOGIN_RETRY_MAX_US), false, now_us);
    else
        session_lost(client, now_us);
}

void login_client_touch(struct login_client *client, uint64_t now_us)
{
    if (client->state == LOGIN_UP)
        client->at_us = now_us + keepalive_us(client);
}

void login_client_use(struct login_client *client, uint64_t now_us)
{
    client->last_use_us = now_us;
}

void login_client_set_addresses(struct login_client *client, const struct address *addresses,
                                size_t count, uint64_t now_us)
{
    struct login_config *config = &client->config;
    count = count < NOTIFY_ADDRESS_MAX ? count : NOTIFY_ADDRESS_MAX;
    bool is_same = count == config->address_count;
    for (size_t i = 0; i < count && is_same; i++)
        is_same = address_is_equal(&addresses[i], &config->addresses[i]);
    if (is_same)
        return;
    memset(config->addresses, 0, sizeof config->addresses);
    for (size_t i = 0; i < count; i++)
        config->addresses[i] = addresses[i];
    config->address_count = count;
    client->config_version++;
    if (client->state == LOGIN_NAMING || client->state == LOGIN_UP)
        send_login(client);
    else
        login_client_hurry(client, now_us);
}

void login_client_hurry(struct login_client *client, uint64_t now_us)
{
    if (client->state == LOGIN_WAITING && !client->is_held)
        client->at_us = deadline_min(client->at_us, now_us);
}

void login_client_stop(struct login_client *client)
{
    client->is_stopped = true;
    while (client->waiting != NULL)
        login_client_drop_waiting(client, &client->waiting);
    fall_asleep(client);
}

static uint64_t idle_at_us(const struct login_client *client)
{
    if (!client->config.is_guest || client->state != LOGIN_UP)
        return DEADLINE_NEVER;
    return client->last_use_us + LOGIN_GUEST_IDLE_US;
}

uint64_t login_client_deadline(const struct login_client *client)
{
    uint64_t at_us = deadline_min(client->at_us, idle_at_us(client));
    if (client->waiting != NULL)
        at_us = deadline_min(at_us, client->waiting->until_us);
    return at_us;
}

void login_client_expire(struct login_client *client, uint64_t now_us)
{
    while (client->waiting != NULL && client->waiting->until_us <= now_us)
        login_client_drop_waiting(client, &client->waiting);
    if (idle_at_us(client) <= now_us)
        fall_asleep(client);
    if (client->at_us > now_us)
        return;
    switch (client->state) {
    case LOGIN_WAITING:
        if (client->config.is_guest && client->waiting == NULL)
            fall_asleep(client);
        else
            login_client_connect(client, now_us);
        break;
    case LOGIN_CONNECTING:
    case LOGIN_NAMING:
        session_lost(client, now_us);
        emit(client, LOGIN_CLOSE, 0);
        break;
    case LOGIN_UP:
        emit(client, LOGIN_KEEPALIVE, 0);
        client->at_us = now_us + keepalive_us(client);
        break;
    case LOGIN_ASLEEP:
        break;
    }
}

const struct login_event *login_client_next_event(struct login_client *client)
{
    free_node(client->current);
    client->current = client->events;
    if (client->current == NULL)
        return NULL;
    client->events = client->current->next;
    if (client->events == NULL)
        client->events_end = &client->events;
    return &client->current->event;
}

enum login_state login_client_state(const struct login_client *client)
{
    return client->state;
}

const struct notify_name *login_client_name(const struct login_client *client)
{
    return client->state == LOGIN_UP ? &client->name : NULL;
}
