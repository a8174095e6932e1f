/* Code that has been let go of comes back when it is run; what a process has written itself stays.
 */
#include "testnet.h"

#include "io/library_pages.h"
#include "io/privileges.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN 65536

/* A file of LEN bytes of 'f', mapped with these permissions. */
static uint8_t *map_file(int protection)
{
    static uint8_t bytes[LEN];
    FILE *file = tmpfile();
    assert_non_null(file);
    memset(bytes, 'f', sizeof(bytes));
    assert_int_equal(fwrite(bytes, 1, sizeof(bytes), file), sizeof(bytes));
    assert_int_equal(fflush(file), 0);
    uint8_t *map = mmap(NULL, LEN, protection, MAP_PRIVATE, fileno(file), 0);
    assert_true(map != MAP_FAILED);
    fclose(file);
    return map;
}

/* Pages in memory that are mapped here: what mincore(2) tells of a file is the system's cache. */
static unsigned count_mapped(const uint8_t *map)
{
    unsigned mapped = 0;
    uint64_t entries[16] = {0};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    FILE *pagemap = fopen("/proc/self/pagemap", "re");
    assert_non_null(pagemap);
    assert_true(LEN / page <= 16);
    assert_int_equal(fseek(pagemap, (long)((uintptr_t)map / page * 8), SEEK_SET), 0);
    assert_int_equal(fread(entries, 8, LEN / page, pagemap), LEN / page);
    for (size_t i = 0; i < LEN / page; i++)
        mapped += entries[i] >> 63 != 0;
    fclose(pagemap);
    return mapped;
}

static unsigned sum_of(const uint8_t *map)
{
    unsigned sum = 0;
    for (size_t i = 0; i < LEN; i++)
        sum += map[i] == 'f';
    return sum;
}

static void test_clean_pages_go(void **state)
{
    uint8_t *map = map_file(PROT_READ);
    assert_int_equal(sum_of(map), LEN);
    assert_true(count_mapped(map) > 0);
    assert_true(library_pages_release() >= LEN);
    assert_int_equal(count_mapped(map), 0);
    assert_int_equal(sum_of(map), LEN);
    munmap(map, LEN);
}

/* As a relocated library's pages, or code with a breakpoint in it. */
static void test_own_pages_stay(void **state)
{
    uint8_t *written = map_file(PROT_READ | PROT_WRITE), *sealed = map_file(PROT_READ | PROT_WRITE);
    uint8_t *anonymous =
        mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(anonymous != MAP_FAILED);
    written[5000] = sealed[5000] = anonymous[5000] = 'x';
    assert_int_equal(mprotect(sealed, LEN, PROT_READ), 0);
    assert_int_equal(mprotect(anonymous, LEN, PROT_READ), 0);
    (void)library_pages_release();
    assert_int_equal(written[5000], 'x');
    assert_int_equal(sealed[5000], 'x');
    assert_int_equal(anonymous[5000], 'x');
    munmap(written, LEN);
    munmap(sealed, LEN);
    munmap(anonymous, LEN);
}

/* In a child: there is no way back from what protects memory. */
static void test_locked_pages_go(void **state)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!privileges_protect_memory())
            _exit(2);
        uint8_t *map = map_file(PROT_READ);
        const unsigned sum = sum_of(map);
        const size_t released = library_pages_release();
        _exit(sum == LEN && released >= LEN && sum_of(map) == LEN ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clean_pages_go),
                                       cmocka_unit_test(test_own_pages_stay),
                                       cmocka_unit_test(test_locked_pages_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
