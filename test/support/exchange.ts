/** Two sides that talk over this machine's own network, and one who says what he likes. */
import { connect, type Socket } from "node:net";
import { z } from "zod";
import { Connection } from "#lib/exchange/connection.js";
import { Listener, type ListenOptions } from "#lib/exchange/listener.js";
import type { ExchangeOptions } from "#lib/exchange/options.js";
import { reset } from "./reset.js";

export const HOST = "127.0.0.1";

/** Time enough for a busy machine; nothing below waits for it to pass. */
export const PATIENT: ExchangeOptions = { role: "copy", timeoutMs: 20_000 };

/** What the echo server takes. */
export const text = z.object({ text: z.string() });

/** Says again what it hears, and waits for it longer than any test lets silence last. */
async function echo(connection: Connection): Promise<void> {
  for (;;) connection.send(await connection.receive(text, PATIENT.timeoutMs));
}

export function listen(
  options: Partial<ListenOptions> = {},
  handler: (connection: Connection) => Promise<void> = echo,
): Promise<Listener> {
  return Listener.listen(
    { ...PATIENT, host: HOST, port: 0, maxConnections: 4, ...options },
    handler,
  );
}

/** Whether a client is served, and hears what it said. */
export async function isServed(port: number, options = PATIENT): Promise<boolean> {
  const client = await Connection.connect(HOST, port, options);
  try {
    client.send({ text: "are you there" });
    return (await client.receive(text)).text === "are you there";
  } finally {
    client.close();
  }
}

/** One who sends bytes, not messages. */
export class Stranger {
  readonly socket: Socket;
  heard = "";
  readonly #closed: Promise<void>;

  constructor(port: number) {
    this.socket = connect({ host: HOST, port });
    this.socket.on("error", () => undefined);
    this.socket.on("data", (piece) => {
      this.heard += piece.toString();
    });
    this.#closed = new Promise((resolve) => {
      this.socket.on("close", () => {
        resolve();
      });
    });
  }

  /** Sends, and waits until the other side has closed; what it said. */
  async say(bytes: string | Uint8Array): Promise<string> {
    this.socket.write(bytes);
    await this.#closed;
    return this.heard;
  }

  /** Lets go without a word (RST). */
  vanish(): void {
    reset(this.socket);
  }
}
