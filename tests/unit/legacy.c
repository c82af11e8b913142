/* SPDX-License-Identifier: MIT */
/* Code that knows libfiu alone, as it was before there was a simulator: for test_plan.c. */
#define FIU_ENABLE 1
#include <fiu.h>

int legacy_store(int value);
int legacy_store(int value)
{
    fiu_return_on("app/legacy/store", -1);
    return value;
}
