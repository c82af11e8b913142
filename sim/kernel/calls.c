/* SPDX-License-Identifier: MIT */
/*
 * The simulated kernel's table of plain calls: which function answers which, and nothing else.
 */
#include <sim/kernel/kernel.h>

#define ROW(result, name, parameters, arguments) .name = tdw__sim_##name,
#define ROW_VOID(name, parameters, arguments) .name = tdw__sim_##name,
const struct tdw_calls tdw__sim_calls = {
    TDW_CALLS_TABLE(ROW, ROW_VOID).sys_fcntl = tdw__sim_sys_fcntl,
};
