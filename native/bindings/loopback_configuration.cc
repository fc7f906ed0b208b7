#include "bindings/loopback_configuration.h"

#include <bit>
#include <cmath>
#include <string>

#include "bindings/errors.h"
#include "loopback/nvme_spec.h"
#include "loopback/pci_spec.h"

namespace p2pmem {

namespace {

using namespace loopback;

// The upper bound on what one device may hold; the fabric has no room for more.
constexpr uint64_t kLargest = uint64_t{1} << 37;
constexpr uint32_t kLargestStride = 8;

// lib/platform/machine-file.ts has told the user already what is wrong with a machine file; these
// checks keep a library user's own object from doing harm.
[[noreturn]] void reject(Napi::Env env, const std::string& field, const std::string& wanted) {
  throwError(env, Error{.code = "BAD_MACHINE", .message = field + " must be " + wanted});
}

uint64_t number(const Napi::Object& object, const char* field, uint64_t most) {
  const Napi::Value value = object.Get(field);
  const double read = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(read >= 0 && read <= static_cast<double>(most)) || read != std::floor(read))
    reject(object.Env(), field, "a whole number from 0 to " + std::to_string(most));
  return static_cast<uint64_t>(read);
}

// A power of two of at least `least` bytes, as BARs and MDTS must be.
uint64_t powerOfTwo(const Napi::Object& object, const char* field, uint64_t least, uint64_t most) {
  const uint64_t value = number(object, field, most);
  if (value < least || !std::has_single_bit(value))
    reject(object.Env(), field, "a power of two from " + std::to_string(least) + " on");
  return value;
}

// A string; empty where the field is null.
std::string text(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (value.IsNull()) return "";
  if (!value.IsString()) reject(object.Env(), field, "a string or null");
  return value.As<Napi::String>();
}

Napi::Object child(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsObject()) reject(object.Env(), field, "an object");
  return value.As<Napi::Object>();
}

template <class Visit>
void forEach(const Napi::Object& object, const char* field, Visit visit) {
  const Napi::Value value = object.Get(field);
  if (!value.IsArray()) reject(object.Env(), field, "an array");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) visit(array.Get(i));
}

Napi::Object element(const Napi::Value& value, const char* field) {
  if (!value.IsObject()) reject(value.Env(), field, "an array of objects");
  return value.As<Napi::Object>();
}

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

NvmeConfiguration readNvme(const Napi::Object& device) {
  NvmeConfiguration nvme;
  nvme.serial = text(device, "serial");
  if (device.Get("cmb").IsNumber() && number(device, "cmb", kLargest) > 0)
    nvme.cmbSize = powerOfTwo(device, "cmb", nvme::kPageSize, kLargest);
  nvme.maxTransfer = powerOfTwo(device, "maxTransfer", nvme::kPageSize, 128 << 20);
  nvme.doorbellStride = static_cast<uint32_t>(number(device, "doorbellStride", kLargestStride));
  forEach(device, "namespaces", [&](const Napi::Value& value) {
    const Napi::Object space = element(value, "namespaces");
    NamespaceConfiguration entry;
    entry.size = number(space, "size", kLargest);
    entry.blockSize = static_cast<uint32_t>(number(space, "block", 4096));
    if (entry.blockSize != 512 && entry.blockSize != 4096)
      reject(space.Env(), "block", "512 or 4096");
    entry.file = text(space, "file");
    nvme.namespaces.push_back(std::move(entry));
  });
  return nvme;
}

Forwarding readForwarding(const Napi::Object& machine) {
  const std::string forwards = text(child(machine, "hostBridge"), "forwards");
  if (forwards == "all") return Forwarding::all;
  if (forwards == "writes") return Forwarding::writes;
  if (forwards == "none") return Forwarding::none;
  reject(machine.Env(), "hostBridge.forwards", "all, writes or none");
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
    port.device = readNvme(device);
  else if (kind == "card")
    port.device = CardConfiguration{powerOfTwo(device, "memory", nvme::kPageSize, kLargest)};
  else
    reject(object.Env(), "kind", "switch, nvme or card");
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
