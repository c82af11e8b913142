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
    struct tdw_op *op;
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
                const uint64_t far = round % 4 ? 1ull << (next(&seed) % 40) : 1ull << 40;
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

/* In the order of their times, but what is removed, and given back, last first. */
static void removals_from_a_long_slot_leave_the_others(void **state)
{
    enum { MANY = 20000 };
    static struct tdw_wheel wheel;
    static struct tdw_op *many[MANY];
    const uint64_t far = 1ull << 40;
    uint64_t due;

    (void)state;
    tdw__wheel_init(&wheel);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            many[i] = calloc(1, sizeof *many[i]);
            many[i]->task = (void *)many[i]; /* its memory is fetched */
            tdw__wheel_add(&wheel, far + (uint64_t)i * 3, many[i]);
        }
        for (int i = MANY - 1; i >= 0; i--) {
            if (i % 3 == round)
                continue;
            tdw__wheel_remove(&wheel, far + (uint64_t)i * 3, many[i]);
            free(many[i]);
        }
        assert_int_equal(wheel.count, (MANY + 2 - round) / 3);
        assert_null(tdw__wheel_pop(&wheel, far - 1, &due));
        for (int i = round; i < MANY; i += 3) {
            assert_ptr_equal(tdw__wheel_pop(&wheel, UINT64_MAX, &due), many[i]);
            assert_int_equal(due, far + (uint64_t)i * 3);
            assert_false(tdw__wheel_tie(&wheel, due));
            free(many[i]);
        }
        assert_null(tdw__wheel_pop(&wheel, UINT64_MAX, &due));
        tdw__wheel_reset(&wheel);
    }
    tdw__wheel_fini(&wheel);
}

/* Each is removed and added again, as a deadline is; in between the wheel's time stays. */
static void removed_entries_do_not_pile_up(void **state)
{
    enum { OPS = 1000, TURNS = 200 };
    static struct tdw_wheel wheel;
    uint64_t due;

    (void)state;
    tdw__wheel_init(&wheel);
    for (int i = 0; i < OPS; i++)
        tdw__wheel_add(&wheel, 1ull << 40, &ops[i]);
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < OPS; i++) {
            tdw__wheel_remove(&wheel, 1ull << 40, &ops[i * 7 % OPS]);
            tdw__wheel_add(&wheel, 1ull << 40, &ops[i * 7 % OPS]);
        }
    assert_int_equal(wheel.count, OPS);
    assert_true(wheel.slabs_count <= 2); /* of 3,584 entries */
    for (int i = 0; i < OPS; i++)
        assert_non_null(tdw__wheel_pop(&wheel, UINT64_MAX, &due));
    assert_null(tdw__wheel_pop(&wheel, UINT64_MAX, &due));
    tdw__wheel_fini(&wheel);
}

int tests_wheel(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pop_with_a_limit_does_not_move_past_it),
        cmocka_unit_test(equal_due_times_leave_in_the_order_of_insertion),
        cmocka_unit_test(random_programs_pop_as_a_sorted_array_does),
        cmocka_unit_test(removals_from_a_long_slot_leave_the_others),
        cmocka_unit_test(removed_entries_do_not_pile_up),
    };

    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
