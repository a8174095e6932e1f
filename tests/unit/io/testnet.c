/* Namespaces and shell commands for the tests of io. */
#include "testnet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void testnet_enter(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        fprintf(stderr, "not permitted to make a network namespace: skipped\n");
        exit(77);
    }
    /* So that ip(8) and sysctl see this namespace in /sys, and nothing is mounted outside. */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        exit(77);
    (void)mount("sysfs", "/sys", "sysfs", 0, NULL);
    testnet_run("ip link set lo up");
}

static void __attribute__((format(printf, 3, 0)))
format_command(char *command, size_t cap, const char *format, va_list arguments)
{
    int len = vsnprintf(command, cap, format, arguments);

    assert_true(len > 0 && (size_t)len < cap);
}

void testnet_run(const char *format, ...)
{
    char command[2048];
    va_list arguments;
    int status;

    va_start(arguments, format);
    format_command(command, sizeof command, format, arguments);
    va_end(arguments);
    status = system(command);
    if (status != 0)
        fail_msg("'%s' failed with status %d", command, status);
}

const char *testnet_output(const char *format, ...)
{
    static char output[65536];
    char command[2048];
    va_list arguments;
    FILE *stream;
    size_t len;

    va_start(arguments, format);
    format_command(command, sizeof command - 8, format, arguments);
    va_end(arguments);
    strcat(command, " 2>&1");
    stream = popen(command, "r");
    assert_non_null(stream);
    len = fread(output, 1, sizeof output - 1, stream);
    output[len] = 0;
    pclose(stream);
    return output;
}

int testnet_peer(const char *near_name, const char *far_name)
{
    int ready[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) < 0 || write(ready[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    testnet_run("ip link add %s type veth peer name %s netns %d", near_name, far_name, child);
    testnet_run("ip link set %s up", near_name);
    testnet_run("nsenter -t %d -n ip link set lo up", child);
    testnet_run("nsenter -t %d -n ip link set %s up", child, far_name);
    return child;
}

void testnet_leave(int peer)
{
    kill(peer, SIGKILL);
    waitpid(peer, NULL, 0);
}

void testnet_switch(int peer)
{
    static int own = -1;
    char path[64];
    int fd;

    if (own < 0)
        own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (peer == 0) {
        assert_int_equal(setns(own, CLONE_NEWNET), 0);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/ns/net", peer);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
    close(fd);
}

int testnet_bind(int type, const char *text)
{
    struct endpoint endpoint = testnet_endpoint(text);
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(&endpoint, false, &address);
    int on = 1;
    int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, len) < 0)
        fail_msg("bind %s: %s", text, strerror(errno));
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 16), 0);
    return fd;
}

bool testnet_is_readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, timeout_ms) == 1;
}

bool testnet_wait(bool (*condition)(void *context), void *context, unsigned timeout_ms)
{
    unsigned waited_ms = 0;

    while (!condition(context)) {
        if (waited_ms >= timeout_ms)
            return false;
        poll(NULL, 0, 10);
        waited_ms += 10;
    }
    return true;
}

struct address testnet_address(const char *text)
{
    struct address address;

    assert_int_equal(address_parse(text, &address), ERR_OK);
    return address;
}

struct endpoint testnet_endpoint(const char *text)
{
    struct endpoint endpoint;
    char copy[ENDPOINT_TEXT_CAP];
    size_t len = strlen(text);
    bool is_any_port = len > 2 && strcmp(text + len - 2, ":0") == 0;

    /* endpoint_parse knows no port 0. */
    assert_true(len < sizeof copy);
    strcpy(copy, text);
    if (is_any_port)
        copy[len - 1] = '1';
    assert_int_equal(endpoint_parse(copy, 0, &endpoint), ERR_OK);
    if (is_any_port)
        endpoint.port = 0;
    return endpoint;
}

struct prefix testnet_prefix(const char *text)
{
    struct prefix prefix;

    assert_int_equal(prefix_parse(text, &prefix), ERR_OK);
    return prefix;
}
