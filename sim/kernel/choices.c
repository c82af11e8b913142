/* SPDX-License-Identifier: MIT */
/*
 * Answers: where the number for a choice comes from.
 *
 *     strict    the next line of a script, which must have the same key and bound
 *     guided    an override with this key, if there is one
 *     strategy  calm: 0 · random: a hash of (seed, key), scaled to the bound
 *
 * Draws are keyed, not streamed: nothing but the key and the seed enters, so a choice that is
 * added elsewhere leaves all others as they were. The one exception is `next` under the random
 * walk, which hashes how often it was asked: an exactly uniform walk has to.
 *
 * Scaling is the high half of a 64 by 32 bit product (Lemire 2019, "Fast random integer
 * generation in an interval"); its bias, bound / 2^64, cannot be measured.
 */
#include <sim/kernel/world.h>
#include <stdlib.h>
#include <string.h>

static uint32_t scale(uint64_t hash, uint64_t bound)
{
    return (uint32_t)((unsigned __int128)hash * bound >> 64);
}

static uint64_t key_of(const struct tdw_choice *choice)
{
    return tdw__mix2(choice->actor ^ (uint64_t)choice->kind << 56,
                     choice->point + choice->ordinal * TDW_K1);
}

uint64_t tdw__item_key(const struct tdw_op *op)
{
    const uint8_t opcode = op->sqe.opcode;
    /* Shots of one op, and the kernel's own work, have ordinals that others may have too. */
    const uint64_t apart = opcode == TDW_OP_SHOT     ? op->sqe.off << 40
                           : opcode >= TDW_OP_PACKET ? (uint64_t)opcode << 56
                                                     : 0;

    return tdw__mix(op->task->actor, apart | (uint64_t)op->ordinal << 8 | op->state);
}

/* ── Guided ────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_answer *lookup(const struct tdw_choices *choices, uint64_t key)
{
    uint32_t at = (uint32_t)key & (choices->table_max - 1);

    for (; choices->table[at]; at = (at + 1) & (choices->table_max - 1))
        if (choices->answers[choices->table[at] - 1].key == key)
            return &choices->answers[choices->table[at] - 1];
    return NULL;
}

void tdw_world_guide(struct tdw_world *world, const struct tdw_answer *answers, size_t count)
{
    struct tdw_choices *choices = &world->choices;

    free(choices->table);
    *choices = (struct tdw_choices){.answers = answers, .count = count, .diverged = SIZE_MAX};
    if (count == 0)
        return;
    choices->table_max = 16;
    while (choices->table_max < count * 2)
        choices->table_max *= 2;
    choices->table = calloc(choices->table_max, sizeof *choices->table);
    if (!choices->table)
        abort();
    for (size_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)answers[i].key & (choices->table_max - 1);

        while (choices->table[at])
            at = (at + 1) & (choices->table_max - 1);
        choices->table[at] = (uint32_t)i + 1;
    }
}

size_t tdw_world_unused_answers(const struct tdw_world *world)
{
    return world->choices.count - world->choices.used;
}

/* ── Strict ────────────────────────────────────────────────────────────────────────────────── */

void tdw_world_replay(struct tdw_world *world, const struct tdw_answer *answers, size_t count)
{
    free(world->choices.table);
    world->choices =
        (struct tdw_choices){.script = answers, .script_count = count, .diverged = SIZE_MAX};
}

size_t tdw_world_diverged(const struct tdw_world *world)
{
    const struct tdw_choices *choices = &world->choices;

    if (choices->diverged == SIZE_MAX && choices->script &&
        choices->script_at < choices->script_count)
        return choices->script_at; /* the run ended before the script did */
    return choices->diverged;
}

/* The script's answer; NULL, and the run stops, where it does not fit. */
static const struct tdw_answer *next_line(struct tdw_world *world, uint8_t kind, uint64_t key,
                                          uint32_t bound)
{
    struct tdw_choices *choices = &world->choices;
    const struct tdw_answer *line = &choices->script[choices->script_at];

    if (choices->diverged != SIZE_MAX)
        return NULL;
    if (choices->script_at == choices->script_count || line->kind != kind || line->key != key ||
        line->bound != bound) {
        choices->diverged = choices->script_at;
        world->loop.stop = true;
        return NULL;
    }
    choices->script_at++;
    return line;
}

void tdw__choices_reset(struct tdw_choices *choices)
{
    free(choices->table);
    *choices = (struct tdw_choices){.diverged = SIZE_MAX};
}

/* ── Asking ────────────────────────────────────────────────────────────────────────────────── */

static void show(struct tdw_world *world, uint8_t kind, uint64_t key, uint32_t bound,
                 uint64_t value)
{
    tdw__event(&world->loop, (struct tdw_event){
                                 .kind = TDW_E_CHOICE,
                                 .opcode = kind,
                                 .off = bound,
                                 .len = value,
                                 .data = key,
                             });
}

/* The answer for a number, where it is not the strategy's. */
static uint32_t explicit_value(struct tdw_world *world, const struct tdw_choice *choice,
                               uint64_t key, uint32_t drawn)
{
    struct tdw_choices *choices = &world->choices;
    const struct tdw_answer *answer = NULL;

    if (choices->script) {
        answer = next_line(world, choice->kind, key, choice->bound);
        drawn = 0;
    } else if (choices->count) {
        answer = lookup(choices, key);
    }
    if (answer && answer->value < choice->bound) {
        choices->used++;
        drawn = (uint32_t)answer->value;
    }
    show(world, choice->kind, key, choice->bound, drawn);
    return drawn;
}

uint32_t tdw__sim_choose(struct tdw_loop *loop, const struct tdw_choice *choice)
{
    struct tdw_world *world = tdw__world(loop);
    const uint64_t key = key_of(choice);
    uint32_t value = 0;

    if (world->options.strategy == TDW_RANDOM)
        value = scale(tdw__mix2(key ^ world->seed_key, key + TDW_K3), choice->bound);
    if (TDW_UNLIKELY(tdw__choices_explicit(world)))
        return explicit_value(world, choice, key, value);
    return value;
}

struct tdw_op *tdw__choose_next(const struct tdw_candidates *c)
{
    struct tdw_world *world = c->world;
    struct tdw_choices *choices = &world->choices;
    const struct tdw_answer *answer = NULL;
    struct tdw_op *op = c->calm;
    uint64_t key;

    if (world->options.strategy == TDW_RANDOM && !choices->script)
        op = c->pick(world, scale(tdw__mix(world->seed_key, ++choices->asked), c->weight));
    if (TDW_LIKELY(!tdw__choices_explicit(world)))
        return op;

    key = tdw__mix(tdw__item_key(c->calm), c->calm->passed);
    if (choices->script)
        answer = next_line(world, TDW_CHOOSE_NEXT, key, c->count);
    else if (choices->count)
        answer = lookup(choices, key);
    if (answer) {
        struct tdw_op *found = c->find(world, answer->value);

        if (found) {
            op = found;
            choices->used++;
        } else if (choices->script && choices->diverged == SIZE_MAX) {
            choices->diverged = choices->script_at - 1;
            world->loop.stop = true;
        }
    }
    show(world, TDW_CHOOSE_NEXT, key, c->count, tdw__item_key(op));
    if (op != c->calm)
        c->calm->passed++;
    return op;
}
