/* One pair of SPIs with its keys and message IDs: its life in the table, sealing what we send, and
 * the window of one outstanding request each way (RFC 7296, 2.1 to 2.3). */
#ifndef IKE_GENERATION_H
#define IKE_GENERATION_H

#include "ike/state.h"

/* A message under construction in the table's buffer: one at a time. */
struct ike_outgoing {
    struct ike_header header;
    struct writer w;
    struct ike_builder b;
};

/* A random number that is not yet an SPI of ours, and not 0. */
MUST_USE int ike_generation_draw_spi(struct ike_table *table, uint64_t *ret_spi);
/* Adds a generation to the SA, in the table under our SPI. */
MUST_USE int ike_generation_new(struct ike_sa *sa, bool is_initiator, uint64_t spi_i,
                                uint64_t spi_r, enum ike_generation_state state,
                                struct ike_generation **ret_generation);
/* Takes it out of SA and table, wipes, frees. */
void ike_generation_free(struct ike_generation *g);
void ike_generation_free_handshake(struct ike_generation *g);
/* Keeps a copy of one answer to IKE_SA_INIT. ERR_LIMIT beyond IKE_RIVALS_MAX. */
MUST_USE int ike_handshake_keep_answer(struct ike_handshake *handshake, const uint8_t *message,
                                       size_t len);
/* It ends here: what its outstanding request carried goes back to the SA's queues; repeated
 * requests are still answered for a while where repetition is possible. */
void ike_generation_retire(struct ike_generation *g, uint64_t now_us);

/* Starts a message: header and, once there are keys and unless it is IKE_SA_INIT, the SK payload.
 */
void ike_generation_begin(struct ike_generation *g, struct ike_outgoing *out, uint8_t exchange,
                          bool is_response, uint32_t id);
/* Ends, seals and stores it as our next request. The message stays in the table's buffer. */
MUST_USE int ike_generation_request(struct ike_generation *g, struct ike_outgoing *out,
                                    enum ike_request_kind kind, uint64_t now_us);
/* Ends, seals and stores it as the response to the peer's request, and moves its window on. */
MUST_USE int ike_generation_respond(struct ike_generation *g, struct ike_outgoing *out,
                                    const struct endpoint *remote, uint64_t request_hash);
/* Forgets the outstanding request. */
void ike_generation_clear_request(struct ike_generation *g);
void ike_request_done(struct ike_request *request);
/* Sends the outstanding request once more if that is due. */
void ike_generation_repeat(struct ike_generation *g, uint64_t now_us);
/* First interval of retransmission, from the measured round-trip time (as RFC 6298). */
uint64_t ike_sa_first_interval(const struct ike_sa *sa);
/* Takes the time between a request never repeated and its answer. */
void ike_sa_measure(struct ike_sa *sa, uint64_t round_trip_us);
/* An answer to a request that was repeated: to which of them is not known (RFC 6298, 3), but it
 * took no longer than since the first. Where nothing else is known, or no answer ever comes before
 * the repetition, that counts until there is a real sample. */
void ike_sa_measure_bound(struct ike_sa *sa, uint64_t since_first_us);

#endif
