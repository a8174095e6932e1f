/* Which mappings are clean is the kernel's to say (proc(5), smaps): an ELF header would not tell of
 * relocated code, of a debugger's breakpoints, or of mappings that are no program's. */
#include "io/library_pages.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MAPPINGS_MAX 128
#define LINE_CAP     512 /* what is longer is a path, and its rest is no line that is looked for */

struct mapping {
    unsigned long start, end;
    bool is_candidate;    /* private, of a file, not to be written to */
    unsigned long own_kb; /* copies of our own, also swapped out */
};

/* The first line of a mapping: addresses, permissions, offset, device, inode, path. */
static bool read_header(const char *line, struct mapping *ret_mapping)
{
    struct mapping mapping = {0};
    char permissions[5];
    unsigned long inode;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &mapping.start, &mapping.end, permissions,
               &inode) != 4)
        return false;
    mapping.is_candidate =
        permissions[0] == 'r' && permissions[1] == '-' && permissions[3] == 'p' && inode != 0;
    *ret_mapping = mapping;
    return true;
}

/* How many there are. All are read before anything changes. */
static size_t find_clean(FILE *smaps, struct mapping *mappings, size_t cap)
{
    struct mapping mapping = {0};
    char line[LINE_CAP];
    unsigned long kb;
    size_t count = 0;
    while (count < cap && fgets(line, sizeof(line), smaps) != NULL) {
        if (read_header(line, &mapping))
            continue;
        if (sscanf(line, "Anonymous: %lu kB", &kb) == 1 || sscanf(line, "Swap: %lu kB", &kb) == 1)
            mapping.own_kb += kb;
        /* A mapping's last line. */
        else if (strncmp(line, "VmFlags:", 8) == 0 && mapping.is_candidate && mapping.own_kb == 0)
            mappings[count++] = mapping;
    }
    return count;
}

size_t library_pages_release(void)
{
    struct mapping mappings[MAPPINGS_MAX];
    size_t released = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    if (smaps == NULL)
        return 0;
    const size_t count = find_clean(smaps, mappings, MAPPINGS_MAX);
    fclose(smaps);
    for (size_t i = 0; i < count; i++) {
        void *start = (void *)mappings[i].start; // NOLINT(performance-no-int-to-ptr)
        const size_t len = mappings[i].end - mappings[i].start;
        /* What is locked cannot be let go. */
        if (munlock(start, len) == 0 && madvise(start, len, MADV_DONTNEED) == 0)
            released += len;
    }
    return released;
}
