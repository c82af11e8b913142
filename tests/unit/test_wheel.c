/* SPDX-License-Identifier: MIT */
/*
 * The timing wheel against a sorted array, and the two things that wheels get wrong.
 */
#include "tests.h"
#include <sim/kernel/wheel.h>
#include <stdlib.h>

static struct tdw_op ops[4096];

static void a_pop_with_a_limit_does_not_move_past_it(void **state)
{
    static struct tdw_wheel wheel;
    uint64_t due = 0;

    (void)state;
    tdw__wheel_init(&wheel);
    tdw__wheel_add(&wheel, 5000, &ops[0]);
    tdw__wheel_add(&wheel, 5001, &ops[1]);
    assert_null(tdw__wheel_pop(&wheel, 50, &due));
    assert_true(wheel.time_ns <= 50);
    tdw__wheel_add(&wheel, 100, &ops[2]);
    assert_ptr_equal(tdw__wheel_pop(&wheel, UINT64_MAX, &due), &ops[2]);
    assert_int_equal(due, 100);
    assert_ptr_equal(tdw__wheel_pop(&wheel, UINT64_MAX, &due), &ops[0]);
    assert_ptr_equal(tdw__wheel_pop(&wheel, UINT64_MAX, &due), &ops[1]);
    assert_null(tdw__wheel_pop(&wheel, UINT64_MAX, &due));
    tdw__wheel_fini(&wheel);
}

static void equal_due_times_leave_in_the_order_of_insertion(void **state)
{
    static struct tdw_wheel wheel;
    uint64_t due;

    (void)state;
    tdw__wheel_init(&wheel);
    for (int i = 0; i < 100; i++)
        tdw__wheel_add(&wheel, 1ull << 40, &ops[i]);
    for (int i = 0; i < 100; i++)
        assert_ptr_equal(tdw__wheel_pop(&wheel, UINT64_MAX, &due), &ops[i]);
    tdw__wheel_fini(&wheel);
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

struct model {
    uint64_t due, order;
    const struct tdw_op *op;
};

/* The least entry by (due, order), or -1. */
static int least(const struct model *model, int count)
{
    int best = -1;

    for (int i = 0; i < count; i++)
        if (best < 0 || model[i].due < model[best].due ||
            (model[i].due == model[best].due && model[i].order < model[best].order))
            best = i;
    return best;
}

static void random_programs_pop_as_a_sorted_array_does(void **state)
{
    static struct tdw_wheel wheel;
    static struct model model[512];

    (void)state;
    tdw__wheel_init(&wheel);
    for (uint64_t round = 1; round <= 300; round++) {
        uint64_t seed = round, now = 0, order = 0;
        int count = 0;

        for (int step = 0; step < 400; step++) {
            const uint64_t what = next(&seed) % 8;

            if (what < 4 && count < 512) {
                const uint64_t far = 1ull << (next(&seed) % 40);
                struct tdw_op *op = &ops[order % 4096];

                model[count++] = (struct model){now + next(&seed) % far, order++, op};
                tdw__wheel_add(&wheel, model[count - 1].due, op);
            } else if (what == 4 && count > 0) {
                const int which = (int)(next(&seed) % (uint64_t)count);

                tdw__wheel_remove(&wheel, model[which].due, model[which].op);
                model[which] = model[--count];
            } else {
                const uint64_t limit = now + next(&seed) % (1ull << (next(&seed) % 40));
                const int which = least(model, count);
                uint64_t due;
                const struct tdw_op *op = tdw__wheel_pop(&wheel, limit, &due);

                if (which < 0 || model[which].due > limit) {
                    assert_null(op);
                    now = limit;
                } else {
                    assert_ptr_equal(op, model[which].op);
                    assert_int_equal(due, model[which].due);
                    now = due;
                    model[which] = model[--count];
                }
            }
            assert_int_equal(wheel.count, count);
        }
        tdw__wheel_reset(&wheel);
    }
    tdw__wheel_fini(&wheel);
}

int tests_wheel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pop_with_a_limit_does_not_move_past_it),
        cmocka_unit_test(equal_due_times_leave_in_the_order_of_insertion),
        cmocka_unit_test(random_programs_pop_as_a_sorted_array_does),
    };

    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
