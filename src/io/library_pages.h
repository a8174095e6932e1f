/* The program's own code and that of its libraries, as far as it lies in memory. Starting up runs
 * far more of it than what comes after: self-tests and trials of all that computes, set-up of
 * libraries, relocation. */
#ifndef IO_LIBRARY_PAGES_H
#define IO_LIBRARY_PAGES_H

#include <stddef.h>

/* Lets go of all of it: what is used comes back from the system's cache of files, page by page,
 * without reading a disk as a rule. Only mappings of files that nobody can write to, and none of
 * whose pages is a copy of this process's own: so nothing is lost. They are locked in memory no
 * more (privileges_protect_memory); there are no secrets in files. Not while another thread may
 * unmap a file: what comes to lie in its place would be lost. Best effort. Returns how many bytes
 * of address space it concerned. */
size_t library_pages_release(void);

#endif
