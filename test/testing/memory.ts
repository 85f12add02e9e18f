import { setTimeout as delay } from "node:timers/promises";
import type { Adapter, ReadOptions, ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import type { Service } from "../../src/model/service.ts";
import type { AdapterWorld } from "../../src/testing/testing.ts";

/** What is wrong with an adapter, one thing at a time. */
export type Fault =
  | "empty-when-broken"
  | "absent-when-broken"
  | "absent-when-denied"
  | "throws-for-one"
  | "new-objects"
  | "new-revision"
  | "same-revision"
  | "changes-in-place"
  | "same-object"
  | "random-order"
  | "doubled"
  | "bad-address"
  | "bad-port"
  | "no-reason"
  | "keeps-unhealthy"
  | "ignores-abort"
  | "reads-when-aborted"
  | "no-hint"
  | "lost-hint"
  | "stale-hint"
  | "wild-hints"
  | "never-stops-waiting"
  | "listener"
  | "open-timer"
  | "hangs-on-close"
  | "drops-last";

interface Kept {
  readonly addresses: readonly string[];
  readonly unhealthy: ReadonlySet<string>;
  readonly isBroken: boolean;
}

/** A registry in memory with an adapter that keeps the contract, but for its fault. `timers` are those that it leaves behind. */
export function memoryWorld(fault?: Fault, timers: Set<NodeJS.Timeout> = new Set()): AdapterWorld {
  const kept = new Map<string, Kept>();
  const denied = new Set<string>();
  const made = new Map<string, { readonly of: Kept; readonly service: Service }>();
  const onChange = new Set<() => void>();
  let [isBroken, generation, reads] = [false, 0, 0];
  let last: Snapshot | undefined;
  const has = (one: Fault) => fault === one;

  function change(name: string, now: Kept | undefined): void {
    if (now === undefined) kept.delete(name);
    else kept.set(name, now);
    moved();
  }
  function moved(): void {
    generation++;
    for (const tell of onChange) tell();
  }
  const known = (name: string): Kept => kept.get(name) ?? { addresses: [], unhealthy: new Set(), isBroken: false };

  function serviceOf(name: string, now: Kept): Service {
    const before = made.get(name);
    const endpoints = now.addresses
      .filter((address) => has("keeps-unhealthy") || !now.unhealthy.has(address))
      .map((address) => ({ address: has("bad-address") ? `${address}.` : address }));
    if (before !== undefined && (before.of === now || has("same-object")) && !has("new-objects")) return before.service;
    if (before !== undefined && has("changes-in-place")) return Object.assign(before.service, { endpoints });
    const service: Service = {
      registry: "memory",
      namespace: "default",
      name,
      ports: [{ name: "http", number: has("bad-port") ? 0 : 80, protocol: "HTTP" }],
      endpoints,
      leftOut: has("no-reason")
        ? []
        : [...now.unhealthy].map((address) => ({ address, kind: "health", reason: "unhealthy" })),
      metadata: {},
      legacyNames: [],
      source: "memory",
      notes: [],
    };
    made.set(name, { of: now, service });
    return service;
  }

  function readOf(name: string, now: Kept): readonly ServiceRead[] {
    if (!now.isBroken) return [{ state: "ok", service: serviceOf(name, now) }];
    if (has("absent-when-broken")) return [];
    if (has("throws-for-one")) throw new Error(`${name} is broken`);
    return [{ state: "failed", key: `memory/default/${name}`, cause: new Error("broken") }];
  }

  /** What an adapter has seen on a list, or is told that it stands, and may not see now. */
  function deniedOf(seen: Set<string>, standing: readonly string[]): readonly ServiceRead[] {
    for (const name of kept.keys()) if (!denied.has(name)) seen.add(name);
    if (!has("absent-when-denied")) for (const key of standing) seen.add(key.slice("memory/default/".length));
    return [...seen]
      .filter((name) => denied.has(name))
      .map((name) => ({ state: "failed", key: `memory/default/${name}`, cause: new Error("denied") }));
  }

  async function read(
    seen: Set<string>,
    signal: AbortSignal,
    { trigger, standing = () => [] }: ReadOptions,
  ): Promise<Snapshot> {
    if (!has("reads-when-aborted")) signal.throwIfAborted();
    if (has("listener")) signal.addEventListener("abort", () => undefined);
    if (has("open-timer")) timers.add(setTimeout(() => undefined, 60_000));
    await delay(1, undefined, has("ignores-abort") || has("reads-when-aborted") ? {} : { signal });
    if (has("ignores-abort")) await delay(reads === 6 ? 5000 : 0); // the fault shows once, where it is looked for
    reads++;
    if (has("stale-hint") && trigger === "hint" && last !== undefined) return last;
    if (isBroken && !has("empty-when-broken")) throw new Error("the list is broken");
    const services = isBroken ? [] : [...kept].flatMap(([name, now]) => (denied.has(name) ? [] : readOf(name, now)));
    if (!isBroken) services.push(...deniedOf(seen, standing()));
    if (has("random-order") && reads % 2 === 0) services.reverse();
    if (has("doubled")) services.push(...services.slice(0, 1));
    if (has("drops-last")) services.splice(2);
    const counted = has("new-revision") ? `${reads}` : has("same-revision") ? "0" : `${generation}`;
    last = { registry: "memory", services, revision: counted };
    return last;
  }

  async function waitForChange(revision: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (has("wild-hints")) return;
    if (revision !== `${generation}` && !has("lost-hint")) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    if (!has("no-hint")) onChange.add(resolve);
    if (!has("never-stops-waiting")) signal.addEventListener("abort", onAbort);
    try {
      await promise;
    } finally {
      onChange.delete(resolve);
      if (!has("listener")) signal.removeEventListener("abort", onAbort);
    }
  }

  async function close(): Promise<void> {
    if (has("hangs-on-close")) await new Promise(() => undefined);
  }

  function newAdapter(): Adapter {
    const seen = new Set<string>();
    return {
      registry: "memory",
      read: (signal, options) => read(seen, signal, options),
      waitForChange,
      close,
    };
  }

  return {
    adapter: newAdapter(),
    another: async () => newAdapter(),
    addService: async (name, addresses) => change(name, { ...known(name), addresses }),
    removeService: async (name) => change(name, undefined),
    addEndpoint: async (name, address) =>
      change(name, { ...known(name), addresses: [...known(name).addresses, address] }),
    removeEndpoint: async (name, address) =>
      change(name, { ...known(name), addresses: known(name).addresses.filter((one) => one !== address) }),
    async breakList() {
      isBroken = true;
      return async () => {
        isBroken = false;
      };
    },
    async breakService(name) {
      const whole = known(name);
      change(name, { ...whole, isBroken: true });
      return async () => change(name, whole);
    },
    async denyService(name) {
      denied.add(name);
      moved();
      return async () => {
        denied.delete(name);
        moved();
      };
    },
    async setHealthy(name, address, healthy) {
      const { unhealthy } = known(name);
      const now = healthy ? [...unhealthy].filter((one) => one !== address) : [...unhealthy, address];
      change(name, { ...known(name), unhealthy: new Set(now) });
    },
    close: async () => undefined,
  };
}
