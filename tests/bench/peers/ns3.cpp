// SPDX-License-Identifier: MIT
/*
 * A peer of the bench's tcp_message: the UDP echo of ns-3 between two nodes on a point-to-point
 * link, 64 bytes a packet. An echo is two packets. Prints the nanoseconds one packet takes.
 */
#include <chrono>
#include <cstdio>
#include <ns3/applications-module.h>
#include <ns3/core-module.h>
#include <ns3/internet-module.h>
#include <ns3/network-module.h>
#include <ns3/point-to-point-module.h>

using namespace ns3;

static const int echoes = 50000;

int main()
{
    NodeContainer nodes;
    PointToPointHelper link;
    InternetStackHelper stack;
    Ipv4AddressHelper addresses;

    nodes.Create(2);
    link.SetDeviceAttribute("DataRate", StringValue("10Gbps"));
    link.SetChannelAttribute("Delay", StringValue("250us"));
    NetDeviceContainer devices = link.Install(nodes);
    stack.Install(nodes);
    addresses.SetBase("10.1.1.0", "255.255.255.0");
    Ipv4InterfaceContainer interfaces = addresses.Assign(devices);

    ApplicationContainer server = UdpEchoServerHelper(9).Install(nodes.Get(1));
    UdpEchoClientHelper client(interfaces.GetAddress(1), 9);
    client.SetAttribute("MaxPackets", UintegerValue(echoes));
    client.SetAttribute("Interval", TimeValue(MicroSeconds(10)));
    client.SetAttribute("PacketSize", UintegerValue(64));
    ApplicationContainer clients = client.Install(nodes.Get(0));
    server.Start(Seconds(0));
    clients.Start(Seconds(1));
    const auto start = std::chrono::steady_clock::now();
    Simulator::Run();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    Simulator::Destroy();
    std::printf("%f\n", taken.count() / (2.0 * echoes));
}
