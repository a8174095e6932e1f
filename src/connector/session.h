/* Log-in sessions: one TCP connection of a host with its IKE SA (RFC 9329). Sessions are known by
 * number to the registry; most functions here are called by the loop. */
#ifndef CONNECTOR_SESSION_H
#define CONNECTOR_SESSION_H

#include "connector/connector.h"

#define SESSION_AUTH_US                                                                            \
    ((uint64_t)10 * 1000000) /* from the connection to an authenticated IKE SA */

/* Opens the port. ERR_IO: errno says why. */
MUST_USE int sessions_listen(struct connector *connector);
/* … and the one for networks that let only TLS out. ERR_IO: errno says why; the rest works without.
 */
MUST_USE int sessions_listen_tls(struct connector *connector);
/* Takes no more connections; those that are there stay. */
void sessions_stop_listening(struct connector *connector);

/* Sends and hears what is due; returns whether anything was done. To be called until there is
 * nothing left, before the loop sleeps. */
bool sessions_drive(struct connector *connector, uint64_t now_us);
uint64_t sessions_deadline(const struct connector *connector);
void sessions_expire(struct connector *connector, uint64_t now_us);

/* What the registry asks for; an unknown number is ignored. */
void session_send(struct connector *connector, uint64_t number, uint16_t type, const uint8_t *data,
                  size_t len);
/* Says goodbye (IKE DELETE), after what was sent before; the registry has forgotten it already. */
void session_close(struct connector *connector, uint64_t number, uint64_t now_us);
/* Says goodbye to all. */
void sessions_close(struct connector *connector, uint64_t now_us);
/* Cuts all, without a word. */
void sessions_cut(struct connector *connector);

/* Of a session that exists; else NULL, 0. */
const struct endpoint *session_remote(const struct connector *connector, uint64_t number);
const struct public_key *session_key(const struct connector *connector, uint64_t number);
uint64_t session_since_us(const struct connector *connector, uint64_t number);
/* The rows of the host database, for the registry. context: struct connector. */
int session_find_static(void *context, const char *name, struct registry_static *ret_row);

#endif
