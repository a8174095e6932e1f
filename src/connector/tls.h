/* The certificate that the connector shows on port 443: the configured one, or one made at the
 * start. Hosts do not look at it: IKE inside proves who the connector is. */
#ifndef CONNECTOR_TLS_H
#define CONNECTOR_TLS_H

#include "connector/config.h"
#include "crypto/tls.h"

/* Says in the log what is wrong. */
MUST_USE int connector_tls_new(const struct connector_config *config,
                               struct tls_context **ret_context);

#endif
