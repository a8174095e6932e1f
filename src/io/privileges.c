/* capabilities(7) by plain system calls, and protection of the process' memory. */
#include "io/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_LEAST ((size_t)256)     /* where the system does not say */
#define FILES_MOST  ((size_t)1 << 30) /* … or says that there is no limit */

static uint64_t capability_mask(unsigned privileges)
{
    uint64_t mask = 0;

    if (privileges & PRIVILEGE_NET_ADMIN)
        mask |= UINT64_C(1) << CAP_NET_ADMIN;
    if (privileges & PRIVILEGE_NET_BIND_SERVICE)
        mask |= UINT64_C(1) << CAP_NET_BIND_SERVICE;
    return mask;
}

static int get_capabilities(uint64_t *ret_effective, uint64_t *ret_permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return ERR_IO;
    *ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
    *ret_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    return ERR_OK;
}

static int set_capabilities(uint64_t effective, uint64_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
        {.effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32)},
    };

    if (syscall(SYS_capset, &header, data) < 0)
        return errno == EPERM ? ERR_REFUSED : ERR_IO;
    return ERR_OK;
}

bool privileges_has(unsigned privileges)
{
    uint64_t mask = capability_mask(privileges);
    uint64_t effective, permitted;

    return get_capabilities(&effective, &permitted) == ERR_OK && (effective & mask) == mask;
}

/* Without CAP_SETPCAP the bounding set cannot be cut; no_new_privs then does what it is for. */
static void cut_bounding_set(uint64_t mask)
{
    unsigned long capability;

    for (capability = 0; capability < 64; capability++) {
        if (!(mask >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 &&
            errno == EINVAL)
            break; /* the kernel knows no more */
    }
}

int privileges_keep(unsigned privileges)
{
    uint64_t mask = capability_mask(privileges);
    uint64_t effective, permitted;
    int error;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return ERR_IO;
    /* Kernels before 4.3 have no ambient set. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return ERR_IO;
    cut_bounding_set(mask);
    error = set_capabilities(mask, mask);
    if (error == ERR_OK)
        error = get_capabilities(&effective, &permitted);
    if (error == ERR_OK && (effective != mask || permitted != mask))
        error = ERR_REFUSED;
    return error;
}

static int change_user(const struct passwd *entry)
{
    if (initgroups(entry->pw_name, entry->pw_gid) < 0 ||
        setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) < 0 ||
        /* So that what is to be kept survives the change of user. */
        prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) < 0 ||
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return errno == EPERM ? ERR_REFUSED : ERR_IO;
    return ERR_OK;
}

int privileges_become(const char *user, unsigned privileges)
{
    const struct passwd *entry;

    errno = 0;
    entry = getpwnam(user);
    if (entry == NULL)
        return errno == 0 || errno == ENOENT || errno == ESRCH ? ERR_NOT_FOUND : ERR_IO;
    if (entry->pw_uid != geteuid() || entry->pw_uid != getuid()) {
        int error = change_user(entry);

        if (error < 0)
            return error;
    }
    return privileges_keep(privileges);
}

/* LeakSanitizer traces the process that it looks at: its builds may be told to let it. */
static bool is_traceable(void)
{
#ifdef __SANITIZE_ADDRESS__
    return getenv("DETEC_TRACEABLE") != NULL;
#else
    return false;
#endif
}

bool privileges_protect_memory(void)
{
    const struct rlimit none = {0, 0};
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit present;

    if (!is_traceable())
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    /* With a limit in force, locking what is to come would turn growth into failed allocations:
     * then only the keys themselves are locked, by those who hold them. */
    if (setrlimit(RLIMIT_MEMLOCK, &all) < 0 &&
        (getrlimit(RLIMIT_MEMLOCK, &present) < 0 || present.rlim_cur != RLIM_INFINITY))
        return false;
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

size_t privileges_allow_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return FILES_LEAST;
    const struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    return limit.rlim_cur < FILES_MOST ? (size_t)limit.rlim_cur : FILES_MOST;
}
