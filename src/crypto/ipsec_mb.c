/* One of the few things that a process has once: a table that does not change. */
#include "crypto/ipsec_mb.h"

#include <pthread.h>
#include <stddef.h>

#ifdef HAVE_IPSEC_MB
static IMB_MGR *shared;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void)
{
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager == NULL)
        return;
    init_mb_mgr_auto(manager, NULL);
    if (imb_get_errno(manager) == 0 && (manager->features & IMB_FEATURE_AESNI) != 0)
        shared = manager;
    else
        free_mb_mgr(manager);
}

IMB_MGR *ipsec_mb_shared(void)
{
    pthread_once(&once, make);
    return shared;
}
#else
typedef int ipsec_mb_is_not_built_in; /* a translation unit is not empty */
#endif
