/* For tests of the connector as a whole: a connector in a child process on loopback, and hosts that
 * log in to it with the real IKE engine over TCP. Everything waits on conditions, none on time
 * alone. */
#ifndef TEST_CONNECTOR_FIXTURE_H
#define TEST_CONNECTOR_FIXTURE_H

#include <jansson.h>
#include <sys/types.h>

#include "connector/config.h"
#include "ike/table.h"
#include "ike/ticket.h"
#include "io/ike_stream.h"
#include "wire/notify.h"

#define ZONE         "z.example"
#define WAIT_US      ((uint64_t)20 * 1000000) /* then the test has failed */
#define NOTIFIES_MAX 8

struct fixture {
    char directory[64];
    struct connector_config config;
    unsigned files_max; /* open files that the system allows it; 0: as many as us */
    pid_t pid;          /* 0: not running */
};

/* A new directory with default settings; nothing runs yet. */
void fixture_init(struct fixture *fixture);
/* Starts the connector and waits until its control socket answers. */
void fixture_start(struct fixture *fixture);
/* Sends the signal and returns the exit status. */
int fixture_stop(struct fixture *fixture, int signal);
/* Stops what runs and removes the directory. */
void fixture_done(struct fixture *fixture);
/* A request to the control socket; returns the answer, which the caller drops. */
json_t *fixture_ask(const struct fixture *fixture, json_t *request);
/* host-add; asserts that it went well. */
void fixture_add_host(const struct fixture *fixture, const char *name, const struct identity *key,
                      const char *mac);
/* Is there an A record of the name? By DNS over UDP. */
bool fixture_has_record(const struct fixture *fixture, const char *name);
/* Waits until fixture_has_record is `wanted`; fails the test otherwise. */
void fixture_wait_record(const struct fixture *fixture, const char *name, bool wanted);
long fixture_rss_kib(const struct fixture *fixture);

/* One host's connection. */
struct client {
    int fd;
    struct ike_profile *profile;
    struct ike_table *table;
    struct ike_sa *sa;
    struct ike_stream stream;
    bool is_up;
    bool is_resumed;                   /* … by a ticket */
    struct ike_resumption *resumption; /* the ticket that it got; the client's */
    bool is_closed;                    /* by an IKE event */
    bool is_eof;
    enum ike_reason reason;
    struct notify_name names[NOTIFIES_MAX];
    size_t name_count;
    struct notify_call call;
    size_t call_count;
    struct notify_answer answer;
    size_t answer_count;
    struct notify_key key;
    size_t key_count;
};

/* TCP and IKE_SA_INIT are begun. expected: the connector's key, or NULL. */
void client_open(struct client *client, const struct fixture *fixture,
                 const struct identity *identity, const struct public_key *expected);
/* … by a ticket, which it borrows for the call. */
void client_resume(struct client *client, const struct fixture *fixture,
                   const struct identity *identity, const struct ike_resumption *resumption);
/* … over a connection that is there, whatever leads through it. Takes fd. */
void client_open_on(struct client *client, const struct fixture *fixture, int fd,
                    const struct identity *identity, const struct public_key *expected);
void client_done(struct client *client);
/* Sends and hears what is there, waiting at most wait_ms for the network. */
void client_step(struct client *client, int wait_ms);
/* Steps until *flag; fails the test after WAIT_US. */
void client_wait_flag(struct client *client, const bool *flag);
void client_wait_count(struct client *client, const size_t *count, size_t wanted);
void client_login(struct client *client, const struct notify_login *login);
/* Opens, authenticates, logs in and waits for NAME. */
void client_log_in(struct client *client, const struct fixture *fixture,
                   const struct identity *identity, const char *name, bool is_guest);
void client_send(struct client *client, uint16_t type, const struct writer *w);

#endif
