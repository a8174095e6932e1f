/* intel-ipsec-mb by itself, called as its own measurements do, for a line beside what it gives
 * through our interface. Debian does not package its tool for that. Nothing where it was not built
 * in. */
#ifndef LIBRARY_BENCH_H
#define LIBRARY_BENCH_H

#include <stddef.h>

void library_bench(size_t len, int passes);

#endif
