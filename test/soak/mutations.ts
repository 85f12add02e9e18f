import type { KubeClient } from "../../src/kube/client/client.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { Target } from "../../src/model/target.ts";
import { APPLY } from "./cluster/api-server.ts";
import type { Mutation } from "./types.ts";
import type { Violation } from "./witness.ts";

/** A build that is broken on purpose, with what the soak must say of it. */
export interface BrokenBuild {
  readonly name: string;
  readonly mutation: Mutation;
  readonly breaks: Violation["invariant"];
}

/** Each is a mistake that one of the product's peers has made. */
export const BROKEN_BUILDS: readonly BrokenBuild[] = [
  { name: "a failed read is an empty one", mutation: { adapter: failedIsEmpty }, breaks: 1 },
  { name: "a list that is partly known is believed", mutation: { adapter: partIsAll }, breaks: 1 },
  { name: "the brake is off", mutation: { settings: (one) => ({ ...one, policy: brakeOff(one.policy) }) }, breaks: 1 },
  {
    name: "the Lease is ignored",
    mutation: { leadership: (one) => ({ ...one, isLeader: () => true }) },
    breaks: 4,
  },
  {
    name: "leadership is asked for once a pass and not before each write",
    mutation: { target: askedOnce },
    breaks: 4,
  },
  { name: "VIPs are given out without the ledger", mutation: { target: withoutLedger }, breaks: 2 },
  { name: "objects are created by apply instead of POST", mutation: { client: createByApply }, breaks: 3 },
  { name: "writes name no version", mutation: { client: withoutVersions }, breaks: 4 },
];

function brakeOff<T extends object>(policy: T): T {
  return { ...policy, maxDeletePercent: 100, minDeletes: 1000, minShrinks: 1000 };
}

/** slime #389, external-dns #3841: what cannot be read counts as nothing. */
function failedIsEmpty(adapter: Adapter): Adapter {
  return {
    ...adapter,
    async read(signal, options) {
      const empty: Snapshot = { registry: adapter.registry, services: [], revision: "0" };
      const snapshot = await adapter.read(signal, options).catch(() => empty);
      const { incomplete: _, ...rest } = snapshot;
      return { ...rest, services: snapshot.services.filter(({ state }) => state === "ok") };
    },
  };
}

/** consul2istio: a list with a page missing is taken for the whole. */
function partIsAll(adapter: Adapter): Adapter {
  return {
    ...adapter,
    async read(signal, options) {
      const { incomplete: _, ...rest } = await adapter.read(signal, options);
      return rest;
    },
  };
}

function askedOnce(target: Target): Target {
  return { ...target, write: (changes, how) => target.write(changes, { ...how, mayWrite: once(how.mayWrite) }) };
}

function once(ask: () => boolean): () => boolean {
  const answer = ask();
  return () => answer;
}

function withoutLedger(target: Target): Target {
  return {
    ...target,
    standing: () => ({ ...target.standing(), ledger: new Map() }),
    writeLedger: async () => undefined,
  };
}

/** Server-side apply merges into whatever has that name. */
function createByApply(client: KubeClient): KubeClient {
  return {
    ...client,
    async request(wanted) {
      if (wanted.operation !== "create") return client.request(wanted);
      const { metadata } = wanted.body as { metadata: { name: string } };
      const path = `${wanted.path}/${metadata.name}`;
      return client.request({ ...wanted, method: "PATCH", path, contentType: APPLY });
    },
  };
}

function withoutVersions(client: KubeClient): KubeClient {
  return {
    ...client,
    request(wanted) {
      if (wanted.operation !== "update" && wanted.operation !== "delete") return client.request(wanted);
      if (wanted.method === "DELETE") return client.request({ ...wanted, body: {} });
      const { metadata, ...rest } = wanted.body as { metadata: { uid: string; resourceVersion: string } };
      const { uid: _, resourceVersion: __, ...others } = metadata;
      return client.request({ ...wanted, body: { metadata: others, ...rest } });
    },
  };
}
