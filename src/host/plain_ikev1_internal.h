/* What plain_ikev1.c and plain_ikev1_terms.c share. */
#ifndef HOST_PLAIN_IKEV1_INTERNAL_H
#define HOST_PLAIN_IKEV1_INTERNAL_H

#include "host/plain_internal.h"
#include "ikev1/table.h"

/* Makes the profile of an SA between these ends, unless the one there is fits. */
MUST_USE int plain_ikev1_prepare(struct plain_peer *plain, const struct address *source,
                                 const struct address *remote);

#endif
