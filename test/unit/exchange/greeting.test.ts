import assert from "node:assert/strict";
import { Connection } from "#lib/exchange/connection.js";
import { EVERY_ADDRESS, type Listener } from "#lib/exchange/listener.js";
import { HOST, PATIENT, Stranger, isServed, listen } from "../../support/exchange.js";

const key = Buffer.from("0123456789abcdef");
const nonce = "00".repeat(32);

const hello = (rest: object = {}): string =>
  `${JSON.stringify({ p2pmem: 2, role: "copy", nonce: null, ...rest })}\n`;

describe("Greetings", () => {
  let listener: Listener;

  afterEach(() => listener.close());

  const refused = async (bytes: string): Promise<{ code: string; message: string }> => {
    const lines = (await new Stranger(listener.port).say(bytes)).trim().split("\n");
    assert.equal(lines.length, 1, "nothing else was said");
    return (JSON.parse(lines[0]!) as { error: { code: string; message: string } }).error;
  };

  it("let those in who have the same key", async () => {
    listener = await listen({ key });
    assert.ok(await isServed(listener.port, { ...PATIENT, key }));
  });

  it("tell one without a key, or with another one, that alone", async () => {
    let clients = 0;
    listener = await listen({ key }, () => {
      clients++;
      return Promise.resolve();
    });
    await assert.rejects(Connection.connect(HOST, listener.port, PATIENT), {
      code: "BAD_KEY",
      hint: /--key-file/,
    });
    const other = { ...PATIENT, key: Buffer.from("0123456789abcdeF") };
    await assert.rejects(Connection.connect(HOST, listener.port, other), { code: "BAD_KEY" });
    assert.equal((await refused(hello())).code, "BAD_KEY");
    assert.equal((await refused(hello({ role: "rdma" }))).code, "BAD_KEY");
    assert.equal(clients, 0);
  });

  it("take no proof that the server has made itself", async () => {
    listener = await listen({ key });
    const stranger = new Stranger(listener.port);
    stranger.socket.on("data", (piece) => {
      const { nonce: challenge } = JSON.parse(piece.toString()) as { nonce: string };
      stranger.socket.write(`{"proof":"${challenge}"}\n`);
    });
    assert.match(await stranger.say(hello({ nonce })), /BAD_KEY/);
  });

  it("have the server prove it, too: one without a key is not talked to", async () => {
    listener = await listen();
    await assert.rejects(Connection.connect(HOST, listener.port, { ...PATIENT, key }), {
      code: "BAD_KEY",
      message: /proves nothing/,
    });
  });

  it("refuse another version, and another role", async () => {
    listener = await listen();
    assert.match((await refused(hello({ p2pmem: 1 }))).message, /version 1 .* this side 2/);
    assert.equal((await refused(hello({ p2pmem: 3 }))).code, "PEER_VERSION");
    assert.equal((await refused(hello({ role: "\x1b[2J" }))).code, "PEER_ROLE");
    await assert.rejects(Connection.connect(HOST, listener.port, { ...PATIENT, role: "rdma" }), {
      code: "PEER_ROLE",
    });
    const keyed = await listen({ key });
    await assert.rejects(
      Connection.connect(HOST, keyed.port, { ...PATIENT, role: "rdma", key }),
      /PEER_ROLE|BAD_KEY|speaks of/,
    );
    await keyed.close();
  });

  it("refuse a client too many, and take the next when one has gone", async () => {
    listener = await listen({ maxConnections: 1 });
    const first = await Connection.connect(HOST, listener.port, PATIENT);
    await assert.rejects(Connection.connect(HOST, listener.port, PATIENT), {
      code: "TOO_MANY_CLIENTS",
    });
    first.close();
    for (;;)
      try {
        assert.ok(await isServed(listener.port));
        return;
      } catch (error) {
        assert.equal((error as { code?: string }).code, "TOO_MANY_CLIENTS");
      }
  });

  it("end with the time that they may take, however slowly bytes come", async () => {
    listener = await listen({ timeoutMs: 300 });
    const stranger = new Stranger(listener.port);
    const drip = setInterval(() => stranger.socket.write('"'), 20);
    assert.match(await stranger.say("{"), /PEER_GONE/);
    clearInterval(drip);
  });

  it("make the oldest of very many who say nothing give way", async () => {
    listener = await listen();
    const strangers = Array.from({ length: 70 }, () => new Stranger(listener.port));
    assert.ok(await isServed(listener.port));
    const oldest = strangers.slice(0, 5).map((stranger) => stranger.say(""));
    for (const said of await Promise.all(oldest)) assert.match(said, /TOO_MANY_CLIENTS/);
    for (const stranger of strangers) stranger.vanish();
  });

  it("are taken at every address, by IPv4 alone on a machine that has no other", async () => {
    const { TCP } = (process as unknown as WithBinding).binding("tcp_wrap");
    const { bind6 } = TCP.prototype;
    for (const bind of [bind6, () => NO_FAMILY]) {
      TCP.prototype.bind6 = bind;
      try {
        listener = await listen({ host: EVERY_ADDRESS });
      } finally {
        TCP.prototype.bind6 = bind6;
      }
      assert.ok(await isServed(listener.port));
      await listener.close();
    }
  });
});

/** What a kernel without IPv6 says of its sockets (EAFNOSUPPORT). */
const NO_FAMILY = -97;

/** Where Node.js keeps what it binds sockets with. */
interface WithBinding {
  binding(name: "tcp_wrap"): { TCP: { prototype: { bind6: () => number } } };
}
