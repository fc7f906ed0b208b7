import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { P2pError } from "../errors.js";
import type { Connection } from "./connection.js";
import type { ExchangeOptions } from "./options.js";

/** Of all that is said over a connection. Another one is refused. */
const VERSION = 2;

const NONCE_BYTES = 32;

const hello = z.object({
  p2pmem: z.int(),
  role: z.string().max(32),
  /** Of one who has a key: what the other makes a proof of. */
  nonce: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
});
type Hello = z.infer<typeof hello>;

const proof = z.object({ proof: z.string().regex(/^[0-9a-f]{64}$/) });

type Side = "client" | "server";

/**
 * The client's half: its hello, the server's hello, and where there is a key the client's proof that it
 * has it, then the server's. Errors: PEER_VERSION, PEER_ROLE, BAD_KEY; what the server says.
 */
export async function greetServer(connection: Connection, options: ExchangeOptions): Promise<void> {
  const own = makeHello(options);
  connection.send(own);
  const server = await connection.receive(hello);
  assertVersion(connection, server);
  if (options.key === undefined) {
    assertRole(connection, options, server);
    return;
  }
  if (server.nonce === null)
    throw new P2pError(
      "BAD_KEY",
      `${connection.remoteAddress} has no key, so that it proves nothing`,
    );
  const nonces = `${own.nonce} ${server.nonce}`;
  connection.send({ proof: prove(options.key, server.role, "client", nonces) });
  const answer = await connection.receive(proof);
  assertProof(connection, options.key, server.role, "server", nonces, answer.proof);
  assertRole(connection, options, server);
}

/**
 * The server's half. One without the key learns nothing but that; `admit` throws what else there is
 * to refuse the client for, once it has shown that it has the key.
 */
export async function greetClient(
  connection: Connection,
  options: ExchangeOptions,
  admit: () => void,
): Promise<void> {
  const client = await connection.receive(hello);
  assertVersion(connection, client);
  const { key, role } = options;
  const own = makeHello(options);
  if (key === undefined) {
    assertRole(connection, options, client);
    admit();
    connection.send(own);
    return;
  }
  if (client.nonce === null)
    throw new P2pError("BAD_KEY", "this server asks for a key", {
      hint: "give the file that the server has: --key-file FILE",
    });
  connection.send(own);
  const nonces = `${client.nonce} ${own.nonce}`;
  const answer = await connection.receive(proof);
  assertProof(connection, key, role, "client", nonces, answer.proof);
  assertRole(connection, options, client);
  admit();
  connection.send({ proof: prove(key, role, "server", nonces) });
}

function makeHello({ role, key }: ExchangeOptions): Hello {
  const nonce = key === undefined ? null : randomBytes(NONCE_BYTES).toString("hex");
  return { p2pmem: VERSION, role, nonce };
}

/** Nobody's proof does for the other side, another role, or another connection. */
function prove(key: Uint8Array, role: string, side: Side, nonces: string): string {
  return createHmac("sha256", key)
    .update(`p2pmem ${VERSION} ${role} ${side} ${nonces}`)
    .digest("hex");
}

function assertProof(
  { remoteAddress }: Connection,
  key: Uint8Array,
  role: string,
  side: Side,
  nonces: string,
  given: string,
): void {
  const due = Buffer.from(prove(key, role, side, nonces), "hex");
  if (timingSafeEqual(due, Buffer.from(given, "hex"))) return;
  throw new P2pError("BAD_KEY", `${remoteAddress} does not have the same key`, {
    hint: "both sides' --key-file must hold the same bytes",
  });
}

function assertVersion({ remoteAddress }: Connection, { p2pmem }: Hello): void {
  if (p2pmem === VERSION) return;
  const message = `${remoteAddress} speaks version ${p2pmem} of the protocol, this side ${VERSION}`;
  throw new P2pError("PEER_VERSION", message, { hint: "use the same p2pmem on both sides" });
}

function assertRole({ remoteAddress }: Connection, { role }: ExchangeOptions, peer: Hello): void {
  if (peer.role === role) return;
  const message = `${remoteAddress} speaks of "${peer.role.replaceAll(/\W/g, "?")}", this side of "${role}"`;
  throw new P2pError("PEER_ROLE", message, {
    hint: "p2pmem copy goes with p2pmem serve, p2pmem rdma with p2pmem rdma",
  });
}
