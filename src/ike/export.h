/* The keys of IKE SAs, for whoever decrypts his own captures: only the owner that has been told to
 * write them down asks for them. */
#ifndef IKE_EXPORT_H
#define IKE_EXPORT_H

#include "ike/keys.h"
#include "ike/sa.h"

/* One pair of SPIs with its keys. Borrowed until the next call on the SA. */
struct ike_export {
    uint64_t spi_i, spi_r;
    const struct ike_keys *keys;
};

/* Those that the SA has now, of handshakes under way and generations that are replaced too. Returns
 * how many there are, at most cap. */
size_t ike_sa_export(const struct ike_sa *sa, struct ike_export *ret_exports, size_t cap);

#endif
