import type { z } from "zod";
import { P2pError } from "../errors.js";
import type { Connection } from "../exchange/connection.js";

/** How long the other side may take to open its devices and to prove a path: milliseconds. */
const OPEN_MS = 120_000;

/**
 * What the other side says while both get ready: it opens devices meanwhile. Errors: those of receive();
 * one that takes too long is as good as gone.
 */
export async function hear<T>(
  connection: Connection,
  schema: z.ZodType<T>,
  timeoutMs = OPEN_MS,
): Promise<T> {
  try {
    return await connection.receive(schema, timeoutMs);
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "TIMEOUT") throw error;
    throw new P2pError("PEER_GONE", error.message, { cause: error });
  }
}
