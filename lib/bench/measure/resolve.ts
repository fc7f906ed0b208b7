import { shapeOf } from "../../copy/nvme-copy/shape.js";
import { P2pError } from "../../errors.js";
import { formatEndpoint, parseEndpoint } from "../../io/endpoint.js";
import { Host } from "../../host/host.js";
import type { Endpoint } from "../../io/endpoint.js";
import { findNamespace } from "../../io/namespaces.js";
import type { Bdf } from "../../pci/bdf.js";
import type { PciTree } from "../../pci/tree.js";
import type { Session } from "../../session.js";
import {
  allProviders,
  Attempts,
  chooseEndpoints,
  chooseProvider,
  firstNamespaces,
  type OneOf,
} from "../choose.js";
import { isOfOnePoint } from "../error.js";
import { writes } from "../job/check.js";
import { isWildcard } from "../job/endpoints.js";
import { isOfAll, type Answer, type Question, type Resolve } from "../job/points.js";
import {
  formatKernelEndpoint,
  isKernelEndpoint,
  parseKernelEndpoint,
} from "../../kernel/endpoint.js";
import { assertOffered, kernelProviderNames, parseKernelProvider } from "../../kernel/provider.js";
import { kernelClients } from "../../kernel/target.js";
import { isRdmaPath, type OfEnds, type RdmaPort } from "../point.js";
import type { LeftOut } from "./left-out.js";
import { assertBothRegister, rdmaPortsOf } from "./rdma-ports.js";

/** Endpoints of one combination. */
interface Ends {
  sources: readonly Endpoint[];
  destination: Endpoint | null;
}

interface FoundEnds extends Ends {
  /** Why one of them cannot be used; null: nothing is known against them. */
  refusal: P2pError | null;
}

/** What names of jobs are in this session. Errors: those of its members. */
export function resolver(session: Session, allowWrite: boolean, leftOut: LeftOut): Resolve {
  const attempts = new Attempts();
  let machine: KernelMachine | null = null;
  return async (question) => {
    if ([...question.src, question.dst ?? ""].some(isKernelEndpoint))
      return kernelAnswers((machine ??= readKernelMachine()), question, leftOut);
    const answers: Answer[] = [];
    for (const { refusal: unopened, ...ends } of await endsOf(session, question, attempts)) {
      if (!(await applies(session, question, ends, leftOut))) continue;
      assertNamed(session, question, ends, allowWrite);
      const rdma = isRdmaPath(question.path) ? rdmaPortsOf(session, question.job) : null;
      try {
        for (const { what, refusal } of await providersOf(
          session,
          question,
          ends,
          rdma,
          attempts,
          leftOut,
        ))
          if (what === null || (await isReached(session, question, ends, rdma, what, leftOut)))
            answers.push({ ...ends, provider: what, rdma, ...refusedBy(unopened ?? refusal) });
      } catch (error) {
        if (!isOfOnePoint(error)) throw error;
        if (rdma !== null && !question.job.says("path")) {
          leftOut.add(question.job, question.path, error.message, pairOf(ends));
          continue;
        }
        if (!isOfAll(question)) throw error;
        answers.push({ ...ends, provider: null, rdma, refusal: unopened ?? error });
      }
    }
    return answers;
  };
}

function refusedBy(refusal: P2pError | null): Pick<Answer, "refusal"> {
  return refusal === null ? {} : { refusal };
}

/** The machine that this runs on, whatever the session's is. */
interface KernelMachine {
  host: Host;
  tree: PciTree;
}

function readKernelMachine(): KernelMachine {
  const host = new Host();
  return { host, tree: host.pci() };
}

/**
 * Where nobody wrote kernel-p2p (a built-in job has it of itself) it is left out on a machine that has no
 * memory for it.
 */
function kernelAnswers(
  { host, tree }: KernelMachine,
  { job, path, src, dst, provider }: Question,
  leftOut: LeftOut,
): Answer[] {
  const sources = src.map(parseKernelEndpoint);
  const destination = dst === null ? null : parseKernelEndpoint(dst);
  if (provider === null) return [{ sources, destination, provider }];
  const ends = [...sources, ...(destination === null ? [] : [destination])];
  const clients = ends.flatMap(({ file }) => kernelClients(host, tree, file));
  try {
    const names = kernelProviderNames(host, tree, [...new Set(clients)], provider);
    if (!job.says("path"))
      for (const name of names) assertOffered(host, tree.get(parseKernelProvider(name)));
    return names.map((name) => ({ sources, destination, provider: name }));
  } catch (error) {
    const isMeant = job.says("path") || job.says("provider");
    if (isMeant || !(error instanceof P2pError) || error.code !== "KERNEL_P2PMEM") throw error;
    leftOut.add(job, path, error.message, ends.map(formatKernelEndpoint).join(" and "));
    return [];
  }
}

async function endsOf(
  session: Session,
  { src, dst }: Question,
  attempts: Attempts,
): Promise<FoundEnds[]> {
  const [first = "auto"] = src;
  if (dst === null) {
    if (!isWildcard(first))
      return [{ sources: src.map(parseEndpoint), destination: null, refusal: null }];
    const all = candidatesOf(first, await firstNamespaces(session, attempts));
    return (first === "auto" ? all.slice(0, 1) : all).map(({ what, refusal }) => ({
      ...{ sources: [what], destination: null },
      refusal,
    }));
  }
  if (first !== "each" && dst !== "each") {
    const { source, destination } = await chooseEndpoints(
      session,
      first === "auto" ? null : parseEndpoint(first),
      dst === "auto" ? null : parseEndpoint(dst),
    );
    return [{ sources: [source], destination, refusal: null }];
  }
  const all = await firstNamespaces(session, attempts);
  const pairs = candidatesOf(first, all).flatMap((from) =>
    candidatesOf(dst, all)
      .filter(
        ({ what: { device, nsid } }) => device !== from.what.device || nsid !== from.what.nsid,
      )
      .map((to) => ({
        ...{ sources: [from.what], destination: to.what },
        refusal: from.refusal ?? to.refusal,
      })),
  );
  // `auto` beside `each`: the first that fits each.
  return first === "auto" || dst === "auto" ? firstOfEach(pairs, dst === "auto") : pairs;
}

/** `each`: all of them; `auto`: those that can be used. */
function candidatesOf(text: string, all: readonly OneOf<Endpoint>[]): readonly OneOf<Endpoint>[] {
  if (!isWildcard(text)) return [{ what: parseEndpoint(text), refusal: null }];
  return text === "each" ? all : all.filter(({ refusal }) => refusal === null);
}

function firstOfEach(
  pairs: readonly (FoundEnds & { destination: Endpoint })[],
  bySource: boolean,
): FoundEnds[] {
  const found = new Map<string, FoundEnds>();
  for (const pair of pairs) {
    const key = formatEndpoint(bySource ? pair.sources[0]! : pair.destination);
    if (!found.has(key)) found.set(key, pair);
  }
  return [...found.values()];
}

/**
 * Among several paths nvme-copy is left out where no controller can copy between the two namespaces;
 * alone, only where nobody named them.
 */
async function applies(
  session: Session,
  question: Question,
  ends: Ends,
  leftOut: LeftOut,
): Promise<boolean> {
  const { job, path, src, dst, bs } = question;
  const isMeant = job.path.length === 1 && ![...src, dst ?? ""].some(isWildcard);
  if (path !== "nvme-copy" || ends.destination === null || isMeant) return true;
  const [{ device }] = ends.sources as [Endpoint];
  const pair = pairOf(ends);
  // Known without opening the one or the other.
  if (device !== ends.destination.device) {
    leftOut.add(job, path, "it is inside one controller", pair);
    return false;
  }
  try {
    const [source, destination] = await Promise.all(
      [ends.sources[0]!, ends.destination].map((endpoint) => findNamespace(session, endpoint)),
    );
    shapeOf(source!, destination!, bs);
    return true;
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "UNSUPPORTED") throw error;
    leftOut.add(job, path, error.message, pair);
    return false;
  }
}

/**
 * Where nobody wrote rdma-p2p (a built-in job has it of itself) it is left out where a NIC cannot use the
 * provider's memory, as with soft-RoCE, and on kernels that do not export it.
 */
async function isReached(
  session: Session,
  { job, path }: Question,
  ends: Ends,
  rdma: OfEnds<RdmaPort> | null,
  provider: string,
  leftOut: LeftOut,
): Promise<boolean> {
  if (rdma === null || job.says("path")) return true;
  try {
    await assertBothRegister(session, rdma, provider);
    return true;
  } catch (error) {
    if (!isOfOnePoint(error)) throw error;
    leftOut.add(job, path, error.message, pairOf(ends));
    return false;
  }
}

function pairOf(ends: Ends): string {
  return endpointsOf(ends).map(formatEndpoint).join(" and ");
}

function endpointsOf({ sources, destination }: Ends): Endpoint[] {
  return [...sources, ...(destination === null ? [] : [destination])];
}

/** On real devices only what was named is written (--allow-write alone is no choice of a disk). */
function assertNamed(
  session: Session,
  { job, src, dst }: Question,
  { sources, destination }: Ends,
  allowWrite: boolean,
): void {
  if (session.platform.kind === "loopback") return;
  const written: [Endpoint, string, string][] = [];
  if (destination !== null) written.push([destination, dst ?? "", "dst"]);
  // Stamps and checksums go into the source of a copy; other workloads have no destination.
  const marks = destination !== null && job.verify !== null && job.verify !== "memcmp";
  if (marks || (destination === null && job.rw.some((rw) => rw !== "copy" && writes(rw))))
    for (const [index, source] of sources.entries())
      written.push([source, src[index] ?? "", "src"]);
  for (const [endpoint, text, side] of written) {
    if (allowWrite && !isWildcard(text)) continue;
    const name = formatEndpoint(endpoint);
    const isMarked = marks && side === "src";
    const what = isMarked ? `verifying by ${job.verify}` : "the benchmark";
    throw new P2pError("WRITE_NOT_ALLOWED", `${what} would OVERWRITE ${name}`, {
      device: endpoint.device,
      hint: `if that is wanted: --${side} ${name} --allow-write${isMarked ? "; --verify=memcmp only reads it" : ""}`,
    });
  }
}

async function providersOf(
  session: Session,
  { job, path, provider, bs }: Question,
  ends: Ends,
  rdma: OfEnds<RdmaPort> | null,
  attempts: Attempts,
  leftOut: LeftOut,
): Promise<OneOf<string | null>[]> {
  const one = (what: string | null): OneOf<string | null>[] => [{ what, refusal: null }];
  if (provider === null) return one(null);
  // Of the path cpu too, whose source needs not reach it: what is compared has the same provider.
  const clients: Bdf[] = [...new Set(endpointsOf(ends).map(({ device }) => device))];
  if (provider === "all") return allProviders(session, clients, bs, attempts);
  if (provider !== "closest") return one((await session.provider(provider)).name);
  // For all that one compares the same one: with room for the largest block, and the job's seed chooses
  // among those that are equally close, again so when the run is repeated. Over RDMA it is the first of
  // them that the NICs can have.
  const largest = Math.max(...job.bs);
  const { provider: closest, unfit } = await chooseProvider(session, clients, largest, {
    seed: job.randseed,
    ...(rdma === null ? {} : { assertFit: ({ name }) => assertBothRegister(session, rdma, name) }),
  });
  if (unfit.length > 0) leftOut.passOver(job, path, closest.name, unfit, pairOf(ends));
  return one(closest.name);
}
