/* SPDX-License-Identifier: MIT */
/*
 * Code that is instrumented with libfiu alone, under a plan: tasks transfer money through a library
 * that has never heard of tidewheel, and no money may come or go.
 *
 *     libfiu-user -n 100                                             passes
 *     libfiu-user -n 100 --set rules.0.point=app/ledger/post --set rules.0.p=1%   fails, replays
 */
#include "ledger.h"
#include <string.h>
#include <tidewheel/scenario.h>

enum { TASKS = 3, TRANSFERS = 10 };

static struct ledger ledger;

static void transfer(int amount)
{
    ledger_transfer(&ledger, amount % LEDGER_ACCOUNTS, (amount + 1) % LEDGER_ACCOUNTS, amount);
    tdw_check(ledger_sum(&ledger) == 0, "the ledger's sum is %d", ledger_sum(&ledger));
}

static void transfers_stackful(void *unused)
{
    (void)unused;
    for (int i = 1; i <= TRANSFERS; i++) {
        transfer(i);
        tdw_yield();
    }
}

static void ledger_stackful(void *unused)
{
    (void)unused;
    memset(&ledger, 0, sizeof ledger);
    for (int i = 0; i < TASKS; i++)
        tdw_spawn_stackful("transfers", transfers_stackful, NULL);
}

struct transfers {
    struct tdw_frame frame;
    int i, n;
};

TDW_CO(transfers_stackless)
{
    TDW_BEGIN(struct transfers, me);
    for (me->i = 1; me->i <= TRANSFERS; me->i++) {
        transfer(me->i);
        TDW_AWAIT(me->n, yield);
    }
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO(ledger_stackless)
{
    TDW_BEGIN(struct transfers, me);
    memset(&ledger, 0, sizeof ledger);
    for (me->i = 0; me->i < TASKS; me->i++)
        TDW_SPAWN("transfers", transfers_stackless, struct transfers);
    TDW_RETURN(0);
    TDW_END;
}

TDW_SCENARIO(ledger, .doc = "no money comes or goes",
             .stackless = TDW_FRAME(ledger_stackless, struct transfers),
             .stackful = ledger_stackful);

int main(int argc, char **argv)
{
    return tdw_main(argc, argv);
}
