import assert from "node:assert/strict";
import { clashRules } from "../../src/cli/setup/clash-rules.ts";
import { premadeRule } from "../../src/cli/setup/premade-rule.ts";
import { type PassResult, pass } from "../../src/controller/pass.ts";
import type { RawObject } from "../../src/kube/client/raw.ts";
import { clusterState } from "../../src/kube/watch/state.ts";
import { type Manifest, objectKey } from "../../src/model/objects.ts";
import { type Service, serviceKey } from "../../src/model/service.ts";
import { buildNameTable, decider } from "../plan/at-once.ts";
import { endpoint, MESH, readings, service } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";
import type { Acts, Aims } from "./acts.ts";

const COUNT = 12;
const RANGE = "10.9.0.0/27";
const RANGE_V6 = "fd00:9::/120";
const namesOf = Array.from({ length: COUNT }, (_, at) => `s${at}`);

/**
 * How an estate is configured: where hosts have the registry's name, or share one name space with another registry; where registries
 * are merged; with VIPs of both families; or where only that stands for which somebody asks.
 */
export const ESTATES = ["apart", "clashing", "merged", "both families", "asked for"] as const;
export type Estate = (typeof ESTATES)[number];

function settingsOf(estate: Estate) {
  const template = estate === "clashing" ? "{service}.{namespace}.mesh.internal" : undefined;
  const demand = estate === "asked for" ? "reported" : "all";
  return config(
    ["dc1", "vms"].map((name) => ({ name, demand, legacyNames: ["{service}.old.example.org"] })),
    {
      hosts: { template: template ?? "{service}.{namespace}.{registry}.mesh.internal" },
      aliases: (estate === "merged" ? ["dc1"] : ["dc1", "vms"]).map((registry) => ({
        ...{ registry, as: "{service}", in: "apps" },
      })),
      vips: { ranges: estate === "both families" ? [RANGE, RANGE_V6] : [RANGE], quarantine: "1h" },
      ...(estate === "merged" ? { merge: ["dc1", "vms"] } : {}),
      migration: { allow: [{ registry: "dc1", namespace: "evil", service: "*", by: ["tenant"] }] },
    },
  );
}

/** From this shift on the first service has lost its second endpoint. */
export const LESS = 100;

/** The services of an estate, in registry dc1; `shift` moves all their endpoints. */
function victims(shift: number): Service[] {
  return namesOf.map((name, at) =>
    service(name, {
      legacyNames: [`${name}.corp.example.com`, ...(at < 2 ? [`${name}.short`] : [])],
      endpoints: [
        endpoint(`192.0.2.${at + 1}`),
        ...(at === 0 && shift >= LESS ? [] : [endpoint(`198.51.100.${at + 1 + shift}`)]),
      ],
    }),
  );
}

/** An installation whose services stand, and what it is told from now on. */
export interface Stand {
  readonly target: MemoryTarget;
  readonly aims: Aims;
  /** Our objects, by key. */
  objects(): ReadonlyMap<string, Manifest>;
  /** What DNS answers, by name. */
  answers(): ReadonlyMap<string, string>;
  /** What strangers did, from now on. */
  suffer(acts: Acts): void;
  /** Passes until nothing is left to do. */
  settle(shift?: number): Promise<PassResult>;
  restart(): void;
  /** CPU of each pass, in ms. */
  readonly costsMs: number[];
}

export async function standingEstate(estate: Estate): Promise<Stand> {
  const made = settingsOf(estate);
  const target = memoryTarget();
  const cluster = clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set(["apps"]),
    clashes: clashRules(made),
    premade: premadeRule(made),
    claims: { claims: [], mayClaim: (namespace) => namespace === "tenant" },
  });
  let compute = decider(made);
  let acts: Acts = { planted: [], registered: [] };
  let revision = 1_000_000;
  const costsMs: number[] = [];
  const onePass = async (shift: number) => {
    const all = [...victims(shift), ...acts.registered];
    const said = Map.groupBy(all, (one) => one.registry);
    const asked = new Map(
      all.map((one) => [serviceKey(one.registry, one.namespace, one.name), { lastMs: target.nowMs(), by: [] }]),
    );
    const input = () => ({
      asked,
      readings: readings({ dc1: said.get("dc1") ?? [], vms: said.get("vms") ?? [] }),
      ...{ standing: target.standing(), nowMs: target.nowMs(), allowDeletes: new Set<string>() },
    });
    const startMs = performance.now();
    const options = { target, signal: new AbortController().signal, mayWrite: () => true, isDryRun: false };
    const result = await pass({ ...options, decide: () => compute(input()) });
    costsMs.push(performance.now() - startMs);
    return result;
  };
  let last = 0;
  const revised = (raw: RawObject): RawObject => ({
    ...raw,
    metadata: { ...raw.metadata, resourceVersion: `${++revision}` },
  });
  const stand: Omit<Stand, "aims"> = {
    ...{ target, costsMs },
    objects: () => new Map([...target.objects].map(([key, { manifest }]) => [key, manifest])),
    answers() {
      const { names } = buildNameTable(target.standing(), { settleMs: 0, nowMs: target.nowMs() });
      return new Map([...names].map(([name, { host, a, cname }]) => [name, JSON.stringify([host, a, cname])]));
    },
    suffer(now) {
      for (const { kind, raw } of acts.planted) {
        const stays = now.planted.some((one) => one.raw === raw);
        if (!stays) cluster.sinks[kind].remove(revised(raw));
      }
      for (const { kind, raw } of now.planted) {
        const { namespace = "", name = "" } = raw.metadata ?? {};
        if (!target.objects.has(objectKey(kind, namespace, name))) cluster.sinks[kind].put(revised(raw));
      }
      acts = now;
      const { standing } = cluster;
      replace(target.foreign, standing.foreign);
      replace(target.premade, standing.premade ?? new Map());
      replace(target.claims, standing.claims ?? new Map());
      replace(target.sidecars, standing.sidecars ?? new Map());
      replace(target.peerRules, standing.peerRules ?? new Map());
      for (const [key, one] of standing.objects) target.objects.set(key, one);
    },
    async settle(shift = last) {
      last = shift;
      await onePass(shift);
      await onePass(shift);
      return onePass(shift);
    },
    restart() {
      compute = decider(made);
    },
  };
  await stand.settle();
  return { ...stand, aims: aimsOf(stand) };
}

function replace<Value>(map: Map<string, Value>, by: ReadonlyMap<string, Value>): void {
  map.clear();
  for (const [key, value] of by) map.set(key, value);
}

/** What of an estate strangers can know. */
function aimsOf({ target, answers }: Omit<Stand, "aims">): Aims {
  const entries = [...target.objects.values()].flatMap(({ manifest }) =>
    manifest.kind === "ServiceEntry" ? [manifest.spec] : [],
  );
  assert.equal(entries.length, COUNT);
  const hosts = entries.flatMap((spec) => spec.hosts);
  const aliases = namesOf.flatMap((name) => [`${name}.apps`, `${name}.apps.svc`, `${name}.apps.svc.cluster.local`]);
  return {
    hosts,
    names: [...[...answers().keys()].filter((name) => !hosts.includes(name)), ...aliases],
    vips: entries.flatMap((spec) => spec.addresses ?? []),
    ...{ ranges: [RANGE, RANGE_V6], services: namesOf, namespaces: ["short"] },
    keys: namesOf.map((name) => serviceKey("dc1", "shop", name)),
  };
}
