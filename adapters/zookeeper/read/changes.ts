import { createChanges } from "../../../src/async/changes.ts";
import type { NodeEvent } from "../client/line.ts";
import type { Layout } from "./layout.ts";

/** What has to be read again. */
export interface Changed {
  readonly all: boolean;
  /** The list of services. */
  readonly list: boolean;
  readonly nodes: ReadonlySet<string>;
}

/** Gathers what a server tells of, until it is read. */
export interface Changes {
  event(event: NodeEvent): void;
  everything(): void;
  /** What has changed since it was taken last. */
  take(): Changed;
  /** Resolves when there is something to take, or rejects when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
}

/** More are better read all together: whoever sends events that say nothing new costs no memory. */
const MOST_NODES = 10_000;

/** Nothing has been read yet. */
export function createTreeChanges({ root, concerns, isService }: Layout, chroot: string): Changes {
  const prefix = `${chroot}${root}`;
  const { version, wait, notify } = createChanges();
  let all = true;
  let list = false;
  let nodes = new Set<string>();
  const isAny = () => all || list || nodes.size > 0;

  function note(): void {
    if (nodes.size > MOST_NODES) all = true;
    if (all) nodes = new Set();
    notify();
  }

  return {
    event({ kind, path }) {
      if (path !== prefix && !path.startsWith(`${prefix}/`)) return;
      const [node, ...below] = path.slice(prefix.length + 1).split("/");
      if (node === undefined || node === "") list = true;
      else if (!isService(node) || !concerns(below)) return;
      else {
        nodes.add(node);
        if (below.length === 0 && kind !== "data") list = true;
      }
      note();
    },
    everything() {
      all = true;
      note();
    },
    take() {
      const changed = { all, list: all || list, nodes };
      [all, list, nodes] = [false, false, new Set()];
      return changed;
    },
    async wait(signal) {
      signal.throwIfAborted();
      while (!isAny()) await wait(version(), signal);
    },
  };
}
