/* Who gets one of the places that the connector has for connections. What is counted: all, those of
 * one host's address (IPv6: its /64), and of IPv6 those of one site (/48), so that neither of them
 * takes all places. Where there is none left, the oldest connection that has not proven a key makes
 * room: of the same host, of the same site, or of all. */
#ifndef CONNECTOR_ADMISSION_H
#define CONNECTOR_ADMISSION_H

#include "base/address.h"
#include "base/error.h"

struct connector;

/* seed: 16 random bytes. */
MUST_USE int admission_init(struct connector *connector, const uint8_t seed[16]);
void admission_done(struct connector *connector);
/* Takes a place for a connection from there; may end others for it. ERR_LIMIT: there is none for
 * it; ERR_NOMEM. */
MUST_USE int admission_enter(struct connector *connector, const struct address *address,
                             uint64_t now_us);
/* Gives it back. */
void admission_leave(struct connector *connector, const struct address *address);

#endif
