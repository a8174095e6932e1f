/* A plain peer that has said by which other addresses it is reached (RFC 4555): tried one after the
 * other when the one in use is dead. By MOBIKE that is for who called: we did. */
#include "host/plain_internal.h"

#include <string.h>

#define SILENT_US  (3 * SECOND_US) /* sent, and nothing heard for so long: asked if it lives */
#define DEAD_US    (2 * SECOND_US) /* not answered for so long: tried elsewhere */
#define LOOK_US    SECOND_US
#define ROUNDS_MAX 2 /* through its addresses; then time does the rest */

static void try_next(struct plain_peer *plain, const struct address *others, size_t count,
                     uint64_t now_us)
{
    struct peer *peer = plain->peer;
    struct endpoint to = peer->path;
    char text[ENDPOINT_TEXT_CAP];
    to.address = others[plain->moves_tried++ % count];
    if (address_is_equal(&to.address, &peer->path.address))
        return;
    log_info("%s: does not answer; trying its address %s", peer->name,
             endpoint_format(&to, text, sizeof(text)));
    if (ike_sa_move(peer->sa, &to, now_us) == ERR_OK)
        host_pump_ike(plain->host, peer->sa, now_us);
}

uint64_t plain_move_watch(struct plain_peer *plain, const struct tunnel_status *status,
                          uint64_t now_us)
{
    struct peer *peer = plain->peer;
    struct address others[IKE_OTHERS_MAX];
    const size_t count = peer->sa != NULL ? ike_sa_others(peer->sa, others) : 0;
    if (count == 0 || !ike_sa_is_initiator(peer->sa) || endpoint_is_stream(&peer->path))
        return DEADLINE_NEVER;
    const uint64_t ike_us = ike_sa_heard_us(peer->sa);
    const uint64_t heard_us = status->received_us > ike_us ? status->received_us : ike_us;
    if (ike_sa_unanswered_us(peer->sa, now_us) == 0 && !ike_sa_is_moving(peer->sa))
        plain->moves_tried = 0;
    if (status->sent_us > heard_us && now_us - heard_us >= SILENT_US) {
        ike_sa_check_alive(peer->sa);
        host_pump_ike(plain->host, peer->sa, now_us);
    }
    if (ike_sa_unanswered_us(peer->sa, now_us) >= DEAD_US && !ike_sa_is_moving(peer->sa) &&
        plain->moves_tried < ROUNDS_MAX * count)
        try_next(plain, others, count, now_us);
    const bool is_open = status->sent_us > heard_us || ike_sa_unanswered_us(peer->sa, now_us) > 0;
    return is_open ? now_us + LOOK_US : DEADLINE_NEVER;
}

void plain_tell_addresses(struct host *host, uint64_t now_us)
{
    ike_table_set_addresses(host->ike, host->locals, host->local_count);
    if (host->plain->told_count == host->local_count &&
        memcmp(host->plain->told, host->locals, host->local_count * sizeof(host->locals[0])) == 0)
        return;
    memcpy(host->plain->told, host->locals, sizeof(host->plain->told));
    host->plain->told_count = host->local_count;
    for (uint32_t i = 0; i < host->plain->count; i++) {
        const struct peer *peer = host->plain->peers[i]->peer;
        if (peer == NULL || peer->sa == NULL || peer->tunnel == NULL)
            continue;
        ike_sa_announce_addresses(peer->sa);
        host_pump_ike(host, peer->sa, now_us);
    }
}
