// NVM Express 1.4: registers, opcodes and status codes that the loopback controller implements.
#pragma once

#include <cstdint>

namespace p2pmem::loopback::nvme {

// §3.1 Controller registers.
constexpr uint32_t kCap = 0x00;
constexpr uint32_t kVs = 0x08;
constexpr uint32_t kIntms = 0x0c;
constexpr uint32_t kIntmc = 0x10;
constexpr uint32_t kCc = 0x14;
constexpr uint32_t kCsts = 0x1c;
constexpr uint32_t kAqa = 0x24;
constexpr uint32_t kAsq = 0x28;
constexpr uint32_t kAcq = 0x30;
constexpr uint32_t kCmbloc = 0x38;
constexpr uint32_t kCmbsz = 0x3c;
constexpr uint32_t kCmbmsc = 0x50;
constexpr uint32_t kCmbsts = 0x58;
constexpr uint32_t kPmrcap = 0xe00;
constexpr uint32_t kPmrctl = 0xe04;
constexpr uint32_t kPmrsts = 0xe08;
constexpr uint32_t kPmrebs = 0xe0c;
constexpr uint32_t kPmrswtp = 0xe10;
constexpr uint32_t kPmrmscl = 0xe14;
constexpr uint32_t kPmrmscu = 0xe18;
constexpr uint32_t kDoorbells = 0x1000;

constexpr uint32_t kVersion13 = 0x00010300;
constexpr uint32_t kVersion14 = 0x00010400;

// §3.1.1 CAP.
constexpr uint64_t kCapCqr = 1ull << 16;
constexpr uint32_t kCapToShift = 24;
constexpr uint32_t kCapDstrdShift = 32;
constexpr uint64_t kCapCssNvm = 1ull << 37;
constexpr uint64_t kCapPmrs = 1ull << 56;
constexpr uint64_t kCapCmbs = 1ull << 57;

// §3.1.5 CC.
constexpr uint32_t kCcEn = 1 << 0;
constexpr uint32_t ccCss(uint32_t cc) { return cc >> 4 & 0x7; }
constexpr uint32_t ccMps(uint32_t cc) { return cc >> 7 & 0xf; }
constexpr uint32_t ccAms(uint32_t cc) { return cc >> 11 & 0x7; }
constexpr uint32_t ccShn(uint32_t cc) { return cc >> 14 & 0x3; }
constexpr uint32_t ccIosqes(uint32_t cc) { return cc >> 16 & 0xf; }
constexpr uint32_t ccIocqes(uint32_t cc) { return cc >> 20 & 0xf; }

// §3.1.6 CSTS.
constexpr uint32_t kCstsRdy = 1 << 0;
constexpr uint32_t kCstsCfs = 1 << 1;
constexpr uint32_t kCstsShstMask = 3 << 2;
constexpr uint32_t kCstsShstOccurring = 1 << 2;
constexpr uint32_t kCstsShstComplete = 2 << 2;

// §3.1.11 CMBLOC: mixed memory for queues, for data pointers, data apart from its lists.
constexpr uint32_t kCmblocCqmms = 1 << 3;
constexpr uint32_t kCmblocCdpmls = 1 << 5;
constexpr uint32_t kCmblocCdpcils = 1 << 6;
constexpr uint32_t kCmblocCdmmms = 1 << 7;
constexpr uint32_t kCmblocOfstShift = 12;
// §3.1.12 CMBSZ.
constexpr uint32_t kCmbszSqs = 1 << 0;
constexpr uint32_t kCmbszCqs = 1 << 1;
constexpr uint32_t kCmbszLists = 1 << 2;
constexpr uint32_t kCmbszRds = 1 << 3;
constexpr uint32_t kCmbszWds = 1 << 4;
constexpr uint32_t kCmbszSzuShift = 8;
constexpr uint32_t kCmbszSzShift = 12;
// §3.1.16 CMBMSC.
constexpr uint64_t kCmbmscCre = 1 << 0;
constexpr uint64_t kCmbmscCmse = 1 << 1;
constexpr uint64_t kCmbmscCba = ~0xfffull;
// §3.1.17 CMBSTS.
constexpr uint32_t kCmbstsCbai = 1 << 0;

// §3.1.23 PMRCAP.
constexpr uint32_t kPmrcapRds = 1 << 3;
constexpr uint32_t kPmrcapWds = 1 << 4;
constexpr uint32_t kPmrcapBirShift = 5;
constexpr uint32_t kPmrcapReadBarrier = 1 << 11;  // PMRWBM: a read of PMRSTS
constexpr uint32_t kPmrcapToShift = 16;           // PMRTO, with PMRTU 0 in half seconds
constexpr uint32_t kPmrcapCmss = 1 << 24;
// §3.1.24 PMRCTL, §3.1.25 PMRSTS, §3.1.28 PMRMSC.
constexpr uint32_t kPmrctlEn = 1 << 0;
constexpr uint32_t kPmrstsNrdy = 1 << 8;
constexpr uint32_t kPmrstsCbai = 1 << 12;
constexpr uint64_t kPmrmscCmse = 1 << 1;
constexpr uint64_t kPmrmscCba = ~0xfffull;

constexpr uint32_t kSqeSize = 64;
constexpr uint32_t kCqeSize = 16;
constexpr uint32_t kPageSize = 4096;  // CAP.MPSMIN and CAP.MPSMAX are 0

// §5 Admin opcodes.
enum AdminOpcode : uint8_t {
  kDeleteIoSq = 0x00,
  kCreateIoSq = 0x01,
  kGetLogPage = 0x02,
  kDeleteIoCq = 0x04,
  kCreateIoCq = 0x05,
  kIdentify = 0x06,
  kAbort = 0x08,
  kSetFeatures = 0x09,
  kGetFeatures = 0x0a,
  kAsyncEventRequest = 0x0c,
  kDoorbellBufferConfig = 0x7c,
};

// §6 NVM opcodes.
enum IoOpcode : uint8_t {
  kFlush = 0x00,
  kWrite = 0x01,
  kRead = 0x02,
  kCompare = 0x05,
  kWriteZeroes = 0x08,
  kDatasetManagement = 0x09,
  kCopy = 0x19,  // of the NVM Command Set 1.0
};

// §6.7: Dataset Management, dword 11 and a range.
constexpr uint32_t kDsmDeallocate = 1 << 2;
struct DsmRange {
  uint32_t attributes;
  uint32_t blocks;
  uint64_t slba;
};
static_assert(sizeof(DsmRange) == 16);

/// Status field of a completion without the phase bit (§4.6.1): SC 7:0, SCT 10:8, DNR 14.
using CommandStatus = uint16_t;
constexpr CommandStatus kDnr = 1 << 14;
constexpr CommandStatus status(uint8_t type, uint8_t code) {
  return static_cast<CommandStatus>(type << 8 | code);
}
// Generic (figure 126).
constexpr CommandStatus kSuccess = 0;
constexpr CommandStatus kInvalidOpcode = status(0, 0x01) | kDnr;
constexpr CommandStatus kInvalidField = status(0, 0x02) | kDnr;
constexpr CommandStatus kDataTransferError = status(0, 0x04) | kDnr;
constexpr CommandStatus kAbortRequested = status(0, 0x07);
constexpr CommandStatus kAbortedSqDeletion = status(0, 0x08);
constexpr CommandStatus kInvalidNamespace = status(0, 0x0b) | kDnr;
constexpr CommandStatus kCommandSequenceError = status(0, 0x0c) | kDnr;
constexpr CommandStatus kInvalidSglSegment = status(0, 0x0d) | kDnr;
constexpr CommandStatus kInvalidSglCount = status(0, 0x0e) | kDnr;
constexpr CommandStatus kDataSglLengthInvalid = status(0, 0x0f) | kDnr;
constexpr CommandStatus kSglTypeInvalid = status(0, 0x11) | kDnr;
constexpr CommandStatus kInvalidUseOfCmb = status(0, 0x12) | kDnr;
constexpr CommandStatus kInvalidPrpOffset = status(0, 0x13) | kDnr;
constexpr CommandStatus kSglGranularityInvalid = status(0, 0x1e) | kDnr;
constexpr CommandStatus kLbaOutOfRange = status(0, 0x80) | kDnr;
// Command specific (figure 127).
constexpr CommandStatus kCompletionQueueInvalid = status(1, 0x00) | kDnr;
constexpr CommandStatus kInvalidQueueIdentifier = status(1, 0x01) | kDnr;
constexpr CommandStatus kInvalidQueueSize = status(1, 0x02) | kDnr;
constexpr CommandStatus kAbortLimitExceeded = status(1, 0x03);
constexpr CommandStatus kAsyncEventLimitExceeded = status(1, 0x05) | kDnr;
constexpr CommandStatus kInvalidInterruptVector = status(1, 0x08) | kDnr;
constexpr CommandStatus kInvalidLogPage = status(1, 0x09) | kDnr;
constexpr CommandStatus kInvalidQueueDeletion = status(1, 0x0c) | kDnr;
constexpr CommandStatus kFeatureNotSaveable = status(1, 0x0d) | kDnr;
constexpr CommandStatus kFeatureNotChangeable = status(1, 0x0e) | kDnr;
// Those of the NVM command set, with Copy (NVM Command Set 1.0 figure 17).
constexpr CommandStatus kCommandSizeLimit = status(1, 0x83) | kDnr;
constexpr CommandStatus kIncompatibleNamespace = status(1, 0x85) | kDnr;
constexpr CommandStatus kOverlappingRange = status(1, 0x87) | kDnr;
// Media and data integrity (figure 129).
constexpr CommandStatus kWriteFault = status(2, 0x80);
constexpr CommandStatus kUnrecoveredReadError = status(2, 0x81);
constexpr CommandStatus kCompareFailure = status(2, 0x85) | kDnr;

// §5.21.1 Feature identifiers.
constexpr uint8_t kFeatureArbitration = 0x01;
constexpr uint8_t kFeaturePowerManagement = 0x02;
constexpr uint8_t kFeatureTemperatureThreshold = 0x04;
constexpr uint8_t kFeatureErrorRecovery = 0x05;
constexpr uint8_t kFeatureVolatileWriteCache = 0x06;
constexpr uint8_t kFeatureNumberOfQueues = 0x07;
constexpr uint8_t kFeatureInterruptCoalescing = 0x08;
constexpr uint8_t kFeatureInterruptVector = 0x09;
constexpr uint8_t kFeatureWriteAtomicity = 0x0a;
constexpr uint8_t kFeatureAsyncEvent = 0x0b;
constexpr uint8_t kFeatureTimestamp = 0x0e;
constexpr uint8_t kFeatureHostBehavior = 0x16;

// §5.14.1 Log page identifiers.
constexpr uint8_t kLogSupported = 0x00;  // NVMe 2.0 §5.16.1.1
constexpr uint8_t kLogError = 0x01;
constexpr uint8_t kLogSmart = 0x02;
constexpr uint8_t kLogFirmwareSlot = 0x03;

// §5.2 Asynchronous events (figures 145 to 149): types, the two doorbell causes of an error.
constexpr uint8_t kEventTypeError = 0;
constexpr uint8_t kEventTypeHealth = 1;
constexpr uint8_t kEventTypeNotice = 2;
constexpr uint8_t kEventInvalidDoorbellRegister = 0x00;
constexpr uint8_t kEventInvalidDoorbellValue = 0x01;
/// Dword 0 of the completion (figure 145).
constexpr uint32_t asyncEvent(uint32_t type, uint32_t information, uint32_t logPage) {
  return (type & 0x7) | information << 8 | logPage << 16;
}

// §4.2 PSDT: PRP entries, or an SGL and (which nobody needs without metadata) a plain MPTR.
constexpr uint8_t kPsdtPrp = 0;
constexpr uint8_t kPsdtSgl = 1;

// Identify Controller, SGLS (figure 247).
constexpr uint32_t kSglsByte = 1;
constexpr uint32_t kSglsDword = 2;
constexpr uint32_t kSglsBitBucket = 1 << 16;

/// A submission queue entry (§4.2).
struct Command {
  uint32_t dw[16];

  uint8_t opcode() const { return static_cast<uint8_t>(dw[0]); }
  uint8_t fuse() const { return dw[0] >> 8 & 0x3; }
  uint8_t psdt() const { return dw[0] >> 14 & 0x3; }
  uint16_t cid() const { return static_cast<uint16_t>(dw[0] >> 16); }
  uint32_t nsid() const { return dw[1]; }
  uint64_t prp1() const { return dw[6] | uint64_t{dw[7]} << 32; }
  uint64_t prp2() const { return dw[8] | uint64_t{dw[9]} << 32; }
  uint64_t slba() const { return dw[10] | uint64_t{dw[11]} << 32; }
  uint32_t blocks() const { return (dw[12] & 0xffff) + 1; }  // NLB is 0's based
};
static_assert(sizeof(Command) == kSqeSize);

}  // namespace p2pmem::loopback::nvme
