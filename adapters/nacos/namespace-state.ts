import type { Changes } from "../../src/async/changes.ts";
import type { SkippedService } from "../../src/model/adapter.ts";
import type { Connection } from "./client/connection.ts";
import type { Session } from "./client/session.ts";
import type { Entry, EntryOptions } from "./entry.ts";
import type { Listed } from "./list.ts";
import type { NacosMetrics } from "./metrics.ts";
import type { NacosOptions } from "./options.ts";

/** What all namespaces of a registry share. */
export interface NamespaceOptions {
  readonly registry: string;
  readonly options: NacosOptions;
  readonly entryOptions: Omit<EntryOptions, "namespace" | "source">;
  readonly isWanted: (name: string) => boolean;
  readonly session: Session;
  readonly metrics: NacosMetrics;
  /** Something is to be told. */
  readonly onChange: () => void;
  /** A service has lost endpoints, or all of them. */
  readonly onLoss: (isEmptied: boolean) => void;
  readonly nowMs: () => number;
}

/** What is known of one namespace, and the connection on which it was said. */
export interface State extends NamespaceOptions {
  readonly id: string;
  readonly entries: Map<string, Entry>;
  connection: Connection | undefined;
  /** Set once a connection has broken or could not be made. */
  wasAway: boolean;
  settlesAtMs: number;
  polledAtMs: number;
  listed: Listed | undefined;
  /** The lists name other services by now. */
  isStale: boolean;
  skipped: readonly SkippedService[];
  isClosed: boolean;
  /** Counts connections that ended. */
  readonly ends: Changes;
}

/** The connection is over. What is missing afterwards may come back. */
export function lose(state: State, connection: Connection | undefined): void {
  if (connection === undefined || state.connection !== connection) return;
  connection.close();
  state.connection = undefined;
  state.wasAway = true;
  state.ends.notify();
}
