import type { KubeRequest } from "../../src/kube/client/client.ts";
import type { RawObject } from "../../src/kube/client/raw.ts";
import { EFFECTIVE_STAGE_ANNOTATION } from "../../src/model/claim.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  HELD_LOSS_ANNOTATION,
  type Manifest,
  NAMES_ANNOTATION,
  OWNER_LABEL,
  SUCCEEDED_BY_ANNOTATION,
} from "../../src/model/objects.ts";
import type { Change, Delete, Update } from "../../src/model/plan.ts";
import { PREMADE_SERVICE_ANNOTATION } from "../../src/model/premade.ts";
import type { Service } from "../../src/model/service.ts";
import type { Standing } from "../../src/model/standing.ts";
import { readNames } from "../../src/plan/names/names-annotation.ts";
import type { Clock, Process } from "./clock.ts";
import type { ApiServer, Effect, Kept } from "./cluster/api-server.ts";
import type { Effect as Took } from "./effects.ts";
import type { Said } from "./registry.ts";

/** What must never happen, by number. */
export const INVARIANTS = {
  1: "what its registry has not called gone stays, with its endpoints, and a brake holds what goes at once",
  2: "no two hosts share a VIP, and none changes host while it rests",
  3: "nothing of anyone else's is written or deleted, but ports and endpoints of an entry that asks for it",
  4: "only the holder of the Lease writes, and what a former one has in flight meets a conflict",
  5: "when the faults end, what stands is what the registries say within two passes",
  6: "calls are led only to a Service that claims them and has something ready",
  7: "a legacy name that a living service is to have is denied at no moment, and leads to it in the end",
  8: "what somebody's finalizer keeps is left alone",
} as const;

export interface Violation {
  readonly invariant: keyof typeof INVARIANTS;
  readonly message: string;
}

/** What a process knew when it decided. */
interface Decision {
  readonly said: ReadonlyMap<string, Said>;
  readonly released: readonly string[];
  readonly nowMs: number;
  /** Hosts of Services that claim something and have something ready. */
  readonly ready: ReadonlySet<string>;
  /** Services of which calls are led inside already. */
  readonly inside: ReadonlySet<string>;
  /** Entries by registry: their objects' keys with how recently they were marked, and how many endpoints they have. */
  readonly entries: ReadonlyMap<string, Stood>;
}

/** An entry as it stood when something was decided. */
interface Stood {
  readonly registry: string;
  readonly markedMs: number;
  readonly endpoints: number;
  /** Its service is gone, and another one has its names. */
  readonly leadsOn: boolean;
}

/** Looks at every answer, decision, request and write, and knows what must never be. */
export interface Witness {
  /** The first thing that must not have happened. */
  violation(): Violation | undefined;
  /** Note one that was found elsewhere. */
  accuse(invariant: Violation["invariant"], message: string): void;
  onAnswer(process: Process, registry: string, said: Said, askedMs: number): void;
  /** When the newest answer that a process has of a registry was asked for. */
  askedMs(process: Process, registry: string): number;
  said(process: Process, registry: string): Said | undefined;
  onRelease(process: Process, registries: readonly string[]): void;
  onDecision(process: Process, standing: Standing, nowMs: number): void;
  onIntent(process: Process, changes: readonly Change[]): void;
  onSend(process: Process, request: KubeRequest): (effect: Effect) => void;
  /** Somebody else wrote. */
  onOutside(effect: Effect): void;
}

export interface WitnessOptions {
  readonly api: ApiServer;
  readonly clock: Clock;
  readonly owner: string;
  readonly namespace: string;
  readonly lease: string;
  readonly keepEmptyMs: number;
  readonly quarantineMs: number;
  readonly maxDeletePercent: number;
  readonly minDeletes: number;
  readonly maxShrinkPercent: number;
  readonly minShrinks: number;
  /** Registries of which only those services stand that someone asked for. */
  readonly reported: ReadonlySet<string>;
  readonly took: (effect: Took) => void;
  /** Whether nothing has been wrong between a process and the API server for so long that it knows what stands. */
  readonly isInTouch: (process: Process) => boolean;
}

/** A server's clock is told in seconds and followed to within one. */
const TOLERANCE_MS = 3000;
/** How long the sender of a write waits for its answer. */
const GIVEN_UP_MS = 4000;
/** Until a process must have heard of what others did. */
const IN_TOUCH_MS = 130_000;
/** Its own last news may be on the way while it sends again. */
const MOST_PESTERED = 2;
/** How long a brake keeps endpoints. */
const RELEASE_MS = 600_000;

export function createWitness(options: WitnessOptions): Witness {
  const { api, clock, owner, namespace, lease, keepEmptyMs, quarantineMs } = options;
  const answers = new WeakMap<Process, Map<string, { readonly said: Said; readonly askedMs: number }>>();
  const released = new WeakMap<Process, readonly string[]>();
  const decisions = new WeakMap<Process, Decision>();
  /** When someone else took away an entry that had a legacy name. */
  const takenMs = new Map<string, number>();
  /** By object that is to go, what a process in touch has sent to it since. */
  const pestered = new Map<string, number>();
  /** Who has or had an address, and since when nobody has it. */
  const vips = new Map<string, { readonly host: string; readonly freedMs: number | undefined }>();
  let violation: Violation | undefined;

  function accuse(invariant: Violation["invariant"], message: string): void {
    violation ??= { invariant, message: `${message} (after ${(clock.nowMs() / 1000).toFixed(3)} s)` };
  }

  /** (1) Each change must follow from what the registries had said when it was decided. */
  function checkIntent(process: Process, changes: readonly Change[], decision: Decision): void {
    const updates = changes.filter((change) => change.kind === "update");
    for (const change of changes) checkRoutes(process, change, decision);
    for (const update of updates.filter(isOfEntry)) checkUpdate(process, update, decision);
    for (const change of changes.filter((one) => one.kind === "delete")) checkDelete(process, change, decision);
    for (const registry of decision.said.keys()) {
      if (decision.released.includes(registry)) continue;
      const own = updates.filter(isOfEntry).filter(({ object }) => object.registry === registry);
      checkServiceBrake(process, registry, own, decision);
      checkEndpointBrake(process, registry, changes, decision);
    }
  }

  /** (6) What leads somewhere new in the cluster. */
  function checkRoutes(process: Process, change: Change, { ready, inside }: Decision): void {
    if (change.kind === "delete") return;
    const before = new Set(change.kind === "update" ? ledInside(change.standing.manifest) : []);
    const name = nameOf(change.object.service);
    for (const host of ledInside(change.object.manifest)) {
      if (!host.startsWith(`${name}-v2.`)) accuse(6, `${process.name} leads ${change.object.service} to ${host}`);
      // An alias follows calls that are led there already.
      if (change.object.manifest.kind !== "VirtualService" || before.has(host) || ready.has(host)) continue;
      // What someone took away is put back as its entry says that it stood.
      if (change.kind === "create" && inside.has(change.object.service)) continue;
      accuse(6, `${process.name} leads ${change.object.service} to ${host}, which has nothing ready`);
    }
  }

  function checkUpdate(process: Process, { object, standing }: Update, { said }: Decision): void {
    const answer = said.get(object.registry);
    const name = nameOf(object.service);
    const isNewlyGone =
      markOf(object.manifest, GONE_SINCE_ANNOTATION) !== undefined &&
      markOf(standing.manifest, GONE_SINCE_ANNOTATION) === undefined;
    if (isNewlyGone && !isCalledGone(answer, name))
      accuse(1, `${process.name} takes ${object.service} for gone, of which ${wordOf(answer, name)}`);
    const left = new Set(placesOf(object.manifest));
    // One that has an heir leads to what that has.
    for (const place of isSucceeded(object.manifest) ? [] : placesOf(standing.manifest)) {
      if (left.has(place) || isCalledGone(answer, name)) continue;
      const service = answer?.state === "failed" ? undefined : answer?.services.get(name);
      if (service === undefined || service === "failed" || service.endpoints.some(({ address }) => address === place))
        accuse(1, `${process.name} takes ${place} from ${object.service}, of which ${wordOf(answer, name)}`);
    }
    if (!isEqual(specOf(object.manifest).hosts, specOf(standing.manifest).hosts))
      accuse(1, `${process.name} changes the host of ${object.service}`);
    if (!isEqual(specOf(object.manifest).addresses, specOf(standing.manifest).addresses))
      accuse(2, `${process.name} changes the VIP of ${object.service}`);
  }

  function checkDelete(process: Process, { standing }: Delete, { said, entries }: Decision): void {
    const { service, registry, manifest } = standing;
    const answer = said.get(registry);
    // A VirtualService goes when the last HTTP port or legacy name does, whether or not someone took the entry away meanwhile.
    const isLess =
      entries.has(service ?? "") ||
      isPlain(answer, nameOf(service)) ||
      isNameless(said.values(), registry, nameOf(service));
    if (manifest.kind === "VirtualService" && (isLess || ledInside(manifest).length > 0)) return;
    // What nobody asks for has no alias and no route: an entry that someone took away tells of nobody any more.
    if (!isMainEntry(manifest) && options.reported.has(registry) && !entries.has(service ?? "")) return;
    if (!isCalledGone(answer, nameOf(service)))
      accuse(1, `${process.name} deletes ${standing.key}, of which ${wordOf(answer, nameOf(service))}`);
    const goneMs = Date.parse(markOf(manifest, GONE_SINCE_ANNOTATION) ?? "");
    if (isMainEntry(manifest) && !(goneMs + keepEmptyMs <= clock.wallMs() + TOLERANCE_MS))
      accuse(1, `${process.name} deletes ${standing.key} too soon, gone since ${new Date(goneMs).toISOString()}`);
  }

  function checkServiceBrake(
    process: Process,
    registry: string,
    updates: readonly Update[],
    { said, entries, nowMs }: Decision,
  ): void {
    const isMarked = (manifest: Manifest) =>
      !isSucceeded(manifest) &&
      [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION].some((mark) => markOf(manifest, mark) !== undefined);
    const isEverMarked = (manifest: Manifest) => isMarked(manifest) || isSucceeded(manifest);
    const fresh = updates.filter(
      ({ object, standing }) =>
        isMarked(object.manifest) && !isEverMarked(standing.manifest) && !isMoved(standing.manifest),
    );
    const back = new Set(updates.filter((one) => !isMarked(one.object.manifest)).map(({ object }) => object.service));
    const own = [...entries].filter(([, entry]) => entry.registry === registry && !entry.leadsOn);
    const marked = own.filter(([key, { markedMs }]) => markedMs > nowMs - keepEmptyMs && !back.has(key));
    const lost = fresh.length + marked.length;
    const isPast = lost > options.minDeletes && lost * 100 > options.maxDeletePercent * own.length;
    if (fresh.length > 0 && isPast)
      accuse(1, `${process.name} takes away ${lost} of ${own.length} services of ${registry} at once`);
    const answer = said.get(registry);
    const isVanishing = fresh.some(({ object }) => markOf(object.manifest, GONE_SINCE_ANNOTATION) !== undefined);
    if (isVanishing && answer?.state !== "failed" && answer?.services.size === 0)
      accuse(1, `${process.name} believes an empty list of ${registry}`);
  }

  function checkEndpointBrake(
    process: Process,
    registry: string,
    changes: readonly Change[],
    { entries, nowMs }: Decision,
  ): void {
    // What a brake has kept for ten minutes may go.
    const isKept = (manifest: Manifest) => {
      const since = Date.parse(markOf(manifest, HELD_LOSS_ANNOTATION)?.split(" ").at(-1) ?? "");
      return since <= nowMs - RELEASE_MS + TOLERANCE_MS;
    };
    const had = [...entries.values()].filter(
      (entry) => entry.registry === registry && entry.endpoints > 0 && !entry.leadsOn,
    ).length;
    /** By service, which part it loses: an entry that someone wrote by hand loses it, too. */
    const losing = new Map<string, number>();
    for (const change of changes) {
      if (change.kind !== "update" || change.object.registry !== registry || isMoved(change.standing.manifest))
        continue;
      if (isKept(change.standing.manifest) || isSucceeded(change.object.manifest)) continue;
      const [was, now] = [placesOf(change.standing.manifest).length, placesOf(change.object.manifest).length];
      if (now >= was) continue;
      const name = nameOf(change.object.service);
      losing.set(name, Math.max(losing.get(name) ?? 0, (was - now) / was));
    }
    const lost = [...losing.values()].reduce((sum, share) => sum + share, 0);
    if (losing.size >= options.minShrinks && lost * 100 > options.maxShrinkPercent * had)
      accuse(
        1,
        `${process.name} takes away from ${[...losing.keys()].join()} of ${had} services of ${registry} at once`,
      );
  }

  function checkEffect(by: string, { kind, before, after }: Effect): void {
    if (kind === "Lease" || kind === "Event") return;
    const isLedger = kind === "ConfigMap" && (after ?? before)?.metadata.name?.startsWith("x2istio-vips-") === true;
    const isDemand = kind === "ConfigMap" && (after ?? before)?.metadata.name === `x2istio-${owner}-demand`;
    if (isDemand && after !== undefined) options.took("a replica passes a question on");
    if (isLedger || isDemand) return;
    const place = `${kind} ${(after ?? before)?.metadata.namespace}/${(after ?? before)?.metadata.name}`;
    if (kind === "ConfigMap" || kind === "Namespace") accuse(3, `${by} writes ${place}`);
    if (before !== undefined && !isOurs(before)) {
      const isAsked = before.metadata.annotations?.[PREMADE_SERVICE_ANNOTATION] !== undefined;
      if (after === undefined || !isAsked || !isEqual(withoutContent(before), withoutContent(after)))
        accuse(3, `${by} ${after === undefined ? "deletes" : "changes"} ${place}, which is not ours`);
    }
  }

  /** (7) A name may leave an object only when another has it, or nobody is to. */
  function checkNames(process: Process, { kind, before, after }: Effect): void {
    const decision = decisions.get(process);
    if (kind !== "ServiceEntry" || before === undefined || !isOurs(before) || decision === undefined) return;
    const left = new Set(after === undefined ? [] : namesOf(after));
    for (const name of namesOf(before).filter((one) => !left.has(one))) {
      if (holdersOf(name).length > 0 || clock.nowMs() - (takenMs.get(name) ?? Number.NEGATIVE_INFINITY) < IN_TOUCH_MS)
        continue;
      for (const [registry, answer] of decision.said) {
        if (answer.state === "failed" || options.reported.has(registry)) continue;
        for (const [service, said] of answer.services)
          if (said !== "failed" && said.endpoints.length > 0 && said.legacyNames.includes(name))
            if (stands(registry, service))
              accuse(
                7,
                `${process.name} takes ${name} from ${before.metadata.name}, and ${registry}/${service} has it not yet`,
              );
      }
    }
  }

  /** Entries of ours that have a legacy name. */
  function holdersOf(name: string): readonly Kept[] {
    return api.objects("serviceentries").filter((entry) => isOurs(entry) && namesOf(entry).includes(name));
  }

  /** Whether a service has an entry of ours, to which names can be given. */
  function stands(registry: string, service: string): boolean {
    const entry = api.get("serviceentries", namespace, `${service}.shop.${registry}.mesh.internal`);
    return entry !== undefined && isOurs(entry) && entry.metadata.deletionTimestamp == null;
  }

  function noteStage({ kind, before, after }: Effect): void {
    const stageOf = (object: Kept | undefined) => object?.metadata.annotations?.[EFFECTIVE_STAGE_ANNOTATION];
    if (kind === "ServiceEntry" && after !== undefined && stageOf(before) !== undefined && stageOf(after) === undefined)
      options.took("calls are led outside again");
    if (kind === "ServiceEntry" && after !== undefined && stageOf(before) !== "retired" && stageOf(after) === "retired")
      options.took("a service is retired");
    const had = new Set(before === undefined ? [] : namesOf(before));
    const isMoved = (name: string) => !had.has(name) && holdersOf(name).length > 1;
    if (kind === "ServiceEntry" && after !== undefined && namesOf(after).some(isMoved))
      options.took("a legacy name has a new holder");
  }

  /** (2) By what stands: who has which address. */
  function checkVips(by: string, { kind, before, after }: Effect): void {
    if (kind !== "ServiceEntry") return;
    const [had, has] = [vipsOf(before), vipsOf(after)];
    for (const address of had.addresses)
      if (!has.addresses.includes(address)) vips.set(address, { host: had.host, freedMs: clock.wallMs() });
    for (const address of has.addresses) {
      const known = vips.get(address);
      vips.set(address, { host: has.host, freedMs: undefined });
      if (known === undefined || known.host === has.host) continue;
      if (known.freedMs === undefined) accuse(2, `${by} gives ${address} to ${has.host} while ${known.host} has it`);
      else if (known.freedMs + quarantineMs > clock.wallMs() + TOLERANCE_MS)
        accuse(2, `${by} gives ${address} to ${has.host}, ${clock.wallMs() - known.freedMs} ms after ${known.host}`);
    }
    for (const block of api.objects("configmaps")) {
      for (const [key, line] of Object.entries((block.data ?? {}) as Record<string, string>)) {
        const [host = "", holder, state] = line.split(" ");
        if (holder !== owner && state === "used" && has.addresses.includes(key.replaceAll("-", ".")))
          accuse(2, `${by} gives ${key} to ${has.host} while ${host} of another installation has it`);
      }
    }
  }

  function vipsOf(object: Kept | undefined): { readonly host: string; readonly addresses: readonly string[] } {
    const { hosts, addresses } = specOf(object as unknown as Manifest | undefined);
    return { host: hosts?.[0] ?? "", addresses: object !== undefined && isOurs(object) ? (addresses ?? []) : [] };
  }

  function isOurs({ metadata }: Kept): boolean {
    return metadata.labels?.[OWNER_LABEL] === owner;
  }

  return {
    violation: () => violation,
    accuse,
    onAnswer(process, registry, said, askedMs) {
      const own = answers.get(process) ?? new Map();
      answers.set(process, own.set(registry, { said, askedMs }));
    },
    askedMs: (process, registry) => answers.get(process)?.get(registry)?.askedMs ?? -1,
    said: (process, registry) => answers.get(process)?.get(registry)?.said,
    onRelease: (process, registries) => void released.set(process, registries),
    onDecision(process, standing, nowMs) {
      const entries = new Map<string, Stood>();
      const inside = new Set<string>();
      for (const { manifest, service, registry } of standing.objects.values()) {
        if (!isMainEntry(manifest) || service === undefined) continue;
        const marks = [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION].map((name) =>
          Date.parse(markOf(manifest, name) ?? ""),
        );
        // What has moved inside has no use of its endpoints outside, what has an heir leads to that: no brake counts them.
        const leadsOn = isSucceeded(manifest);
        const lost = isMoved(manifest) || leadsOn ? [] : marks.filter((ms) => !Number.isNaN(ms));
        const markedMs = Math.max(...lost, Number.NEGATIVE_INFINITY);
        if (markOf(manifest, EFFECTIVE_STAGE_ANNOTATION) !== undefined) inside.add(service);
        const endpoints = isMoved(manifest) ? 0 : placesOf(manifest).length;
        entries.set(service, { registry, markedMs, endpoints, leadsOn });
      }
      for (const { key, manifest, registry } of standing.premade.values()) {
        // It carries no mark: how lately it lost its last endpoint is not judged here.
        const endpoints = placesOf(manifest).length;
        entries.set(key, { registry, markedMs: Number.NEGATIVE_INFINITY, endpoints, leadsOn: false });
      }
      const ready = new Set(
        [...(standing.claims?.values() ?? [])].flatMap(({ namespace, name, live }) =>
          (live?.readyEndpoints ?? 0) > 0 ? [`${name}.${namespace}.svc.cluster.local`] : [],
        ),
      );
      const said = new Map([...(answers.get(process) ?? [])].map(([registry, answer]) => [registry, answer.said]));
      decisions.set(process, { said, released: released.get(process) ?? [], nowMs, entries, ready, inside });
    },
    onIntent(process, changes) {
      const decision = decisions.get(process);
      if (decision !== undefined) checkIntent(process, changes, decision);
    },
    onSend(process, { method, path, body, operation }) {
      const sentMs = clock.nowMs();
      const name = method === "POST" ? `/${(body as Kept).metadata.name}` : "";
      const then = api.at(`${path}${name}`);
      const isDemand = path.includes("/configmaps") && `${JSON.stringify(body)}`.includes("-demand");
      const isMesh =
        method !== "GET" && operation !== "lease" && !isDemand && !path.includes(`x2istio-${owner}-demand`);
      const holder = (api.get("leases", namespace, lease)?.spec as { holderIdentity?: string } | undefined)
        ?.holderIdentity;
      if (isMesh && holder !== process.name)
        accuse(4, `${process.name} sends ${method} ${path} while ${holder || "nobody"} holds the Lease`);
      if (isMesh && then?.metadata.deletionTimestamp != null && options.isInTouch(process)) {
        const key = `${process.name} ${then.metadata.uid}`;
        const times = (pestered.get(key) ?? 0) + 1;
        pestered.set(key, times);
        if (times > MOST_PESTERED) accuse(8, `${process.name} sends ${method} ${path} for the ${times}th time`);
      }
      return (effect) => {
        // Whoever wrote in between may be the new leader: what is in flight must meet a conflict.
        if (isMesh && effect.before?.metadata.resourceVersion !== then?.metadata.resourceVersion)
          accuse(4, `${process.name} overwrites with ${method} ${path}${name} what changed since it was sent`);
        checkEffect(process.name, effect);
        noteStage(effect);
        checkVips(process.name, effect);
        // What arrives when its sender has given it up was right when it was sent: the next pass mends what it takes.
        if (clock.nowMs() - sentMs <= GIVEN_UP_MS) checkNames(process, effect);
      };
    },
    onOutside(effect) {
      const { kind, before, after } = effect;
      if (kind === "ServiceEntry" && before !== undefined && isOurs(before) && after === undefined)
        for (const name of namesOf(before)) takenMs.set(name, clock.nowMs());
      checkVips("someone", effect);
    },
  };
}

interface Spec {
  readonly hosts?: readonly string[];
  readonly addresses?: readonly string[];
  readonly endpoints?: readonly { readonly address: string }[];
}

function specOf(manifest: Pick<Manifest, "spec"> | RawObject | undefined): Spec {
  return (manifest?.spec ?? {}) as Spec;
}

/** Hosts in the cluster that it leads to. */
function ledInside({ spec }: Manifest): readonly string[] {
  return [...new Set(JSON.stringify(spec).match(/[a-z0-9.-]+\.svc\.cluster\.local/g))];
}

/** Whether its service is gone and another one has its names. */
export function isSucceeded({
  metadata,
}: {
  readonly metadata: { readonly annotations?: Kept["metadata"]["annotations"] };
}): boolean {
  return metadata.annotations?.[SUCCEEDED_BY_ANNOTATION] !== undefined;
}

function isMoved({ metadata }: Manifest): boolean {
  return ["inside", "retired"].includes(metadata.annotations?.[EFFECTIVE_STAGE_ANNOTATION] ?? "");
}

function placesOf(manifest: Manifest): readonly string[] {
  return isMainEntry(manifest) ? (specOf(manifest).endpoints ?? []).map(({ address }) => address) : [];
}

/** Whether it is the entry of a service, and not what only carries its legacy names. */
export function isMainEntry({ kind, metadata }: Pick<Manifest, "kind" | "metadata">): boolean {
  return kind === "ServiceEntry" && !metadata.name.endsWith("-legacy");
}

function isOfEntry({ object }: Update): boolean {
  return isMainEntry(object.manifest);
}

function markOf({ metadata }: Manifest, name: string): string | undefined {
  return metadata.annotations?.[name];
}

function nameOf(service: string | undefined): string {
  return (service?.split("/")[2] ?? "").toLowerCase();
}

/** Legacy names that stand on an entry. */
export function namesOf({ metadata }: Kept): readonly string[] {
  return readNames(metadata.annotations?.[NAMES_ANNOTATION]);
}

function isCalledGone(answer: Said | undefined, name: string): boolean {
  return answer?.state === "complete" && !answer.services.has(name);
}

/** Whether it was said to have nothing that needs a VirtualService. */
function isPlain(answer: Said | undefined, name: string): boolean {
  const service = answer?.state === "failed" ? undefined : answer?.services.get(name);
  if (service === undefined || service === "failed") return false;
  return service.legacyNames.length === 0 || service.ports.every(({ protocol }) => protocol !== "HTTP");
}

/** Whether all its legacy names are said to be others', too: one of them has each. */
function isNameless(answers: Iterable<Said>, registry: string, name: string): boolean {
  const all = [...answers].flatMap((answer) => (answer.state === "failed" ? [] : [...answer.services.values()]));
  const services = all.flatMap((one) => (one === "failed" ? [] : [one]));
  const isOwn = (one: Service) => one.registry === registry && one.name.toLowerCase() === name;
  const own = services.filter(isOwn).flatMap(({ legacyNames }) => legacyNames);
  return own.every((legacy) => services.some((one) => !isOwn(one) && one.legacyNames.includes(legacy)));
}

function wordOf(answer: Said | undefined, name: string): string {
  if (answer === undefined) return "nothing was said";
  if (answer.state === "failed") return "the list could not be read";
  const service = answer.services.get(name);
  if (service === undefined) return `an ${answer.state} list says nothing`;
  return service === "failed"
    ? "the read failed"
    : `it was said: ${service.endpoints.map((one) => one.address).join()}`;
}

/** All that stays its author's. */
function withoutContent({ metadata, spec, apiVersion, kind }: Kept): object {
  const { resourceVersion: _, managedFields: __, ...rest } = metadata;
  const { ports: ___, endpoints: ____, ...others } = spec as Record<string, unknown>;
  return { metadata: rest, spec: others, apiVersion, kind };
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
