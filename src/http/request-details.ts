import type { SharedReplies } from "./limits/shared-replies.ts";
import type { Reply } from "./reply.ts";

/** What an answer may depend on besides method and path. */
export interface RequestDetails {
  readonly ifNoneMatch?: string | undefined;
  readonly acceptEncoding?: string | undefined;
  /** Whether a process on the same machine asks, for itself. */
  readonly isLocal?: boolean;
  /** Takes one of the client's places for requests that wait, until what it gives is called; undefined when they are taken. */
  readonly wait?: () => (() => void) | undefined;
  readonly shared?: SharedReplies;
  /** What is answered instead to a client that may not read this path; undefined where it may. */
  readonly refuse?: (path: string) => Promise<Reply | undefined>;
  /** The header `x2istio-nonce`. */
  readonly nonce?: string | undefined;
  /** The header `x2istio-confirm`. */
  readonly confirm?: string | undefined;
  /** Aborts when the client has gone or the server stops. */
  readonly signal?: AbortSignal;
}
