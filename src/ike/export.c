/* See ike/export.h. */
#include "ike/export.h"
#include "ike/state.h"

size_t ike_sa_export(const struct ike_sa *sa, struct ike_export *ret_exports, size_t cap)
{
    size_t count = 0;

    for (const struct ike_generation *g = sa->generations; g != NULL && count < cap; g = g->next)
        if (g->keys.material != NULL)
            ret_exports[count++] = (struct ike_export){g->spi_i, g->spi_r, &g->keys};
    return count;
}
