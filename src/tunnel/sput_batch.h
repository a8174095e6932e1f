/* Tags of many messages at once, for the suites that have an HMAC, of SPUT and of ESP
 * (crypto/mac_batch.h): the sender leaves them open and makes them together before it sends, the
 * receiver foresees them together before it opens. The bytes are the same. Others' tags cost
 * nothing here. One belongs to one thread, and to one read section: what was sealed or foreseen in
 * it is finished before it ends. */
#ifndef TUNNEL_SPUT_BATCH_H
#define TUNNEL_SPUT_BATCH_H

#include "tunnel/tunnel.h"

struct sput_batch;

/* Where the machine computes no batches it computes one by one. */
MUST_USE int sput_batch_new(struct sput_batch **ret_batch);
/* NULL is fine. */
void sput_batch_free(struct sput_batch *batch);
/* Makes the tags that were left open. A packet whose tag cannot be made gets the length 0: it must
 * not be sent. */
void sput_batch_seal(struct sput_batch *batch, struct packet *const *packets, unsigned count);
/* Foresees the tags of datagrams from tunnels' endpoints, as far as it pays. */
void sput_batch_foresee(struct sput_batch *batch, struct tunnel_table *table,
                        struct packet *const *packets, unsigned count);

#endif
