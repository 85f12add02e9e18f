/** A GET. */
export interface HttpCall {
  readonly url: string;
  /** Instead of the one in `url`, as Host header. */
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A connection on which the other side speaks first. */
export interface TcpCall {
  readonly host: string;
  readonly port: number;
}

/** A unary call of Istio's echo service; all calls to one target share a channel. */
export interface GrpcCall {
  readonly target: string;
}

/** Addresses of a name. */
export interface LookUp {
  readonly name: string;
  readonly family?: 4 | 6;
}

/** What a test asks a pod's program for: `count` calls, of which `lanes` at a time. */
export type Call = { readonly count?: number; readonly lanes?: number } & (
  | ({ readonly kind: "http" } & HttpCall)
  | ({ readonly kind: "tcp" } & TcpCall)
  | ({ readonly kind: "grpc" } & GrpcCall)
  | ({ readonly kind: "lookUp" } & LookUp)
);

/** What a call gave: who answered (for a look-up the addresses, with commas between), or in what way it failed. */
export interface Reply {
  readonly who?: string;
  /** For HTTP the status and the body. */
  readonly failed?: string;
  readonly ms?: number;
}

/** Calls that a program makes on and on. */
export interface Load {
  /** Tells it from others. */
  readonly name: string;
  readonly call: Call;
  /** Begun in each second, evenly; fewer where the machine does not keep up. */
  readonly perSecond: number;
}

/** What came of a load's calls since this was asked for last. */
export interface LoadTally {
  /** Calls by who answered. */
  readonly who: Readonly<Record<string, number>>;
  /** Calls that failed, by how, with the time of the first: milliseconds since the epoch. */
  readonly failed: Readonly<Record<string, { readonly count: number; readonly firstMs: number }>>;
  /** The longest time in which no call was answered. */
  readonly longestPauseMs: number;
  /** When each of them was first heard of since then; milliseconds since the epoch. */
  readonly firstMs: Readonly<Record<string, number>>;
}

/** What gRPC calls ask, and the fields of its answer. @see istio/istio pkg/test/echo/proto/echo.proto */
export const ECHO_PATH = "/proto.EchoTestService/Echo";
export const ECHO_RESPONSE = { message: 1 } as const;

/** Who answered, in the message of an echo server of Istio's: the version that it was started with. */
export function versionIn(message: string): string {
  return /^ServiceVersion=(.*)$/m.exec(message)?.[1] ?? message;
}
