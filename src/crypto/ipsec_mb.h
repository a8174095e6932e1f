/* intel-ipsec-mb, where it was built in; only .c files of this folder include this. */
#ifndef CRYPTO_IPSEC_MB_H
#define CRYPTO_IPSEC_MB_H

#ifdef HAVE_IPSEC_MB
/* Without the names of old, which clash with those of others. */
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>

/* The library's table of functions for this processor, for its direct calls, which only read it:
 * all threads share one, made at first use (some 100 KiB). NULL: not on this processor. */
IMB_MGR *ipsec_mb_shared(void);
#endif

#endif
