import type { z } from "zod";
import { P2pError } from "../errors.js";

/** What a side needs of the other: a Connection to another process, or one of inProcessPeers(). */
export interface Peer {
  readonly remoteAddress: string;
  send(message: object): void;
  /** Errors: PEER_GONE, BAD_MESSAGE; what the peer told of by fail(). */
  receive<T>(schema: z.ZodType<T>, timeoutMs?: number): Promise<T>;
  /** Tells the peer what is wrong, and ends. */
  fail(error: P2pError): void;
  /** What was sent before still arrives. Idempotent. */
  close(): void;
}

/** Both ends of a connection inside this process: nothing is lost, and nobody is late. */
export function inProcessPeers(): [Peer, Peer] {
  const [client, server] = [new InProcessPeer("the client"), new InProcessPeer("the server")];
  client.other = server;
  server.other = client;
  return [client, server];
}

class InProcessPeer implements Peer {
  readonly remoteAddress = "this process";
  other: InProcessPeer | null = null;
  readonly #name: string;
  readonly #messages: object[] = [];
  #end: P2pError | null = null;
  #wake: () => void = () => undefined;

  constructor(name: string) {
    this.#name = name;
  }

  send(message: object): void {
    this.other?.take(message);
  }

  async receive<T>(schema: z.ZodType<T>): Promise<T> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return schema.parse(message);
      if (this.#end !== null) throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  fail(error: P2pError): void {
    this.end(error);
    // It is the first failure that both tell of.
    this.other?.end(new P2pError(error.code, `${this.#name}: ${error.message}`, error));
  }

  close(): void {
    this.other?.end(new P2pError("PEER_GONE", `${this.#name} has gone`));
  }

  take(message: object): void {
    this.#messages.push(message);
    this.#wake();
  }

  end(error: P2pError): void {
    this.#end ??= error;
    this.#wake();
  }
}
