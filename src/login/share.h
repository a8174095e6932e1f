/* Token buckets of bytes, and shares: a tree in which what the root gets is divided equally among
 * its children that send, what each of those gets among its own, and so on. Nobody is held to its
 * share while there is enough for all. */
#ifndef LOGIN_SHARE_H
#define LOGIN_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_DEPTH_MAX 4

/* Zeroed before its first use: full then. */
struct bytes_bucket {
    uint64_t tokens;
    uint64_t at_us; /* when tokens was right */
};

/* What a bucket of this rate (bytes a second) holds, where nothing smaller is wanted. */
uint64_t bytes_bucket_burst(uint32_t rate);
void bytes_bucket_refill(struct bytes_bucket *bucket, uint32_t rate, uint64_t burst,
                         uint64_t now_us);

struct share {
    struct share *parent; /* NULL: the root; outlives this one */
    struct bytes_bucket bucket;
    bool is_held;     /* to its share, as share_may_take() saw it last */
    uint64_t sent_in; /* the last second that it wanted to send in, of the clock, plus 1 */
    uint64_t window;  /* the second that children are counted in */
    uint32_t senders, senders_before; /* children that sent in it, and in the one before */
};

void share_init(struct share *share, struct share *parent);
/* May this leaf send len bytes now, where the root gets `rate` bytes a second? Counts it as one
 * that wants to. */
bool share_may_take(struct share *leaf, uint32_t rate, size_t len, uint64_t now_us);
/* It does; right after that. */
void share_take(struct share *leaf, size_t len);

#endif
