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

/** A unary call; all calls to one target share a channel. */
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
