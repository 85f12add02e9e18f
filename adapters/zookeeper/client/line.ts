import type { Socket } from "node:net";
import { ReadError } from "../../../src/errors.ts";
import { frames } from "./frames.ts";
import { fieldsOf, flag, int, long, sized } from "./jute.ts";

/** By what a server knows a client again that has lost its connection. */
export interface Session {
  readonly id: bigint;
  readonly password: Buffer;
  /** As the server has it, whatever was asked for. */
  readonly timeoutMs: number;
}

/** A server's answer to one request. */
export interface Reply {
  /** 0, or one of {@link CODES}, or another of KeeperException.Code. */
  readonly code: number;
  /** Empty unless `code` is 0. */
  readonly body: Buffer;
}

/** A change below a watched node. */
export interface NodeEvent {
  readonly kind: "created" | "deleted" | "data" | "children";
  readonly path: string;
}

/** One connection in a session. Requests are answered in their order, so that any number may be under way. */
export interface Line {
  readonly session: Session;
  /** @throws {ReadError} When the connection ends before the answer has come. */
  request(operation: number, body: Buffer): Promise<Reply>;
  /** Resolves when the connection has ended, whyever. */
  readonly ended: Promise<void>;
  isOpen(): boolean;
  /** The last change that this client has been told of. */
  lastZxid(): bigint;
  /** performance.now() of the last frame. */
  heardMs(): number;
  end(why: Error): void;
}

/** What a session is asked for, and what it begins with. */
export interface LineOptions {
  /** The session to go on with; a new one without. */
  readonly session?: Session | undefined;
  readonly lastZxid: bigint;
  /** What is asked of the server as the session's timeout. */
  readonly sessionMs: number;
  /** For one answer. */
  readonly timeoutMs: number;
  readonly onEvent: (event: NodeEvent) => void;
}

/** Codes of answers that mean something here (KeeperException.Code). */
export const CODES = { ok: 0, unimplemented: -6, noNode: -101, noAuth: -102, authFailed: -115 } as const;
/** Operations of a reader (ZooDefs.OpCode). */
export const OPERATIONS = {
  exists: 3,
  getData: 4,
  sync: 9,
  getChildren2: 12,
  auth: 100,
  addWatch: 106,
  close: -11,
} as const;

const PING = 11;
const XID_EVENT = -1;
const XID_PING = -2;
const XID_AUTH = -4;
const EVENTS: Readonly<Record<number, NodeEvent["kind"]>> = { 1: "created", 2: "deleted", 3: "data", 4: "children" };
/** A path is a few names; a name that ZooKeeper takes is shorter than a frame of its default size. */
const MOST_PATH_BYTES = 1024 * 1024;

/** The session is over, or was never there: only a new one can be had. */
export class ExpiredError extends Error {
  override readonly name = "ExpiredError";
}

interface Waiting {
  readonly xid: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Begin or resume a session on a socket that is connected.
 *
 * @throws {ExpiredError} When the server does not know the session any more.
 * @throws {ReadError} When it says anything else, or nothing. The socket is destroyed then.
 */
export async function openLine(socket: Socket, options: LineOptions): Promise<Line> {
  const state = newState(socket, options);
  try {
    return await begin(socket, state, options);
  } catch (error) {
    state.end(error as Error);
    throw error;
  }
}

/** What a connection has, before its session stands and after. */
interface State {
  readonly greeting: Promise<Buffer>;
  readonly ended: Promise<void>;
  /** Requests without an answer, in their order. */
  readonly waiting: Waiting[];
  why: Error | undefined;
  lastZxid: bigint;
  heardMs: number;
  end(error: Error): void;
  /** An answer has its time from the one before: they come in order. */
  watch(): void;
}

function newState(socket: Socket, { timeoutMs, onEvent, lastZxid }: LineOptions): State {
  const parts = frames();
  const { promise: ended, resolve: setEnded } = Promise.withResolvers<void>();
  const { promise: greeting, resolve: greet, reject: refuse } = Promise.withResolvers<Buffer>();
  greeting.catch(() => undefined);
  let isGreeted = false;
  let watchdog: NodeJS.Timeout | undefined;
  const state: State = {
    ...{ greeting, ended, waiting: [], why: undefined, lastZxid, heardMs: performance.now() },
    end(error) {
      if (state.why !== undefined) return;
      state.why = error;
      clearTimeout(watchdog);
      socket.destroy();
      refuse(error);
      for (const { reject } of state.waiting.splice(0)) reject(error);
      setEnded();
    },
    watch() {
      clearTimeout(watchdog);
      if (state.why !== undefined || (isGreeted && state.waiting.length === 0)) return;
      const silence = new ReadError("timeout", `the server has not answered within ${timeoutMs} ms`);
      watchdog = setTimeout(state.end, timeoutMs, silence);
    },
  };
  socket.on("data", (piece) => {
    if (state.why !== undefined) return;
    try {
      const whole = parts.add(piece);
      for (const frame of whole) {
        if (isGreeted) take(state, frame, onEvent);
        else greet(frame);
        isGreeted = true;
      }
      if (whole.length > 0) state.watch(); // pieces of a frame win no time
    } catch (error) {
      state.end(error as Error);
    }
  });
  socket.on("error", (cause) => state.end(new ReadError("connection", "the connection broke", { cause })));
  socket.on("close", () => state.end(new ReadError("connection", "the server closed the connection")));
  state.watch();
  return state;
}

/** @throws {ReadError} When a frame is neither an event nor the answer that is due. */
function take(state: State, frame: Buffer, onEvent: LineOptions["onEvent"]): void {
  state.heardMs = performance.now();
  const fields = fieldsOf(frame);
  const [xid, zxid, code] = [fields.int(), fields.long(), fields.int()];
  if (xid === XID_EVENT) {
    const kind = EVENTS[fields.int()];
    fields.int(); // the state of the connection, which is known
    const path = fields.text(MOST_PATH_BYTES);
    if (kind !== undefined) onEvent({ kind, path });
    return;
  }
  if (zxid > state.lastZxid) state.lastZxid = zxid;
  if (xid === XID_PING) return;
  const [first] = state.waiting;
  if (first?.xid !== xid) throw new ReadError("answer", `an answer to request ${xid}, which was not asked`);
  state.waiting.shift();
  first.resolve({ code, body: code === CODES.ok ? frame.subarray(16) : Buffer.alloc(0) });
}

async function begin(socket: Socket, state: State, options: LineOptions): Promise<Line> {
  const { id = 0n, password = Buffer.alloc(16) } = options.session ?? {};
  const asked = [int(0), long(options.lastZxid), int(options.sessionMs), long(id), sized(password), flag(false)];
  socket.write(sized(Buffer.concat(asked)));
  const given = fieldsOf(await state.greeting);
  given.int(); // the protocol's version, which has ever been 0
  const timeoutMs = given.int();
  if (timeoutMs <= 0) throw new ExpiredError("the session is over");
  const session: Session = { timeoutMs, id: given.long(), password: Buffer.from(given.octets(256)) };

  let xid = 0;
  function send(own: number, operation: number, body: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (state.why !== undefined) return reject(state.why);
      state.waiting.push({ xid: own, resolve, reject });
      if (state.waiting.length === 1) state.watch();
      socket.write(sized(Buffer.concat([int(own), int(operation), body])));
    });
  }
  const pings = setInterval(() => {
    const silentMs = performance.now() - state.heardMs;
    if (silentMs > (session.timeoutMs * 2) / 3)
      return state.end(new ReadError("timeout", `nothing came from the server for ${Math.round(silentMs)} ms`));
    socket.write(sized(Buffer.concat([int(XID_PING), int(PING)])));
  }, session.timeoutMs / 3);
  void state.ended.then(() => clearInterval(pings));
  return {
    session,
    ended: state.ended,
    isOpen: () => state.why === undefined,
    lastZxid: () => state.lastZxid,
    heardMs: () => state.heardMs,
    end: state.end,
    request(operation, body) {
      if (operation === OPERATIONS.auth) return send(XID_AUTH, operation, body);
      xid = (xid % 0x7fffffff) + 1;
      return send(xid, operation, body);
    },
  };
}
