/* Whole messages of each suite, SPUT's and ESP's, through the tunnels' own doors. */
#ifndef MESSAGE_BENCH_H
#define MESSAGE_BENCH_H

#include <stddef.h>

/* len: of the UDP payload inside. */
void message_bench(size_t len, int passes);

#endif
