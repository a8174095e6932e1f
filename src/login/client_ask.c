/* What a host asks of a connector, or answers: calls, look-ups, vouchers. Calls and look-ups wait
 * here until a session is up. */
#include "crypto/memory.h"
#include "login/client_internal.h"
#include <stdlib.h>
#include <string.h>

/* Sends a notify now, or lets it wait for a session. */
static int send_or_wait(struct login_client *client, uint16_t type, uint64_t subject,
                        const struct writer *w, uint64_t now_us)
{
    if (!writer_is_ok(w))
        return w->error;
    if (client->is_stopped)
        return ERR_STATE;
    client->last_use_us = now_us;
    if (client->state == LOGIN_NAMING || client->state == LOGIN_UP)
        return login_client_emit_send(client, type, w->base, w->len);
    if (client->waiting_count >= LOGIN_WAITING_MAX)
        return ERR_LIMIT;
    struct waiting *waiting = malloc(sizeof *waiting + w->len);
    if (waiting == NULL)
        return ERR_NOMEM;
    waiting->next = NULL;
    waiting->until_us = now_us + LOGIN_CALL_WAIT_US;
    waiting->number = ++client->waiting_last + 1;
    waiting->subject = subject;
    waiting->type = type;
    waiting->len = (uint16_t)w->len;
    memcpy(waiting->data, w->base, w->len);
    *client->waiting_end = waiting;
    client->waiting_end = &waiting->next;
    client->waiting_count++;
    if (client->state == LOGIN_ASLEEP)
        login_client_connect(client, now_us);
    return ERR_OK;
}

static int copy_name(char ret_name[NAME_TEXT_CAP], const char *name)
{
    const size_t len = strnlen(name, NAME_TEXT_CAP);
    if (len >= NAME_TEXT_CAP)
        return ERR_INVALID;
    memcpy(ret_name, name, len + 1);
    return ERR_OK;
}

int login_client_call(struct login_client *client, uint64_t number, const char *called,
                      const char *own, const struct credentials *credentials,
                      const struct candidate_list *candidates, const struct notify_ike *ike,
                      const struct notify_voucher *voucher, uint64_t now_us)
{
    struct notify_call call = {.wants_relay = client->config.wants_relay,
                               .number = number,
                               .credentials = *credentials,
                               .candidates = *candidates};
    if (copy_name(call.called, called) != ERR_OK || copy_name(call.caller, own) != ERR_OK)
        return ERR_INVALID;
    if (ike != NULL)
        call.ike = *ike;
    call.has_voucher = voucher != NULL;
    if (voucher != NULL)
        call.voucher = *voucher;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    const int error = send_or_wait(client, NOTIFY_CALL, number, &w, now_us);
    crypto_wipe(buffer, sizeof buffer);
    crypto_wipe(&call.credentials, sizeof call.credentials);
    return error;
}

int login_client_answer(struct login_client *client, uint64_t number, enum answer_result result,
                        const struct credentials *credentials,
                        const struct candidate_list *candidates, const char *reason,
                        const struct notify_ike *ike, uint64_t now_us)
{
    if (client->state != LOGIN_UP && client->state != LOGIN_NAMING)
        return ERR_STATE;
    struct notify_answer answer = {.result = (uint8_t)result, .number = number};
    if (credentials != NULL)
        answer.credentials = *credentials;
    if (candidates != NULL)
        answer.candidates = *candidates;
    const size_t len = reason != NULL ? strnlen(reason, sizeof answer.reason - 1) : 0;
    if (len > 0)
        memcpy(answer.reason, reason, len);
    if (ike != NULL)
        answer.ike = *ike;
    if (result == ANSWER_ACCEPTED && !client->config.wants_relay)
        answer.relay = ANSWER_RELAY_REFUSED;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &answer);
    const int error = send_or_wait(client, NOTIFY_ANSWER, number, &w, now_us);
    crypto_wipe(buffer, sizeof buffer);
    crypto_wipe(&answer.credentials, sizeof answer.credentials);
    return error;
}

int login_client_lookup(struct login_client *client, uint64_t number, const char *name,
                        uint64_t now_us)
{
    struct notify_lookup lookup = {.number = number};
    if (copy_name(lookup.name, name) != ERR_OK)
        return ERR_INVALID;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_lookup(&w, &lookup);
    return send_or_wait(client, NOTIFY_LOOKUP, number, &w, now_us);
}

int login_client_vouch(struct login_client *client)
{
    if (client->state != LOGIN_UP || client->config.is_guest)
        return ERR_STATE;
    uint8_t buffer[1];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_vouch(&w);
    return login_client_emit_send(client, NOTIFY_VOUCH, buffer, w.len);
}

void login_client_withdraw(struct login_client *client, uint64_t number)
{
    struct waiting **link = &client->waiting;
    while (*link != NULL) {
        if ((*link)->subject == number)
            login_client_drop_waiting(client, link);
        else
            link = &(*link)->next;
    }
}
