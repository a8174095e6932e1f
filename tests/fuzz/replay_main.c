/* Replays the seeds of a fuzzer in the ordinary tests, where there is no fuzzing engine: each file
 * as it is, cut at every length, and with each bit flipped. Every input lies in memory of exactly
 * its size, so that sanitizers see a read past its end. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEED_CAP (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_variants(uint8_t *data, size_t len)
{
    for (size_t cut = 0; cut < len; cut++)
        run(data, cut);
    for (size_t bit = 0; bit < len * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        run(data, len);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static int replay_file(const char *path, int is_plain)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = malloc(SEED_CAP);
    if (in == NULL || data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        if (in != NULL)
            fclose(in);
        return -1;
    }
    const size_t len = fread(data, 1, SEED_CAP, in);
    fclose(in);
    run(data, len);
    if (!is_plain)
        run_variants(data, len);
    free(data);
    return 0;
}

static int replay_folder(const char *folder, int is_plain)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        fprintf(stderr, "%s: no such folder of seeds\n", folder);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
            continue;
        if (replay_file(path, is_plain) != 0) {
            closedir(dir);
            return -1;
        }
        count++;
    }
    closedir(dir);
    return count;
}

/* usage: fuzz_NAME [--plain] FOLDER…; --plain leaves the variants out, for fuzzers that are slow.
 */
int main(int argc, char **argv)
{
    int is_plain = 0;
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--plain") == 0) {
            is_plain = 1;
            continue;
        }
        const int got = replay_folder(argv[i], is_plain);
        if (got < 0)
            return 1;
        count += got;
    }
    if (count == 0) {
        fprintf(stderr, "no seeds\n");
        return 1;
    }
    printf("%d seeds replayed\n", count);
    return 0;
}
