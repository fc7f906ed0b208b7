import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { P2pError } from "../errors.js";
import { Connection } from "./connection.js";
import { greetClient } from "./greeting.js";
import { MAX_STRANGERS } from "./limits.js";
import type { ExchangeOptions } from "./options.js";

export const EVERY_ADDRESS = "::";

export interface ListenOptions extends ExchangeOptions {
  /** The address to bind to; {@link EVERY_ADDRESS}: all of this machine, those of IPv4, too. */
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Of clients that have been greeted; more are refused with TOO_MANY_CLIENTS. */
  maxConnections: number;
}

type Handler = (connection: Connection) => Promise<void>;

/** Waits for clients. Whatever one of them sends ends its own connection, nothing else. */
export class Listener {
  readonly #server: Server;
  readonly #options: ListenOptions;
  readonly #handler: Handler;
  readonly #strangers = new Set<Connection>();
  readonly #clients = new Set<Connection>();
  readonly #running = new Set<Promise<void>>();

  /**
   * `onConnection` has a connection until its promise is settled: then it is closed, and what it
   * was rejected with is told to the client. Errors: LISTEN.
   */
  static async listen(options: ListenOptions, onConnection: Handler): Promise<Listener> {
    const server = createServer({ allowHalfOpen: false });
    const listener = new Listener(server, options, onConnection);
    const { host, port } = options;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const { code = error.message } = error;
        const message = `cannot listen at ${host}:${port}: ${code}`;
        reject(new P2pError("LISTEN", message, { cause: error }));
      });
      // Without a host Node.js takes 0.0.0.0 where this machine has no IPv6.
      const place = host === EVERY_ADDRESS ? {} : { host };
      server.listen({ ...place, port, exclusive: true }, resolve);
    });
    // One that cannot be accepted, for want of file descriptors say, is its client's trouble.
    server.removeAllListeners("error").on("error", () => undefined);
    return listener;
  }

  private constructor(server: Server, options: ListenOptions, handler: Handler) {
    this.#server = server;
    this.#options = options;
    this.#handler = handler;
    const interrupt = (): void => {
      this.#endAll(new P2pError("INTERRUPTED", "interrupted"));
    };
    options.signal?.addEventListener("abort", interrupt);
    server.on("close", () => options.signal?.removeEventListener("abort", interrupt));
    server.on("connection", (socket) => {
      const serving = this.#serve(socket).finally(() => this.#running.delete(serving));
      this.#running.add(serving);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all connections, and waits for what serves them. Idempotent. */
  async close(): Promise<void> {
    this.#server.close();
    this.#endAll(new P2pError("PEER_GONE", "the server ends"));
    await Promise.all(this.#running);
  }

  #endAll(error: P2pError): void {
    for (const connection of [...this.#strangers, ...this.#clients]) connection.fail(error);
  }

  async #serve(socket: Socket): Promise<void> {
    const { role, timeoutMs } = this.#options;
    // The signal is one for all of them: see #endAll().
    const connection = new Connection(socket, { role, timeoutMs });
    try {
      await this.#greet(connection);
      await this.#handler(connection);
      connection.close();
    } catch (error) {
      connection.fail(
        error instanceof P2pError ? error : new P2pError("INTERNAL", "a mistake in the server"),
      );
    } finally {
      this.#clients.delete(connection);
    }
  }

  async #greet(connection: Connection): Promise<void> {
    const strangers = this.#strangers;
    // Who greets at once is never the oldest for long.
    if (strangers.size >= MAX_STRANGERS)
      for (const oldest of strangers) {
        strangers.delete(oldest);
        oldest.fail(new P2pError("TOO_MANY_CLIENTS", "too many that have not greeted"));
        break;
      }
    strangers.add(connection);
    try {
      await connection.greet(() =>
        greetClient(connection, this.#options, () => this.#admit(connection)),
      );
    } finally {
      strangers.delete(connection);
    }
  }

  #admit(connection: Connection): void {
    const { maxConnections } = this.#options;
    if (this.#clients.size >= maxConnections)
      throw new P2pError("TOO_MANY_CLIENTS", "the server has as many connections as it takes", {
        hint: "try again when one of them has finished, or let it take more: --max-connections",
      });
    this.#clients.add(connection);
  }
}
