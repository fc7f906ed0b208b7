/**
 * The library: copy data from PCIe device to PCIe device, peer to peer, over VFIO or on the loopback
 * machine. Begin with {@link Session.open} and {@link copy}; the rest are the parts they are made of.
 */
export { Session } from "./session.js";
export type { SessionOptions } from "./session.js";
export type { PlatformOptions } from "./choose-platform.js";

export { copy } from "./copy/by-name.js";
export type { CopyOptions } from "./copy/by-name.js";
export { runCopy } from "./copy/copy.js";
export type { CopyPath, CopyPlan } from "./copy/plan.js";
export { parseEndpoint } from "./io/endpoint.js";
export type { Endpoint } from "./io/endpoint.js";
export type { Registration, RunPlan } from "./io/run-plan.js";
export { parseProvider } from "./p2pmem/provider-name.js";
export type { ProviderSpec } from "./p2pmem/provider-name.js";
export { copyResult } from "./copy/result.js";
export type { CopyMeasurement, CopyResult } from "./copy/result.js";
export type { LinkBytes, Traffic } from "./io/traffic.js";
export { remoteCopy, serve } from "./remote/by-name.js";
export type { RemoteCopyOptions, ServeOptions } from "./remote/by-name.js";
export { readKeyFile } from "./remote/key-file.js";
export type { NicOptions } from "./remote/machine.js";
export type { RemoteCopyResult, RemoteEndResult } from "./remote/result.js";
export { Server as CopyServer } from "./remote/server.js";
export type { ServerEvent as CopyServerEvent } from "./remote/server.js";
export type { Staging } from "./stream/plan.js";
export { runPerf } from "./perf/perf.js";
export type { Pattern, PerfPlan } from "./perf/plan.js";
export { perfResult } from "./perf/result.js";
export type { PerfMeasurement, PerfResult } from "./perf/result.js";
export { bench } from "./bench/bench.js";
export type { BenchOptions, RunOptions as BenchRunOptions } from "./bench/bench.js";
export { BenchError } from "./bench/error.js";
export { renderHtml } from "./report/html.js";
export type { JobFile } from "./bench/job/load.js";
export type { JobParameters } from "./bench/job/parameters.js";
export type { BenchProgress } from "./bench/measure/measure.js";
export type { BenchPath, BenchPoint, Workload } from "./bench/point.js";
export type {
  BenchReport,
  BenchResult,
  CpuFigures,
  DriverReport,
  ExpectationResult,
  FailureReport,
  Latency,
  MachineReport,
  Samples,
  VerifyResult,
} from "./bench/report.js";
export { runKernel } from "./kernel/kernel.js";
export type { KernelMeasurement, ReactorLender } from "./kernel/kernel.js";
export type { KernelMemory, KernelPlan } from "./kernel/plan.js";
export { blotKernelDestination, prepareKernelSource, verifyKernelCopy } from "./kernel/verify.js";
export type { KernelVerifyOptions } from "./kernel/verify.js";
export { parseKernelEndpoint } from "./kernel/endpoint.js";
export type { KernelEndpoint } from "./kernel/endpoint.js";
export { Histogram } from "./reactor/histogram.js";
export { blotDestination, prepareSource, verifyDestination } from "./copy/verify.js";
export { Marks } from "./verify/marks.js";
export { verifyWritten } from "./verify/written.js";
export type { MarkedSlots, Written, WrittenRange } from "./verify/written.js";
export { provePath } from "./proof/path.js";
export type { PathProof, PathProofRequest, PathVerdict } from "./proof/path.js";
export type { LegOutcome, LegProof } from "./proof/leg.js";
export type { NativeDmaFault as DmaFault } from "./addon.js";
export type { Mismatch, Verification } from "./verify/inspect.js";
export type { Defect } from "./verify/diagnosis.js";
export type { VerifyMode } from "./verify/mode.js";

export { NvmeController } from "./nvme/controller.js";
export type { NvmeControllerOptions } from "./nvme/controller.js";
export type { RecoveryOutcome } from "./nvme/recovery.js";
export type { NvmeEvent, NvmeEventHandler } from "./nvme/events.js";
export { NvmeNamespace } from "./nvme/namespace.js";
export type { Descriptors } from "./nvme/descriptors/data-pointer.js";
export type { BlockRange } from "./nvme/dataset.js";
export type { CopySource } from "./nvme/commands/copy-blocks.js";
export type { CopyFormat, CopyLimits, CopySupport } from "./nvme/commands/copy.js";
export { AdminCommands } from "./nvme/admin/admin-commands.js";
export type { LogPageOptions } from "./nvme/admin/read-log.js";
export type { NvmLimitFields, NvmLimits } from "./nvme/admin/nvm-limits.js";
export type { ControllerIdentity, NamespaceIdentity } from "./nvme/admin/identify.js";
export type { NamespaceDescriptors } from "./nvme/admin/identify.js";
export type {
  CommandEffects,
  ErrorLogEntry,
  FirmwareSlots,
  SmartLog,
  SupportedCommands,
} from "./nvme/admin/log-pages.js";
export type { FeatureCapabilities, FeatureSelect, FeatureValue } from "./nvme/admin/features.js";
export { openQueuePair, QueuePair } from "./nvme/queues/queue-pair.js";
export type { QueuePairHandle } from "./nvme/queues/queue-pair.js";
export type { QueuePairOptions, SubmissionMemory } from "./nvme/queues/queue-set.js";

export { RdmaDevice } from "./rdma/device.js";
export type { RdmaDeviceInfo } from "./rdma/device.js";
export type { RdmaPath, PathOptions as RdmaPathOptions } from "./rdma/path.js";
export type { RdmaEvent } from "./rdma/events.js";
export { ProtectionDomain } from "./rdma/protection-domain.js";
export { MemoryRegion } from "./rdma/memory-region.js";
export type { InlineAddress, RegionPiece } from "./rdma/memory-region.js";
export type { RegionTarget } from "./rdma/access.js";
export { QueuePair as RdmaQueuePair } from "./rdma/queue-pair.js";
export type {
  QueuePairHandle as RdmaQueuePairHandle,
  QueuePairOptions as RdmaQueuePairOptions,
} from "./rdma/queue-pair.js";
export type { ReceiveRing, SendRing } from "./rdma/request-ring.js";
export { CompletionQueue } from "./rdma/completion-queue.js";
export type { CompletionQueueHandle } from "./rdma/completion-queue.js";
export { statusError, statusName } from "./rdma/status.js";
export * as verbs from "./rdma/spec.js";
export type {
  NativeConnectionOptions as RdmaConnectionOptions,
  NativeQueuePairAddress as RdmaQueuePairAddress,
  NativeRdmaAttributes as RdmaAttributes,
  NativeRdmaGid as RdmaGid,
  NativeRdmaPort as RdmaPort,
} from "./rdma-addon.js";

export { DmaVector } from "./sgl/dma-vector.js";
export type { DmaClient, DmaLimits, KnownAddress } from "./sgl/dma-client.js";
export type { PeerMemory, Piece, Segment } from "./sgl/memory.js";
export { ScatterList } from "./sgl/scatterlist.js";
export { Provider } from "./p2pmem/provider.js";
export type { ProviderKind, ProviderRange } from "./p2pmem/provider-range.js";
export type { FindOptions } from "./p2pmem/find.js";
export { Allocation, Pool } from "./p2pmem/pool.js";
export type { PoolStatistics } from "./p2pmem/pool.js";
export { AddressSpace } from "./dma/address-space.js";
export { DmaBuffer } from "./dma/dma-buffer.js";
export type { Iova } from "./dma/iova.js";

export { readTopology } from "./platform/sysfs.js";
export { readCapture } from "./platform/capture.js";
export { PciTree } from "./pci/tree.js";
export { PciFunction } from "./pci/function.js";
export type { AddressRange, Bar, IommuMode } from "./pci/function.js";
export { HostBridge } from "./pci/host-bridge.js";
export type { Acs } from "./pci/acs.js";
export type { Express, PortType } from "./pci/express.js";
export { likelyClients, likelyProviders } from "./pci/peers.js";
export { distance } from "./pci/distance.js";
export { kernelDistance, peerPath } from "./pci/peer-path.js";
export type { Bottleneck, MapType, PeerPath, Verdict, VfioVerdict } from "./pci/peer-path.js";
export { completionRoute, route } from "./pci/route.js";
export type { Route } from "./pci/route.js";
export { parseBdf } from "./pci/bdf.js";
export type { Bdf } from "./pci/bdf.js";
export type { CpuIdentity, Platform, RawLink, RawPciFunction, RawTopology } from "./platform.js";

export { parseSize, formatSize } from "./units.js";
export { NvmeError, P2pError, RdmaError } from "./errors.js";
