/* The host's private key file. */
#ifndef HOST_KEY_H
#define HOST_KEY_H

#include "crypto/identity.h"
#include "host/config.h"
#include <stdbool.h>

/* Reads [host] key; if it does not exist and may_create, makes one. Says itself what is wrong. The
 * caller frees the identity. */
MUST_USE int key_load(const struct host_config *config, bool may_create,
                      struct identity **ret_identity);

#endif
