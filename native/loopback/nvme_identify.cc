#include "loopback/nvme_identify.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "loopback/nvme_events.h"
#include "loopback/nvme_spec.h"

namespace p2pmem::loopback {

namespace {

template <class T>
void put(IdentifyPage& page, size_t offset, T value) {
  memcpy(page.data() + offset, &value, sizeof value);
}

// ASCII strings are padded with spaces (§1.8).
void putText(IdentifyPage& page, size_t offset, size_t width, const std::string& text) {
  memset(page.data() + offset, ' ', width);
  memcpy(page.data() + offset, text.data(), std::min(width, text.size()));
}

void putBigEndian(IdentifyPage& page, size_t offset, uint64_t value) {
  for (size_t i = 0; i < 8; i++) page[offset + i] = static_cast<uint8_t>(value >> (56 - 8 * i));
}

// Compare, Dataset Management, Write Zeroes, Save and Select in features, Timestamp, Copy.
uint16_t oncs(const NvmeFacts& facts) {
  return 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | (facts.copy.formats != 0 ? 1 << 8 : 0);
}

uint32_t sgls(SglSupport support) {
  if (support == SglSupport::none) return 0;
  return nvme::kSglsBitBucket | (support == SglSupport::byte ? nvme::kSglsByte : nvme::kSglsDword);
}

}  // namespace

IdentifyPage identifyController(const NvmeFacts& facts, size_t namespaces) {
  IdentifyPage page{};
  put<uint16_t>(page, 0, facts.identity.vendor);                         // VID
  put<uint16_t>(page, 2, facts.identity.vendor);                         // SSVID
  putText(page, 4, 20, facts.serial);                                    // SN
  putText(page, 24, 40, kNvmeModel);                                     // MN
  putText(page, 64, 8, kNvmeFirmware);                                   // FR
  put<uint8_t>(page, 72, 6);                                             // RAB
  put<uint8_t>(page, 77, static_cast<uint8_t>(facts.maxTransferShift));  // MDTS
  put<uint16_t>(page, 78, facts.controllerId);                           // CNTLID
  put<uint32_t>(page, 80, facts.version);                                // VER
  if (facts.version >= nvme::kVersion14) put<uint8_t>(page, 111, 1);     // CNTRLTYPE: I/O
  put<uint16_t>(page, 256, facts.shadowDoorbells ? 1 << 8 : 0);          // OACS
  put<uint8_t>(page, 258, kNvmeAbortLimit - 1);                          // ACL
  put<uint8_t>(page, 259, NvmeEvents::kRequestLimit - 1);                // AERL
  put<uint8_t>(page, 260, 1 << 1 | 1);                          // FRMW: one slot, read only
  put<uint8_t>(page, 261, 1 << 2);                              // LPA: log page offset
  put<uint8_t>(page, 262, NvmeEvents::kErrorEntries - 1);       // ELPE
  put<uint16_t>(page, 266, 343);                                // WCTEMP, kelvins
  put<uint16_t>(page, 268, 373);                                // CCTEMP
  put<uint8_t>(page, 512, 0x66);                                // SQES: 64 bytes, no other
  put<uint8_t>(page, 513, 0x44);                                // CQES: 16 bytes, no other
  put<uint32_t>(page, 516, static_cast<uint32_t>(namespaces));  // NN
  put<uint16_t>(page, 520, oncs(facts));
  put<uint8_t>(page, 525, 1 << 0 | 3 << 1);      // VWC: there is one; Flush of all
  put<uint16_t>(page, 534, facts.copy.formats);  // OCFS
  put<uint32_t>(page, 536, sgls(facts.sgl));
  snprintf(reinterpret_cast<char*>(page.data()) + 768, 224,  // SUBNQN
           "nqn.2014-08.org.nvmexpress:uuid:7032706d-656d-4000-8000-%012x",
           static_cast<unsigned>(facts.controllerId));
  put<uint16_t>(page, 2048, 500);  // PSD0.MP: 5 W
  return page;
}

IdentifyPage identifyNamespace(const NvmeFacts& facts, const NvmeNamespace& space) {
  IdentifyPage page{};
  for (const size_t offset : {0, 8, 16}) put<uint64_t>(page, offset, space.blocks());
  put<uint8_t>(page, 25, 1);                              // NLBAF: two formats, 0's based
  put<uint8_t>(page, 26, space.blockShift == 9 ? 0 : 1);  // FLBAS
  put<uint8_t>(page, 33, 1 << 3 | 1);  // DLFEAT: deallocated blocks read 0, DEAC is known
  if (facts.copy.formats != 0) {
    put<uint16_t>(page, 74, static_cast<uint16_t>(facts.copy.rangeBlocks));  // MSSRL
    put<uint32_t>(page, 76, facts.copy.blocks);                              // MCL
    put<uint8_t>(page, 80, static_cast<uint8_t>(facts.copy.maxRanges - 1));  // MSRC
  }
  putBigEndian(page, 104, space.instance);  // NGUID
  putBigEndian(page, 112, space.uniqueId);
  putBigEndian(page, 120, space.uniqueId);  // EUI64
  put<uint32_t>(page, 128, 9 << 16);        // LBAF0: LBADS 512 bytes
  put<uint32_t>(page, 132, 12 << 16);       // LBAF1: 4096 bytes
  return page;
}

IdentifyPage identifyActiveNamespaces(size_t namespaces, uint32_t after) {
  IdentifyPage page{};
  size_t offset = 0;
  for (uint64_t nsid = uint64_t{after} + 1; nsid <= namespaces && offset < page.size(); nsid++) {
    put<uint32_t>(page, offset, static_cast<uint32_t>(nsid));
    offset += 4;
  }
  return page;
}

IdentifyPage identifyIndependentNamespace() {
  IdentifyPage page{};
  put<uint8_t>(page, 14, 1);  // NSTAT: ready
  return page;
}

IdentifyPage identifyDescriptors(const NvmeNamespace& space) {
  IdentifyPage page{};
  put<uint8_t>(page, 0, 1);  // NIDT: EUI-64
  put<uint8_t>(page, 1, 8);
  putBigEndian(page, 4, space.uniqueId);
  put<uint8_t>(page, 12, 2);  // NIDT: NGUID
  put<uint8_t>(page, 13, 16);
  putBigEndian(page, 16, space.instance);
  putBigEndian(page, 24, space.uniqueId);
  return page;
}

}  // namespace p2pmem::loopback
