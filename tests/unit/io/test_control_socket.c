/* Control sockets in a directory made for the test. */
#include "testnet.h"

#include "io/control_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];
static char path[128];

static int make_directory(void **state)
{
    strcpy(directory, "/tmp/detec-control-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/run/daemon.sock", directory);
    return 0;
}

static int remove_directory(void **state)
{
    testnet_run("rm -r %s", directory);
    return 0;
}

static mode_t mode_of(const char *file)
{
    struct stat status;

    assert_int_equal(lstat(file, &status), 0);
    return status.st_mode & 07777;
}

static void talk(int listener)
{
    char text[8] = {0};
    int client = -1;
    int accepted;

    assert_int_equal(control_socket_connect(path, &client), ERR_OK);
    assert_true(testnet_is_readable(listener, 2000));
    accepted = accept(listener, NULL, NULL);
    assert_int_equal(write(client, "hello\n", 6), 6);
    assert_int_equal(read(accepted, text, sizeof text), 6);
    close(accepted);
    close(client);
}

static void it_listens_with_its_mode(void **state)
{
    static const mode_t modes[] = {0600, 0660};

    for (int i = 0; i < 2; i++) {
        mode_t old = umask(0);
        int listener = -1;

        assert_int_equal(control_socket_listen(path, modes[i], &listener), ERR_OK);
        umask(old);
        assert_int_equal(mode_of(path), modes[i]);
        assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
        talk(listener);
        control_socket_remove(path);
        assert_int_equal(access(path, F_OK), -1);
        close(listener);
    }
}

static void a_living_daemon_keeps_its_socket(void **state)
{
    int first = -1;
    int second = -1;

    assert_int_equal(control_socket_listen(path, 0600, &first), ERR_OK);
    for (int i = 0; i < 40; i++) /* more than the backlog */
        assert_int_equal(control_socket_listen(path, 0600, &second), ERR_EXISTS);
    assert_int_equal(second, -1);
    while (testnet_is_readable(first, 0))
        close(accept(first, NULL, NULL));
    talk(first);
    close(first);
}

static void a_dead_daemons_socket_is_replaced(void **state)
{
    int listener = -1;
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(control_socket_listen(path, 0600, &listener) < 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(control_socket_connect(path, &listener), ERR_NOT_FOUND);
    assert_int_equal(control_socket_listen(path, 0600, &listener), ERR_OK);
    talk(listener);
    close(listener);
}

static void only_one_of_many_at_once_gets_it(void **state)
{
    int ready[2], results[2];
    char answers[16];
    unsigned winners = 0;
    pid_t children[16];

    /* A dead daemon's socket lies there, for all to remove. */
    a_dead_daemons_socket_is_replaced(NULL);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < 16; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int fd;
            char byte;

            close(ready[1]);
            (void)!read(ready[0], &byte, 1); /* all start when the pipe is closed */
            byte = control_socket_listen(path, 0600, &fd) == ERR_OK;
            (void)!write(results[1], &byte, 1);
            for (;;)
                pause();
        }
    }
    close(ready[0]);
    close(ready[1]);
    for (int i = 0; i < 16; i++)
        assert_int_equal(read(results[0], &answers[i], 1), 1);
    for (int i = 0; i < 16; i++) {
        winners += (unsigned)answers[i];
        kill(children[i], SIGKILL);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
    assert_int_equal(winners, 1);
    close(results[0]);
    close(results[1]);
}

static void other_files_are_left_alone(void **state)
{
    char long_path[200];
    int fd = -1;

    testnet_run("mkdir %s/run; echo precious > %s", directory, path);
    assert_int_equal(control_socket_listen(path, 0600, &fd), ERR_INVALID);
    assert_string_equal(testnet_output("cat %s", path), "precious\n");
    control_socket_remove(path);
    assert_int_equal(access(path, F_OK), 0);
    testnet_run("rm %s; ln -s /etc/passwd %s", path, path);
    assert_int_equal(control_socket_listen(path, 0600, &fd), ERR_INVALID);
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(control_socket_listen(long_path, 0600, &fd), ERR_INVALID);
    assert_int_equal(control_socket_connect(long_path, &fd), ERR_INVALID);
    assert_int_equal(control_socket_connect("", &fd), ERR_INVALID);
    assert_int_equal(control_socket_connect("/nonexistent/socket", &fd), ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
}

static void without_permission_it_says_so(void **state)
{
    int listener = -1;
    int status;
    pid_t child;

    assert_int_equal(control_socket_listen(path, 0600, &listener), ERR_OK);
    assert_int_equal(chmod(directory, 0755), 0);
    child = fork();
    if (child == 0) {
        int fd;

        _exit(setuid(65534) < 0 || control_socket_connect(path, &fd) != ERR_REFUSED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_listens_with_its_mode),          TEST(a_living_daemon_keeps_its_socket),
        TEST(a_dead_daemons_socket_is_replaced), TEST(only_one_of_many_at_once_gets_it),
        TEST(other_files_are_left_alone),        TEST(without_permission_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
