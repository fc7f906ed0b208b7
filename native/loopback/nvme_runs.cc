#include "loopback/nvme_runs.h"

namespace p2pmem::loopback {

NvmeRuns::NvmeRuns(Requester& requester, const NvmeCmb& cmb, uint64_t maxLength)
    : requester_(requester), cmb_(cmb) {
  // Runs end where pages do, and one more page is touched at an offset.
  runs_.reserve(maxLength / nvme::kPageSize + 1);
}

void NvmeRuns::flush() {
  // Members would be loaded again after each store to the run and to the route's counter.
  uint64_t address = start_;
  uint64_t left = length_;
  uint8_t places = cmbUse_.data;
  while (left > 0) {
    const Span span = requester_.resolve(address, left, write_);
    if (span.data) (write_ ? span.route->writeBytes : span.route->readBytes) += span.length;
    runs_.push_back({span.data, span.length});
    places |= cmb_.placeOf(address);
    address += span.length;
    left -= span.length;
  }
  length_ = 0;
  cmbUse_.data = places;
}

void NvmeRuns::skip(uint64_t length) {
  flush();
  if (length > 0) runs_.push_back({nullptr, length});
}

const uint8_t* NvmeRuns::list(uint64_t address, uint32_t length) {
  cmbUse_.lists |= cmb_.placeOf(address);
  return requester_.control(address, length, false);
}

}  // namespace p2pmem::loopback
