/* Locking a helper process in. */
#include "io/confine.h"

#include "io/privileges.h"
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX 32

/* What RLIMIT_DATA counts; a sanitizer's shadow is in it too. */
static int data_now(size_t *ret_bytes)
{
    unsigned long total, resident, shared, text, library, data;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return ERR_IO;
    int count =
        fscanf(file, "%lu %lu %lu %lu %lu %lu", &total, &resident, &shared, &text, &library, &data);
    fclose(file);
    if (count != 6)
        return ERR_IO;
    *ret_bytes = data * (size_t)sysconf(_SC_PAGESIZE);
    return ERR_OK;
}

static int limit(int resource, rlim_t value)
{
    const struct rlimit bounds = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &bounds) == 0 ? ERR_OK : ERR_IO;
}

static int close_above(int keep_fd)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)keep_fd + 1, ~0U, 0) == 0)
        return ERR_OK;
#endif
    for (long fd = sysconf(_SC_OPEN_MAX) - 1; fd > keep_fd; fd--)
        close((int)fd);
    return ERR_OK;
}

/* No files, whoever owns them: a helper may run as the user that the host's key belongs to. Best
 * effort, as kernels before 5.13 and some configurations have none of it. Without an allowed path,
 * all rights of the first version are refused. */
static void close_files(void)
{
    const struct landlock_ruleset_attr rules = {.handled_access_fs =
                                                    (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    long fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    if (fd < 0)
        return;
    (void)syscall(SYS_landlock_restrict_self, (int)fd, 0);
    close((int)fd);
}

int confine(int keep_fd, size_t data_bytes, unsigned seconds)
{
    size_t data = 0;
    int error = close_above(keep_fd);
    if (error == ERR_OK)
        error = privileges_keep(PRIVILEGE_NONE);
    if (error == ERR_OK)
        error = data_now(&data);
    if (error == ERR_OK)
        close_files();
    if (error == ERR_OK)
        error = limit(RLIMIT_DATA, data + data_bytes);
    if (error == ERR_OK)
        error = limit(RLIMIT_CPU, seconds);
    if (error == ERR_OK)
        error = limit(RLIMIT_FSIZE, 0);
    if (error == ERR_OK)
        error = limit(RLIMIT_NPROC, 0);
    if (error == ERR_OK)
        error = limit(RLIMIT_NOFILE, FILES_MAX);
    alarm(seconds);
    return error;
}
