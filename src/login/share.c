/* See login/share.h. Where less than half of what a node may hold is left, its children are held to
 * equal parts of what comes in; where those are short of it in turn, theirs are. What is above half
 * is for whoever comes, and is nobody's share. */
#include "login/share.h"

#include "base/deadline.h"
#include <string.h>

#define BURST_LEAST 65536            /* bytes: a TCP window or two */
#define BURST_PART  4                /* of a second's bytes */
#define FULL_US     (65 * SECOND_US) /* BURST_LEAST at the least rate, 1000 bytes a second */
#define SHARE_LEAST 8192             /* bytes: the least that a share may save up */
/* All shares together are less than what comes in by one part in so many, so that a node that is
 * empty fills up again while all its children take what they may. */
#define SLACK 16

uint64_t bytes_bucket_burst(uint32_t rate)
{
    const uint64_t part = rate / BURST_PART;
    return part > BURST_LEAST ? part : BURST_LEAST;
}

void bytes_bucket_refill(struct bytes_bucket *bucket, uint32_t rate, uint64_t burst,
                         uint64_t now_us)
{
    const uint64_t passed_us = now_us > bucket->at_us ? now_us - bucket->at_us : 0;
    /* Full after so long at any rate, and before that nothing overflows. */
    if (bucket->at_us == 0 || passed_us >= FULL_US) {
        bucket->tokens = burst;
        bucket->at_us = now_us;
        return;
    }
    const uint64_t more = passed_us * rate / SECOND_US;
    if (bucket->tokens > burst)
        bucket->tokens = burst; /* it held more once */
    if (more == 0)
        return; /* too little time; it adds up */
    bucket->tokens = bucket->tokens + more < burst ? bucket->tokens + more : burst;
    bucket->at_us = now_us;
}

void share_init(struct share *share, struct share *parent)
{
    memset(share, 0, sizeof *share);
    share->parent = parent;
}

/* Among how many the node is divided now. */
static uint32_t count_senders(struct share *node, struct share *child, uint64_t now_us)
{
    const uint64_t window = now_us / SECOND_US;
    if (window != node->window) {
        node->senders_before = window == node->window + 1 ? node->senders : 0;
        node->senders = 0;
        node->window = window;
    }
    if (child->sent_in != window + 1) {
        child->sent_in = window + 1;
        node->senders++;
    }
    return node->senders > node->senders_before ? node->senders : node->senders_before;
}

bool share_may_take(struct share *leaf, uint32_t rate, size_t len, uint64_t now_us)
{
    struct share *way[SHARE_DEPTH_MAX];
    size_t depth = 0;
    for (struct share *node = leaf; node != NULL && depth < SHARE_DEPTH_MAX; node = node->parent)
        way[depth++] = node;
    /* All of them, so that each is counted where it wants to send. */
    uint64_t burst = bytes_bucket_burst(rate);
    bool may = true, is_held = true; /* the root always is */
    while (depth-- > 0) {
        struct share *node = way[depth];
        bytes_bucket_refill(&node->bucket, rate, burst, now_us);
        node->is_held = is_held;
        may = may && !(is_held && node->bucket.tokens < len);
        is_held = is_held && node->bucket.tokens < burst / 2;
        if (depth == 0)
            break;
        const uint32_t senders = count_senders(node, way[depth - 1], now_us);
        rate = (rate - rate / SLACK) / senders;
        burst = burst / 2 / senders > SHARE_LEAST ? burst / 2 / senders : SHARE_LEAST;
    }
    return may;
}

void share_take(struct share *leaf, size_t len)
{
    for (struct share *node = leaf; node != NULL; node = node->parent) {
        if (node->is_held)
            node->bucket.tokens -= len < node->bucket.tokens ? len : node->bucket.tokens;
    }
}
