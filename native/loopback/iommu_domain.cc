#include "loopback/iommu_domain.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "loopback/endpoint.h"

namespace p2pmem::loopback {

namespace {

// Where x86 takes interrupt messages: writes there never reach the page table (Intel VT-d §3.14).
constexpr uint64_t kMsiFirst = 0xfee00000;
constexpr uint64_t kMsiLast = 0xfeefffff;

}  // namespace

IommuDomain::IommuDomain(uint32_t iovaBits, uint32_t mappingLimit)
    : ranges_{{0, kMsiFirst - 1}, {kMsiLast + 1, (1ull << iovaBits) - 1}},
      mappingLimit_(mappingLimit) {}

Status IommuDomain::map(const IommuMapping& mapping) {
  const uint64_t last = mapping.iova + mapping.length - 1;
  const bool usable = std::any_of(ranges_.begin(), ranges_.end(), [&](const IovaRange& range) {
    return mapping.iova >= range.first && last <= range.last;
  });
  if (!usable) {
    char text[64];
    snprintf(text, sizeof text, "0x%llx to 0x%llx", static_cast<unsigned long long>(mapping.iova),
             static_cast<unsigned long long>(last));
    return Error{.code = "IOVA_RANGE",
                 .message = std::string("cannot map IOVA ") + text,
                 .hint = "the IOVA is outside of what this IOMMU can map"};
  }
  if (mappingsAvailable() == 0)
    return Error{
        .code = "MAPPING_LIMIT",
        .message = "this IOMMU domain has " + std::to_string(mappingLimit_) + " mappings already"};
  mappings_.emplace(mapping.iova, mapping);
  return {};
}

const IommuMapping* IommuDomain::find(uint64_t iova, uint64_t& holeLast) const {
  const auto next = mappings_.upper_bound(iova);
  if (next != mappings_.begin()) {
    const IommuMapping& mapping = std::prev(next)->second;
    if (iova - mapping.iova < mapping.length) return &mapping;
  }
  holeLast = next == mappings_.end() ? ~0ull : next->first - 1;
  return nullptr;
}

void IommuDomain::recordFault(const Endpoint& device, uint64_t iova, bool write,
                              const char* reason) {
  faults_[faultCount_++ % kFaultsKept] = Fault{&device, iova, write, reason};
}

std::vector<DmaFault> IommuDomain::takeFaults() {
  const uint64_t kept = std::min<uint64_t>(faultCount_, kFaultsKept);
  const uint64_t lost = faultCount_ - kept;
  std::vector<DmaFault> result;
  result.reserve(kept);
  for (uint64_t i = lost; i < faultCount_; i++) {
    const Fault& fault = faults_[i % kFaultsKept];
    result.push_back({fault.device->address, fault.iova, fault.write, fault.reason});
  }
  if (lost > 0)
    result.front().reason += " (" + std::to_string(lost) + " faults before this one were lost)";
  faultCount_ = 0;
  return result;
}

}  // namespace p2pmem::loopback
