import type { Socket } from "node:net";
import { P2pError } from "../errors.js";

/** Waits until the socket is connected. Errors: NO_ROUTE, INTERRUPTED. */
export function reach(
  socket: Socket,
  peer: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const done = (error?: P2pError): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", interrupt);
      socket.removeAllListeners();
      if (error === undefined) {
        resolve(socket);
        return;
      }
      // What becomes of it now nobody asks.
      socket.on("error", () => undefined);
      socket.destroy();
      reject(error);
    };
    const interrupt = (): void => {
      done(new P2pError("INTERRUPTED", "interrupted"));
    };
    const timer = setTimeout(() => {
      done(new P2pError("NO_ROUTE", `${peer} did not answer within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    socket.on("connect", () => {
      done();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      done(refuse(peer, error));
    });
    signal?.addEventListener("abort", interrupt);
    if (signal?.aborted === true) interrupt();
  });
}

function refuse(peer: string, error: NodeJS.ErrnoException): P2pError {
  const { code = error.message, errno, syscall } = error;
  return new P2pError("NO_ROUTE", `${peer} cannot be reached: ${code}`, {
    cause: error,
    ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(code === "ECONNREFUSED" ? { hint: "nobody listens there: is the server running?" } : {}),
  });
}
