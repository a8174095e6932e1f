/* Two hosts in a simulated network that punch holes towards each other, as a caller and a called
 * host do after CALL and ANSWER. */
#ifndef TEST_PATH_CALL_H
#define TEST_PATH_CALL_H

#include "path/punch_table.h"
#include "sim.h"

struct party {
    struct sim *sim;
    struct sim_host *host;
    struct punch_table *table;
    struct punch *punch;
    struct credentials credentials;
    struct candidate_list candidates;
    struct prefix subnet;
    bool is_controlling;
    struct punch_event nominated, failed; /* type 0 where it didn't happen: see has_… */
    bool has_nominated, has_failed, has_ended;
    uint64_t nominated_us;
    size_t data_received; /* what is no STUN */
    struct endpoint data_from;
    uint8_t last_check[SIM_DATA_CAP]; /* sent, for replays */
    size_t last_check_len;
    bool keeps_nomination; /* last_check is one with USE-CANDIDATE */
    bool is_observed;      /* the connector sees it at its reflexive address */
    bool may_try_birthday;
    unsigned sockets_max; /* that it can open for a fan */
    unsigned sockets;     /* opened */
    unsigned depth;       /* NATs that openers pass; 0: they never leave the host */
};

struct call {
    struct sim sim;
    struct party caller, called;
    uint64_t start_us;
    uint64_t answer_us; /* from the called host's start to the caller's set_remote */
};

/* Adds the two hosts; NATs are the test's. subnet e.g. "192.168.1.0/24". */
void call_init(struct call *call, uint64_t seed);
void call_place(struct party *party, unsigned realm, const char *endpoint, const char *subnet);
/* Gathers candidates and begins; the caller learns of the other after answer_us. */
void call_start(struct call *call);
/* Runs until both have nominated or failed, or for limit_us. */
void call_run(struct call *call, uint64_t limit_us);
/* Drains what a party wants to send, and its events. */
void call_drain(struct party *party);
/* Sends data both ways over the nominated endpoints and checks that it arrives from there. */
void call_check_data(struct call *call);
void call_done(struct call *call);

#endif
