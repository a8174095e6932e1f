/* The program as a whole: exit status, both streams, the control protocol against a daemon of the
 * test's own, and key files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program; /* the detec under test */
static char connector_directory[4096];
static char directory[64];
static char socket_path[96];
static char out[16384], err[16384];
static pid_t daemon_pid;

static int set_up(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/detec-cli-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/s", directory);
    unsetenv("DETEC_SOCKET");
    unsetenv("DETEC_CONNECTOR_SOCKET");
    daemon_pid = 0;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static int tear_down(void **state)
{
    if (daemon_pid > 0) {
        kill(daemon_pid, SIGKILL);
        waitpid(daemon_pid, NULL, 0);
    }
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void read_back(const char *name, char *ret_text, size_t cap)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    const size_t len = fread(ret_text, 1, cap - 1, stream);
    ret_text[len] = '\0';
    fclose(stream);
}

/* Runs `detec arguments` through the shell; fills out and err; returns the exit status. */
static int run(const char *arguments)
{
    char line[1024];
    snprintf(line, sizeof line, "%s %s >%s/out 2>%s/err </dev/null", program, arguments, directory,
             directory);
    const int status = system(line);
    read_back("out", out, sizeof out);
    read_back("err", err, sizeof err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

struct exchange {
    const char *command; /* that the request has to name */
    const char *answer;  /* lines; NULL: hang up */
};

static void serve_one(int listener, const struct exchange *exchanges)
{
    char line[4096];
    const int fd = accept(listener, NULL, NULL);
    FILE *stream = fdopen(fd, "r+");
    if (stream == NULL || fgets(line, sizeof line, stream) == NULL)
        _exit(1);
    json_t *request = json_loads(line, 0, NULL);
    const char *command = json_string_value(json_object_get(request, "command"));
    for (const struct exchange *e = exchanges; command != NULL && e->command != NULL; e++) {
        if (strcmp(e->command, command) == 0 && e->answer != NULL)
            fputs(e->answer, stream);
    }
    /* What was asked, for the test. */
    char path[128];
    snprintf(path, sizeof path, "%s/request", directory);
    FILE *log = fopen(path, "w");
    fputs(line, log);
    fclose(log);
    json_decref(request);
    fclose(stream);
}

/* A daemon that gives these answers, in a child process. exchanges ends with a NULL command. */
static void start_daemon(const struct exchange *exchanges)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    daemon_pid = fork();
    assert_true(daemon_pid >= 0);
    if (daemon_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            serve_one(listener, exchanges);
    }
    close(listener);
    setenv("DETEC_SOCKET", socket_path, 1);
    setenv("DETEC_CONNECTOR_SOCKET", socket_path, 1);
}

static void test_keys(void **state)
{
    char line[256], key[256];
    struct stat st;
    snprintf(line, sizeof line, "genkey %s/k", directory);
    assert_int_equal(run(line), 0);
    assert_int_equal(strlen(out), 45); /* 44 of base64 and the line's end */
    assert_string_equal(err, "");
    snprintf(key, sizeof key, "%s", out);
    snprintf(line, sizeof line, "%s/k", directory);
    assert_int_equal(stat(line, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(line, sizeof line, "pubkey %s/k", directory);
    assert_int_equal(run(line), 0);
    assert_string_equal(out, key);
    /* Never overwritten. */
    snprintf(line, sizeof line, "genkey %s/k", directory);
    assert_int_equal(run(line), 1);
    expect(err, "exists and is not overwritten");
    assert_string_equal(out, "");
    snprintf(line, sizeof line, "pubkey %s/k", directory);
    assert_int_equal(run(line), 0);
    assert_string_equal(out, key);
    assert_int_equal(run("pubkey /nonexistent"), 1);
    expect(err, "/nonexistent: cannot be read");
    assert_int_equal(run("pubkey /etc/passwd"), 1);
    expect(err, "not an Ed25519 private key");
    assert_int_equal(run("genkey /nonexistent/k"), 1);
    expect(err, "/nonexistent/k");
}

static void test_usage(void **state)
{
    assert_int_equal(run(""), 2);
    assert_int_equal(run("frob"), 2);
    expect(err, "\"frob\"");
    assert_int_equal(run("status --frob"), 2);
    expect(err, "--frob");
    assert_int_equal(run("call bad..name"), 2);
    expect(err, "bad..name");
    assert_int_equal(run("host add a notakey"), 2);
    expect(err, "notakey");
    assert_int_equal(run("--help"), 0);
    expect(out, "Usage: detec COMMAND");
    assert_int_equal(run("--version"), 0);
    assert_string_equal(out, "detec " DETEC_VERSION "\n");
}

static void test_not_running(void **state)
{
    char line[256];
    snprintf(line, sizeof line, "status --socket %s/none", directory);
    assert_int_equal(run(line), 1);
    expect(err, "detecd is not running");
    expect(err, "/none");
    expect(err, "systemctl start detecd");
    setenv("DETEC_CONNECTOR_SOCKET", "/nonexistent/c", 1);
    assert_int_equal(run("host list"), 1);
    expect(err, "detec-connector is not running: nothing listens at /nonexistent/c");
}

static void test_write_errors(void **state)
{
    char line[256];
    snprintf(line, sizeof line, "%s --help >/dev/full 2>%s/err", program, directory);
    int status = system(line);
    assert_int_equal(WEXITSTATUS(status), 1);
    read_back("err", err, sizeof err);
    expect(err, "could not be written");
    snprintf(line, sizeof line, "(sleep 0.2; %s --help 2>%s/err; echo $? >%s/out) | true", program,
             directory, directory);
    status = system(line);
    read_back("out", out, sizeof out);
    read_back("err", err, sizeof err);
    assert_string_equal(out, "1\n");
    expect(err, "could not be written");
}

static void test_status_and_json(void **state)
{
    static const struct exchange exchanges[] = {
        {"status", "{\"done\":true,\"status\":{\"version\":\"9\",\"name\":\"pc.z.example\"}}\n"},
        {"peers", "{\"done\":true,\"peers\":[]}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("status"), 0);
    expect(out, "pc.z.example");
    assert_int_equal(run("status --json"), 0);
    assert_string_equal(out, "{\"version\":\"9\",\"name\":\"pc.z.example\"}\n");
    assert_int_equal(run("peers --json"), 0);
    assert_string_equal(out, "[]\n");
    assert_int_equal(run("status >/dev/full"), 0); /* run() redirects again, behind */
}

/* A long list comes in several lines, and is one. */
static void test_many_peers(void **state)
{
    static const struct exchange exchanges[] = {
        {"peers", "{\"peers\":[{\"name\":\"a.z.example\"}]}\n"
                  "{\"peers\":[{\"name\":\"b.z.example\"}]}\n"
                  "{\"done\":true,\"peers\":[{\"name\":\"c.z.example\"}]}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("peers --json"), 0);
    assert_string_equal(out, "[{\"name\":\"a.z.example\"},{\"name\":\"b.z.example\"},"
                             "{\"name\":\"c.z.example\"}]\n");
    assert_int_equal(run("peers"), 0);
    expect(out, "a.z.example");
    expect(out, "b.z.example");
    expect(out, "c.z.example");
}

static void test_call_up(void **state)
{
    static const struct exchange exchanges[] = {
        {"call",
         "{\"step\":\"name\",\"ms\":1,\"detail\":\"0.0.0.86\"}\n"
         "{\"step\":\"punch\",\"ms\":20,\"detail\":\"3 probes\"}\n"
         "{\"done\":true,\"up\":true,\"total_ms\":21,\"peer\":{\"address\":\"0.0.0.86\"}}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("call PC.z.Example. --timeout 3"), 0);
    expect(out, "Calling pc.z.example\n");
    expect(out, "done   punch");
    expect(out, "pc.z.example is up after 21.0 ms");
    read_back("request", out, sizeof out);
    assert_string_equal(out,
                        "{\"command\":\"call\",\"name\":\"pc.z.example\",\"timeout_ms\":3000}\n");
    assert_int_equal(run("call pc --json"), 0);
    assert_int_equal(strncmp(out, "{\"step\":\"name\"", 14), 0);
}

static void test_call_down(void **state)
{
    static const struct exchange exchanges[] = {
        {"call",
         "{\"done\":true,\"up\":false,\"step\":\"name\",\"error\":\"there is no such name\","
         "\"hint\":\"Check the name.\",\"total_ms\":2}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("call pc"), 1);
    expect(out, "there is no such name");
    expect(out, "Check the name.");
    assert_int_equal(run("call pc --json"), 1);
    assert_int_equal(run("ping pc"), 1);
    expect(err, "there is no such name");
}

static void test_ping(void **state)
{
    static const struct exchange exchanges[] = {
        {"call", "{\"done\":true,\"up\":true,\"total_ms\":0}\n"},
        {"ping", "{\"reply\":1,\"ms\":1.5,\"path\":\"direct 192.0.2.1:5\"}\n{\"lost\":2}\n"
                 "{\"done\":true,\"sent\":2,\"received\":1}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("ping pc -c 2"), 0);
    expect(out, "reply 1    1.50 ms  direct 192.0.2.1:5\n");
    expect(out, "2 sent, 1 received, 50 % lost");
    read_back("request", out, sizeof out);
    expect(out, "\"count\":2");
}

static void test_errors_of_the_daemon(void **state)
{
    static const struct exchange exchanges[] = {
        {"hangup", "{\"done\":true,\"error\":\"there is no tunnel to pc\"}\n"},
        {"peers", "this is not JSON\n"},
        {"status", NULL},
        {"netcheck", "{\"done\":true}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("hangup pc"), 1);
    assert_string_equal(err, "detec: there is no tunnel to pc\n");
    assert_int_equal(run("peers"), 1);
    expect(err, "no usable answer");
    assert_int_equal(run("status"), 1);
    expect(err, "ended before its answer");
    assert_int_equal(run("netcheck"), 1);
    expect(err, "no \"netcheck\"");
}

static void test_trust(void **state)
{
    static const struct exchange exchanges[] = {
        {"trust", "{\"done\":true,\"forgotten\":\"KEY=\"}\n"}, {NULL, NULL}};
    start_daemon(exchanges);
    assert_int_equal(run("trust pc"), 1); /* nobody to ask */
    expect(err, "--yes");
    assert_int_equal(run("trust pc --yes"), 0);
    expect(out, "Forgot the key KEY= of pc");
    assert_int_equal(run("trust --connector z.example -y"), 0);
    read_back("request", out, sizeof out);
    expect(out, "\"connector\":true");
}

static void test_hosts(void **state)
{
    static const struct exchange exchanges[] = {
        {"host-add", "{\"done\":true,\"name\":\"pc.z.example\"}\n"},
        {"host-remove", "{\"done\":true,\"error\":\"pc is not in the host database\"}\n"},
        {"host-list", "{\"done\":true,\"hosts\":[]}\n"},
        {NULL, NULL},
    };
    start_daemon(exchanges);
    assert_int_equal(run("host add pc o7PDrvfVizwfI3Kt2X6yCflpAAxgeFPEJTdopp9eDLo= "
                         "--mac 02:00:5e:10:00:01"),
                     0);
    expect(out, "pc.z.example now belongs to the key o7PDrvfVizwfI3Kt2X6yCflpAAxgeFPEJTdopp9eDLo=");
    read_back("request", out, sizeof out);
    expect(out, "\"mac\":\"02:00:5e:10:00:01\"");
    assert_int_equal(run("host remove pc"), 1);
    assert_string_equal(err, "detec: pc is not in the host database\n");
    assert_int_equal(run("host list"), 0);
    expect(out, "No hosts.");
}

/* The database alone, through a connector's program that is found along PATH. */
static void test_database_without_daemon(void **state)
{
    static const char key[] = "o7PDrvfVizwfI3Kt2X6yCflpAAxgeFPEJTdopp9eDLo=";
    char line[8192], path[4096];
    snprintf(line, sizeof line, "host list --database %s/hosts.db", directory);
    const char *old = getenv("PATH");
    snprintf(path, sizeof path, "%s", old != NULL ? old : "");
    setenv("PATH", "/nonexistent", 1);
    /* system(3) needs no PATH for the shell, nor the shell for a program with a slash. */
    assert_int_equal(run(line), 1);
    expect(err, "needs the program detec-connector");
    snprintf(line, sizeof line, "%s:%s", connector_directory, path);
    setenv("PATH", line, 1);
    snprintf(line, sizeof line, "host add pc.z.example %s --database %s/hosts.db", key, directory);
    assert_int_equal(run(line), 0);
    expect(out, "pc.z.example now belongs to the key");
    assert_int_equal(run(line), 1);
    expect(err, "pc.z.example is there already");
    snprintf(line, sizeof line, "host list --database %s/hosts.db", directory);
    assert_int_equal(run(line), 0);
    expect(out, "pc.z.example  static  away");
    expect(out, key);
    snprintf(line, sizeof line, "host remove pc --database %s/hosts.db", directory);
    assert_int_equal(run(line), 1);
    expect(err, "give the full name");
    snprintf(line, sizeof line, "host remove pc.z.example --database %s/hosts.db", directory);
    assert_int_equal(run(line), 0);
    assert_int_equal(run("host list --database /etc/passwd"), 1);
    expect(err, "host database /etc/passwd");
    setenv("PATH", path, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_usage),
        TEST(test_not_running),
        TEST(test_many_peers),
        TEST(test_write_errors),
        TEST(test_status_and_json),
        TEST(test_call_up),
        TEST(test_call_down),
        TEST(test_ping),
        TEST(test_errors_of_the_daemon),
        TEST(test_trust),
        TEST(test_hosts),
        TEST(test_database_without_daemon),
    };
    char *slash = argc == 3 ? strrchr(argv[2], '/') : NULL;
    if (slash == NULL) {
        fprintf(stderr, "usage: %s DETEC DIRECTORY/detec-connector\n", argv[0]);
        return 2;
    }
    program = argv[1];
    *slash = '\0';
    snprintf(connector_directory, sizeof connector_directory, "%s", argv[2]);
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
