/* One run: a world drawn from a seed, what befalls it, and the judgement. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "core.h"
#include <stdio.h>

/* What may happen in a run. */
struct scenario {
    const char *name;
    const char *text;
    unsigned machines_max;
    unsigned blows_max; /* moves, crashes, … */
    unsigned blows;     /* bits of enum blow */
    unsigned loss_max;  /* permille of each link */
    bool is_hostile;
    bool is_open;   /* hosts may be sent to by anybody, mostly */
    bool is_single; /* one blow, and the lines are good: what was said before goes on soon */
};

/* NULL at the end. */
const struct scenario *scenario_at(size_t index);
const struct scenario *scenario_find(const char *name);

struct verdict {
    char why[SIM_WHY_CAP]; /* "" if all invariants held */
    uint64_t hash;         /* of all that happened */
    uint64_t steps;
    uint64_t end_us; /* virtual time that it took */
};

/* rows: one line a pair of hosts goes there (NULL: none): kinds, path, theory, milliseconds to the
 * first reply. */
void scenario_run(const struct scenario *scenario, uint64_t seed, bool has_trace, FILE *rows,
                  struct verdict *ret_verdict);

#endif
