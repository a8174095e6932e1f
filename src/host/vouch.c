/* Asks, keeps what comes, and lets calls go on that wait for it. */
#include "host/vouch.h"

#include "host/call.h"
#include "host/host.h"
#include "host/session.h"
#include "login/voucher.h"
#include <string.h>

static void let_go_on(struct host *host, uint64_t now_us)
{
    task_clear(&host->tasks, &host->vouch.task);
    call_on_voucher(host, now_us);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, vouch.task);
    host->vouch.is_asked = false;
    host->vouch.is_unheard = true; /* a connector that does not vouch, or a dead connection */
    let_go_on(host, now_us);
}

const struct notify_voucher *vouch_get(const struct host *host, uint64_t now_us)
{
    const struct vouch *vouch = &host->vouch;
    const bool is_good = now_us < vouch->until_us && strcmp(vouch->name, host->name) == 0;
    return is_good ? &vouch->voucher : NULL;
}

void vouch_want(struct host *host, uint64_t now_us)
{
    struct vouch *vouch = &host->vouch;
    struct session *own = session_own(host);
    const bool is_new = vouch_get(host, now_us) != NULL && now_us < vouch->renew_us;
    if (is_new || vouch->is_asked || own == NULL || !session_is_up(own) || host->is_stopping)
        return;
    if (login_client_vouch(session_login(own)) != ERR_OK)
        return;
    const uint64_t trip_us = session_round_trip_us(own);
    const uint64_t twice_us = trip_us > 0 ? 2 * trip_us + 50 * MS_US : VOUCH_WAIT_US;
    vouch->is_asked = true;
    vouch->task.run = on_task;
    task_set(&host->tasks, &vouch->task,
             now_us + (twice_us < VOUCH_WAIT_US ? twice_us : VOUCH_WAIT_US));
    session_pump(own, now_us);
}

bool vouch_is_coming(const struct host *host, uint64_t now_us)
{
    return host->vouch.is_asked && !host->vouch.is_unheard && vouch_get(host, now_us) == NULL;
}

void vouch_take(struct session *session, const struct notify_vouched *vouched, uint64_t now_us)
{
    struct host *host = session_host(session);
    struct vouch *vouch = &host->vouch;
    const struct public_key *connector = session_key(session);
    const struct voucher_claim claim = {session_zone(session), host->name,
                                        identity_public(host->identity)->bytes};
    if (!session_is_own(session) || connector == NULL)
        return;
    if (!vouch->is_asked && !vouch->is_unheard) {
        log_debug("%s: a voucher that nobody has asked for", session_zone(session));
        return;
    }
    if (voucher_check(&vouched->voucher, connector, &claim) != ERR_OK) {
        log_debug("%s: a voucher of its connector's that is for something else",
                  session_zone(session));
        return; /* for the name before, or no good */
    }
    const uint64_t left_us = vouched->left_s * SECOND_US;
    vouch->voucher = vouched->voucher;
    strcpy(vouch->name, host->name);
    vouch->until_us = now_us + left_us;
    vouch->renew_us = now_us + left_us / 2;
    vouch->is_asked = vouch->is_unheard = false;
    let_go_on(host, now_us);
}

void vouch_on_session_up(struct host *host, uint64_t now_us)
{
    const bool was_asked = host->vouch.is_asked;
    host->vouch.is_asked = host->vouch.is_unheard = false;
    if (!was_asked)
        return;
    vouch_want(host, now_us);
    if (!host->vouch.is_asked)
        let_go_on(host, now_us);
}
