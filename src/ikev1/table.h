/* All IKEv1 SAs of one host: finds what a message belongs to, answers new Main Modes within caps,
 * and carries what is to be sent and told. No I/O, no clock: the owner passes whole messages
 * (without the non-ESP marker) and the time. One thread. */
#ifndef IKEV1_TABLE_H
#define IKEV1_TABLE_H

#include "base/writer.h"
#include "ikev1/sa.h"

/* Longest message received or sent. */
#define IKEV1_MESSAGE_CAP 4096
/* Profiles that one responder may choose from. */
#define IKEV1_CANDIDATES_MAX 16

struct ikev1_table_limits {
    uint32_t sas_max;
    /* Main Modes that have not proven themselves; above, new ones are dropped in silence: IKEv1 has
     * no way to ask a stranger for a cookie before it keeps state. */
    uint32_t half_open_max;
    uint32_t half_open_per_address_max;
    uint32_t replies_per_second; /* refusals to strangers */
};

void ikev1_table_limits_init(struct ikev1_table_limits *limits);

struct ikev1_table;

MUST_USE int ikev1_table_new(const struct ikev1_table_limits *limits,
                             struct ikev1_table **ret_table);
/* Frees all its SAs too. NULL is fine. */
void ikev1_table_free(struct ikev1_table *table);

/* Seconds since 1970, at the start and now and then: without it no certificate is good. */
void ikev1_table_set_time(struct ikev1_table *table, uint64_t wall_s);

/* Is it one of ours? By the version in the header alone. */
bool ikev1_is_message(const uint8_t *message, size_t len);

/* One received message. responders: the profiles that a new Main Mode from there may belong to (the
 * first IKEV1_CANDIDATES_MAX); none: strangers are not answered. Which of them it is comes out with
 * the identity and its proof. ERR_OK: taken, ERR_AGAIN: repeated or refused by an answer; others:
 * ignored, and why. Nothing changes but by an authentic message, Main Mode's first ones aside. */
MUST_USE int ikev1_table_receive(struct ikev1_table *table, struct ikev1_profile *const *responders,
                                 size_t responder_count, const uint8_t *message, size_t len,
                                 const struct endpoint *remote, uint64_t now_us);

/* Writes the next message to send; ERR_AGAIN when there is none, ERR_FULL if it does not fit in w
 * (it stays). */
MUST_USE int ikev1_table_transmit(struct ikev1_table *table, struct writer *w,
                                  struct endpoint *ret_remote);
/* The next event, type IKEV1_EVENT_NONE when there is none. The owner wipes its copy of keys. */
void ikev1_table_next_event(struct ikev1_table *table, struct ikev1_event *ret_event);
/* When ikev1_table_expire() is due; DEADLINE_NEVER if not. */
uint64_t ikev1_table_deadline(const struct ikev1_table *table);
void ikev1_table_expire(struct ikev1_table *table, uint64_t now_us);

/* Walks all SAs, start with NULL; the one returned may be freed once the next has been taken. */
struct ikev1_sa *ikev1_table_walk(struct ikev1_table *table, struct ikev1_sa *previous);
uint32_t ikev1_table_count(const struct ikev1_table *table);
uint32_t ikev1_table_half_open_count(const struct ikev1_table *table);

#endif
