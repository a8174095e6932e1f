/* What is left of root's power afterwards; each case in a child process, for there is no way back.
 */
#include "testnet.h"

#include "io/interface.h"
#include "io/privileges.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_up(void **state)
{
    testnet_enter();
    return 0;
}

/* The child answers with a set of bits. */
static int in_child(int (*run)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(run());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool has_status(const char *line)
{
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);

    close(fd);
    text[len < 0 ? 0 : len] = 0;
    return strstr(text, line) != NULL;
}

static bool can_configure(void)
{
    struct address address = testnet_address("10.1.2.3");
    struct netlink nl;
    bool is_done = netlink_open(&nl, NETLINK_ROUTE) == ERR_OK &&
                   interface_address_add(&nl, 1, &address, 32) == ERR_OK;

    netlink_close(&nl);
    return is_done;
}

static bool can_bind(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool is_done = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    close(fd);
    return is_done;
}

enum {
    FAILED = 128,
    CONFIGURES = 1,
    BINDS = 2,
    CHANGES_USER = 4,
    REGAINS = 8,
    WRONG_STATUS = 16,
    IS_ROOT = 32,
};

/* Could the power come back through a program of root's? */
static bool can_regain(void)
{
    return system("ip address add 10.1.2.4/32 dev lo 2>/dev/null") == 0;
}

static int powers(void)
{
    return (can_configure() ? CONFIGURES : 0) | (can_bind(53) ? BINDS : 0) |
           (can_regain() ? REGAINS : 0) |
           (setuid(12345) == 0 && getuid() == 12345 ? CHANGES_USER : 0);
}

static int keep_net_admin(void)
{
    if (privileges_keep(PRIVILEGE_NET_ADMIN) < 0)
        return FAILED;
    if (!has_status("CapEff:\t0000000000001000") || !has_status("CapPrm:\t0000000000001000") ||
        !has_status("CapInh:\t0000000000000000") || !has_status("CapBnd:\t0000000000001000") ||
        !has_status("CapAmb:\t0000000000000000") || !has_status("NoNewPrivs:\t1"))
        return WRONG_STATUS;
    return powers();
}

static int keep_nothing(void)
{
    if (privileges_keep(PRIVILEGE_NONE) < 0)
        return FAILED;
    return powers() | (has_status("CapEff:\t0000000000000000") ? 0 : WRONG_STATUS);
}

static int keep_more_than_there_is(void)
{
    if (privileges_keep(PRIVILEGE_NONE) < 0)
        return FAILED;
    return privileges_keep(PRIVILEGE_NET_ADMIN) == ERR_REFUSED ? 0 : 1;
}

static void only_net_admin_is_kept(void **state)
{
    /* Programs of root's get what the bounding set leaves: network administration, nothing more. */
    assert_int_equal(in_child(keep_net_admin) & ~REGAINS, CONFIGURES);
}

static void nothing_is_kept(void **state)
{
    assert_int_equal(in_child(keep_nothing), 0);
    assert_int_equal(in_child(keep_more_than_there_is), 0);
}

static int become_with_ports(void)
{
    const struct passwd *nobody = getpwnam("nobody");

    if (privileges_become("nobody", PRIVILEGE_NET_BIND_SERVICE) < 0)
        return FAILED;
    if (getuid() != nobody->pw_uid || geteuid() != nobody->pw_uid || getgid() != nobody->pw_gid ||
        getgroups(0, NULL) > 1)
        return IS_ROOT;
    return powers();
}

static int become_nobody_at_all(void)
{
    if (privileges_become("nobody", PRIVILEGE_NONE) < 0)
        return FAILED;
    /* Once more is no error: it is this user. */
    if (privileges_become("nobody", PRIVILEGE_NONE) < 0)
        return FAILED;
    return powers() | (privileges_become("root", PRIVILEGE_NONE) == ERR_REFUSED ? 0 : IS_ROOT);
}

static int become_unknown(void)
{
    return privileges_become("no-such-user-here", PRIVILEGE_NONE) == ERR_NOT_FOUND ? 0 : 1;
}

static void another_user_is_become(void **state)
{
    assert_int_equal(in_child(become_with_ports), BINDS);
    assert_int_equal(in_child(become_nobody_at_all), 0);
    assert_int_equal(in_child(become_unknown), 0);
}

static int protect(void)
{
    struct rlimit core;
    bool is_locked = privileges_protect_memory();
    char *large = malloc(64 << 20);

    if (prctl(PR_GET_DUMPABLE) != 0 || getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        return 1;
    /* Locking or not, memory can still be had. */
    if (large == NULL)
        return 2;
    memset(large, 1, 64 << 20);
    free(large);
    return is_locked == has_status("VmLck:\t       0 kB") ? 4 : 0;
}

static int protect_without_rights(void)
{
    const struct rlimit little = {1 << 16, 1 << 16};
    char *large;

    if (setrlimit(RLIMIT_MEMLOCK, &little) < 0 || privileges_keep(PRIVILEGE_NONE) < 0)
        return FAILED;
    if (privileges_protect_memory())
        return 1;
    large = malloc(64 << 20);
    if (large == NULL)
        return 2;
    memset(large, 1, 64 << 20);
    free(large);
    return prctl(PR_GET_DUMPABLE) == 0 ? 0 : 4;
}

static void memory_is_protected(void **state)
{
    assert_int_equal(in_child(protect), 0);
    assert_int_equal(in_child(protect_without_rights), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_net_admin_is_kept),
        cmocka_unit_test(nothing_is_kept),
        cmocka_unit_test(another_user_is_become),
        cmocka_unit_test(memory_is_protected),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
