/* SPDX-License-Identifier: MIT */
/*
 * Promises: what a program has acknowledged must be there after a power cut.
 *
 *     tdw_attempted(key, value);      before it is sent to be stored
 *     tdw_acked(key, value);          the answer has come: from now on it must not be lost
 *     tdw_found(key, value);          after a crash: what is there. Wrong: the run fails.
 *
 * The ledger of promises belongs to the run, not to a host: a crash does not touch it. A value is
 * good to be found if it was attempted and no later attempt has been acknowledged: v is bad if some
 * w was acknowledged whose attempt began after v was acknowledged. A value that was attempted and
 * not acknowledged may be there or not. 0 stands for "not there", which is what every key begins
 * with.
 *
 * What is lost only if the power goes at one certain moment is found at once by `--crash every`:
 *
 *     static void recover(void *unused) { … open, repair, for each key tdw_found(key, value); }
 *     tdw_survives(server, recover, NULL);
 *
 * Then, whenever something happened to the host's disk that a power cut could show, and at each
 * acknowledgement, what a cut would leave is booted in a world of its own, where recover(arg) is
 * the host's main; the run goes on as if nothing had been. Keys that it does not name are not
 * there.
 */
#ifndef TIDEWHEEL_PROMISE_H
#define TIDEWHEEL_PROMISE_H

#include <tidewheel/ring.h>

struct tdw_host;

void tdw_attempted(uint64_t key, uint64_t value);
void tdw_acked(uint64_t key, uint64_t value);

#define tdw_found(key, value) tdw__found(TDW_SITE("found"), (key), (value))
void tdw__found(const struct tdw_site *site, uint64_t key, uint64_t value);

/* Of one host in a run, since a promise does not say whose it is; of a second one is a finding.
 * Without `--crash every`, and on real backends, this does nothing. */
void tdw_survives(struct tdw_host *host, void (*recover)(void *arg), void *arg);

#endif
