import type { Upstream } from "../forward/upstream.ts";
import type { Given, View } from "./views.ts";
import type { ZoneIndex } from "./zones.ts";

/** What besides the names decides an answer. */
export interface AnswerContext extends ZoneIndex {
  /** Asked for names outside of all zones; empty: they are REFUSED. */
  readonly forward: readonly Upstream[];
  readonly ttlSeconds: number;
  /** Whether TXT tells which service a name leads to. */
  readonly tellsServices?: boolean;
  /** What the client is given; by default the VIPs. */
  readonly view?: View;
  /** Who asks, by a view. */
  readonly given?: Given;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}
