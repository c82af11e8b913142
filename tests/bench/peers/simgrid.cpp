// SPDX-License-Identifier: MIT
/*
 * A peer of the bench's tcp_message: messages of 64 bytes from a host to another through a mailbox
 * of SimGrid (S4U), on a platform of two hosts and one link. Prints the nanoseconds a message takes.
 */
#include <chrono>
#include <cstdio>
#include <simgrid/s4u.hpp>

namespace sg4 = simgrid::s4u;

static const int messages = 200000;

int main(int argc, char **argv)
{
    sg4::Engine engine(&argc, argv);
    auto *zone = sg4::create_full_zone("net");
    auto *a = zone->create_host("a", "1Gf")->seal();
    auto *b = zone->create_host("b", "1Gf")->seal();
    auto *link = zone->create_link("link", "1250MBps")->set_latency("250us")->seal();

    zone->add_route(a->get_netpoint(), b->get_netpoint(), nullptr, nullptr,
                    {{link, sg4::LinkInRoute::Direction::NONE}}, true);
    zone->seal();
    sg4::Actor::create("sender", a, [] {
        static int payload;

        for (int i = 0; i < messages; i++)
            sg4::Mailbox::by_name("box")->put(&payload, 64);
    });
    sg4::Actor::create("receiver", b, [] {
        for (int i = 0; i < messages; i++)
            sg4::Mailbox::by_name("box")->get<int>();
    });
    const auto start = std::chrono::steady_clock::now();
    engine.run();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    std::printf("%f\n", taken.count() / messages);
}
