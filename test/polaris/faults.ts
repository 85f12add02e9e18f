import type { Json } from "./forms.ts";

/** A request as a fault and a test see it. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Parsed JSON; text if it is none. */
  readonly body: unknown;
  readonly token: string | undefined;
}

/** Requests that a fault concerns; what is not given does not matter. */
export interface FaultMatch {
  /** Start of the path. */
  readonly path?: string;
  /** Discover type. */
  readonly type?: string;
  readonly namespace?: string;
  /** Service name. */
  readonly service?: string;
}

/**
 * What a fault does to the requests that it concerns.
 *
 * Whatever it does to the answer, the request is carried out, and the answer says what was true when it came.
 */
export type FaultEffect =
  | { readonly kind: "delay"; readonly ms: number }
  /** No answer, until the fault is undone or the server stops: then the connection closes. */
  | { readonly kind: "hang" }
  /** The connection closes without an answer. */
  | { readonly kind: "close" }
  /** A code of the server: 500000, 500001, 429001, 400202, …; the HTTP status follows from it. */
  | { readonly kind: "code"; readonly code: number }
  /** As from a proxy on the way. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** Half of the body, then the connection closes. `chunked`: with no Content-Length that could tell. */
  | { readonly kind: "truncate"; readonly chunked?: boolean }
  /** Status 200 and a body that is no JSON. */
  | { readonly kind: "text"; readonly body?: string }
  /** A body of at least so many bytes, true in all else. */
  | { readonly kind: "huge"; readonly bytes: number }
  /** A true answer with something changed. */
  | { readonly kind: "edit"; readonly edit: (body: Json) => unknown }
  /** Success, but with no service, or no instance; the revision is another one. */
  | { readonly kind: "empty" }
  /** Another revision than the computed: a random UUID, as while it is being computed, or the one given. */
  | { readonly kind: "revision"; readonly revision?: string }
  /** Answers from what the server knew when the fault began. */
  | { readonly kind: "stale" }
  /** Instances of an exported name are merged in any order, so that its revision moves by itself. */
  | { readonly kind: "flap" }
  /** The body comes in steps of 100 ms, so that a second brings `bytesPerSecond`. */
  | { readonly kind: "throttle"; readonly bytesPerSecond: number }
  /** Deregistrations succeed and are not seen until the fault is undone, as with boltdb. */
  | { readonly kind: "late deregistration" };

/** A fault: what, for which requests, and for how many of them; without `count` until it is undone. */
export type Fault = FaultEffect & { readonly match?: FaultMatch; readonly count?: number };

/** A fault that a request met, and whether it has been undone since. */
export interface MetFault {
  readonly effect: FaultEffect;
  readonly undone: AbortSignal;
}

/** Faults that are on. */
export interface Faults {
  add(fault: Fault): { readonly undone: AbortSignal; readonly undo: () => void };
  /** Faults that concern this request; each counts it. */
  take(request: SeenRequest): MetFault[];
  /** Whether a fault of that kind is on; counts nothing. */
  has(kind: Fault["kind"]): boolean;
}

/** Whether a fault concerns a request. */
export function concerns({ path, type, namespace, service }: FaultMatch, request: SeenRequest): boolean {
  const body = (typeof request.body === "object" ? request.body : null) as Json | null;
  const asked = (typeof body?.["service"] === "object" ? body["service"] : {}) as Json | null;
  return (
    (path === undefined || request.path.startsWith(path)) &&
    (type === undefined || body?.["type"] === type) &&
    (namespace === undefined || (asked?.["namespace"] ?? "") === namespace) &&
    (service === undefined || asked?.["name"] === service)
  );
}

/** No faults yet. */
export function createFaults(): Faults {
  const active = new Set<{ readonly fault: Fault; readonly undone: AbortController; left: number }>();
  return {
    add(fault) {
      const undone = new AbortController();
      const entry = { fault, undone, left: fault.count ?? Number.POSITIVE_INFINITY };
      active.add(entry);
      const undo = () => {
        active.delete(entry);
        undone.abort();
      };
      return { undone: undone.signal, undo };
    },
    take(request) {
      const met = [...active].filter(({ fault }) => concerns(fault.match ?? {}, request));
      for (const entry of met) {
        entry.left -= 1;
        if (entry.left <= 0) active.delete(entry);
      }
      return met.map(({ fault, undone }) => ({ effect: fault, undone: undone.signal }));
    },
    has: (kind) => [...active].some(({ fault }) => fault.kind === kind),
  };
}
