#include "bindings/nvme_configuration.h"

#include <array>
#include <string>

#include "bindings/fields.h"
#include "loopback/nvme_spec.h"

namespace p2pmem {

namespace {

using namespace loopback;
using namespace fields;

constexpr uint32_t kLargestStride = 8;
constexpr uint64_t kLargestUnit = uint64_t{1} << 36;  // CMBSZ.SZU 6
constexpr uint64_t kMostUnits = 0xfffff;              // OFST and SZ have 20 bits
constexpr uint64_t kMostCopyBlocks = 1 << 20;         // a command is carried out in one go
// In the order of SglSupport.
constexpr const char* kSglSupport[] = {"none", "byte", "dword"};
constexpr uint64_t kLargestTransfer = 128 << 20;
constexpr uint64_t kLongestDelay = 3600'000;  // milliseconds

// In the order of Fault::Trigger.
constexpr const char* kTriggers[] = {"read",     "write", "flush",  "compare", "copy",
                                     "identify", "abort", "create", "delete",  "admin",
                                     "io",       "any",   "packet", "now"};

struct NamedEffect {
  const char* name;
  Fault::Effect effect;
};
// Those that have no value of their own.
constexpr NamedEffect kEffects[] = {{"hang", Fault::Effect::hang},
                                    {"drop-dma", Fault::Effect::dropDma},
                                    {"wrong-cid", Fault::Effect::wrongCid},
                                    {"duplicate", Fault::Effect::duplicate},
                                    {"bad-sq-head", Fault::Effect::badSqHead},
                                    {"bad-phase", Fault::Effect::badPhase},
                                    {"fatal", Fault::Effect::fatal},
                                    {"no-disable", Fault::Effect::noDisable},
                                    {"no-reset", Fault::Effect::noReset},
                                    {"remove", Fault::Effect::remove},
                                    {"vanish", Fault::Effect::vanish},
                                    {"error", Fault::Effect::error},
                                    {"request", Fault::Effect::request},
                                    {"lose", Fault::Effect::lose},
                                    {"corrupt", Fault::Effect::corrupt},
                                    {"link-down", Fault::Effect::linkDown},
                                    {"link-up", Fault::Effect::linkUp}};

bool has(const Napi::Object& object, const char* field) { return !object.Get(field).IsUndefined(); }

template <size_t Count>
std::array<uint32_t, Count> bytes(const Napi::Object& object, const char* field) {
  std::array<uint32_t, Count> values{};
  const std::string wanted = "a list of " + std::to_string(Count) + " numbers from 0 to 255";
  const Napi::Value list = object.Get(field);
  if (!list.IsArray() || list.As<Napi::Array>().Length() != Count)
    reject(object.Env(), field, wanted);
  for (uint32_t i = 0; i < Count; i++) {
    const Napi::Value value = list.As<Napi::Array>().Get(i);
    values[i] = value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : 256;
    if (values[i] > 255) reject(object.Env(), field, wanted);
  }
  return values;
}

bool flag(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsBoolean()) reject(object.Env(), field, "true or false");
  return value.ToBoolean();
}

CmbConfiguration readCmb(const Napi::Object& object) {
  CmbConfiguration cmb{.size = number(object, "size", kLargestDevice),
                       .offset = number(object, "offset", kLargestDevice),
                       .unit = powerOfTwo(object, "unit", nvme::kPageSize, kLargestUnit),
                       .legacy = flag(object, "legacy"),
                       .sqs = flag(object, "sqs"),
                       .cqs = flag(object, "cqs"),
                       .lists = flag(object, "lists"),
                       .rds = flag(object, "rds"),
                       .wds = flag(object, "wds"),
                       .mixed = flag(object, "mixed")};
  const bool isUnit = std::countr_zero(cmb.unit) % 4 == 0;  // 4 KiB is 2^12
  if (!isUnit || cmb.size == 0 || cmb.size % cmb.unit != 0 || cmb.offset % cmb.unit != 0 ||
      cmb.size / cmb.unit > kMostUnits || cmb.offset / cmb.unit > kMostUnits ||
      cmb.offset + cmb.size > kLargestDevice)
    reject(object.Env(), "cmb", "what CMBLOC and CMBSZ can say");
  return cmb;
}

CopyConfiguration readCopy(const Napi::Object& object) {
  CopyConfiguration copy;
  forEach(object, "formats", [&](const Napi::Value& value) {
    const uint32_t format = value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : 4;
    if (format > 3) reject(object.Env(), "formats", "of 0, 1, 2, 3");
    copy.formats |= static_cast<uint16_t>(1 << format);
  });
  copy.maxRanges = static_cast<uint32_t>(number(object, "maxRanges", 256));
  copy.rangeBlocks = static_cast<uint32_t>(number(object, "rangeBlocks", 0xffff));
  copy.blocks = static_cast<uint32_t>(number(object, "blocks", kMostCopyBlocks));
  if (copy.maxRanges == 0) reject(object.Env(), "maxRanges", "1 at least");
  return copy;
}

void readEffect(const Napi::Object& object, Fault& fault) {
  const Napi::Env env = object.Env();
  if (has(object, "effect") + has(object, "delay") + has(object, "status") + has(object, "event") !=
      1)
    reject(env, "a fault", "one of effect, delay, status and event");
  if (has(object, "delay")) {
    fault.effect = Fault::Effect::delay;
    fault.delay = static_cast<uint32_t>(number(object, "delay", kLongestDelay));
  } else if (has(object, "status")) {
    const auto [type, code] = bytes<2>(object, "status");
    if (type > 7) reject(env, "status", "a status code type from 0 to 7 and a status code");
    fault.effect = Fault::Effect::status;
    fault.status =
        static_cast<uint16_t>(type << 8 | code | (object.Get("dnr").ToBoolean() ? nvme::kDnr : 0));
  } else if (has(object, "event")) {
    const auto [type, information, logPage] = bytes<3>(object, "event");
    fault.effect = Fault::Effect::event;
    fault.event = nvme::asyncEvent(type, information, logPage);
  } else {
    const std::string name = object.Get("effect").ToString();
    const NamedEffect* found = nullptr;
    for (const NamedEffect& each : kEffects)
      if (name == each.name) found = &each;
    if (!found) reject(env, "effect", "the name of an effect");
    fault.effect = found->effect;
  }
}

}  // namespace

Fault readFault(const Napi::Object& object) {
  Fault fault;
  fault.on = static_cast<Fault::Trigger>(
      choice(object, "on", kTriggers, static_cast<size_t>(Fault::Trigger::any)));
  if (has(object, "after"))
    fault.after = static_cast<uint32_t>(number(object, "after", 0xffffffff));
  if (has(object, "count"))
    fault.count = static_cast<uint32_t>(number(object, "count", 0xffffffff));
  if (has(object, "abort")) fault.abortable = object.Get("abort").ToBoolean();
  readEffect(object, fault);
  return fault;
}

NvmeConfiguration readNvmeConfiguration(const Napi::Object& device) {
  NvmeConfiguration nvme;
  nvme.serial = text(device, "serial");
  if (device.Get("cmb").IsObject()) nvme.cmb = readCmb(child(device, "cmb"));
  if (device.Get("pmr").IsObject()) {
    const Napi::Object pmr = child(device, "pmr");
    nvme.pmr = {powerOfTwo(pmr, "size", nvme::kPageSize, kLargestDevice), text(pmr, "file")};
  }
  nvme.sgl = static_cast<SglSupport>(
      choice(device, "sgl", kSglSupport, static_cast<size_t>(SglSupport::byte)));
  nvme.maxTransfer = powerOfTwo(device, "maxTransfer", nvme::kPageSize, kLargestTransfer);
  nvme.doorbellStride = static_cast<uint32_t>(number(device, "doorbellStride", kLargestStride));
  forEach(device, "namespaces", [&](const Napi::Value& value) {
    const Napi::Object space = element(value, "namespaces");
    NamespaceConfiguration entry;
    entry.size = number(space, "size", kLargestDevice);
    entry.blockSize = static_cast<uint32_t>(number(space, "block", 4096));
    if (entry.blockSize != 512 && entry.blockSize != 4096)
      reject(space.Env(), "block", "512 or 4096");
    entry.file = text(space, "file");
    nvme.namespaces.push_back(std::move(entry));
  });
  if (device.Get("copy").IsObject()) nvme.copy = readCopy(child(device, "copy"));
  nvme.shadowDoorbells = device.Get("shadowDoorbells").ToBoolean();
  forEach(device, "faults", [&](const Napi::Value& value) {
    nvme.faults.push_back(readFault(element(value, "faults")));
  });
  return nvme;
}

}  // namespace p2pmem
