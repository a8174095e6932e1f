/* What the registry of log-ins brings about: notifies to sessions, names in the zone, lines in the
 * log. */
#ifndef CONNECTOR_RECORDS_H
#define CONNECTOR_RECORDS_H

#include "connector/connector.h"

/* Acts on all waiting events; returns whether there was any. */
bool records_drain(struct connector *connector, uint64_t now_us);

#endif
