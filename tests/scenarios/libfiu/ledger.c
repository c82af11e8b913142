/* SPDX-License-Identifier: MIT */
/*
 * A ledger in memory, as a library that was written before there was a simulator: it knows libfiu,
 * and nothing of tidewheel. Built as a shared library of its own.
 *
 * Its mistake: when there is no room for the second half of a transfer, the first half stays.
 */
#define FIU_ENABLE 1
#include "ledger.h"
#include <fiu.h>

static int post(struct ledger *ledger, int account, int amount)
{
    fiu_return_on("app/ledger/post", -1); /* no room */
    ledger->balance[account] += amount;
    return 0;
}

int ledger_transfer(struct ledger *ledger, int from, int to, int amount)
{
    if (fiu_fail("app/ledger/begin"))
        return -1;
    if (post(ledger, from, -amount) < 0)
        return -1;
    return post(ledger, to, amount);
}

int ledger_sum(const struct ledger *ledger)
{
    int sum = 0;

    for (int i = 0; i < LEDGER_ACCOUNTS; i++)
        sum += ledger->balance[i];
    return sum;
}
