import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type PassResult, pass } from "../../src/controller/pass.ts";
import { ConflictError } from "../../src/errors.ts";
import type { ServiceRead } from "../../src/model/adapter.ts";
import { GONE_SINCE_ANNOTATION, NAMES_ANNOTATION } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import type { Decision } from "../../src/plan/decision.ts";
import { readNames } from "../../src/plan/names/names-annotation.ts";
import { type IndexedStanding, indexStanding, type StandingEntry } from "../../src/plan/standing.ts";
import { sized } from "../size.ts";
import { decider, objectsOf } from "./at-once.ts";
import {
  endpoint,
  failed,
  foreign,
  HOUR_MS,
  NOW_MS,
  port,
  premade,
  readings,
  type Said,
  service,
  snapshot,
} from "./build.ts";
import { config, type MemoryTarget, memoryTarget } from "./memory.ts";

const REGISTRIES = ["dc1", "prod"] as const;
type Registry = (typeof REGISTRIES)[number];
/** Fewer addresses than names: what rests is wanted. */
const RANGE = "10.9.0.0/29";
/** Every template makes the two registries clash: who holds a name is always at stake. */
const CLASHING = {
  hosts: { template: "{service}.{namespace}.mesh.internal" },
  aliases: REGISTRIES.map((registry) => ({ registry, as: "{service}", in: "apps" })),
  vips: { ranges: [RANGE], quarantine: "1h" },
  policy: { keepEmpty: "1h" },
};
const APART = {
  ...CLASHING,
  hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" },
  merge: [...REGISTRIES],
};
const sources = REGISTRIES.map((name) => ({ name, legacyNames: ["{service}.old.example.org"], xds: true }));

/** What a registry says of one service: nothing, that its read failed, or its endpoints. */
type Word =
  | "absent"
  | "failed"
  | { readonly endpoints: readonly number[]; readonly legacy: boolean; readonly grpc: boolean };
interface Answer {
  readonly state: "complete" | "incomplete" | "failed" | "unread";
  readonly words: readonly Word[];
}
interface Step {
  readonly answers: Readonly<Record<Registry, Answer>>;
  readonly moveMs: number;
  readonly isRestart: boolean;
  readonly isReleased: boolean;
  /** Every n-th request fails; 0: none. */
  readonly faultEvery: number;
  readonly newForeign: number;
}

const NAMES = ["a", "b", "c", "d", "e", "f", "g"];
const word: fc.Arbitrary<Word> = fc.oneof(
  { weight: 2, arbitrary: fc.constant("absent" as const) },
  { weight: 1, arbitrary: fc.constant("failed" as const) },
  {
    weight: 5,
    arbitrary: fc.record({
      endpoints: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
      legacy: fc.boolean(),
      grpc: fc.boolean(),
    }),
  },
);
const answer = fc.record<Answer>({
  state: fc.oneof(
    { weight: 6, arbitrary: fc.constant("complete" as const) },
    fc.constantFrom("incomplete" as const, "failed" as const, "unread" as const),
  ),
  words: fc.array(word, { minLength: NAMES.length, maxLength: NAMES.length }),
});
const step = fc.record<Step>({
  answers: fc.record({ dc1: answer, prod: answer }),
  moveMs: fc.constantFrom(0, 1000, 60_000, 30 * 60_000, HOUR_MS, 3 * HOUR_MS),
  isRestart: fc.boolean(),
  isReleased: fc.boolean(),
  faultEvery: fc.constantFrom(0, 0, 0, 1, 2, 3),
  newForeign: fc.integer({ min: 0, max: 20 }),
});
const history = fc.array(step, { minLength: 1, maxLength: 12 });

function said(registry: Registry, { state, words }: Answer): Said {
  if (state === "failed") return "refused";
  if (state === "unread") return undefined;
  const services = words.flatMap<Service | ServiceRead>((word, n) => {
    const name = NAMES[n] ?? "";
    if (word === "absent") return [];
    if (word === "failed") return [failed(`${registry}/shop/${name}`)];
    const ports = word.grpc ? [port("web", 8080), port("api", 9090, "GRPC")] : [port("web", 8080)];
    // One name that several services want, and one of a Service's short form.
    const legacyNames = word.legacy ? ["shared.example.org", "short.ns", `${name}.example.org`] : [];
    return [
      service(name, {
        registry,
        ports,
        legacyNames,
        endpoints: word.endpoints.map((last) => endpoint(`192.0.2.${last}`)),
      }),
    ];
  });
  return {
    state: "read",
    snapshot: snapshot(registry, services, state === "incomplete" ? "page 2 failed" : undefined),
  };
}

/** An installation that is driven step by step. */
interface Bench {
  readonly target: MemoryTarget;
  compute: ReturnType<typeof decider>;
  readonly settings: ReturnType<typeof config>;
}

function bench(settings: ReturnType<typeof config>, target = memoryTarget()): Bench {
  return { settings, target, compute: decider(settings) };
}

function restart(one: Bench): void {
  one.compute = decider(one.settings);
}

function decide(one: Bench, said: ReadonlyMap<string, Reading>, isReleased: boolean): Decision {
  const nowMs = one.target.nowMs();
  return one.compute({
    readings: said,
    standing: one.target.standing(),
    nowMs,
    allowDeletes: new Set(isReleased ? REGISTRIES : []),
  });
}

async function onePass(one: Bench, said: ReadonlyMap<string, Reading>, isReleased = false): Promise<PassResult> {
  const options = { target: one.target, signal: new AbortController().signal, mayWrite: () => true, isDryRun: false };
  const result = await pass({ ...options, decide: () => decide(one, said, isReleased) });
  return result;
}

function changesOf({ decision: { plan, ledger } }: Pick<PassResult, "decision">): readonly string[] {
  const changes = [...plan.create, ...plan.update, ...plan.delete];
  return [
    ...changes.map((one) => `${one.kind} ${one.kind === "delete" ? one.standing.key : one.object.key}`),
    ...(ledger?.writes ?? []).map(({ name }) => name),
  ];
}

const addressesOf = (entry: StandingEntry | undefined) =>
  (entry?.manifest.spec.endpoints ?? []).map(({ address }) => address);
const hostOf = (entry: StandingEntry) => entry.manifest.spec.hosts[0] ?? "";

/** What a registry, or all members of a merge, said of a service in this step. */
function verdict(step: Step, registries: readonly Registry[], name: string): "gone" | "listed" | "silent" {
  const all = registries.map((registry) => {
    const { state, words } = step.answers[registry];
    const word = words[NAMES.indexOf(name)] ?? "absent";
    if (state === "failed" || state === "unread" || word === "failed") return "silent";
    if (word !== "absent") return "listed";
    return state === "complete" ? "gone" : "silent";
  });
  if (all.includes("listed")) return "listed";
  return all.every((one) => one === "gone") ? "gone" : "silent";
}

/** A read that failed is no return: what it is of stays as it stands. */
function isListed(step: Step, registries: readonly Registry[], name: string): boolean {
  return registries.some(
    (registry) =>
      ["complete", "incomplete"].includes(step.answers[registry].state) &&
      typeof step.answers[registry].words[NAMES.indexOf(name)] === "object",
  );
}

/** Watches a history from outside and knows what must never happen. */
function witness(target: MemoryTarget, isMerged: boolean) {
  const vips = new Map<string, { host: string; freedMs: number | undefined }>();
  const goneMs = new Map<string, number>();
  const lastRead = new Map<string, readonly string[]>();
  const speakers = (key: string) => (isMerged ? REGISTRIES : [key.slice(0, key.indexOf("/")) as Registry]);
  const nameOf = (key: string) => key.split("/")[2] ?? "";
  return {
    /** After each step, what was before it at hand. */
    check(step: Step, before: IndexedStanding, after: IndexedStanding, isWritten: boolean, isFaulty: boolean): void {
      for (const [key, entry] of before.entries) {
        checkKept(step, key, before, after);
        if (isMerged) checkMembers(step, key, entry, after.entries.get(key));
      }
      for (const key of before.premade.keys()) checkPremade(step, key, before, after);
      for (const registry of REGISTRIES) remember(step, registry, isWritten);
      checkVips(after);
      if (!isFaulty) checkNames(after);
    },
  };

  /** (1) What no registry called gone keeps its entry, VIP and alias; what nobody could read stays as it is. */
  function checkKept(step: Step, key: string, before: IndexedStanding, after: IndexedStanding): void {
    const entry = before.entries.get(key);
    const now = after.entries.get(key);
    const heard = verdict(step, speakers(key), nameOf(key));
    if (isListed(step, speakers(key), nameOf(key))) goneMs.delete(key);
    if (heard === "gone" && !goneMs.has(key)) goneMs.set(key, target.clockMs);
    const isOver = (goneMs.get(key) ?? Number.POSITIVE_INFINITY) + HOUR_MS <= target.clockMs;
    if (now === undefined && heard === "gone" && hasHeir(after, entry)) {
      goneMs.delete(key);
      return;
    }
    if (now === undefined) {
      assert.ok(heard === "gone" && isOver, `${key} went though its registry said ${heard}`);
      goneMs.delete(key);
      return;
    }
    assert.deepEqual(now.manifest.spec.addresses, entry?.manifest.spec.addresses, `${key} keeps its VIP`);
    assert.deepEqual(now.manifest.spec.hosts, entry?.manifest.spec.hosts, `${key} keeps its host`);
    if (heard === "silent") assert.equal(now, entry, `${key} stays as it is`);
    // Its deletion may have stopped half way: aliases go before the entry.
    if (heard === "gone" && isOver) return;
    for (const { key: alias } of before.byService.get(key)?.filter(({ manifest }) => manifest.kind === "Service") ?? [])
      assert.ok(after.objects.has(alias), `${key} keeps ${alias}`);
  }

  /** Another service may have the host of one that is gone, with its VIP. */
  function hasHeir(after: IndexedStanding, entry: StandingEntry | undefined): boolean {
    const heir = [...after.entries.values()].find((one) => entry !== undefined && hostOf(one) === hostOf(entry));
    assert.deepEqual(heir?.manifest.spec.addresses ?? entry?.manifest.spec.addresses, entry?.manifest.spec.addresses);
    return heir !== undefined;
  }

  /** (7) Of an entry that someone wrote by hand only ports and endpoints ever change, and these only by what was read. */
  function checkPremade(step: Step, key: string, before: IndexedStanding, after: IndexedStanding): void {
    const [entry, now] = [before.premade.get(key), after.premade.get(key)];
    assert.ok(entry !== undefined && now !== undefined, `${key} stays`);
    const { ports: _, endpoints: __, ...rest } = now.manifest.spec;
    const { ports: ___, endpoints: ____, ...was } = entry.manifest.spec;
    assert.deepEqual([now.manifest.metadata, rest], [entry.manifest.metadata, was]);
    const service = entry.service ?? "";
    const heard = verdict(step, speakers(service), nameOf(service));
    if (heard === "silent") assert.equal(now, entry, `${key} stays as it is`);
  }

  /** Endpoints of a member that cannot be read stay. */
  function checkMembers(step: Step, key: string, entry: StandingEntry, now: StandingEntry | undefined): void {
    for (const registry of REGISTRIES) {
      if (now === undefined || verdict(step, [registry], nameOf(key)) !== "silent") continue;
      const stood = addressesOf(entry).filter((address) =>
        lastRead.get(`${registry}/${nameOf(key)}`)?.includes(address),
      );
      for (const address of stood)
        assert.ok(addressesOf(now).includes(address), `${key} keeps ${address} of ${registry}`);
    }
  }

  /** What a brake or a fault kept from being written is not known to stand. */
  function remember(step: Step, registry: Registry, isWritten: boolean): void {
    const { state, words } = step.answers[registry];
    if (state === "failed" || state === "unread") return;
    words.forEach((word, n) => {
      const key = `${registry}/${NAMES[n]}`;
      if (!isWritten || (word === "absent" && state === "complete")) lastRead.delete(key);
      else if (typeof word === "object")
        lastRead.set(
          key,
          word.endpoints.map((last) => `192.0.2.${last}`),
        );
    });
  }

  /** (2) No two hosts share a VIP, and none changes host before its rest is over. */
  function checkVips(after: IndexedStanding): void {
    const inUse = new Map<string, string>();
    for (const entry of after.entries.values()) {
      for (const address of entry.manifest.spec.addresses ?? []) {
        assert.equal(inUse.get(address), undefined, `${address} is of ${inUse.get(address)} and of ${hostOf(entry)}`);
        inUse.set(address, hostOf(entry));
      }
    }
    for (const [address, host] of inUse) {
      const was = vips.get(address);
      if (was !== undefined && was.host !== host)
        assert.ok(
          was.freedMs !== undefined && was.freedMs + HOUR_MS <= target.clockMs,
          `${address} went from ${was.host} to ${host} too soon`,
        );
      vips.set(address, { host, freedMs: undefined });
    }
    for (const [address, { host, freedMs }] of vips)
      if (!inUse.has(address)) vips.set(address, { host, freedMs: freedMs ?? target.clockMs });
  }

  /** (6) No name leads to two services, but where a write that was to let it go has failed. */
  function checkNames(after: IndexedStanding): void {
    const owners = new Map<string, string>();
    for (const [key, entry] of after.entries) {
      for (const name of [hostOf(entry), ...readNames(entry.manifest.metadata.annotations?.[NAMES_ANNOTATION])]) {
        assert.equal(owners.get(name), undefined, `${name} leads to ${owners.get(name)} and ${key}`);
        owners.set(name, key);
      }
    }
  }
}

/** (3) Things of other people that could be met; some come while we run. */
function addForeign({ foreign: others, objects }: MemoryTarget, n: number): void {
  const name = NAMES[n % NAMES.length] ?? "";
  const things = [
    foreign("Service", `apps/${name}`),
    foreign("Service", "ns/short"),
    foreign("ServiceEntry", `mesh-services/${name}.shop.mesh.internal`, { hosts: ["x.example.org"] }),
    foreign("VirtualService", "web/mine", { hosts: [`${name}.shop.mesh.internal`] }),
  ];
  const thing = things[n % things.length];
  if (thing === undefined) return;
  const key = `${thing.kind}/${thing.namespace}/${thing.name}`;
  if (!objects.has(key)) others.set(key, thing);
}

function copyOf(target: MemoryTarget): IndexedStanding {
  return indexStanding({ ...target.standing(), objects: new Map(target.objects) });
}

/**
 * Whether a host goes to one that has never had an endpoint, and so takes nobody's place, in the third pass: a tombstone whose time is over
 * lets go of the names that moved, then it is deleted (a brake may keep it from that, but none of those names), and only then the host is free.
 */
function isFreedLate({ standing, naming, plan }: Decision, nowMs: number): boolean {
  const hosts = naming.moves.flatMap(({ from }) => {
    const { metadata, spec } = standing.entries.get(from)?.manifest ?? {};
    const goneSince = metadata?.annotations?.[GONE_SINCE_ANNOTATION];
    const isOver = goneSince !== undefined && Date.parse(goneSince) + HOUR_MS <= nowMs;
    return isOver ? (spec?.hosts ?? []) : [];
  });
  return plan.hold.some(({ reason, subject }) => reason === "name" && hosts.includes(subject));
}

/** One step: a pass with faults, then two without, after which nothing is left to do; more where a brake or a tombstone takes more. */
async function live(one: Bench, step: Step, check: ReturnType<typeof witness>["check"]): Promise<void> {
  const { target } = one;
  target.clockMs += step.moveMs;
  if (step.isRestart) restart(one);
  if (step.newForeign < 8) addForeign(target, step.newForeign);
  const saying = readings({ dc1: said("dc1", step.answers.dc1), prod: said("prod", step.answers.prod) });
  let requests = 0;
  let isFaulty = step.faultEvery > 0;
  target.fault = () => (isFaulty && ++requests % step.faultEvery === 0 ? "failed" : undefined);
  let before = copyOf(target);
  target.requests.length = 0;
  let last: readonly string[] = ["?"];
  let most = 3;
  for (let turn = isFaulty ? 0 : 1; turn <= most && last.length > 0; turn++) {
    let isBraked = true;
    try {
      const result = await onePass(one, saying, step.isReleased);
      last = changesOf(result);
      isBraked = result.decision.plan.brakes.length > 0;
      // A brake lets go one pass after the services that tripped it have come back.
      if (turn > 0) most = Math.max(most, isBraked ? 5 : isFreedLate(result.decision, target.clockMs) ? 4 : 3);
    } catch (error) {
      if (!(isFaulty && error instanceof ConflictError)) throw error;
    }
    const after = copyOf(target);
    check(step, before, after, !isFaulty && !isBraked, isFaulty);
    before = after;
    isFaulty = false;
  }
  assert.deepEqual(last, [], `(5) nothing is left to do after ${most - 1} passes without fault`);
  for (const request of target.requests) {
    const [kind, key = ""] = request.split(" ");
    const isFilled = kind === "update" && target.premade.has(key);
    assert.ok(isFilled || !target.foreign.has(key), `(3) ${request} touches what is not ours`);
  }
  const first = decide(one, saying, step.isReleased);
  const second = decide(one, saying, step.isReleased);
  assert.deepEqual(changesOf({ decision: second }), [], "(4) unchanged input yields no change");
  const known = new Map(objectsOf(first.desired).map((object) => [object.key, object]));
  for (const object of objectsOf(second.desired)) {
    if (second.catalog.services.has(object.service))
      assert.equal(known.get(object.key), object, `(4) ${object.key} keeps its identity`);
    else if (first.plan.brakes.length === 0)
      assert.equal(known.get(object.key)?.manifest, object.manifest, `(4) ${object.key} keeps its manifest`);
  }
}

/** (5) When faults end, what stands is what the registries say; what they do not name has gone. */
async function settle(one: Bench, last: Step): Promise<void> {
  const heal = (one: Answer): Answer => ({
    state: "complete",
    words: one.words.map((word) => (word === "failed" ? "absent" : word)),
  });
  const answers = { dc1: heal(last.answers.dc1), prod: heal(last.answers.prod) };
  const saying = readings({ dc1: said("dc1", answers.dc1), prod: said("prod", answers.prod) });
  for (const moveMs of [0, 0, HOUR_MS, 0, HOUR_MS, 0]) {
    one.target.clockMs += moveMs;
    await onePass(one, saying, true);
  }
  const { catalog, plan, standing, desired } = (await onePass(one, saying, true)).decision;
  assert.deepEqual(changesOf({ decision: decide(one, saying, true) }), []);
  for (const [key, service] of catalog.services) {
    const entry = standing.entries.get(key);
    if (entry === undefined)
      assert.ok(
        plan.hold.some((hold) => hold.service === key && ["name", "address", "foreign"].includes(hold.reason)),
        `${key} is held with a reason`,
      );
    else if (!desired.kept.has(key))
      assert.deepEqual(
        addressesOf(entry).toSorted(),
        service.endpoints.map(({ address }) => address).toSorted(),
        `${key} has its endpoints`,
      );
  }
  for (const key of standing.byService.keys()) assert.ok(catalog.services.has(key), `${key} has gone`);
  for (const { service: key = "", manifest } of standing.premade.values())
    assert.deepEqual(
      (manifest.spec.endpoints ?? []).map(({ address }) => address).toSorted(),
      (catalog.services.get(key)?.endpoints ?? []).map(({ address }) => address).toSorted(),
      `${manifest.metadata.name} has the endpoints of ${key}`,
    );
}

/** Entries that someone wrote by hand for services of the first registry, and where they are not merged of the second. */
function addPremade({ target, settings }: Bench): void {
  const keys = ["dc1/shop/a", "dc1/shop/b", settings.merge.length > 0 ? "dc1/shop/c" : "prod/shop/a"];
  for (const [at, key] of keys.entries()) {
    const entry = premade(key, `by-hand-${at}`, { endpoints: at === 0 ? [{ address: "203.0.113.1" }] : [], ports: [] });
    target.premade.set(entry.key, entry);
    target.foreign.set(entry.key, foreign("ServiceEntry", `mesh-services/by-hand-${at}`, entry.manifest.spec));
  }
}

const settings = [
  { name: "two registries that clash", made: config(sources, CLASHING) },
  { name: "two registries that are merged", made: config(sources, APART) },
];
for (const { name, made } of settings) {
  test(`a random history of ${name} never takes away, mixes up or touches what it must not`, async () => {
    const run = fc.asyncProperty(history, async (steps) => {
      const one = bench(made);
      one.target.foreign.set(
        "Service/kube-system/dns",
        foreign("Service", "kube-system/dns", { addresses: ["10.9.0.3"] }),
      );
      addPremade(one);
      const { check } = witness(one.target, made.merge.length > 0);
      for (const step of steps) await live(one, step, check);
      const last = steps.at(-1);
      if (last !== undefined) await settle(one, last);
    });
    await fc.assert(run, { numRuns: sized(100) });
  });
}

test("a host goes to one that has never had an endpoint once its tombstone has let names go and is deleted", async () => {
  const one = bench(config(sources, CLASHING));
  const ask = async (dc1: readonly Service[], prod: readonly Service[] = []) =>
    changesOf(await onePass(one, readings({ dc1, prod }), true));
  const entryOf = (key: string) => indexStanding(one.target.standing()).entries.get(key)?.manifest.spec;
  await ask([service("d", { legacyNames: ["shared.example.org", "d.example.org"] })]);
  const { hosts, addresses } = entryOf("dc1/shop/d") ?? {};
  assert.deepEqual([hosts, addresses?.length], [["d.shop.mesh.internal"], 1]);
  await ask([]);
  one.target.clockMs += HOUR_MS;
  const now = [
    service("d", { registry: "prod", endpoints: [] }),
    service("f", { registry: "prod", legacyNames: ["shared.example.org"] }),
  ];
  const passes = [await ask([], now), await ask([], now), await ask([], now), await ask([], now)];
  const ofHost = passes.map((changes) => changes.filter((change) => change.endsWith("/d.shop.mesh.internal")));
  const entry = "ServiceEntry/mesh-services/d.shop.mesh.internal";
  const route = "VirtualService/mesh-services/d.shop.mesh.internal";
  const want = [
    [`update ${entry}`, `update ${route}`],
    [`delete ${entry}`, `delete ${route}`],
    [`create ${entry}`],
    [],
  ];
  assert.deepEqual(ofHost, want);
  assert.deepEqual(passes.at(-1), []);
  assert.deepEqual(entryOf("prod/shop/d")?.addresses, addresses);
});

test("two installations that share a ledger never share a VIP", async () => {
  const owners = ["east", "west"].map((owner) =>
    config(sources, {
      ...CLASHING,
      vips: { ranges: ["10.9.0.0/28"] },
      owner,
      hosts: { template: `{service}.{registry}.${owner}.internal` },
    }),
  );
  const turn = fc.record({ who: fc.integer({ min: 0, max: 1 }), step, isStale: fc.boolean() });
  const run = fc.asyncProperty(fc.array(turn, { minLength: 1, maxLength: 15 }), async (turns) => {
    const ledger = new Map();
    const benches = owners.map((made) => bench(made, memoryTarget(undefined, { ledger })));
    for (const { who, step, isStale } of turns) {
      const [one, other] = who === 0 ? [benches[0], benches[1]] : [benches[1], benches[0]];
      assert.ok(one !== undefined && other !== undefined);
      one.target.clockMs = Math.max(one.target.clockMs, other.target.clockMs) + step.moveMs;
      // A stale watch does not see the other's entries; the ledger alone must do.
      if (!isStale) see(one.target, other.target);
      const saying = readings({ dc1: said("dc1", step.answers.dc1), prod: said("prod", step.answers.prod) });
      await onePass(one, saying, step.isReleased);
      const all = benches.flatMap(({ target }) =>
        [...indexStanding(target.standing()).entries.values()].flatMap(({ manifest }) => manifest.spec.addresses ?? []),
      );
      assert.equal(new Set(all).size, all.length, all.join());
    }
  });
  await fc.assert(run, { numRuns: sized(100) });
});

function see(target: MemoryTarget, { objects }: MemoryTarget): void {
  target.foreign.clear();
  for (const { key, manifest, createdMs } of objects.values()) {
    if (manifest.kind !== "ServiceEntry") continue;
    const { hosts, addresses = [] } = manifest.spec;
    target.foreign.set(
      key,
      foreign("ServiceEntry", `${manifest.metadata.namespace}/${manifest.metadata.name}`, {
        hosts,
        addresses,
        createdMs: createdMs ?? NOW_MS,
      }),
    );
  }
}
