/* A confined process: no files, no memory, no time, no privileges; sockets stay. */
#include "io/confine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs check in a confined child; returns its wait status. */
static int confined(int (*check)(int pipe_end), size_t bytes, unsigned seconds)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(ends[1], 3) != 3 || confine(3, bytes, seconds) != ERR_OK)
            _exit(99);
        _exit(check(3));
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    return status;
}

static int check_files(int pipe_end)
{
    if (open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/mem", O_RDONLY) >= 0)
        return 1;
    return open("/tmp/detec-confine", O_WRONLY | O_CREAT, 0600) >= 0 ? 2 : 0;
}

static int check_descriptors(int pipe_end)
{
    if (fcntl(4, F_GETFD) >= 0 || fcntl(5, F_GETFD) >= 0)
        return 1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd >= 0 && write(pipe_end, "x", 1) == 1 ? 0 : 2;
}

static int check_privileges(int pipe_end)
{
    int mark = 1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

static int check_memory(int pipe_end)
{
    void *small = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *large = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return small != MAP_FAILED && large == MAP_FAILED ? 0 : 1;
}

static int check_time(int pipe_end)
{
    pause();
    return 0;
}

static void nothing_can_be_opened(void **state)
{
    assert_int_equal(confined(check_files, 16 << 20, 10), 0);
}

static void only_one_descriptor_stays(void **state)
{
    assert_int_equal(confined(check_descriptors, 16 << 20, 10), 0);
}

static void no_privilege_stays(void **state)
{
    assert_int_equal(confined(check_privileges, 16 << 20, 10), 0);
}

static void memory_is_bounded(void **state)
{
    assert_int_equal(confined(check_memory, 16 << 20, 10), 0);
}

static void life_is_bounded(void **state)
{
    int status = confined(check_time, 16 << 20, 1);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGALRM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_can_be_opened), cmocka_unit_test(only_one_descriptor_stays),
        cmocka_unit_test(no_privilege_stays),    cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(life_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
