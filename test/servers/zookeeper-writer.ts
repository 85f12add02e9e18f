import { once } from "node:events";
import { connect } from "node:net";
import { int, sized } from "../../adapters/zookeeper/client/jute.ts";
import { CODES, OPERATIONS, openLine } from "../../adapters/zookeeper/client/line.ts";

/** Who may do what with a node: permissions, scheme and id (ZooDefs.Perms). */
export type Acl = readonly (readonly [perms: number, scheme: string, id: string])[];

/** One session that registers, as a client of Dubbo or Curator does. */
export interface Writer {
  /** Introduce oneself: nodes that are then made with {@link CREATOR} are this one's. */
  auth(userAndPassword: string): Promise<void>;
  /** Create a node, and those above it that are not there. */
  create(path: string, options?: { data?: string; ephemeral?: boolean; acl?: Acl }): Promise<void>;
  set(path: string, data: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Remove a node and all below it. */
  removeAll(path: string): Promise<void>;
  children(path: string): Promise<readonly string[]>;
  setAcl(path: string, acl: Acl): Promise<void>;
  /** Take leave: what is ephemeral goes at once. */
  close(): Promise<void>;
  /** Vanish as behind a cut: what is ephemeral goes when the session is over. */
  vanish(): void;
  /** The answer to any request. */
  request(operation: number, body: Buffer): Promise<{ readonly code: number; readonly body: Buffer }>;
}

const ALL = 31;
const NODE_EXISTS = -110;
/** Everybody may do everything. */
export const OPEN: Acl = [[ALL, "world", "anyone"]];
/** Only who made it. */
export const CREATOR: Acl = [[ALL, "auth", ""]];

/** Begin a session on a server of this machine. */
export async function openWriter(port: number, sessionMs = 4000): Promise<Writer> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const line = await openLine(socket, { lastZxid: 0n, sessionMs, timeoutMs: 60_000, onEvent: () => undefined });

  async function ask(operation: number, path: string, ...more: readonly Buffer[]): Promise<Buffer> {
    const { code, body } = await line.request(operation, Buffer.concat([sized(path), ...more]));
    if (code !== CODES.ok) throw Object.assign(new Error(`operation ${operation} of ${path}: ${code}`), { code });
    return body;
  }

  async function create(path: string, data: string, ephemeral: boolean, acl: Acl): Promise<void> {
    try {
      await ask(1, path, sized(data), aclOf(acl), int(ephemeral ? 1 : 0));
    } catch (error) {
      const { code } = error as { readonly code?: number };
      const parent = path.slice(0, path.lastIndexOf("/"));
      if (code !== CODES.noNode || parent === "") throw error;
      await create(parent, "", false, OPEN).catch((other: { readonly code?: number }) => {
        if (other.code !== NODE_EXISTS) throw other; // another of this session's has made it
      });
      await create(path, data, ephemeral, acl);
    }
  }

  async function children(path: string): Promise<readonly string[]> {
    const body = await ask(8, path, Buffer.of(0));
    const names: string[] = [];
    for (let at = 4, left = body.readInt32BE(0); left > 0; left--) {
      const length = body.readInt32BE(at);
      names.push(body.toString("utf8", at + 4, at + 4 + length));
      at += 4 + length;
    }
    return names;
  }

  const remove = async (path: string) => void (await ask(2, path, int(-1)));
  async function removeAll(path: string): Promise<void> {
    for (const name of await children(path)) await removeAll(`${path}/${name}`);
    await remove(path);
  }

  return {
    async auth(secret) {
      await line.request(OPERATIONS.auth, Buffer.concat([int(0), sized("digest"), sized(secret)]));
    },
    create: (path, { data = "", ephemeral = false, acl = OPEN } = {}) => create(path, data, ephemeral, acl),
    set: async (path, data) => void (await ask(5, path, sized(data), int(-1))),
    remove,
    removeAll,
    children,
    setAcl: async (path, acl) => void (await ask(7, path, aclOf(acl), int(-1))),
    async close() {
      if (line.isOpen()) await line.request(OPERATIONS.close, Buffer.alloc(0)).catch(() => undefined);
      line.end(new Error("closed"));
    },
    vanish: () => line.end(new Error("vanished")),
    request: (operation, body) => line.request(operation, body),
  };
}

function aclOf(acl: Acl): Buffer {
  return Buffer.concat([
    int(acl.length),
    ...acl.flatMap(([perms, scheme, id]) => [int(perms), sized(scheme), sized(id)]),
  ]);
}
