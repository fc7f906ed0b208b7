import { shapeOf } from "../../copy/nvme-copy/shape.js";
import { P2pError } from "../../errors.js";
import { formatEndpoint, parseEndpoint } from "../../io/endpoint.js";
import { Host } from "../../host/host.js";
import type { Endpoint } from "../../io/endpoint.js";
import { findNamespace } from "../../io/namespaces.js";
import type { Bdf } from "../../pci/bdf.js";
import type { Session } from "../../session.js";
import { allProviders, chooseEndpoints, chooseProvider, firstNamespaces } from "../choose.js";
import { writes } from "../job/check.js";
import { isWildcard } from "../job/endpoints.js";
import { isOfAll, type Answer, type Question, type Resolve } from "../job/points.js";
import { isKernelEndpoint, parseKernelEndpoint } from "../../kernel/endpoint.js";
import { kernelProviderNames } from "../../kernel/provider.js";
import { kernelClients } from "../../kernel/target.js";
import { isOfOnePoint } from "./failed.js";

/** Endpoints of one combination. */
interface Ends {
  sources: readonly Endpoint[];
  destination: Endpoint | null;
}

/** What names of jobs are in this session. Errors: those of its members. */
export function resolver(session: Session, allowWrite: boolean): Resolve {
  return async (question) => {
    if ([...question.src, question.dst ?? ""].some(isKernelEndpoint))
      return kernelAnswers(question);
    const answers: Answer[] = [];
    for (const ends of await endsOf(session, question)) {
      if (!(await applies(session, question, ends))) continue;
      assertNamed(session, question, ends, allowWrite);
      try {
        for (const provider of await providersOf(session, question, ends))
          answers.push({ ...ends, provider });
      } catch (error) {
        if (!isOfAll(question) || !isOfOnePoint(error)) throw error;
        answers.push({ ...ends, provider: null, refusal: error });
      }
    }
    return answers;
  };
}

/** Of the machine that this runs on, whatever the session's is. */
function kernelAnswers({ src, dst, provider }: Question): Answer[] {
  const sources = src.map(parseKernelEndpoint);
  const destination = dst === null ? null : parseKernelEndpoint(dst);
  if (provider === null) return [{ sources, destination, provider }];
  const host = new Host();
  const tree = host.pci();
  const ends = [...sources, ...(destination === null ? [] : [destination])];
  const clients = ends.flatMap(({ file }) => kernelClients(host, tree, file));
  return kernelProviderNames(host, tree, [...new Set(clients)], provider).map((name) => ({
    ...{ sources, destination },
    provider: name,
  }));
}

async function endsOf(session: Session, { src, dst }: Question): Promise<Ends[]> {
  const [first = "auto"] = src;
  if (dst === null) {
    if (!isWildcard(first)) return [{ sources: src.map(parseEndpoint), destination: null }];
    const all = await firstNamespaces(session);
    return (first === "auto" ? all.slice(0, 1) : all).map((source) => ({
      sources: [source],
      destination: null,
    }));
  }
  if (first !== "each" && dst !== "each") {
    const { source, destination } = await chooseEndpoints(
      session,
      first === "auto" ? null : parseEndpoint(first),
      dst === "auto" ? null : parseEndpoint(dst),
    );
    return [{ sources: [source], destination }];
  }
  const all = await firstNamespaces(session);
  const candidates = (text: string): Endpoint[] => (isWildcard(text) ? all : [parseEndpoint(text)]);
  const pairs = candidates(first).flatMap((source) =>
    candidates(dst)
      .filter(({ device, nsid }) => device !== source.device || nsid !== source.nsid)
      .map((destination) => ({ sources: [source], destination })),
  );
  // `auto` beside `each`: the first that fits each.
  return first === "auto" || dst === "auto" ? firstOfEach(pairs, dst === "auto") : pairs;
}

function firstOfEach(
  pairs: readonly { sources: readonly Endpoint[]; destination: Endpoint }[],
  bySource: boolean,
): Ends[] {
  const found = new Map<string, Ends>();
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
async function applies(session: Session, question: Question, ends: Ends): Promise<boolean> {
  const { job, path, src, dst, bs } = question;
  const isMeant = job.path.length === 1 && ![...src, dst ?? ""].some(isWildcard);
  if (path !== "nvme-copy" || ends.destination === null || isMeant) return true;
  try {
    const [source, destination] = await Promise.all(
      [ends.sources[0]!, ends.destination].map((endpoint) => findNamespace(session, endpoint)),
    );
    shapeOf(source!, destination!, bs);
    return true;
  } catch (error) {
    if (error instanceof P2pError && error.code === "UNSUPPORTED") return false;
    throw error;
  }
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
  { job, provider, bs }: Question,
  { sources, destination }: Ends,
): Promise<(string | null)[]> {
  if (provider === null) return [null];
  // Of the path cpu too, whose source needs not reach it: what is compared has the same provider.
  const ends = [...sources, ...(destination === null ? [] : [destination])];
  const clients: Bdf[] = [...new Set(ends.map(({ device }) => device))];
  // The job's seed chooses among those that are equally close: for all that one compares the same one,
  // and again when the run is repeated.
  if (provider === "closest")
    return [(await chooseProvider(session, clients, bs, { seed: job.randseed })).provider.name];
  if (provider === "all") return (await allProviders(session, clients, bs)).map(({ name }) => name);
  return [(await session.provider(provider)).name];
}
