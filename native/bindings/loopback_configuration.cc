#include "bindings/loopback_configuration.h"

#include <string>

#include "bindings/fields.h"
#include "bindings/nvme_configuration.h"
#include "loopback/nvme_spec.h"
#include "loopback/pci_spec.h"

namespace p2pmem {

namespace {

using namespace loopback;
using namespace fields;

uint16_t readAcs(const Napi::Object& port) {
  uint16_t control = 0;
  forEach(port, "acs", [&](const Napi::Value& value) {
    const std::string bit = value.ToString();
    if (bit == "sv")
      control |= pci::kAcsSourceValidation;
    else if (bit == "tb")
      control |= pci::kAcsTranslationBlocking;
    else if (bit == "rr")
      control |= pci::kAcsRequestRedirect;
    else if (bit == "cr")
      control |= pci::kAcsCompletionRedirect;
    else if (bit == "uf")
      control |= pci::kAcsUpstreamForwarding;
    else
      reject(port.Env(), "acs", "of sv, tb, rr, cr, uf");
  });
  return control;
}

Forwarding readForwarding(const Napi::Object& machine) {
  const std::string forwards = text(child(machine, "hostBridge"), "forwards");
  if (forwards == "all") return Forwarding::all;
  if (forwards == "writes") return Forwarding::writes;
  if (forwards == "none") return Forwarding::none;
  reject(machine.Env(), "hostBridge.forwards", "all, writes or none");
}

WireConfiguration readWire(const Napi::Object& device) {
  if (!device.Get("wire").IsObject()) return {};
  const Napi::Object wire = child(device, "wire");
  const std::string role = text(wire, "role");
  if (role != "listen" && role != "connect") reject(wire.Env(), "wire.role", "listen or connect");
  return {role == "listen" ? WireConfiguration::Role::listen : WireConfiguration::Role::connect,
          text(wire, "path")};
}

RnicConfiguration readRnic(const Napi::Object& device) {
  RnicConfiguration rnic;
  if (!device.Get("memory").IsNull())
    rnic.memorySize = powerOfTwo(device, "memory", nvme::kPageSize, kLargestDevice);
  rnic.wire = readWire(device);
  forEach(device, "faults", [&](const Napi::Value& value) {
    rnic.faults.push_back(readFault(element(value, "faults")));
  });
  return rnic;
}

PortConfiguration readPort(const Napi::Object& object) {
  PortConfiguration port;
  port.acs = readAcs(object);
  const Napi::Object device = child(object, "device");
  const std::string kind = text(device, "kind");
  if (kind == "switch") {
    SwitchConfiguration below;
    forEach(device, "ports", [&](const Napi::Value& value) {
      below.ports.push_back(readPort(element(value, "ports")));
    });
    port.device = std::move(below);
    return port;
  }
  port.driver = text(device, "driver");
  if (kind == "nvme")
    port.device = readNvmeConfiguration(device);
  else if (kind == "card")
    port.device = CardConfiguration{powerOfTwo(device, "memory", nvme::kPageSize, kLargestDevice)};
  else if (kind == "rnic")
    port.device = readRnic(device);
  else
    reject(object.Env(), "kind", "switch, nvme, card or rnic");
  return port;
}

}  // namespace

MachineConfiguration readMachineConfiguration(const Napi::Object& object) {
  MachineConfiguration machine;
  machine.iovaBits = static_cast<uint32_t>(number(object, "iovaBits", 48));
  if (machine.iovaBits != 39 && machine.iovaBits != 48)
    reject(object.Env(), "iovaBits", "39 or 48");
  machine.forwarding = readForwarding(object);
  forEach(object, "rootPorts", [&](const Napi::Value& value) {
    machine.rootPorts.push_back(readPort(element(value, "rootPorts")));
  });
  return machine;
}

}  // namespace p2pmem
