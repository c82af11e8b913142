/* SPDX-License-Identifier: MIT */
/*
 * A plan at work on a loop: at each point, which rule fires, and what comes of it.
 *
 *     op starts ─ judge ─▶ rules whose point is one of the op's ─ match ─ active? ─ trigger ─▶
 * fires
 *     kernel   ─ hit   ─▶ the same, at a point inside of the simulated kernel
 *
 * When a plan has been read each opcode gets the list of (rule, kind of point) that may concern it,
 * so an op that no rule names costs one load. A rule that matches counts a *hit*; its trigger
 * decides whether it *fires*. Chance is a choice of kind fault, keyed by the actor, the rule's
 * point and the op's own number: 0, the calm answer, is no fault. `nth` and `every` count hits of
 * the run. The first rule that makes the op fail ends the list; short counts and delays add up.
 *
 * Whether a rule is live in a run at all (`enable`) is drawn before the first op: rules that are
 * rarely together find what all of them at once would hide (Groce et al. 2012, "Swarm testing").
 */
#include <faults/faults.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/world.h>

enum { DRAW_BOUND = 1u << 31, DELAY_STEPS = 1024, DELAY_MAX_MS = 100 };

_Atomic unsigned tdw__plans;

struct active { /* a rule in this run */
    bool live, marked;
    uint64_t hits, fires, last_ns;
};

struct tdw_faults {
    struct tdw_gate gate; /* the first member */
    struct tdw_tap tap;   /* sees marks, where a rule waits for one */
    const struct tdw_plan *plan;
    struct tdw_loop *loop;
    struct tdw_rule_count *counts;
    struct active *rules;
    struct tdw_shorts shorts;
    struct tdw_place **places;
    uint32_t places_count, places_max;
    bool begun, own_counts;
    uint64_t sweep[2];                /* the hits that exhaustive rules make fail; 0: none */
    const struct tdw_site *struck[2]; /* where these were; NULL: not yet */
    struct tdw_site inside[2];        /* … where no line of the program was */
    bool healed;                      /* nothing goes wrong any more … */
    char **healed_hosts;              /* … or not with hosts that match one of these */
    size_t healed_count;
    struct tdw_fate *fate;
};

/* ── Is a rule active, and for this op? ────────────────────────────────────────────────────── */

static bool is_active(const struct tdw_faults *f, size_t which, uint64_t now_ns)
{
    const struct tdw_rule *rule = &f->plan->rules[which];
    const struct active *active = &f->rules[which];

    return active->live && !f->healed && now_ns >= rule->from_ns && now_ns < rule->end_ns &&
           (!rule->after || active->marked) &&
           (rule->during < 0 || is_active(f, (size_t)rule->during, now_ns));
}

enum { HOST_NAME = 160 };

/* Of "host/process#0". */
static const char *host_of(const struct tdw_ring *ring, char to[HOST_NAME])
{
    const char *slash = strchr(ring->path, '/');

    snprintf(to, HOST_NAME, "%.*s", slash ? (int)(slash - ring->path) : HOST_NAME - 1, ring->path);
    return to;
}

static bool matches_ring(const struct tdw_rule *rule, const struct tdw_ring *ring)
{
    const char *slash;
    char host[HOST_NAME];

    if (!rule->match.host && !rule->match.process)
        return true;
    slash = strchr(ring->path, '/');
    if (rule->match.host && !tdw__glob(rule->match.host, host_of(ring, host)))
        return false;
    return !rule->match.process || (slash && tdw__glob(rule->match.process, slash + 1));
}

bool tdw__faults_healed(const struct tdw_faults *f, const char *host)
{
    bool healed = f->healed;

    for (size_t i = 0; host && i < f->healed_count; i++)
        healed |= tdw__glob(f->healed_hosts[i], host);
    return healed;
}

/* Does nothing go wrong with what the ring's process does? */
static bool is_spared(const struct tdw_faults *f, const struct tdw_ring *ring)
{
    char host[HOST_NAME];

    return f->healed_count > 0 && tdw__faults_healed(f, host_of(ring, host));
}

static bool matches_task(const struct tdw_rule *rule, const struct tdw_task *task)
{
    char path[256];

    if (!rule->match.task)
        return true;
    tdw_task_path(task, path, sizeof path);
    return tdw__glob(rule->match.task, path);
}

/* By the names in the entry. */
static bool names_path(const struct tdw_rule *rule, const struct tdw_op *op)
{
    const struct tdw_opcode *row = &tdw__opcodes[op->sqe.opcode];
    const char *first = (const char *)(uintptr_t)op->sqe.addr;
    const char *second = (const char *)(uintptr_t)op->sqe.off;

    return (row->addr == TDW_W_PATH && first && tdw__glob(rule->match.path, first)) ||
           (row->off == TDW_W_PATH && second && tdw__glob(rule->match.path, second));
}

/* By what the entry's descriptor leads to. Asked for last, since it costs the most. */
static bool matches_file(const struct tdw_rule *rule, const struct tdw_op *op)
{
    const bool by_entry = rule->match.path && names_path(rule, op);
    struct tdw_described about;

    if (!rule->match.fd && !rule->match.peer && (!rule->match.path || by_entry))
        return true;
    tdw_describe(op, &about);
    return (!rule->match.fd || (about.kind && tdw__glob(rule->match.fd, about.kind))) &&
           (!rule->match.peer || (about.peer[0] && tdw__glob(rule->match.peer, about.peer))) &&
           (!rule->match.path || by_entry ||
            (about.path[0] && tdw__glob(rule->match.path, about.path)));
}

static bool names_opcode(const struct tdw_rule *rule, uint8_t opcode)
{
    return rule->match.opcodes[opcode / 8] & 1 << opcode % 8;
}

static bool matches_size(const struct tdw_rule *rule, const struct tdw_op *op)
{
    const uint64_t bytes = tdw__bytes_asked(op);

    return tdw__point_is(op->sqe.opcode, TDW_POINT_SHORT) && bytes >= rule->match.size_min &&
           bytes <= rule->match.size_max;
}

static bool matches(const struct tdw_rule *rule, const struct tdw_op *op)
{
    const uint8_t opcode = op->sqe.opcode;

    if (rule->match.by_opcode && !names_opcode(rule, opcode))
        return false;
    if (rule->match.by_size && !matches_size(rule, op))
        return false;
    return matches_ring(rule, op->task->ring) && matches_task(rule, op->task) &&
           matches_file(rule, op);
}

/* ── Does it fire? ─────────────────────────────────────────────────────────────────────────── */

static uint32_t draw(const struct tdw_faults *f, uint64_t actor, uint64_t point, uint32_t ordinal,
                     uint32_t bound)
{
    return tdw__choose(f->loop, &(struct tdw_choice){.kind = TDW_CHOOSE_FAULT,
                                                     .ordinal = ordinal,
                                                     .bound = bound,
                                                     .actor = actor,
                                                     .point = point});
}

/* With a probability of `chance` / 2^32. */
static bool happens(const struct tdw_faults *f, uint64_t actor, uint64_t point, uint32_t ordinal,
                    uint64_t chance)
{
    const uint32_t of_bound = (uint32_t)(chance >> 1);

    if (of_bound == 0)
        return false;
    return of_bound >= DRAW_BOUND ||
           draw(f, actor, point, ordinal, DRAW_BOUND) >= DRAW_BOUND - of_bound;
}

static bool fires(struct tdw_faults *f, size_t which, uint64_t actor, uint64_t point,
                  uint32_t ordinal, uint64_t now_ns)
{
    const struct tdw_rule *rule = &f->plan->rules[which];
    struct active *active = &f->rules[which];
    bool yes = true;

    active->hits++;
    f->counts[which].hits++;
    if (active->fires >= rule->budget ||
        (active->fires > 0 && now_ns - active->last_ns < rule->cooldown_ns))
        return false;
    switch (rule->trigger) {
    case TDW_TRIGGER_ALWAYS:
        break;
    case TDW_TRIGGER_CHANCE:
        yes = happens(f, actor, point, ordinal, rule->chance);
        break;
    case TDW_TRIGGER_NTH:
        yes = active->hits == rule->n;
        break;
    case TDW_TRIGGER_SWEEP:
    case TDW_TRIGGER_PAIRS:
        yes = active->hits == f->sweep[0] || active->hits == f->sweep[1];
        break;
    case TDW_TRIGGER_EVERY:
        yes = active->hits % rule->n == 0;
        break;
    }
    if (!yes)
        return false;
    active->fires++;
    active->last_ns = now_ns;
    f->counts[which].fires++;
    return true;
}

/* Which rules are live in this run. */
static void begin(struct tdw_faults *f)
{
    f->begun = true;
    for (size_t i = 0; i < f->plan->rules_count; i++) {
        const struct tdw_rule *rule = &f->plan->rules[i];
        const uint64_t place = tdw__mix(TDW_K3, tdw__hash_text(rule->name));

        f->rules[i] = (struct active){.live = happens(f, TDW_K2, place, 0, rule->enable)};
        f->counts[i].live += f->rules[i].live;
    }
}

static uint64_t now_of(struct tdw_loop *loop)
{
    if (TDW_UNLIKELY(loop->late))
        loop->backend->clock(loop);
    return loop->now_ns;
}

/* ── Verdicts ──────────────────────────────────────────────────────────────────────────────── */

static int error_of(const struct tdw_faults *f, const struct tdw_rule *rule,
                    const struct tdw_concern *concern, const struct tdw_op *op)
{
    int errors[TDW_ERRORS_MAX];
    size_t count;

    if (concern->kind == TDW_POINT_CANCEL)
        return ECANCELED;
    if (rule->action.error)
        return rule->action.error;
    count = tdw__point_errors(op->sqe.opcode, errors);
    return errors[count < 2 ? 0
                            : draw(f, op->task->actor, concern->hash ^ TDW_K1, op->ordinal,
                                   (uint32_t)count)];
}

/* How many bytes a short op moves: 0 if there is no such thing as a part of it. */
static uint32_t bytes_of(const struct tdw_faults *f, const struct tdw_rule *rule,
                         const struct tdw_concern *concern, const struct tdw_op *op)
{
    const uint32_t len = (uint32_t)tdw__bytes_asked(op);

    if (len < 2 || (rule->action.bytes && rule->action.bytes >= len) || !tdw__has_parts(op))
        return 0;
    if (rule->action.bytes)
        return (uint32_t)rule->action.bytes;
    return len - 1 -
           (len == 2 ? 0 : draw(f, op->task->actor, concern->hash ^ TDW_K2, op->ordinal, len - 1));
}

static uint64_t delay_of(const struct tdw_faults *f, const struct tdw_rule *rule,
                         const struct tdw_concern *concern, const struct tdw_op *op)
{
    const uint64_t step = (uint64_t)DELAY_MAX_MS * 1000000 / DELAY_STEPS;

    if (rule->action.delay_ns)
        return rule->action.delay_ns;
    return step * (1 + draw(f, op->task->actor, concern->hash ^ TDW_K3, op->ordinal, DELAY_STEPS));
}

static void completed(struct tdw_gate *gate, struct tdw_op *op)
{
    tdw__restore(&((struct tdw_faults *)gate)->shorts, op);
}

/* An exhaustive rule has fired: at `site` or, where the program has none there (a packet, a tick),
 * at the point. A sweep goes on as long as something is struck, so it is noted either way. */
static void note_struck(struct tdw_faults *f, size_t which, const struct tdw_site *site,
                        const char *point)
{
    const enum tdw_trigger trigger = f->plan->rules[which].trigger;
    const unsigned at = f->rules[which].hits == f->sweep[1];

    if (trigger != TDW_TRIGGER_SWEEP && trigger != TDW_TRIGGER_PAIRS)
        return;
    f->inside[at] = (struct tdw_site){"(no line)", "", point, 0};
    f->struck[at] = site ? site : &f->inside[at];
}

static void apply(struct tdw_faults *f, const struct tdw_concern *concern, struct tdw_op *op,
                  struct tdw_verdict *verdict)
{
    const struct tdw_rule *rule = &f->plan->rules[concern->rule];
    uint32_t bytes;

    note_struck(f, concern->rule, op->site, concern->point);
    switch ((enum tdw_point_kind)concern->kind) {
    case TDW_POINT_ERROR:
    case TDW_POINT_CANCEL:
        verdict->error = -error_of(f, rule, concern, op);
        break;
    case TDW_POINT_SHORT:
        bytes = bytes_of(f, rule, concern, op);
        if (bytes == 0 || !tdw__shorten(&f->shorts, op, bytes))
            return;
        verdict->bytes = bytes;
        break;
    case TDW_POINT_DELAY:
        verdict->delay_ns += delay_of(f, rule, concern, op);
        break;
    case TDW_POINT_KINDS:
        return;
    }
    verdict->point = concern->point;
}

static struct tdw_verdict judge(struct tdw_gate *gate, struct tdw_op *op)
{
    struct tdw_faults *f = (struct tdw_faults *)gate;
    const uint32_t end = f->plan->first[op->sqe.opcode + 1];
    struct tdw_verdict verdict = {.error = 0};
    uint64_t now;

    if (TDW_UNLIKELY(!f->begun))
        begin(f);
    if (f->plan->first[op->sqe.opcode] == end || is_spared(f, op->task->ring))
        return verdict;
    now = now_of(f->loop);
    for (uint32_t i = f->plan->first[op->sqe.opcode]; i < end && !verdict.error; i++) {
        const struct tdw_concern *concern = &f->plan->concerns[i];

        if (is_active(f, concern->rule, now) && matches(&f->plan->rules[concern->rule], op) &&
            fires(f, concern->rule, op->task->actor, concern->hash, op->ordinal, now))
            apply(f, concern, op, &verdict);
    }
    return verdict;
}

/* ── Points of the kernel ──────────────────────────────────────────────────────────────────── */

/* Between two hosts that are healed nothing goes wrong; nor with one alone. */
static bool is_spared_hit(const struct tdw_faults *f, const struct tdw_hit *hit)
{
    return f->healed_count > 0 && tdw__faults_healed(f, hit->host) &&
           (!hit->peer || tdw__faults_healed(f, hit->peer));
}

/* A partition has no one peer: the rule's says who is on the other side. */
static bool matches_peer(const struct tdw_rule *rule, const struct tdw_hit *hit)
{
    if (!rule->match.peer || hit->point == TDW_AT_NET_PARTITION || hit->point == TDW_AT_NET_DEAF)
        return true;
    return hit->peer && tdw__glob(rule->match.peer, hit->peer);
}

static bool matches_hit(const struct tdw_rule *rule, const struct tdw_hit *hit)
{
    char path[PATH_MAX];

    if (rule->match.host && !tdw__glob(rule->match.host, hit->host))
        return false;
    if (!matches_peer(rule, hit))
        return false;
    if (rule->match.by_size &&
        (hit->bytes < rule->match.size_min || hit->bytes > rule->match.size_max))
        return false;
    if (rule->match.path &&
        (!hit->path || !tdw__glob(rule->match.path, hit->path(hit->file, path, sizeof path))))
        return false;
    if (rule->match.fd && (!hit->path || !tdw__glob(rule->match.fd, "file")))
        return false;
    if (!hit->op)
        return !rule->match.process && !rule->match.task && !rule->match.by_opcode;
    if (rule->match.by_opcode && !names_opcode(rule, hit->op->sqe.opcode))
        return false;
    return matches_ring(rule, hit->op->task->ring) && matches_task(rule, hit->op->task);
}

bool tdw__faults_hit(struct tdw_faults *f, const struct tdw_hit *hit, struct tdw_blow *blow)
{
    const uint32_t *first = &f->plan->first[256 + hit->point];
    const uint64_t now = now_of(f->loop);

    if (TDW_UNLIKELY(!f->begun))
        begin(f);
    if (is_spared_hit(f, hit))
        return false;
    for (uint32_t i = first[0]; i < first[1]; i++) {
        const struct tdw_concern *concern = &f->plan->concerns[i];
        const struct tdw_rule *rule = &f->plan->rules[concern->rule];

        if (!is_active(f, concern->rule, now) || !matches_hit(rule, hit) ||
            (rule->spare.group && !tdw__fate_may_hurt(f->fate, rule, hit->host)) ||
            !fires(f, concern->rule, hit->actor, concern->hash, hit->ordinal, now))
            continue;
        *blow = (struct tdw_blow){.error = rule->action.error,
                                  .delay_ns = rule->action.delay_ns,
                                  .down_ns = rule->action.down_ns,
                                  .step_ns = rule->action.step_ns,
                                  .ppm = rule->action.ppm,
                                  .times = (uint32_t)rule->action.times,
                                  .bandwidth = rule->action.bandwidth,
                                  .peers = rule->match.peer,
                                  .keep = rule->action.keep};
        note_struck(f, concern->rule, hit->op ? hit->op->site : NULL, concern->point);
        if (hit->bound > 1)
            blow->way = draw(f, hit->actor, concern->hash ^ TDW_K1, hit->ordinal, hit->bound);
        tdw__event(f->loop, (struct tdw_event){.kind = TDW_E_FAULT,
                                               .actor = hit->actor,
                                               .ordinal = hit->ordinal,
                                               .off = blow->way,
                                               .data = tdw__hash_text(concern->point),
                                               .name = concern->point});
        return true;
    }
    return false;
}

/* May the rule yet fire? */
static bool is_left(const struct tdw_faults *f, size_t which, uint64_t now_ns)
{
    const struct tdw_rule *rule = &f->plan->rules[which];
    const struct active *active = &f->rules[which];

    return active->live && active->fires < rule->budget && now_ns < rule->end_ns &&
           (rule->trigger != TDW_TRIGGER_NTH || active->hits < rule->n) &&
           (rule->trigger != TDW_TRIGGER_CHANCE || rule->chance > 0);
}

bool tdw__faults_ticks_left(struct tdw_faults *f)
{
    const uint32_t first = f->plan->first[256 + TDW_AT_TICKS], end = f->plan->first[TDW_PLACES];
    const uint64_t now = now_of(f->loop);
    bool left = false;

    if (TDW_UNLIKELY(!f->begun))
        begin(f);
    for (uint32_t i = first; i < end && !left; i++)
        left = is_left(f, f->plan->concerns[i].rule, now);
    return left;
}

static bool hit(struct tdw_gate *gate, const struct tdw_hit *hit, struct tdw_blow *blow)
{
    return tdw__faults_hit((struct tdw_faults *)gate, hit, blow);
}

struct tdw_faults *tdw__faults_here(void)
{
    struct tdw_gate *gate = tdw__self ? tdw__self->ring->loop->gate : NULL;

    return gate && gate->judge == judge ? (struct tdw_faults *)gate : NULL;
}

const struct tdw_plan *tdw__faults_plan(const struct tdw_faults *faults)
{
    return faults->plan;
}

struct tdw_fate *tdw__faults_fate(struct tdw_faults *faults)
{
    return faults->fate;
}

void tdw_heal(const char *hosts)
{
    struct tdw_faults *f = tdw__faults_here();
    char **more =
        f && hosts ? realloc(f->healed_hosts, (f->healed_count + 1) * sizeof *more) : NULL;
    char *copy = more ? strdup(hosts) : NULL;

    if (more)
        f->healed_hosts = more;
    if (copy) {
        f->healed_hosts[f->healed_count++] = copy;
    } else if (f) { /* all are; or there is no memory to say which */
        f->healed = true;
        f->gate.points = 0;
    }
    if (f)
        tdw__fate_heal(f->fate);
    tdw_schedule_fair();
}

static void host_made(struct tdw_gate *gate, struct tdw_host *host, const char *name)
{
    const struct tdw_faults *f = (const struct tdw_faults *)gate;

    tdw__fate_host(f->fate, host, name);
    tdw__machine_made(f->plan, f->fate, host, name);
}

/* ── Points of the program's own ───────────────────────────────────────────────────────────── */

/* A new one. Places stay where they are. */
static struct tdw_place *place_new(struct tdw_faults *f, const void *site, const char *name)
{
    struct tdw_place *place;

    if (f->places_count == f->places_max) {
        const uint32_t max = f->places_max ? f->places_max * 2 : 16;
        struct tdw_place **places = realloc(f->places, max * sizeof *places);

        if (!places)
            return NULL;
        f->places = places;
        f->places_max = max;
    }
    place = malloc(sizeof *place);
    if (!place)
        return NULL;
    *place = (struct tdw_place){
        .site = site, .name = tdw__intern(f->loop, name), .hash = tdw__hash_text(name)};
    for (size_t i = 0; i < f->plan->rules_count; i++)
        if (tdw__glob(f->plan->rules[i].point, name)) {
            place->rules[i / 64] |= (uint64_t)1 << i % 64;
            place->any = true;
        }
    f->places[f->places_count++] = place;
    return place;
}

/* Found by where it stands, which costs no look at the name. */
static struct tdw_place *place_at(struct tdw_faults *f, const void *site, const char *name)
{
    for (uint32_t i = 0; i < f->places_count; i++)
        if (f->places[i]->site == site)
            return f->places[i];
    return place_new(f, site, name);
}

/* Found by its name alone. */
static struct tdw_place *place_named(struct tdw_faults *f, const char *name)
{
    const uint64_t hash = tdw__hash_text(name);

    for (uint32_t i = 0; i < f->places_count; i++)
        if (!f->places[i]->site && f->places[i]->hash == hash &&
            strcmp(f->places[i]->name, name) == 0)
            return f->places[i];
    return place_new(f, NULL, name);
}

static bool is_about_files(const struct tdw_rule *rule)
{
    return rule->match.path || rule->match.fd || rule->match.peer;
}

/* `site` NULL: libfiu does not say where it is asked from. */
static bool fails(struct tdw_faults *f, const struct tdw_place *place, const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    const uint64_t now = now_of(f->loop);
    bool yes = false, counted = false;
    uint32_t ordinal = 0;

    if (is_spared(f, task->ring))
        return false;
    for (size_t i = 0; i < f->plan->rules_count && !yes; i++) {
        const struct tdw_rule *rule = &f->plan->rules[i];

        if (!(place->rules[i / 64] >> i % 64 & 1) || !is_active(f, i, now) ||
            is_about_files(rule) || rule->match.by_opcode || rule->match.by_size ||
            !matches_ring(rule, task->ring) || !matches_task(rule, task))
            continue;
        if (!counted)
            ordinal = tdw__count(f->loop, tdw__mix(task->actor ^ TDW_CHOOSE_FAULT, place->hash));
        counted = true;
        yes = fires(f, i, task->actor, tdw__mix(place->hash, tdw__hash_text(rule->name)), ordinal,
                    now);
        if (yes)
            note_struck(f, i, site, place->name);
    }
    if (yes)
        tdw__event(f->loop, (struct tdw_event){.kind = TDW_E_FAULT,
                                               .actor = task->actor,
                                               .ordinal = ordinal,
                                               .data = place->hash,
                                               .site = site,
                                               .name = place->name});
    return yes;
}

/* The plan at work on the running task's loop, if it has rules for points of programs. */
static struct tdw_faults *running(void)
{
    struct tdw_faults *f = tdw__faults_here();

    if (!f || !f->plan->of_programs)
        return NULL;
    if (!f->begun)
        begin(f);
    return f;
}

bool tdw__fault(const char *name, const struct tdw_site *site)
{
    struct tdw_faults *f = running();
    const struct tdw_place *place = f ? place_at(f, site, name) : NULL;

    return place && fails(f, place, site);
}

struct tdw_place *tdw__fault_place(const char *name)
{
    struct tdw_faults *f = running();

    return f ? place_named(f, name) : NULL;
}

bool tdw__fault_at(const struct tdw_place *place, const struct tdw_site *site)
{
    return fails(running(), place, site);
}

/* ── Marks ─────────────────────────────────────────────────────────────────────────────────── */

static void see_mark(struct tdw_tap *tap, const struct tdw_event *event)
{
    struct tdw_faults *f = tdw_of(tap, struct tdw_faults, tap);

    if (event->kind != TDW_E_MARK)
        return;
    if (!f->begun)
        begin(f);
    for (size_t i = 0; i < f->plan->rules_count; i++)
        if (f->plan->rules[i].after && tdw__hash_text(f->plan->rules[i].after) == event->data)
            f->rules[i].marked = true;
}

/* ── Applied and ended ─────────────────────────────────────────────────────────────────────── */

static int add_concern(struct tdw_plan *plan, uint32_t *count, uint32_t *max,
                       const struct tdw_concern *concern)
{
    if (*count == *max) {
        const uint32_t more = *max ? *max * 2 : 64;
        struct tdw_concern *concerns = realloc(plan->concerns, more * sizeof *concerns);

        if (!concerns)
            return -ENOMEM;
        plan->concerns = concerns;
        *max = more;
    }
    plan->concerns[(*count)++] = *concern;
    return 0;
}

/* The points of an opcode that rule `which` names. */
static int list_points(struct tdw_plan *plan, uint8_t opcode, size_t which, uint32_t *count,
                       uint32_t *max)
{
    const struct tdw_rule *rule = &plan->rules[which];
    int ret = 0;

    for (int kind = 0; kind < TDW_POINT_KINDS && ret == 0; kind++) {
        struct tdw_concern concern = {.rule = (uint16_t)which, .kind = (uint8_t)kind};

        if (!tdw__point_is(opcode, (enum tdw_point_kind)kind))
            continue;
        tdw__point_name(opcode, (enum tdw_point_kind)kind, concern.point);
        concern.hash = tdw__mix(tdw__hash_text(concern.point), tdw__hash_text(rule->name));
        if (tdw__glob(rule->point, concern.point))
            ret = add_concern(plan, count, max, &concern);
    }
    return ret;
}

/* The same for a point of the kernel. */
static int list_kernel_point(struct tdw_plan *plan, enum tdw_kernel_point point, size_t which,
                             uint32_t *count, uint32_t *max)
{
    const struct tdw_rule *rule = &plan->rules[which];
    struct tdw_concern concern = {.rule = (uint16_t)which};

    if (!tdw__glob(rule->point, tdw__kernel_point_name(point)))
        return 0;
    snprintf(concern.point, sizeof concern.point, "%s", tdw__kernel_point_name(point));
    concern.hash = tdw__mix(tdw__hash_text(concern.point), tdw__hash_text(rule->name));
    return add_concern(plan, count, max, &concern);
}

int tdw__plan_prepare(struct tdw_plan *plan)
{
    uint32_t count = 0, max = 0;

    for (int opcode = 0; opcode < 256; opcode++) {
        plan->first[opcode] = count;
        for (size_t i = 0; i < plan->rules_count; i++)
            if (list_points(plan, (uint8_t)opcode, i, &count, &max) < 0)
                return -ENOMEM;
    }
    for (int point = 0; point < TDW_KERNEL_POINTS_COUNT; point++) {
        plan->first[256 + point] = count;
        for (size_t i = 0; i < plan->rules_count; i++)
            if (list_kernel_point(plan, (enum tdw_kernel_point)point, i, &count, &max) < 0)
                return -ENOMEM;
    }
    plan->first[TDW_PLACES] = count;
    for (size_t i = 0; i < plan->rules_count; i++) {
        plan->of_programs |= strncmp(plan->rules[i].point, "tdw/", 4) != 0;
        plan->sees_marks |= plan->rules[i].after != NULL;
        if (plan->rules[i].trigger == TDW_TRIGGER_SWEEP)
            plan->sweeps = TDW_SWEEP_EACH;
        if (plan->rules[i].trigger == TDW_TRIGGER_PAIRS)
            plan->sweeps = TDW_SWEEP_PAIRS;
    }
    plan->ticks = plan->first[256 + TDW_AT_TICKS] < count;
    return 0;
}

/* The kernel's points that some rule names. */
static uint64_t points_of(const struct tdw_plan *plan)
{
    uint64_t points = 0;

    for (int point = 0; point < TDW_KERNEL_POINTS_COUNT; point++)
        points |= (uint64_t)(plan->first[256 + point] < plan->first[257 + point]) << point;
    return points;
}

struct tdw_faults *tdw_plan_apply(const struct tdw_plan *plan, struct tdw_loop *loop,
                                  struct tdw_rule_count *counts)
{
    struct tdw_faults *f = calloc(1, sizeof *f);
    const size_t count = plan->rules_count ? plan->rules_count : 1;

    if (!f)
        return NULL;
    *f = (struct tdw_faults){.gate = {.judge = judge,
                                      .completed = completed,
                                      .hit = hit,
                                      .points = points_of(plan),
                                      .host_made = host_made},
                             .tap = {.event = see_mark},
                             .plan = plan,
                             .loop = loop,
                             .counts = counts ? counts : calloc(count, sizeof *counts),
                             .own_counts = !counts,
                             .rules = calloc(count, sizeof *f->rules),
                             .fate = tdw__fate_new(f)};
    if (!f->counts || !f->rules || !f->fate) {
        tdw__fate_free(f->fate);
        if (f->own_counts)
            free(f->counts);
        free(f->rules);
        free(f);
        return NULL;
    }
    tdw__fiu_stands_in();
    if (plan->rules_count + plan->hosts_count + plan->disks_count + plan->clocks_count +
            plan->links_count >
        0) /* a plan of nothing costs nothing */
        tdw_gate_set(loop, &f->gate);
    if (plan->sees_marks)
        tdw_tap_add(loop, &f->tap);
    if (plan->of_programs)
        atomic_fetch_add(&tdw__plans, 1);
    return f;
}

void tdw_faults_leave_out(struct tdw_faults *f, enum tdw_kernel_point point)
{
    f->gate.points &= ~((uint64_t)1 << point);
}

const char *tdw_plan_rule_at(const struct tdw_plan *plan, enum tdw_kernel_point point)
{
    const uint32_t *first = &plan->first[256 + point];

    return first[0] < first[1] ? plan->rules[plan->concerns[first[0]].rule].name : NULL;
}

/* ── Sweeps ────────────────────────────────────────────────────────────────────────────────── */

enum tdw_sweep tdw_plan_sweeps(const struct tdw_plan *plan)
{
    return plan->sweeps;
}

/* Before those whose later hit is `later`, so many pairs come. */
static unsigned __int128 pairs_before(uint64_t later)
{
    return (unsigned __int128)(later - 1) * (later - 2) / 2;
}

void tdw_sweep_pair(uint64_t nth, uint64_t pair[2])
{
    uint64_t later = 1;

    pair[0] = pair[1] = 0;
    if (nth == 0)
        return;
    for (uint64_t bit = (uint64_t)1 << 33; bit > 0;
         bit >>= 1) /* the largest with fewer before it */
        if (pairs_before(later + bit) < nth)
            later += bit;
    pair[0] = nth - (uint64_t)pairs_before(later);
    pair[1] = later;
}

void tdw_faults_sweep(struct tdw_faults *f, uint64_t nth)
{
    f->sweep[0] = nth;
    if (f->plan->sweeps == TDW_SWEEP_PAIRS)
        tdw_sweep_pair(nth, f->sweep);
}

const struct tdw_site *tdw_faults_struck(const struct tdw_faults *f, unsigned which)
{
    return which < 2 ? f->struck[which] : NULL;
}

void tdw_faults_end(struct tdw_faults *f)
{
    if (!f)
        return;
    if (f->loop->gate == &f->gate)
        tdw_gate_set(f->loop, NULL);
    if (f->plan->sees_marks)
        tdw_tap_remove(f->loop, &f->tap);
    if (f->plan->of_programs)
        atomic_fetch_sub(&tdw__plans, 1);
    if (f->own_counts)
        free(f->counts);
    free(f->rules);
    tdw__fate_free(f->fate);
    for (uint32_t i = 0; i < f->places_count; i++)
        free(f->places[i]);
    for (size_t i = 0; i < f->healed_count; i++)
        free(f->healed_hosts[i]);
    free(f->healed_hosts);
    tdw__shorts_fini(&f->shorts);
    free(f->places);
    free(f);
}
