import { adapters } from "../../adapters/adapters.ts";
import { changeLog } from "../../src/async/change-log.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { ConflictError } from "../../src/errors.ts";
import type { Claim, MeshNamespace, PeerRule, SidecarScope } from "../../src/model/claim.ts";
import { type Manifest, type MeshKind, objectKey } from "../../src/model/objects.ts";
import type { Change } from "../../src/model/plan.ts";
import type { ForeignObject, PremadeEntry, StandingLedgerBlock, StandingObject } from "../../src/model/standing.ts";
import type { LedgerWrite, Target, WriteOutcome, WriteResult } from "../../src/model/target.ts";
import { isDueAfter, keyOf, writePhases, writtenBy } from "../../src/model/write-order.ts";
import { NOW_MS, standingObject } from "./build.ts";

/** A checked configuration: owner east, one registry per name, everything else as given or by default. */
export function config(registries: readonly (string | object)[] = ["dc1"], rest: object = {}): Config {
  const text = {
    owner: "east",
    registries: registries.map((one) => ({
      kind: "static",
      file: "services.yaml",
      ...(typeof one === "string" ? { name: one } : one),
    })),
    ...rest,
  };
  return parseConfig(JSON.stringify(text), "/etc/x2istio.yaml", { env: {}, adapters });
}

/** A target in memory, with a clock that is moved by hand. */
export interface MemoryTarget extends Target {
  readonly objects: Map<string, StandingObject>;
  readonly foreign: Map<string, ForeignObject>;
  readonly premade: Map<string, PremadeEntry>;
  readonly ledger: Map<string, StandingLedgerBlock>;
  readonly absentKinds: Set<MeshKind>;
  readonly claims: Map<string, Claim>;
  readonly sidecars: Map<string, SidecarScope>;
  readonly peerRules: Map<string, PeerRule>;
  readonly meshNamespaces: Map<string, MeshNamespace>;
  /** Keys of objects that somebody's finalizer keeps when they are deleted. */
  readonly kept: Set<string>;
  clockMs: number;
  /** Every request, as `create ServiceEntry/…` or `ledger x2istio-vips-…`. */
  readonly requests: string[];
  /** Asked before each request; what it gives is its outcome. */
  fault: (request: string) => WriteOutcome | undefined;
}

export function memoryTarget(
  namespaces?: ReadonlyMap<string, "active" | "terminating">,
  fields: Partial<Pick<MemoryTarget, "objects" | "ledger" | "clockMs">> = {},
): MemoryTarget {
  const log = changeLog<string>();
  const objects = fields.objects ?? new Map<string, StandingObject>();
  const foreign = new Map<string, ForeignObject>();
  const premade = new Map<string, PremadeEntry>();
  const ledger = fields.ledger ?? new Map<string, StandingLedgerBlock>();
  const absentKinds = new Set<MeshKind>();
  const claims = new Map<string, Claim>();
  const sidecars = new Map<string, SidecarScope>();
  const peerRules = new Map<string, PeerRule>();
  const meshNamespaces = new Map<string, MeshNamespace>();
  const moves = { claims, sidecars, peerRules, meshNamespaces };
  const kept = new Set<string>();
  const requests: string[] = [];
  let version = 0;
  const memory: MemoryTarget = {
    kind: "kubernetes",
    objects,
    foreign,
    premade,
    ledger,
    absentKinds,
    ...moves,
    kept,
    requests,
    clockMs: fields.clockMs ?? NOW_MS,
    fault: () => undefined,
    start: async () => undefined,
    standing: () => ({ objects, foreign, premade, ledger, namespaces, absentKinds, ...moves }),
    version: log.version,
    waitForChange: log.wait,
    changesSince: log.since,
    nowMs: () => memory.clockMs,
    async writeLedger(writes, { mayWrite }) {
      for (const write of writes) writeBlock(write, mayWrite);
      notify();
    },
    async write(wanted, { mayWrite, onProgress }) {
      const results: WriteResult[] = [];
      /** Services whose entry could not be made, or to whose entry something still points. */
      const stuck = new Set<string | undefined>();
      const written = new Set<string>();
      for (const step of writePhases(wanted).flat()) {
        const { change, isFirst } = step;
        const service = change.kind === "delete" ? change.standing.service : change.object.service;
        const isBlocked = change.kind !== "update" && stuck.has(service);
        const now = mayWrite() && !isBlocked ? writtenBy(step, written, objects.get(keyOf(change))) : undefined;
        const isWhole = isFirst === true || isDueAfter(change, written);
        const tried = now === undefined ? "skipped" : apply(now);
        const outcome = isWhole || tried !== "written" ? tried : "skipped";
        if (outcome === "written") written.add(keyOf(change));
        if (isFirst) continue;
        results.push({ change, outcome });
        if (outcome !== "written" && change.kind !== "update") stuck.add(service);
        onProgress?.(results.length, wanted.length);
      }
      notify();
      return { results };
    },
    report: async () => undefined,
    close: async () => undefined,
  };
  let seen = new Map<string, unknown>();
  return memory;

  /** Also of what was changed by hand, behind the target's back. */
  function notify(): void {
    const blocks = [...ledger].map(([name, block]) => [`ConfigMap/${name}`, block] as const);
    const kinds = [...absentKinds].map((kind) => [`CustomResourceDefinition/${kind}`, kind] as const);
    const now = new Map<string, unknown>([...foreign, ...premade, ...objects, ...blocks, ...kinds]);
    const keys = [...new Set([...seen.keys(), ...now.keys()])].filter((key) => seen.get(key) !== now.get(key));
    seen = now;
    for (const key of keys) log.add(key);
  }

  function writeBlock({ name, resourceVersion, data }: LedgerWrite, mayWrite: () => boolean): void {
    if (!mayWrite()) return;
    requests.push(`ledger ${name}`);
    if (memory.fault(`ledger ${name}`) !== undefined || (ledger.get(name)?.resourceVersion ?? "") !== resourceVersion)
      throw new ConflictError(`${name} moved`);
    ledger.set(name, { name, resourceVersion: `${++version}`, data });
  }

  function apply(change: Change): WriteOutcome {
    const key = keyOf(change);
    requests.push(`${change.kind} ${key}`);
    const fault = memory.fault(`${change.kind} ${key}`);
    if (fault !== undefined) return fault;
    if (change.kind === "create") {
      if (foreign.has(key) || objects.has(key)) return "foreign";
      put(change.object.manifest, { uid: `${++version}`, createdMs: memory.clockMs });
    } else if (change.kind === "update" && change.premade !== undefined) {
      if (premade.get(key) !== change.standing) return "conflict";
      const manifest = structuredClone(change.object.manifest) as PremadeEntry["manifest"];
      premade.set(key, {
        ...(change.standing as PremadeEntry),
        manifest,
        resourceVersion: `${++version}`,
        writtenMs: memory.clockMs,
      });
    } else {
      if (objects.get(key) !== change.standing) return "conflict";
      const { uid, createdMs } = change.standing;
      if (change.kind === "delete" && kept.has(key)) {
        const terminating = "finalizer example.org/keep keeps it";
        objects.set(key, { ...change.standing, terminating, resourceVersion: `${++version}` });
      } else if (change.kind === "delete") objects.delete(key);
      else put(change.object.manifest, { uid, createdMs });
    }
    return "written";
  }

  function put(manifest: Manifest, fields: Partial<StandingObject>): void {
    const { kind, metadata } = manifest;
    // What is written comes back as another value, as over a wire.
    const copy = structuredClone(manifest);
    const writtenMs = namespaces === undefined ? undefined : memory.clockMs; // a folder does not know
    const object = standingObject(copy, { ...fields, writtenMs, resourceVersion: `${++version}` });
    objects.set(objectKey(kind, metadata.namespace, metadata.name), object);
  }
}
