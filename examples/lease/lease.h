/* SPDX-License-Identifier: MIT */
/*
 * A leader's lease over three hosts whose clocks drift: what its three versions share.
 *
 *     candidate ── ask ──▶ voters (the others, and itself)     over UDP
 *         ▲────── granted ──┘
 *
 * A voter that grants promises not to grant to anybody else for LEASE_NS on its own clock. A
 * candidate with two votes of three leads until its own clock has gone LEASE_NS, less a margin, on
 * from when it *asked*. Clocks run up to DRIFT_PPB fast or slow, so a voter may think that LEASE_NS
 * have passed when the leader does not yet: the margin covers that. A leader looks at its clock
 * before each thing that it does, since it may have been paused.
 *
 * The promise: no two hosts believe at once that they lead. EXAMPLE_BUG leaves out the margin.
 */
#ifndef LEASE_H
#define LEASE_H

#include "../left.h"
#include <arpa/inet.h>
#include <string.h>
#include <tidewheel/scenario.h>
#include <tidewheel/sys.h>
#include <time.h>

#define MS ((uint64_t)1000000)
enum { HOSTS = 3, MAJORITY = 2, PORT = 4000, ROUNDS = 6, ACTS = 12, DRIFT_PPB = 50000000 };
#define LEASE_NS (1000 * MS)
#define PATIENCE_NS (50 * MS)
#define ACT_NS (100 * MS)
#ifdef EXAMPLE_BUG
#define MARGIN_NS 0
#else
#define MARGIN_NS (2 * LEASE_NS * DRIFT_PPB / 1000000000 + 1)
#endif

struct message {
    uint32_t candidate, round;
};

/* One host: as voter and as candidate. All times are its own clock's. */
struct member {
    struct tdw_host *host;
    struct sockaddr_in address;
    uint32_t granted_to;
    uint64_t promised_until, leads_until;
};

struct scene {
    struct member members[HOSTS];
    struct tdw_wg running;
};
extern struct scene scene; /* of the run in progress: set up anew by each */

/* Three hosts with this main function, whose argument is the member's number; their clocks drift.
 */
void scene_init(void (*host_main)(void *));
/* Now and then a host is paused: how long to wait until that, and for; which one. */
uint64_t lease_pause_ns(void);
struct tdw_host *lease_pause_whom(void);

/* A UDP socket of a voter (bound to PORT) or of a candidate. */
int lease_socket(bool voter);
uint64_t lease_now(void);     /* the running host's clock */
uint64_t lease_rest_ns(void); /* before the next round */

/* A host has booted: it leads nobody, and what it promised before it does not know any more. So it
 * grants nothing for as long as a promise may last. */
void lease_booted(uint32_t who);
/* May voter `who` grant to the candidate? Then it has promised. */
bool lease_grant(uint32_t who, uint32_t candidate);
/* Candidate `who` has its majority, for what it asked at `asked`. */
void lease_lead(uint32_t who, uint64_t asked);
/* Does it lead at present? If so it does something, which nobody else may at the same time. */
bool lease_act(uint32_t who);

void lease_callback(void *unused), lease_stackful(void *unused);
struct lease_test {
    struct tdw_frame frame;
    int n;
    struct tdw_host *paused;
};
enum tdw_step_result lease_stackless(struct tdw_frame *tdw_frame);

#endif
