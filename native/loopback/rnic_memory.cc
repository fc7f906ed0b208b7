#include "loopback/rnic_memory.h"

#include <algorithm>

#include "core/huge_pages.h"
#include "loopback/bar_memory.h"

namespace p2pmem::loopback {

namespace {

constexpr uint64_t kPage = kSmallPage;

uint64_t pageOf(uint64_t bytes) { return bytes / kPage; }

Access accessOf(uint32_t flags) {
  return {.read = true, .write = (flags & rdma::kLocalWrite) != 0};
}

}  // namespace

RnicMemory::RnicMemory(Endpoint& self, MachineContext context, RnicCounters& counters)
    : self_(self), context_(context), counters_(counters) {
  regions_.reserve(kMaxRegions);
  faults_.reserve(kFaultsKept);
}

Result<std::unique_ptr<RnicRegion>> RnicMemory::prepare(uint32_t domain, uint64_t address,
                                                        uint64_t length, uint32_t access) {
  const std::string& device = self_.address;
  if (length == 0)
    return Error{.code = "BAD_RANGE", .message = "a memory region has a byte at least"};
  if (length > kMaxRegionBytes)
    return Error{.code = "REGION_TOO_LARGE",
                 .message = "the device registers no more than " + std::to_string(kMaxRegionBytes) +
                            " bytes at once",
                 .device = device};
  if (live_ == kMaxRegions)
    return Error{.code = "RDMA_LIMIT",
                 .message = "the device has room for " + std::to_string(kMaxRegions) + " regions",
                 .device = device};
  // ibv_reg_mr(3): whoever lets others write must be allowed to write itself.
  if ((access & rdma::kRemoteWrite) && !(access & rdma::kLocalWrite))
    return Error{.code = "BAD_RANGE",
                 .message = "a region that others may write needs local write access too",
                 .device = device};
  auto region = std::make_unique<RnicRegion>();
  region->domain = domain;
  region->address = address;
  region->length = length;
  region->access = access;
  return region;
}

// Has the IOMMU lead to `mapping.data`, at which [offset, offset + length) of what is registered
// begins at a page.
Status RnicMemory::map(RnicRegion& region, uint64_t offset, uint64_t length, IommuMapping mapping) {
  const uint64_t inPage = offset % kPage;
  region.mappedLength = roundUp(inPage + length, kPage);
  const auto iova = iovas_.take(region.mappedLength);
  if (!iova)
    return Error{
        .code = "IO", .message = "the device has no DMA addresses left", .device = self_.address};
  region.iova = *iova;
  region.dma = *iova + inPage;
  if (region.isOnDemand) {
    region.pages = mapping.data;
    region.present.resize(pageOf(region.mappedLength));
    return {};
  }
  mapping.iova = *iova;
  mapping.length = region.mappedLength;
  mapping.access = accessOf(region.access);
  Status status = self_.domain->map(mapping);
  if (!status.ok()) iovas_.giveBack(*iova);
  return status;
}

const RnicRegion* RnicMemory::insert(std::unique_ptr<RnicRegion> region) {
  auto free = std::find(regions_.begin(), regions_.end(), nullptr);
  const auto slot = static_cast<uint32_t>(free - regions_.begin());
  if (free == regions_.end()) {
    regions_.emplace_back();
    tags_.push_back(0);
  }
  // A key that was valid once does not soon mean something else, and none is 0.
  if (++tags_[slot] == 0) ++tags_[slot];
  region->key = slot << kTagBits | tags_[slot];
  regions_[slot] = std::move(region);
  live_++;
  return regions_[slot].get();
}

Result<const RnicRegion*> RnicMemory::addMemory(uint32_t domain, std::shared_ptr<Memory> memory,
                                                uint64_t offset, uint64_t length, uint32_t access) {
  const auto address = reinterpret_cast<uint64_t>(memory->data()) + offset;
  auto prepared = prepare(domain, address, length, access);
  if (!prepared.ok()) return prepared.take();
  RnicRegion& region = *prepared.value();
  if (memory->kind() == Memory::Kind::device) {
    const auto* bar = dynamic_cast<const BarMemory*>(memory.get());
    if (!bar || &bar->endpoint() != &self_)
      return Error{.code = "NOT_REGISTERED",
                   .message = "the kernel pins no memory of " + memory->device(),
                   .device = self_.address,
                   .hint = "memory of another device is registered as a dma-buf"};
    // The device keeps requests to its own memory to itself (Endpoint::internal).
    region.dma = bar->bar().address +
                 static_cast<uint64_t>(bar->inside() - bar->bar().memory->data()) + offset;
  } else {
    region.isOnDemand = access & rdma::kOnDemand;
    const uint64_t inPage = address % kPage;
    Status status =
        map(region, inPage, length, {.data = memory->data() + offset - inPage, .access = {}});
    if (!status.ok()) return status.take();
  }
  region.memory = std::move(memory);
  return insert(std::move(prepared.value()));
}

// linux/drivers/pci/p2pdma.c, calc_map_type_and_dist(), of a provider that VFIO owns. Bus addresses
// never come of it: ports that redirect nothing put both into one IOMMU group, which VFIO does not
// open while the NIC is in it. So the way is by the root complex.
const char* RnicMemory::refusalOf(const Endpoint& provider) const {
  if (&provider == &self_ || context_.router.forwards(false)) return nullptr;
  return "no host bridge that the kernel knows to forward is between them";
}

Result<const RnicRegion*> RnicMemory::addDmabuf(uint32_t domain,
                                                std::shared_ptr<DmabufExport> dmabuf,
                                                uint64_t offset, uint64_t length, uint64_t address,
                                                uint32_t access, std::shared_ptr<Memory> keep) {
  auto prepared = prepare(domain, address, length, access & ~rdma::kOnDemand);
  if (!prepared.ok()) return prepared.take();
  const auto refuse = [&](std::string why) {
    return Error{.code = "BAD_DMABUF",
                 .message = "the device cannot import this dma-buf: " + std::move(why),
                 .device = self_.address};
  };
  if (dmabuf->isRevoked()) return refuse("it was revoked");
  const Endpoint& provider = dmabuf->endpoint();
  if (const char* reason = refusalOf(provider)) return refuse(reason);
  if (offset > dmabuf->length() || length > dmabuf->length() - offset)
    return Error{
        .code = "BAD_RANGE",
        .message = "the dma-buf has no more than " + std::to_string(dmabuf->length()) + " bytes",
        .device = self_.address};
  if (address % kPage != offset % kPage)
    return Error{.code = "BAD_RANGE",
                 .message = "a region's address must lie in its page as its offset does",
                 .device = self_.address};
  RnicRegion& region = *prepared.value();
  const uint64_t inPage = offset % kPage;
  uint8_t* data = dmabuf->bar().memory->data() + dmabuf->offset() + offset - inPage;
  Status status = map(region, inPage, length,
                      {.data = data,
                       .access = {},
                       .target = &provider,
                       .bar = &dmabuf->bar(),
                       .generation = provider.generation});
  if (!status.ok()) return status.take();
  region.memory = std::move(keep);
  region.dmabuf = std::move(dmabuf);
  return insert(std::move(prepared.value()));
}

std::unique_ptr<RnicRegion> RnicMemory::remove(uint32_t key) {
  const uint32_t slot = key >> kTagBits;
  if (slot >= regions_.size() || !regions_[slot] || regions_[slot]->key != key) return nullptr;
  RnicRegion& region = *regions_[slot];
  if (region.iova != 0) {
    if (region.isOnDemand) {
      for (uint64_t page = 0; page < region.present.size(); page++)
        if (region.present[page]) self_.domain->unmap(region.iova + page * kPage);
    } else {
      self_.domain->unmap(region.iova);
    }
    iovas_.giveBack(region.iova);
    context_.epoch++;
  }
  live_--;
  return std::move(regions_[slot]);
}

bool RnicMemory::arePagesPresent(RnicRegion& region, uint64_t offset, uint64_t length) {
  if (length == 0) return true;
  const uint64_t start = region.dma - region.iova + offset;
  const uint64_t first = pageOf(start);
  const uint64_t last = pageOf(start + length - 1);
  uint64_t page = first;
  while (page <= last && region.present[page]) page++;
  if (page > last) return true;
  if (faults_.size() < kFaultsKept) faults_.push_back({region.key, page, last});
  return false;
}

bool RnicMemory::serveFaults() {
  bool mapped = false;
  for (const PageFault& fault : faults_) {
    const uint32_t slot = fault.key >> kTagBits;
    RnicRegion* region = regions_[slot].get();
    if (!region || region->key != fault.key) continue;
    for (uint64_t page = fault.first; page <= fault.last; page++) {
      uint8_t* data = region->pages + page * kPage;
      if (region->present[page] || isInvalidated(data)) continue;
      const Status status = self_.domain->map({.iova = region->iova + page * kPage,
                                               .length = kPage,
                                               .data = data,
                                               .access = accessOf(region->access)});
      if (!status.ok()) break;  // asked for again by whoever waits
      region->present[page] = true;
      counters_.pageFaults++;
      mapped = true;
    }
  }
  faults_.clear();
  return mapped;
}

RnicMemory::Range RnicMemory::rangeOf(const Memory& memory, uint64_t offset, uint64_t length) {
  const uint8_t* first = memory.data() + offset;
  return {first - reinterpret_cast<uint64_t>(first) % kPage, first + length};
}

bool RnicMemory::isInvalidated(const uint8_t* page) const {
  return std::any_of(invalidated_.begin(), invalidated_.end(), [&](const Range& range) {
    return page + kPage > range.first && page < range.end;
  });
}

void RnicMemory::invalidateStart(const Memory& memory, uint64_t offset, uint64_t length) {
  invalidated_.push_back(rangeOf(memory, offset, length));
  for (const auto& region : regions_) {
    if (!region || !region->isOnDemand) continue;
    for (uint64_t page = 0; page < region->present.size(); page++) {
      if (!region->present[page] || !isInvalidated(region->pages + page * kPage)) continue;
      self_.domain->unmap(region->iova + page * kPage);
      region->present[page] = false;
      counters_.invalidatedPages++;
    }
  }
  context_.epoch++;
}

bool RnicMemory::invalidateEnd(const Memory& memory, uint64_t offset, uint64_t length) {
  const auto found =
      std::find(invalidated_.begin(), invalidated_.end(), rangeOf(memory, offset, length));
  if (found == invalidated_.end()) return false;
  invalidated_.erase(found);
  return true;
}

}  // namespace p2pmem::loopback
