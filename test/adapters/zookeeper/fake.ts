import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { frames } from "../../../adapters/zookeeper/client/frames.ts";
import { fieldsOf, flag, int, long, sized } from "../../../adapters/zookeeper/client/jute.ts";
import { CODES, type NodeEvent, OPERATIONS } from "../../../adapters/zookeeper/client/line.ts";

/** What the fake says in the place of an answer: octets of a whole frame, nothing, or good-bye. */
type Odd = Buffer | "silence" | "close";

/** Speaks the protocol from memory, and errs as the test wants: for faults that a real server cannot be made to show. */
export interface Fake {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  /** What was asked: `12 /dubbo`. */
  readonly asked: string[];
  /** How sessions began: `new` or the id that was given, and the last zxid. */
  readonly begun: { readonly session: bigint; readonly lastZxid: bigint }[];
  readonly auths: string[];
  /** Nodes that may not be read. */
  readonly denied: Set<string>;
  /** Set where the server is older than 3.6. */
  isOld: boolean;
  /** Answers that are not as they should be. */
  odd: (operation: number, path: string, xid: number) => Odd | undefined;
  /** Octets instead of the answer to the first frame. */
  greeting: Odd | undefined;
  /** As sessions are given. */
  timeoutMs: number;
  /** No session of before is known, as after it was over. */
  expire(): void;
  /** Create a node and those above it. */
  put(path: string, data?: string): void;
  /** Remove a node and all below it. */
  remove(path: string): void;
  /** Forget everything, the count of changes too. */
  lose(): void;
  /** Send octets to everybody. */
  tell(octets: Buffer): void;
  /** Connections stay open, and nothing is answered on them any more. */
  freeze(): void;
  /** Cut all connections. */
  cut(): void;
  connections(): number;
  close(): Promise<void>;
}

interface Peer {
  readonly socket: Socket;
  isGreeted: boolean;
  isFrozen: boolean;
  readonly below: Set<string>;
  readonly once: Set<string>;
}

const KINDS: Readonly<Record<NodeEvent["kind"], number>> = { created: 1, deleted: 2, data: 3, children: 4 };
const STAT = Buffer.alloc(68);

/** An answer's frame. */
export function answerFrame(xid: number, code: number, body: Buffer = Buffer.alloc(0), zxid = 1n): Buffer {
  return sized(Buffer.concat([int(xid), long(zxid), int(code), body]));
}

/** Start one on an empty tree; its caller closes it. */
export async function startFake(port = 0): Promise<Fake> {
  const nodes = new Map<string, Buffer>();
  const peers = new Set<Peer>();
  const sessions = new Set<bigint>();
  let zxid = 0n;
  let nextSession = 1n;

  const childrenOf = (path: string) =>
    [...nodes.keys()].filter((one) => one.startsWith(`${path}/`) && !one.slice(path.length + 1).includes("/"));
  const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

  function send(peer: Peer, kind: NodeEvent["kind"], path: string): void {
    peer.socket.write(answerFrame(-1, 0, Buffer.concat([int(KINDS[kind]), int(3), sized(path)]), -1n));
  }

  function told(kind: NodeEvent["kind"], path: string): void {
    for (const peer of peers) {
      if ([...peer.below].some((one) => path === one || path.startsWith(`${one}/`))) send(peer, kind, path);
      const parent = parentOf(path);
      if (kind !== "data" && peer.once.delete(`children ${parent}`)) send(peer, "children", parent);
      if (kind !== "created" && peer.once.delete(`data ${path}`)) send(peer, kind, path);
      if (kind === "deleted" && peer.once.delete(`children ${path}`)) send(peer, kind, path);
    }
  }

  function greet(peer: Peer, frame: Buffer): void {
    const fields = fieldsOf(frame);
    fields.int();
    const lastZxid = fields.long();
    fields.int();
    const session = fields.long();
    fake.begun.push({ session, lastZxid });
    const odd = fake.greeting;
    if (lastZxid > zxid || odd === "close") return void peer.socket.destroy();
    if (odd === "silence") return;
    if (odd !== undefined) return void peer.socket.write(odd);
    const isOver = session !== 0n && !sessions.has(session);
    const id = session === 0n ? nextSession++ : session;
    if (!isOver) sessions.add(id);
    peer.isGreeted = true;
    peer.socket.write(
      sized(Buffer.concat([int(0), int(isOver ? 0 : fake.timeoutMs), long(id), sized(Buffer.alloc(16)), flag(false)])),
    );
    if (isOver) peer.socket.end();
  }

  function bodyFor(peer: Peer, operation: number, path: string, isWatched: boolean): Buffer | number {
    if (operation === OPERATIONS.addWatch) {
      if (fake.isOld) return CODES.unimplemented;
      peer.below.add(path);
      return int(0);
    }
    if (operation === OPERATIONS.sync) return sized(path);
    const data = nodes.get(path);
    if (data === undefined) return CODES.noNode;
    if (fake.denied.has(path)) return CODES.noAuth;
    if (operation === OPERATIONS.getData) {
      if (isWatched) peer.once.add(`data ${path}`);
      return Buffer.concat([sized(data), STAT]);
    }
    if (operation !== OPERATIONS.getChildren2) return CODES.unimplemented;
    if (isWatched) peer.once.add(`children ${path}`);
    const names = childrenOf(path).map((one) => one.slice(path.length + 1));
    return Buffer.concat([int(names.length), ...names.map((name) => sized(name)), STAT]);
  }

  function answer(peer: Peer, frame: Buffer): void {
    const fields = fieldsOf(frame);
    const [xid, operation] = [fields.int(), fields.int()];
    if (xid === -2) return void peer.socket.write(answerFrame(-2, 0, undefined, zxid));
    if (operation === OPERATIONS.close) return void peer.socket.end(answerFrame(xid, 0, undefined, zxid));
    if (operation === OPERATIONS.auth) {
      fields.int();
      fields.text(100);
      fake.auths.push(fields.text(1000));
      return void peer.socket.write(answerFrame(xid, fake.denied.has("auth") ? CODES.authFailed : 0, undefined, zxid));
    }
    const path = fields.text(1_000_000);
    fake.asked.push(`${operation} ${path}`);
    const odd = fake.odd(operation, path, xid);
    if (odd === "silence") return;
    if (odd === "close") return void peer.socket.destroy();
    if (odd !== undefined) return void peer.socket.write(odd);
    const isWatched = operation !== OPERATIONS.sync && frame.at(-1) === 1;
    const body = bodyFor(peer, operation, path, isWatched);
    peer.socket.write(
      typeof body === "number" ? answerFrame(xid, body, undefined, zxid) : answerFrame(xid, 0, body, zxid),
    );
  }

  const server = createServer((socket) => {
    const peer: Peer = { socket, isGreeted: false, isFrozen: false, below: new Set(), once: new Set() };
    peers.add(peer);
    const parts = frames();
    socket.on("error", () => undefined);
    socket.on("close", () => peers.delete(peer));
    socket.on("data", (piece) => {
      for (const frame of parts.add(piece)) {
        if (peer.isFrozen) return;
        if (peer.isGreeted) answer(peer, frame);
        else greet(peer, frame);
      }
    });
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const fake: Fake = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ asked: [], begun: [], auths: [], denied: new Set(), isOld: false, greeting: undefined, timeoutMs: 4000 },
    odd: () => undefined,
    expire: () => sessions.clear(),
    put(path, data = "") {
      const parent = parentOf(path);
      if (parent !== "" && !nodes.has(parent)) fake.put(parent);
      const kind = nodes.has(path) ? "data" : "created";
      nodes.set(path, Buffer.from(data));
      zxid++;
      told(kind, path);
    },
    remove(path) {
      for (const child of childrenOf(path)) fake.remove(child);
      nodes.delete(path);
      zxid++;
      told("deleted", path);
    },
    lose() {
      nodes.clear();
      fake.expire();
      zxid = 0n;
    },
    tell(octets) {
      for (const { socket } of peers) socket.write(octets);
    },
    freeze() {
      for (const peer of peers) peer.isFrozen = true;
    },
    cut() {
      for (const { socket } of peers) socket.destroy();
    },
    connections: () => peers.size,
    async close() {
      fake.cut();
      server.close();
      await once(server, "close");
    },
  };
  return fake;
}

/** A fake that goes with the test. */
export async function fakeFor(t: TestContext): Promise<Fake> {
  const fake = await startFake();
  t.after(() => fake.close().catch(() => undefined)); // some tests have closed it
  return fake;
}
