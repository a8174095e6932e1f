/* Stateless replies; see ike/reply.h. */
#include "ike/reply.h"
#include <stdlib.h>

#define REPLY_LEN_MAX 128 /* header, notify, longest data: a cookie */

struct ike_reply {
    struct ike_reply *next;
    struct endpoint remote;
    size_t len;
    uint8_t data[REPLY_LEN_MAX];
};

static bool errors_are_open(struct ike_table *table, uint64_t now_us)
{
    if (now_us - table->reply_second_us >= SECOND_US) {
        table->reply_second_us = now_us;
        table->reply_errors = 0;
    }
    return table->reply_errors++ < table->limits.replies_per_second;
}

int ike_reply_add(struct ike_table *table, const struct ike_header *request,
                  const struct endpoint *remote, uint16_t notify, const void *data, size_t len,
                  uint64_t now_us)
{
    struct writer w;
    struct ike_builder b;
    struct ike_header header = *request;

    if (table->reply_count >= table->limits.replies_max)
        return ERR_LIMIT;
    if (notify != IKE_NOTIFY_COOKIE && !errors_are_open(table, now_us))
        return ERR_LIMIT;
    struct ike_reply *reply = (struct ike_reply *)calloc(1, sizeof(*reply));
    if (reply == NULL)
        return ERR_NOMEM;
    header.major_version = IKE_MAJOR_VERSION;
    header.minor_version = 0;
    header.flags = (uint8_t)(IKE_FLAG_RESPONSE |
                             ((request->flags & IKE_FLAG_INITIATOR) ? 0 : IKE_FLAG_INITIATOR));
    writer_init(&w, reply->data, sizeof(reply->data));
    ike_build_begin(&b, &w, &header);
    ike_build_notify(&b, notify, data, len);
    ike_build_end(&b, 0);
    if (!writer_is_ok(&w)) {
        free(reply);
        return w.error;
    }
    reply->remote = *remote;
    reply->len = w.len;
    *table->replies_end = reply;
    table->replies_end = &reply->next;
    table->reply_count++;
    return ERR_OK;
}

int ike_table_transmit(struct ike_table *table, struct writer *w, struct endpoint *ret_remote)
{
    struct ike_reply *reply = table->replies;

    if (reply == NULL)
        return ERR_AGAIN;
    writer_bytes(w, reply->data, reply->len);
    if (!writer_is_ok(w))
        return w->error;
    *ret_remote = reply->remote;
    table->replies = reply->next;
    if (table->replies == NULL)
        table->replies_end = &table->replies;
    table->reply_count--;
    free(reply);
    return ERR_OK;
}

void ike_replies_done(struct ike_table *table)
{
    while (table->replies != NULL) {
        struct ike_reply *reply = table->replies;
        table->replies = reply->next;
        free(reply);
    }
    table->replies_end = &table->replies;
    table->reply_count = 0;
}
