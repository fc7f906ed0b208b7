import { connect, type Socket } from "node:net";
import type { z } from "zod";
import { P2pError } from "../errors.js";
import { greetServer } from "./greeting.js";
import * as limits from "./limits.js";
import { Lines } from "./lines.js";
import { formatRefusal, parseMessage, parseRefusal } from "./message.js";
import type { ExchangeOptions } from "./options.js";
import { reach } from "./reach.js";
import { toLine } from "./text.js";

interface Waiter {
  resolve(message: object): void;
  reject(error: P2pError): void;
}

/**
 * Two sides that send each other messages: JSON objects, one a line, over TCP. Made by connect() here,
 * by a Listener there; both have seen then that the other is what it should be.
 */
export class Connection {
  readonly remoteAddress: string;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #lines = new Lines(limits.MAX_HELLO_BYTES);
  readonly #unread: { message: object; bytes: number }[] = [];
  #unreadBytes = 0;
  #waiter: Waiter | undefined;
  /** Why there will be no more messages; undefined while there may be. */
  #end: P2pError | undefined;
  #listeners: ((error: P2pError | null) => void)[] = [];
  #isClosedHere = false;
  #beat: NodeJS.Timeout | undefined;
  /** Since something was heard. Beats and not time: a process that stood still has heard nothing either. */
  #silentBeats = 0;

  /**
   * `host`: a name or an address. Errors: NO_ROUTE, where nothing answers there; PEER_VERSION,
   * PEER_ROLE, BAD_KEY, TOO_MANY_CLIENTS; BAD_MESSAGE, PEER_GONE; INTERRUPTED.
   */
  static async connect(host: string, port: number, options: ExchangeOptions): Promise<Connection> {
    const { timeoutMs, signal } = options;
    const began = performance.now();
    const socket = await reach(connect({ host, port }), `${host}:${port}`, timeoutMs, signal);
    const connection = new Connection(socket, options);
    await connection.greet(() => greetServer(connection, options), began);
    return connection;
  }

  /** @internal `socket`: one that is connected, and nobody reads. */
  constructor(socket: Socket, { timeoutMs, signal }: ExchangeOptions) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.remoteAddress = formatAddress(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, limits.BEAT_MS);
    socket.on("data", (piece: Buffer) => {
      this.#take(piece);
    });
    // What an error was about says "close", which follows it.
    let cause: NodeJS.ErrnoException | undefined;
    socket.on("error", (error) => {
      cause = error;
    });
    socket.on("end", () => {
      this.#finish(this.#gone("it closed the connection"));
    });
    socket.on("close", () => {
      this.#finish(this.#gone(cause?.code ?? "the connection is closed"));
    });
    const interrupt = (): void => {
      this.fail(new P2pError("INTERRUPTED", "interrupted"));
    };
    signal?.addEventListener("abort", interrupt);
    socket.on("close", () => {
      signal?.removeEventListener("abort", interrupt);
    });
    if (signal?.aborted === true) interrupt();
  }

  /** To a peer that has gone nothing is sent: receive() and onClose() tell of that. */
  send(message: object): void {
    if (this.#end !== undefined) return;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    if (this.#socket.writableLength > limits.MAX_UNSENT_BYTES)
      this.#finish(this.#gone("it takes nothing"));
  }

  /**
   * The next message, in the order in which they were sent; one call at a time.
   * Errors: BAD_MESSAGE, where it is not what the schema says: the peer is told, and the connection
   * closed; PEER_GONE, also of one that takes too long; CLOSED; INTERRUPTED; what the peer told of by fail().
   */
  async receive<T>(schema: z.ZodType<T>, timeoutMs = this.#timeoutMs): Promise<T> {
    const { success, data, error } = schema.safeParse(await this.#next(timeoutMs));
    if (success) return data;
    const [issue] = error.issues;
    // Of keys that the peer chose, too.
    const where =
      issue === undefined || issue.path.length === 0
        ? ""
        : ` (${toLine(issue.path.join("."), 80)})`;
    const bad = this.#bad(`a message that is not what is due${where}`);
    this.fail(bad);
    throw bad;
  }

  /** Tells the peer what is wrong, and closes. */
  fail(error: P2pError): void {
    if (this.#end !== undefined) return;
    this.send(formatRefusal(error));
    this.#finish(error);
  }

  /** Called once, when it has ended; with null where that was close(). */
  onClose(listener: (error: P2pError | null) => void): void {
    if (this.#end === undefined) this.#listeners.push(listener);
    else listener(this.#isClosedHere ? null : this.#end);
  }

  /** What was sent before still arrives. Idempotent. */
  close(): void {
    if (this.#end !== undefined) return;
    this.#isClosedHere = true;
    this.#finish(new P2pError("CLOSED", `the connection to ${this.remoteAddress} is closed`));
  }

  /**
   * @internal Greets the peer within the time that is left of `began` on, and from then on takes
   * messages of full size and watches that it is there.
   */
  async greet(run: () => Promise<void>, began = performance.now()): Promise<void> {
    const left = Math.max(1, this.#timeoutMs - (performance.now() - began));
    const timer = setTimeout(() => {
      this.fail(this.#late(this.#timeoutMs));
    }, left);
    try {
      await run();
    } catch (error) {
      this.fail(error as P2pError);
      throw error;
    } finally {
      clearTimeout(timer);
    }
    this.#lines.limit = limits.MAX_LINE_BYTES;
    if (this.#end !== undefined) return;
    const beatMs = Math.min(limits.BEAT_MS, this.#timeoutMs / 4);
    this.#beat = setInterval(() => {
      this.#silentBeats++;
      if (this.#silentBeats * beatMs < this.#timeoutMs) this.#socket.write("\n");
      else this.#finish(this.#gone(`nothing was heard of it for ${this.#timeoutMs / 1000} s`));
    }, beatMs);
  }

  #take(piece: Buffer): void {
    this.#silentBeats = 0;
    if (this.#end !== undefined) return;
    try {
      for (const line of this.#lines.push(piece)) if (line !== "") this.#deliver(line);
    } catch (error) {
      this.fail(this.#bad((error as P2pError).message));
    }
  }

  #deliver(line: string): void {
    const message = parseMessage(line);
    const refusal = parseRefusal(message, this.remoteAddress);
    if (refusal !== null) {
      this.#finish(refusal);
      return;
    }
    if (this.#waiter !== undefined) {
      this.#waiter.resolve(message);
      return;
    }
    this.#unreadBytes += line.length;
    if (this.#unreadBytes > limits.MAX_UNREAD_BYTES)
      throw new P2pError("BAD_MESSAGE", "more messages than anybody asked for");
    this.#unread.push({ message, bytes: line.length });
  }

  #next(timeoutMs: number): Promise<object> {
    const first = this.#unread.shift();
    if (first !== undefined) {
      this.#unreadBytes -= first.bytes;
      return Promise.resolve(first.message);
    }
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (this.#waiter !== undefined)
      return Promise.reject(new P2pError("INTERNAL", "two wait for messages of one connection"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiter?.reject(this.#late(timeoutMs));
      }, timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#waiter = undefined;
      };
      this.#waiter = {
        resolve: (message) => {
          done();
          resolve(message);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
    });
  }

  /** The first reason counts. */
  #finish(error: P2pError): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    clearInterval(this.#beat);
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), limits.LINGER_MS);
    this.#socket.once("close", () => {
      clearTimeout(timer);
    });
    this.#waiter?.reject(error);
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(this.#isClosedHere ? null : error);
  }

  #gone(why: string): P2pError {
    return new P2pError("PEER_GONE", `${this.remoteAddress} has gone: ${why}`);
  }

  #late(timeoutMs: number): P2pError {
    const seconds = `${timeoutMs / 1000} s`;
    return new P2pError("PEER_GONE", `${this.remoteAddress} did not answer within ${seconds}`);
  }

  #bad(what: string): P2pError {
    return new P2pError("BAD_MESSAGE", `${this.remoteAddress} sent ${what}`, {
      hint: "is p2pmem at the other end, and of the same version?",
    });
  }
}

function formatAddress({ remoteAddress = "unknown", remotePort = 0 }: Socket): string {
  return `${remoteAddress.includes(":") ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}
