/* All punches that go on over one socket at once: finds the one that a STUN datagram belongs to, by
 * the user fragment of a request or the transaction id of a response, and drives them with one
 * face. */
#ifndef PATH_PUNCH_TABLE_H
#define PATH_PUNCH_TABLE_H

#include "path/punch.h"

/* 256 calls being punched at once are 256 * 200 checks a second at the very worst. */
#define PUNCH_TABLE_MAX 256

struct punch_table;

MUST_USE int punch_table_new(struct punch_table **ret_table);
/* Frees its punches too. NULL is fine. */
void punch_table_free(struct punch_table *table);
/* Makes a punch that the table owns; all its punches share one budget of bursts, whatever config
 * says. context is given back with its events. ERR_LIMIT with
 * PUNCH_TABLE_MAX, ERR_EXISTS if the local fragment is in use. */
MUST_USE int punch_table_open(struct punch_table *table, const struct punch_config *config,
                              void *context, uint64_t now_us, struct punch **ret_punch);
/* punch_give_sockets for a punch in a table. */
MUST_USE int punch_table_give_sockets(struct punch_table *table, struct punch *punch,
                                      uint16_t first, unsigned count, uint64_t now_us);
/* punch_set_remote for a punch in a table. */
MUST_USE int punch_table_set_remote(struct punch_table *table, struct punch *punch,
                                    const struct credentials *remote,
                                    const struct candidate_list *candidates, uint64_t now_us);
/* punch_confirm for a punch in a table. */
void punch_table_confirm(struct punch_table *table, struct punch *punch,
                         const struct endpoint *endpoint, uint64_t now_us);
/* Frees the punch. NULL is fine. */
void punch_table_close(struct punch_table *table, struct punch *punch);
size_t punch_table_count(const struct punch_table *table);

/* As punch_receive; ERR_NOT_FOUND also for unknown fragments and transactions: drop without an
 * answer. */
MUST_USE int punch_table_receive(struct punch_table *table, const void *data, size_t len,
                                 const struct endpoint *from, uint64_t now_us);
/* As punch_transmit, for all. */
MUST_USE int punch_table_transmit(struct punch_table *table, struct writer *w, uint64_t now_us,
                                  struct punch_target *ret_target);
uint64_t punch_table_deadline(const struct punch_table *table);
void punch_table_expire(struct punch_table *table, uint64_t now_us);
/* False when there is none. After PUNCH_ENDED close the punch. ret_context may be NULL. */
bool punch_table_next_event(struct punch_table *table, struct punch **ret_punch, void **ret_context,
                            struct punch_event *ret_event);
/* The punch that has validated this endpoint, or NULL: may IKE come in from there? Of several a
 * controlled one (we are called) goes first, and of those a nominated one. Linear in the
 * number of punches: for IKE messages that no IKE SA claims. */
struct punch *punch_table_find_validated(const struct punch_table *table,
                                         const struct endpoint *endpoint, void **ret_context);

#endif
