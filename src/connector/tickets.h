/* The keys of the tickets with which hosts resume their sessions (RFC 5723): kept in a file beside
 * the host database, so that all hosts resume when the connector has been restarted, and changed
 * each day, so that what was sealed long ago cannot be opened any more. They are of use only with
 * the connector's own key: who has another is another connector. */
#ifndef CONNECTOR_TICKETS_H
#define CONNECTOR_TICKETS_H

#include "connector/config.h"

struct connector_tickets;
struct identity;
struct ike_tickets;

/* Reads the keys, or makes new ones. A file that cannot be written costs a full log-in of every
 * host after the next restart, and is only told. */
MUST_USE int connector_tickets_new(const struct connector_config *config,
                                   const struct identity *identity,
                                   struct connector_tickets **ret_tickets);
/* Wipes. NULL is fine. */
void connector_tickets_free(struct connector_tickets *tickets);
/* Time goes on. */
void connector_tickets_tick(struct connector_tickets *tickets);
struct ike_tickets *connector_tickets_engine(struct connector_tickets *tickets);

#endif
