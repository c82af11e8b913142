/* SPDX-License-Identifier: MIT */
/*
 * Tables of what there may be thousands of: port numbers in use, names of unix sockets, of hosts.
 *
 * A table is an array of chains, as many as entries, roughly. An entry stands inside of what it
 * leads to and has a key, whose low bits pick its chain; two entries may have one key. A walk along
 * a chain compares, and whoever walks looks for the one entry that it can be, so that the order in
 * a chain never matters.
 *
 * Room is made before anything changes (tdw__table_room), so that to put an entry in cannot fail.
 * A table that has entries and cannot grow has longer chains.
 */
#include <sim/kernel/net/net.h>

enum { CHAINS_FIRST = 16 };

static struct tdw_hashed **chain_of(const struct tdw_table *table, uint64_t key)
{
    return &table->chains[key & (table->chains_count - 1)];
}

int tdw__table_room(struct tdw_loop *loop, struct tdw_table *table)
{
    const uint32_t count = table->chains_count ? 2 * table->chains_count : CHAINS_FIRST;
    const struct tdw_table old = *table;
    struct tdw_hashed **chains;

    if (table->count < table->chains_count)
        return 0;
    chains = tdw__memory_get(loop->memory, count * sizeof(struct tdw_hashed *));
    if (!chains)
        return old.chains_count ? 0 : -ENOMEM;
    *table = (struct tdw_table){.chains = chains, .chains_count = count};
    for (uint32_t i = 0; i < old.chains_count; i++)
        for (struct tdw_hashed *entry = old.chains[i], *next; entry; entry = next) {
            next = entry->next;
            tdw__table_put(table, entry, entry->key);
        }
    if (old.chains)
        tdw__memory_put(loop->memory, old.chains, old.chains_count * sizeof(struct tdw_hashed *));
    return 0;
}

void tdw__table_put(struct tdw_table *table, struct tdw_hashed *entry, uint64_t key)
{
    struct tdw_hashed **chain = chain_of(table, key);

    entry->key = key;
    entry->next = *chain;
    *chain = entry;
    table->count++;
}

void tdw__table_take(struct tdw_table *table, struct tdw_hashed *entry)
{
    struct tdw_hashed **at = chain_of(table, entry->key);

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    table->count--;
}

struct tdw_hashed *tdw__table_chain(const struct tdw_table *table, uint64_t key)
{
    return table->chains_count ? *chain_of(table, key) : NULL;
}

void tdw__table_free(struct tdw_loop *loop, struct tdw_table *table)
{
    assert(table->count == 0);
    if (table->chains)
        tdw__memory_put(loop->memory, table->chains,
                        table->chains_count * sizeof(struct tdw_hashed *));
    *table = (struct tdw_table){.count = 0};
}
