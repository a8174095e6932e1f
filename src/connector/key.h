/* The connector's key file. */
#ifndef CONNECTOR_KEY_H
#define CONNECTOR_KEY_H

#include "crypto/identity.h"

/* Reads the file. Problems are logged, but for ERR_NOT_FOUND. */
MUST_USE int key_read(const char *file, struct identity **ret_identity);
/* Reads the file, or makes a key and the file (and its directory) if there is none. Problems are
 * logged. */
MUST_USE int key_load(const char *file, struct identity **ret_identity);

#endif
