/* Files as wholes, in a directory made for the test. */
#include "testnet.h"

#include "io/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static const char *at(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return path;
}

static unsigned count_entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count - 2;
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static int make_directory(void **state)
{
    strcpy(directory, "/tmp/detec-file-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    testnet_run("rm -r %s", directory);
    return 0;
}

static void reads_back_what_was_written(void **state)
{
    char *data = NULL;
    size_t len = 0;
    size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 100000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *wanted = malloc(sizes[i] + 1);

        memset(wanted, 'a' + (int)i, sizes[i]);
        assert_int_equal(file_write_atomic(at("f"), wanted, sizes[i], 0640), ERR_OK);
        assert_int_equal(file_read(at("f"), sizes[i], &data, &len), ERR_OK);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(data, wanted, len);
        assert_int_equal(data[len], 0);
        free(data);
        data = NULL;
        if (sizes[i] > 0)
            assert_int_equal(file_read(at("f"), sizes[i] - 1, &data, &len), ERR_LIMIT);
        assert_null(data);
        free(wanted);
    }
    assert_int_equal(mode_of(at("f")), 0640);
    assert_int_equal(count_entries(directory), 1);
}

static void refuses_what_is_no_file(void **state)
{
    char *data = NULL;
    size_t len;

    assert_int_equal(file_read(at("none"), 10, &data, &len), ERR_NOT_FOUND);
    assert_int_equal(file_read(directory, 10, &data, &len), ERR_INVALID);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(file_read(at("fifo"), 10, &data, &len), ERR_INVALID);
    assert_int_equal(file_write_atomic(at("nul"), "a\0b", 3, 0600), ERR_OK);
    assert_int_equal(file_read(at("nul"), 10, &data, NULL), ERR_INVALID);
    assert_int_equal(file_read(at("nul"), 10, &data, &len), ERR_OK);
    assert_int_equal(len, 3);
    free(data);
}

static void atomic_write_replaces_a_link_and_cleans_up(void **state)
{
    char *data;

    assert_int_equal(file_write_atomic(at("target"), "old", 3, 0600), ERR_OK);
    assert_int_equal(symlink(at("target"), at("link")), 0);
    assert_int_equal(file_write_atomic(at("link"), "new", 3, 0600), ERR_OK);
    assert_int_equal(file_read(at("target"), 10, &data, NULL), ERR_OK);
    assert_string_equal(data, "old");
    free(data);
    /* A directory cannot be replaced by a file: the temporary file must go. */
    assert_int_equal(mkdir(at("d"), 0700), 0);
    assert_int_equal(file_write_atomic(at("d"), "x", 1, 0600), ERR_IO);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(count_entries(directory), 3);
    assert_int_equal(file_write_atomic(at("no/f"), "x", 1, 0600), ERR_NOT_FOUND);
}

/* Only in the very file that was written, and nowhere but inside of it. */
static void inside_is_written_where_it_was_marked(void **state)
{
    struct file_mark mark = {0}, other = {0};
    char *data;

    assert_int_equal(file_write_marked(at("f"), "0123456789", 10, 0600, &mark), ERR_OK);
    assert_int_equal(file_write_inside(at("f"), &mark, 4, "xyz", 3), ERR_OK);
    assert_int_equal(file_write_inside(at("f"), &mark, 7, "end", 3), ERR_OK);
    assert_int_equal(file_write_inside(at("f"), &mark, 8, "end", 3), ERR_INVALID);
    assert_int_equal(file_write_inside(at("f"), &mark, SIZE_MAX, "end", 3), ERR_INVALID);
    assert_int_equal(file_read(at("f"), 10, &data, NULL), ERR_OK);
    assert_string_equal(data, "0123xyzend");
    free(data);

    /* Replaced by somebody, linked to, cut, gone. */
    assert_int_equal(file_write_marked(at("f"), "0123456789", 10, 0600, &other), ERR_OK);
    assert_int_equal(file_write_inside(at("f"), &mark, 0, "x", 1), ERR_STATE);
    assert_int_equal(symlink(at("f"), at("link")), 0);
    assert_int_equal(file_write_inside(at("link"), &other, 0, "x", 1), ERR_STATE);
    assert_int_equal(truncate(at("f"), 9), 0);
    assert_int_equal(file_write_inside(at("f"), &other, 0, "x", 1), ERR_STATE);
    assert_int_equal(file_read(at("f"), 10, &data, NULL), ERR_OK);
    assert_string_equal(data, "012345678");
    free(data);
    assert_int_equal(file_write_inside(at("none"), &other, 0, "x", 1), ERR_STATE);
}

static void secrets_are_created_once(void **state)
{
    char *data;
    mode_t old = umask(0);

    assert_int_equal(file_create_secret(at("key"), "secret", 6), ERR_OK);
    umask(old);
    assert_int_equal(mode_of(at("key")), 0600);
    assert_int_equal(file_create_secret(at("key"), "other", 5), ERR_EXISTS);
    assert_int_equal(file_read_secret(at("key"), 100, &data, NULL), ERR_OK);
    assert_string_equal(data, "secret");
    free(data);
    assert_int_equal(symlink(at("elsewhere"), at("trap")), 0);
    assert_int_equal(file_create_secret(at("trap"), "x", 1), ERR_EXISTS);
    assert_int_equal(access(at("elsewhere"), F_OK), -1);
}

static void open_secrets_are_refused(void **state)
{
    static const mode_t modes[] = {0640, 0620, 0604, 0602, 0610, 0601, 0666};
    char *data = NULL;

    assert_int_equal(file_create_secret(at("key"), "secret", 6), ERR_OK);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(at("key"), modes[i]), 0);
        assert_int_equal(file_read_secret(at("key"), 100, &data, NULL), ERR_REFUSED);
        assert_null(data);
    }
    assert_int_equal(chmod(at("key"), 0400), 0);
    assert_int_equal(file_read_secret(at("key"), 100, &data, NULL), ERR_OK);
    free(data);
    if (geteuid() == 0) {
        assert_int_equal(chown(at("key"), 12345, 0), 0);
        assert_int_equal(file_read_secret(at("key"), 100, &data, NULL), ERR_REFUSED);
    }
    assert_non_null(strstr(file_error_text(ERR_REFUSED), "0600"));
}

static void directories_are_made_with_their_parents(void **state)
{
    assert_int_equal(file_make_directory(at("a/b//c/"), 0700), ERR_OK);
    assert_int_equal(mode_of(at("a")), 0755);
    assert_int_equal(mode_of(at("a/b/c")), 0700);
    assert_int_equal(chmod(at("a/b/c"), 0750), 0);
    assert_int_equal(file_make_directory(at("a/b/c"), 0700), ERR_OK);
    assert_int_equal(mode_of(at("a/b/c")), 0750);
    assert_int_equal(file_write_atomic(at("a/file"), "", 0, 0600), ERR_OK);
    assert_int_equal(file_make_directory(at("a/file"), 0700), ERR_INVALID);
    assert_int_equal(file_make_directory("", 0700), ERR_INVALID);
    assert_int_equal(file_make_parent(at("x/y/socket"), 0710), ERR_OK);
    assert_int_equal(mode_of(at("x/y")), 0710);
    assert_int_equal(access(at("x/y/socket"), F_OK), -1);
    assert_int_equal(file_make_parent("relative", 0700), ERR_OK);
    assert_int_equal(file_make_parent("/top", 0700), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_back_what_was_written, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_file, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(atomic_write_replaces_a_link_and_cleans_up, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(inside_is_written_where_it_was_marked, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(secrets_are_created_once, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(open_secrets_are_refused, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(directories_are_made_with_their_parents, make_directory,
                                        remove_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
