/* SPDX-License-Identifier: MIT */
/*
 * The store's scenarios, each in three models. See store.h for what the store is.
 *
 *     build/examples/store -n 1000                  1,000 seeds of each scenario, in lockstep
 *     build/examples/store-bug durability           the same with a planted bug
 *     build/examples/store -- serve 6000            a real server, of real clients
 */
#include "store.h"
#include "../serve.h"

struct scene scene;

void scene_init(bool crashes, uint64_t patience_ns, void (*server_main)(void *),
                void (*clients_main)(void *), void (*recover)(void *))
{
    memset(&scene, 0, sizeof scene);
    scene.crashes = crashes;
    scene.patience_ns = patience_ns;
    tdw_wg_init(&scene.running, "clients");
    tdw_wg_add(&scene.running, CLIENTS);
    scene.server = tdw_host("server", server_main, NULL);
    scene.client_host = tdw_host("clients", clients_main, NULL);
    scene.address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = tdw_host_ipv4(scene.server)};
    tdw_survives(scene.server, recover, NULL);
    tdw_host_boot(scene.server);
    tdw_host_boot(scene.client_host);
}

TDW_SCENARIO(agreement, .doc = "a get sees the last put", .callback = store_callback,
             .stackless = TDW_FRAME(store_stackless, struct test_frame),
             .stackful = store_stackful);

TDW_SCENARIO(durability, .doc = "what was acknowledged survives a power cut",
             .callback = store_callback_crash,
             .stackless = TDW_FRAME(store_stackless_crash, struct test_frame),
             .stackful = store_stackful_crash);

TDW_SCENARIO(patience, .doc = "a client gives up, and nothing is lost by it",
             .callback = store_callback_patience,
             .stackless = TDW_FRAME(store_stackless_patience, struct test_frame),
             .stackful = store_stackful_patience);

int main(int argc, char **argv)
{
    struct serve serve = {
        .mains = {store_callback_server, store_stackless_server, store_stackful_server}};
    const int asked = serve_asked(&serve, argc, argv);

    scene.port = serve.port;
    if (asked)
        return asked < 0 ? 2 : serve_run(&serve);
    return tdw_main(argc, argv);
}
