import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ReadError } from "../../../src/errors.ts";
import type { AdapterContext } from "../../context.ts";
import { type Credentials, credentials } from "../../credentials.ts";
import type { ConnectionResult, ZooKeeperMetrics } from "../metrics.ts";
import type { ZooKeeperOptions } from "../options.ts";
import { int, sized } from "./jute.ts";
import { CODES, ExpiredError, type Line, type NodeEvent, OPERATIONS, openLine, type Session } from "./line.ts";

/** The one way to ZooKeeper. */
export interface ZooKeeperClient {
  /**
   * The connection that stands; otherwise one to the first server that takes it, in the session of before if that still is.
   *
   * @throws {ReadError} When no server does; or the signal's reason when it aborts.
   */
  line(signal: AbortSignal): Promise<Line>;
  /** That which stands. */
  current(): Line | undefined;
  /** Ends the session, so that the server need not wait for its end. */
  close(): Promise<void>;
}

type Options = Pick<ZooKeeperOptions, "address" | "digestAuth" | "tls" | "timeout">;

/** What the server is asked for; it gives 2 to 20 of its ticks. A reader owns nothing: this is how soon a dead connection is noticed. */
const SESSION_MS = 15_000;
/** For the server to take leave. */
const LEAVE_MS = 500;

interface State {
  readonly options: Options;
  readonly metrics: ZooKeeperMetrics;
  readonly onEvent: (event: NodeEvent) => void;
  readonly credentialsNow: () => Promise<Credentials>;
  /** Position of the server that is asked first. */
  active: number;
  session: Session | undefined;
  /** The last change that was heard of: a server that is behind it does not take the connection. */
  lastZxid: bigint;
  heardMs: number;
  /** A session was lost since one stood. */
  isOver: boolean;
  isClosed: boolean;
}

/** Talk to the servers of the options. Nothing is opened before it is needed. */
export function zooKeeperClient(
  options: Options,
  context: AdapterContext,
  metrics: ZooKeeperMetrics,
  onEvent: (event: NodeEvent) => void,
): ZooKeeperClient {
  const { digestAuth, tls } = options;
  const state: State = {
    ...{ options, metrics, onEvent },
    credentialsNow: credentials({ basicAuth: digestAuth, tls }, context),
    active: 0,
    session: undefined,
    lastZxid: 0n,
    heardMs: 0,
    isOver: false,
    isClosed: false,
  };
  let current: Line | undefined;
  const open = () => (current?.isOpen() === true ? current : undefined);

  return {
    async line(signal) {
      signal.throwIfAborted();
      const standing = open();
      if (standing !== undefined) return standing;
      if (current !== undefined) remember(state, current);
      current = undefined;
      current = await anyServer(state, signal);
      return current;
    },
    current: open,
    async close() {
      state.isClosed = true;
      const line = open();
      if (line === undefined) return;
      const timer = setTimeout(() => line.end(new Error("the server did not take leave")), LEAVE_MS);
      await line.request(OPERATIONS.close, Buffer.alloc(0)).catch(() => undefined);
      clearTimeout(timer);
      line.end(new ReadError("connection", "the adapter is closed"));
    },
  };
}

function remember(state: State, line: Line): void {
  state.session = line.session;
  state.lastZxid = line.lastZxid();
  state.heardMs = line.heardMs();
}

async function anyServer(state: State, signal: AbortSignal): Promise<Line> {
  const { session, options, metrics } = state;
  // A server that lost its data refuses whoever has seen more than it has. Once the session is over by anyone's clock, there is nothing to lose.
  if (session !== undefined && performance.now() - state.heardMs > session.timeoutMs) forget(state);
  const { servers } = options.address;
  let failure: unknown;
  for (let tries = 0; tries < servers.length; tries++) {
    const server = servers[state.active] ?? servers[0];
    try {
      const line = await counted(metrics, () => oneServer(state, server as Server, signal));
      if (state.isClosed) line.end(new ReadError("connection", "the adapter is closed"));
      return line;
    } catch (error) {
      signal.throwIfAborted();
      const { host, port } = server as Server;
      const what = error instanceof ReadError ? error.failure : "connection";
      failure = new ReadError(what, `Cannot connect to ${host}:${port}`, { cause: error });
      state.active = (state.active + 1) % servers.length;
    }
  }
  throw failure;
}

type Server = Options["address"]["servers"][number];

function forget(state: State): void {
  state.isOver = true;
  state.session = undefined;
  state.lastZxid = 0n;
}

async function oneServer(
  state: State,
  server: Server,
  signal: AbortSignal,
): Promise<{ readonly line: Line; readonly result: ConnectionResult }> {
  const access = await state.credentialsNow();
  const isResumed = state.session !== undefined;
  try {
    const line = await began(state, server, access, signal);
    const result = isResumed ? "resumed" : state.isOver ? "expired" : "new";
    state.isOver = false;
    return { line, result };
  } catch (error) {
    if (!(error instanceof ExpiredError) || !isResumed) throw error;
    state.session = undefined;
    return { line: await began(state, server, access, signal), result: "expired" };
  }
}

/** A session on a server, in which the server knows who this is. */
async function began(state: State, server: Server, access: Credentials, signal: AbortSignal): Promise<Line> {
  const { session, lastZxid, onEvent, options } = state;
  const socket = await connected(options, server, access, signal);
  const onAbort = () => socket.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const timing = { sessionMs: SESSION_MS, timeoutMs: options.timeout };
    const line = await openLine(socket, { session, lastZxid, onEvent, ...timing });
    await introduce(line, access);
    return line;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function counted(
  metrics: ZooKeeperMetrics,
  action: () => Promise<{ readonly line: Line; readonly result: ConnectionResult }>,
): Promise<Line> {
  try {
    const { line, result } = await action();
    metrics.connected(result);
    return line;
  } catch (error) {
    metrics.connected("failed");
    throw error;
  }
}

/** A socket to one server, within the limit of time for one answer. */
async function connected(options: Options, server: Server, access: Credentials, signal: AbortSignal): Promise<Socket> {
  const { tls, timeout } = options;
  const limit = AbortSignal.timeout(timeout);
  const { ca, cert, key, servername } = access.tls;
  const name = servername ?? server.host;
  const socket =
    tls === undefined
      ? connect({ ...server, noDelay: true })
      : connectTls({
          ...server,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert, key }),
          ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }), // an address is no server name (RFC 6066 §3)
        });
  try {
    await once(socket, tls === undefined ? "connect" : "secureConnect", { signal: AbortSignal.any([signal, limit]) });
    return socket;
  } catch (cause) {
    socket.on("error", () => undefined);
    socket.destroy();
    signal.throwIfAborted();
    if (limit.aborted) throw new ReadError("timeout", `no connection within ${timeout} ms`);
    throw new ReadError("connection", "no connection", { cause });
  }
}

/** Whoever the operator says that this is. The server takes any password, and tells at the nodes. */
async function introduce(line: Line, { headers }: Credentials): Promise<void> {
  const { authorization } = headers;
  if (authorization === undefined) return;
  // What Basic has in base64 is `user:password`, as scheme digest wants it.
  const secret = Buffer.from(authorization.slice("Basic ".length), "base64");
  const { code } = await line.request(OPERATIONS.auth, Buffer.concat([int(0), sized("digest"), sized(secret)]));
  if (code === CODES.ok) return;
  const error = new ReadError("denied", `the server refuses digestAuth (${code})`);
  line.end(error);
  throw error;
}
