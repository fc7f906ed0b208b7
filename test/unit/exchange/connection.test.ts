import assert from "node:assert/strict";
import { createServer, Socket } from "node:net";
import { once } from "node:events";
import { Connection } from "#lib/exchange/connection.js";
import type { Listener } from "#lib/exchange/listener.js";
import { reach } from "#lib/exchange/reach.js";
import { P2pError } from "#lib/errors.js";
import { HOST, PATIENT, Stranger, listen, text } from "../../support/exchange.js";

describe("Connections that carry messages", () => {
  let listener: Listener;
  const clients: Connection[] = [];

  const open = async (): Promise<Connection> => {
    const client = await Connection.connect(HOST, listener.port, PATIENT);
    clients.push(client);
    return client;
  };

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await listener.close();
  });

  it("give them in the order in which they were sent, whoever waits first", async () => {
    listener = await listen();
    const client = await open();
    for (const word of ["a", "b", "c"]) client.send({ text: word });
    const heard = [];
    for (let index = 0; index < 3; index++) heard.push((await client.receive(text)).text);
    assert.deepEqual(heard, ["a", "b", "c"]);
    const waiting = client.receive(text);
    await assert.rejects(client.receive(text), { code: "INTERNAL" });
    client.send({ text: "\n\u2028é" });
    assert.equal((await waiting).text, "\n\u2028é");
  });

  it("tell of errors by code, message and hint, on one clean line, of nothing else", async () => {
    listener = await listen({}, () => {
      throw new P2pError("IN_USE", "some\x1b[31m thing\nis \u202Eoff", {
        hint: "wait\r\n",
        device: "0000:03:00.0",
        cause: new Error("secret"),
      });
    });
    const client = await open();
    await assert.rejects(client.receive(text), {
      code: "IN_USE",
      message: `127.0.0.1:${listener.port}: some [31m thing is off`,
      hint: "wait ",
      device: undefined,
    });
  });

  it("say of a mistake in the server no more than that there is one", async () => {
    listener = await listen({}, () => Promise.reject(new TypeError("x of undefined")));
    const client = await open();
    await assert.rejects(client.receive(text), { code: "INTERNAL", message: /a mistake in the/ });
    assert.ok(await isGreetedNext(listener));
  });

  it("deliver what was said before the other side closed, then say that it has gone", async () => {
    listener = await listen({}, (connection) => {
      connection.send({ text: "last words" });
      return Promise.resolve();
    });
    const client = await open();
    const ended = new Promise((resolve) => {
      client.onClose(resolve);
    });
    assert.equal(((await ended) as P2pError).code, "PEER_GONE");
    assert.equal((await client.receive(text)).text, "last words");
    await assert.rejects(client.receive(text), { code: "PEER_GONE" });
  });

  it("tell of their own end with nothing, and refuse to be read after it", async () => {
    listener = await listen();
    const client = await open();
    const waiting = assert.rejects(client.receive(text), { code: "CLOSED" });
    const ended = new Promise((resolve) => {
      client.onClose(resolve);
    });
    client.close();
    client.close();
    assert.equal(await ended, null);
    await waiting;
    client.onClose((error) => {
      assert.equal(error, null);
    });
    client.send({ text: "nobody hears this" });
  });

  it("give up waiting, and can be waited for again", async () => {
    listener = await listen();
    const client = await open();
    await assert.rejects(client.receive(text, 5), { code: "PEER_GONE" });
    client.send({ text: "late" });
    assert.equal((await client.receive(text)).text, "late");
  });

  it("end where a message is another than what is due, and tell both sides", async () => {
    const failed: unknown[] = [];
    listener = await listen({}, async (connection) => {
      await connection.receive(text).catch((error: unknown) => {
        failed.push(error);
        throw error;
      });
    });
    const client = await open();
    client.send({ text: 7 });
    await assert.rejects(client.receive(text), { code: "BAD_MESSAGE", message: /\(text\)/ });
    assert.equal((failed[0] as P2pError).code, "BAD_MESSAGE");
    assert.ok(await isGreetedNext(listener));
  });

  it("end where a peer sends more than anybody reads", async () => {
    let end: P2pError | null = null;
    listener = await listen({}, async (connection) => {
      await new Promise<void>((resolve) => {
        connection.onClose((error) => {
          end = error;
          resolve();
        });
      });
    });
    const client = await open();
    const waiting = assert.rejects(client.receive(text), { code: "BAD_MESSAGE" });
    for (let index = 0; index < 20; index++) client.send({ text: "x".repeat(60_000) });
    await waiting;
    assert.equal((end as P2pError | null)?.code, "BAD_MESSAGE");
  });

  it("end where a peer takes nothing of what is sent to it", async () => {
    listener = await listen();
    const client = await open();
    const ended = new Promise<P2pError | null>((resolve) => {
      client.onClose(resolve);
    });
    // All in one go, so that nothing can leave meanwhile.
    for (let index = 0; index < 300; index++) client.send({ text: "x".repeat(60_000) });
    assert.equal((await ended)?.code, "PEER_GONE");
  });

  it("notice a peer that vanishes, by its reset or by its silence", async () => {
    const ends: (P2pError | null)[] = [];
    listener = await listen({ timeoutMs: 400 }, async (connection) => {
      connection.onClose((error) => ends.push(error));
      await connection.receive(text, PATIENT.timeoutMs);
    });
    const hello = JSON.stringify({ p2pmem: 2, role: "copy", nonce: null });
    const gone = new Stranger(listener.port);
    gone.socket.write(`${hello}\n`);
    await once(gone.socket, "data");
    gone.vanish();
    const silent = new Stranger(listener.port);
    await silent.say(`${hello}\n`);
    assert.deepEqual(
      ends.map((error) => error?.code),
      ["PEER_GONE", "PEER_GONE"],
    );
    assert.match(ends[1]!.message, /nothing was heard of it for 0.4 s/);
  });

  it("stay while both sides have nothing to say for longer than silence may last", async () => {
    listener = await listen({ timeoutMs: 200 });
    const client = await Connection.connect(HOST, listener.port, { ...PATIENT, timeoutMs: 200 });
    clients.push(client);
    await assert.rejects(client.receive(text, 700), { code: "PEER_GONE" });
    client.send({ text: "still here" });
    assert.equal((await client.receive(text)).text, "still here");
  });

  it("end with their signal, on either side", async () => {
    const server = new AbortController();
    listener = await listen({ signal: server.signal });
    const own = new AbortController();
    const client = await Connection.connect(HOST, listener.port, {
      ...PATIENT,
      signal: own.signal,
    });
    const other = await open();
    const waiting = assert.rejects(client.receive(text), { code: "INTERRUPTED" });
    own.abort();
    await waiting;
    const left = assert.rejects(other.receive(text), {
      code: "PEER_GONE",
      message: /it was interrupted/,
    });
    server.abort();
    await left;
    own.abort();
    await assert.rejects(
      Connection.connect(HOST, listener.port, { ...PATIENT, signal: own.signal }),
      { code: "INTERRUPTED" },
    );
  });

  it("say of a port where nobody listens, and of a host that never answers, which it is", async () => {
    listener = await listen();
    const { port } = listener;
    await listener.close();
    await assert.rejects(Connection.connect(HOST, port, PATIENT), {
      code: "NO_ROUTE",
      hint: /is the server running/,
    });
    const mute = createServer(() => undefined).listen(0, HOST);
    await once(mute, "listening");
    const { port: mutePort } = mute.address() as { port: number };
    await assert.rejects(Connection.connect(HOST, mutePort, { ...PATIENT, timeoutMs: 50 }), {
      code: "PEER_GONE",
      message: /did not answer within 0.05 s/,
    });
    mute.close();
    await assert.rejects(reach(new Socket(), "192.0.2.1:1", 20), {
      code: "NO_ROUTE",
      message: "192.0.2.1:1 did not answer within 0.02 s",
    });
  });

  async function isGreetedNext({ port }: Listener): Promise<boolean> {
    const client = await Connection.connect(HOST, port, PATIENT);
    client.close();
    return true;
  }
});
