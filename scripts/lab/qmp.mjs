// QEMU's monitor (QMP), for a guest that wants its own devices pulled and plugged. The guest asks by a
// file: OUT/qmp/NAME.request, of {"execute": …, "arguments": …}, answered by OUT/qmp/NAME.reply, of
// {"return": …} or {"error": …}. Requests are renamed into place, so that none is read half written.

import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";

const REQUEST = ".request";

/** The connection to QEMU's socket, made when it is first needed. */
class Monitor {
  #path;
  #socket;
  #input = "";
  #waiting = [];

  constructor(path) {
    this.#path = path;
  }

  /** The reply, as QEMU sends it. */
  async execute(command) {
    if (this.#socket === undefined) {
      this.#connect();
      await this.#next(); // its greeting
      await this.#send({ execute: "qmp_capabilities" });
    }
    return this.#send(command);
  }

  close() {
    this.#socket?.destroy();
  }

  #connect() {
    this.#socket = createConnection(this.#path);
    this.#socket.setEncoding("utf8");
    this.#socket.on("data", (text) => {
      const lines = (this.#input + text).split("\n");
      this.#input = lines.pop();
      for (const line of lines) {
        const message = JSON.parse(line);
        if (message.event === undefined) this.#waiting.shift()?.(message);
      }
    });
    const lost = (error) => {
      for (const settle of this.#waiting.splice(0))
        settle({ error: { class: "GenericError", desc: `QEMU is gone: ${error?.message}` } });
    };
    this.#socket.on("error", lost);
    this.#socket.on("close", lost);
  }

  #next() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #send(command) {
    const reply = this.#next();
    this.#socket.write(`${JSON.stringify(command)}\n`);
    return reply;
  }
}

/** Answers the guest's requests in `directory`; poll() looks for new ones. */
export class MonitorRequests {
  #directory;
  #monitor;
  #queue = Promise.resolve();

  constructor(directory, socket) {
    this.#directory = directory;
    this.#monitor = new Monitor(socket);
  }

  poll() {
    if (!existsSync(this.#directory)) return;
    for (const file of readdirSync(this.#directory)) {
      if (!file.endsWith(REQUEST)) continue;
      const path = join(this.#directory, file);
      const text = readFileSync(path, "utf8");
      rmSync(path);
      const reply = path.slice(0, -REQUEST.length);
      this.#queue = this.#queue.then(() => this.#answer(text, `${reply}.reply`));
    }
  }

  close() {
    this.#monitor.close();
  }

  async #answer(text, path) {
    let reply;
    try {
      reply = await this.#monitor.execute(JSON.parse(text));
    } catch (error) {
      reply = { error: { class: "GenericError", desc: error.message } };
    }
    writeFileSync(`${path}.new`, JSON.stringify(reply));
    renameSync(`${path}.new`, path);
  }
}
