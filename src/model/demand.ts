import { rfc3339 } from "./rfc3339.ts";
import type { ServiceKey } from "./service.ts";

/**
 * Who asked for services, as far as this process heard it since it started: by `POST /api/reports`, by DNS questions, or at another
 * replica. Only services that are listed or stand, and of each the 16 that asked last.
 */
export type Demands = ReadonlyMap<ServiceKey, Asked>;

/** Who asked for one service. */
export interface Asked {
  /** When it was asked for last; milliseconds since the epoch, by the target's clock. */
  readonly lastMs: number;
  /** Those that asked, the last one first. */
  readonly by: readonly Asker[];
}

/** One that asked for a service. */
export interface Asker {
  /** Of a report what it calls itself, or `<namespace>/<service account>` where its token says so; of a DNS question the client's address. */
  readonly caller: string;
  readonly via: "report" | "dns" | "replica";
  /** The DNS view that the client has; `mesh` for the VIPs. */
  readonly view?: string;
  /** When it asked last; milliseconds since the epoch, by the target's clock. */
  readonly lastMs: number;
}

/** On the entry of a service that was asked for: when last, and by whom. */
export const DEMAND_ANNOTATION = "x2istio.dev/demand";
/** On the entry of a service that nobody has asked for in a long time: since when it is about to go. */
export const IDLE_SINCE_ANNOTATION = "x2istio.dev/idle-since";

/** A demand as it stands on an entry. */
export interface StandingDemand {
  /** Milliseconds since the epoch, whole seconds. */
  readonly lastMs: number;
  /** At most 10, the last one first; clients of DNS as `dns:<address>`. */
  readonly callers: readonly string[];
}

const MOST_CALLERS = 10;
/** Longer ones are no callers' names. */
const MOST_CALLER_CHARACTERS = 128;

/** Read the demand annotation; `undefined` when there is none that can be read. */
export function readDemand(annotation: string | undefined): StandingDemand | undefined {
  if (annotation === undefined) return undefined;
  try {
    const { asked, by } = JSON.parse(annotation) as { readonly asked?: unknown; readonly by?: unknown };
    const lastMs = typeof asked === "string" ? Date.parse(asked) : Number.NaN;
    if (Number.isNaN(lastMs)) return undefined;
    return { lastMs, callers: (Array.isArray(by) ? by : []).filter(isCaller).slice(0, MOST_CALLERS) };
  } catch {
    return undefined;
  }
}

/** Write the demand annotation: the time in whole seconds, and the first 10 callers. */
export function writeDemand({ lastMs, callers }: StandingDemand): string {
  const asked = rfc3339(lastMs);
  return JSON.stringify({ asked, by: [...new Set(callers)].filter(isCaller).slice(0, MOST_CALLERS) });
}

/** How a caller stands on an entry: clients of DNS as `dns:<address>`. */
export function callerText({ caller, via }: Pick<Asker, "caller" | "via">): string {
  return via === "dns" ? `dns:${caller}` : caller;
}

/** Whether a text can be a caller's name: printable ASCII without blanks, 128 characters at most. */
export function isCaller(text: unknown): text is string {
  return typeof text === "string" && text.length <= MOST_CALLER_CHARACTERS && /^[!-~]+$/.test(text);
}

/** What replicas that do not lead tell the leader. */
export interface DemandChannel {
  /** What was told and not yet taken back. */
  told(): ReadonlyMap<ServiceKey, StandingDemand>;
  /** Counts up with every change of `told`. */
  version(): number;
  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  wait(version: number, signal: AbortSignal): Promise<void>;
  /** Keep `told` current until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void>;
  /**
   * Say something else instead of what `told` gives now: at most {@link MOST_TOLD} services, the first ones.
   *
   * @throws {ConflictError} When someone else said something meanwhile.
   * @throws When it cannot be written.
   */
  tell(next: ReadonlyMap<ServiceKey, StandingDemand>): Promise<void>;
}

/** Services that one channel holds; further ones are told once there is room. */
export const MOST_TOLD = 2000;
