/* SPDX-License-Identifier: MIT */
/* The ledger's own header. Each returns 0, or -1: nothing is to have changed then. */
#ifndef LEDGER_H
#define LEDGER_H

enum { LEDGER_ACCOUNTS = 4 };

struct ledger {
    int balance[LEDGER_ACCOUNTS];
};

int ledger_transfer(struct ledger *ledger, int from, int to, int amount);
int ledger_sum(const struct ledger *ledger);

#endif
