import type { Socket } from "node:net";

/**
 * Ends a connection without a word (RST). Where its end is on its way, Node.js (20, 24) refuses that, and
 * forgets the handle: a process that has one never ends. There it is closed.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
