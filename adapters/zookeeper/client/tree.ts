import { hash } from "node:crypto";
import { ReadError, readFailure } from "../../../src/errors.ts";
import type { ZooKeeperMetrics } from "../metrics.ts";
import { fieldsOf, flag, int, sized } from "./jute.ts";
import { CODES, type Line, OPERATIONS, type Reply } from "./line.ts";

/** What a node has, or that there is none. */
export type Node<What> =
  | { readonly state: "ok"; readonly value: What /** Differs when the answer does. */; readonly digest: string }
  | { readonly state: "none" };

/** Reads nodes over one connection. Every call throws a {@link ReadError} when there is no good answer. */
export interface Tree {
  /** Names of a node's children, in no order. With `isWatched` the next change of them is told, once. */
  children(path: string, isWatched: boolean): Promise<Node<readonly string[]>>;
  data(path: string, isWatched: boolean): Promise<Node<Buffer>>;
  /** What comes after it knows all that was written before it, on whichever server. */
  sync(path: string): Promise<void>;
  /** Be told of every change below a node until the connection ends. @returns False where the server is older than 3.6. */
  watchBelow(path: string): Promise<boolean>;
}

/** Past these it is no list of services or instances. */
const MOST_CHILDREN = 200_000;
/** A provider's URL has some hundred, with all its methods some thousand. */
const MOST_NAME_BYTES = 64 * 1024;
/** An instance in Curator's form has about one thousand. */
const MOST_DATA_BYTES = 64 * 1024;
const MODE_RECURSIVE = 1;

/** The tree behind a connection; `chroot` is put before every path. */
export function treeOn(line: Line, chroot: string, metrics: ZooKeeperMetrics): Tree {
  async function ask(operation: number, path: string, more: readonly Buffer[] = []): Promise<Reply> {
    try {
      const reply = await line.request(operation, Buffer.concat([sized(`${chroot}${path}`), ...more]));
      metrics.requested(resultOf(reply.code));
      return reply;
    } catch (error) {
      const failure = readFailure(error);
      metrics.requested(failure === "other" ? "connection" : failure);
      throw new ReadError(failure === "other" ? "connection" : failure, `node ${path}`, { cause: error });
    }
  }

  async function node<What>(reply: Reply, path: string, read: (body: Buffer) => What): Promise<Node<What>> {
    if (reply.code === CODES.noNode) return { state: "none" };
    mustBeOk(reply.code, path);
    try {
      return { state: "ok", value: read(reply.body), digest: hash("sha1", reply.body, "base64") };
    } catch (cause) {
      metrics.requested("answer");
      throw new ReadError("answer", `node ${path}`, { cause });
    }
  }

  return {
    async children(path, isWatched) {
      const reply = await ask(OPERATIONS.getChildren2, path, [flag(isWatched)]);
      return node(reply, path, (body) => fieldsOf(body).texts(MOST_CHILDREN, MOST_NAME_BYTES));
    },
    async data(path, isWatched) {
      const reply = await ask(OPERATIONS.getData, path, [flag(isWatched)]);
      return node(reply, path, (body) => fieldsOf(body).octets(MOST_DATA_BYTES));
    },
    async sync(path) {
      const { code } = await ask(OPERATIONS.sync, path);
      if (code !== CODES.noNode) mustBeOk(code, path);
    },
    async watchBelow(path) {
      const { code } = await ask(OPERATIONS.addWatch, path, [int(MODE_RECURSIVE)]);
      if (code === CODES.unimplemented) return false;
      mustBeOk(code, path);
      return true;
    },
  };
}

function resultOf(code: number) {
  if (code === CODES.ok || code === CODES.noNode || code === CODES.unimplemented) return "ok";
  return code === CODES.noAuth || code === CODES.authFailed ? "denied" : "server";
}

function mustBeOk(code: number, path: string): void {
  if (code === CODES.ok) return;
  if (code === CODES.noAuth) throw new ReadError("denied", `node ${path}: NoAuth, this client may not read it`);
  throw new ReadError("server", `node ${path}: the server answered ${code}`);
}
