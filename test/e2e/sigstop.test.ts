import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type AuditedWrite, auditedWrites, isDone, meshWrites, operators, writesWithoutLease } from "./audit.ts";
import { type Replica, readiness, ready, startReplica } from "./cli.ts";
import {
  endpointsOf,
  entries,
  leader,
  ledgerLines,
  list,
  MESH,
  routesPath,
  SHOP,
  servicesPath,
  vipsOf,
} from "./cluster.ts";
import { type Fixture, fixture, hostOf, httpService } from "./fixture.ts";
import { pausingProxy } from "./proxy.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const ROUNDS = 50;
const NEW_PER_ROUND = 4;
const CHANGED_PER_ROUND = 4;
const GONE_PER_ROUND = 2;
const MOST_SERVICES = 24;

type Name = "one" | "two";
const NAMES = ["one", "two"] as const;

/** What the registry said of a service, over all rounds. */
interface Entry {
  address: string;
  changes: number;
  isGone: boolean;
}

interface Round {
  /** Whether the old leader went on before the new one had finished. */
  readonly isEarly: boolean;
  readonly from: string;
  readonly to: string;
}

/** Repeatable by its seed (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const MESH_WRITE =
  /^(?:POST|PATCH|DELETE) \/api\S*\/(?:serviceentries|virtualservices|services|configmaps)(?:\/[^/?]+)?(?:\?|$)/;

test(faultRow(
  {
    target: "own process",
    fault: "the leader is suspended in mid-pass (SIGSTOP) until another leads",
    expect: "it writes nothing more; each object is written once",
  },
  `${ROUNDS} times`,
), {
  skip,
}, async (t) => {
  const seed = Number(process.env.X2ISTIO_SEED ?? Date.now() % 1e9);
  t.diagnostic(`X2ISTIO_SEED=${seed}`);
  const random = randomFrom(seed);
  const kube = await startKube({ audit: true, namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const proxy = await pausingProxy(t, kube);
  const tokens = await operators(kube, ...NAMES);
  const { files, replicas } = await startBoth(t, async (name) => proxy.kubeconfigFor(tokens[name].token));

  const book = new Map<string, Entry>();
  const rounds: Round[] = [];
  const tookMs: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    await until("somebody leads", async () => (await leader(kube)) !== undefined);
    const leading = (await leader(kube)) as Name;
    const [next] = NAMES.filter((name) => name !== leading);
    assert.ok(next !== undefined && NAMES.includes(leading), `${leading} leads`);
    const isEarly = random(5) === 0;
    const from = new Date().toISOString();

    const stopped = stopAt(1 + random(14), () => replicas[leading].signal("SIGSTOP"));
    proxy.before = stopped.before;
    turnOver(book, round, random);
    await setBook(files, book);
    await Promise.race([stopped.done, sleep(5000)]); // the pass was shorter than that: it is stopped at rest
    replicas[leading].signal("SIGSTOP");
    const started = performance.now();
    await until(`${next} leads`, async () => (await leader(kube)) === next);
    tookMs.push(performance.now() - started);
    if (!isEarly) await untilWritten(kube, book);
    replicas[leading].signal("SIGCONT");
    await until(`${leading} answers again`, async () => (await readiness(replicas[leading]))?.ready === true);
    await untilWritten(kube, book);
    await sleep(random(300));
    await untilWritten(kube, book);
    await assertVips(kube, book);
    rounds.push({ isEarly, from, to: new Date().toISOString() });
  }
  proxy.before = () => undefined;
  await until("what is gone is deleted", async () => {
    const live = [...book].filter(([, { isGone }]) => !isGone).length;
    return (await entries(kube)).size === live;
  });

  const writes = await auditedWrites(kube, new Set(NAMES.map((name) => tokens[name].user)));
  const mesh = meshWrites(writes).filter(isDone);
  const of = ({ from, to }: Round) => mesh.filter(({ startedAt }) => from <= startedAt && startedAt <= to);
  const shared = rounds.filter((round) => new Set(of(round).map(({ user }) => user)).size === 2).length;
  const early = rounds.filter(({ isEarly }) => isEarly);
  t.diagnostic(
    `${mesh.length} writes, ${meshWrites(writes).length - mesh.length} refused; in ${shared} rounds both wrote; ` +
      `in ${early.length} the old leader went on early; taken over after ${Math.round(Math.max(...tookMs))} ms at most`,
  );
  assert.ok(shared > ROUNDS / 2, "the stops fell within passes");
  // What left the old leader before it was stopped may come in late, but not once the new one has written all.
  const inEarly = new Set(early.flatMap(of));
  const late = mesh.filter((write) => !inEarly.has(write));
  assert.deepEqual(writesWithoutLease(writes, "x2istio-east", late), []);
  assertWrittenOnce(mesh, book);
  for (const name of NAMES) assert.equal(await replicas[name].stop(), 0);
});

async function startBoth(t: TestContext, kubeconfigOf: (name: Name) => Promise<string>) {
  const sections = {
    // Little room, and little rest: addresses go from service to service.
    vips: { ranges: ["240.241.9.0/26"], quarantine: "2s" },
    policy: { keepEmpty: "2s", minDeletes: 1000 },
  };
  const shared = await fixture(t, [], sections);
  const registries = [{ kind: "static", name: "vms", file: join(shared.dir, "services.yaml") }];
  const start = async (name: Name): Promise<Replica> => {
    const { config, ports } = await fixture(t, [], { ...sections, registries });
    const entry = join(import.meta.dirname, "replica.ts");
    const replica = startReplica(t, {
      config,
      ports,
      entry,
      args: [config, name],
      env: { KUBECONFIG: await kubeconfigOf(name) },
    });
    await ready(replica);
    return replica;
  };
  const replicas: Record<Name, Replica> = { one: await start("one"), two: await start("two") };
  return { files: shared, replicas };
}

/** Calls `stop` when the `count`th write of a mesh object comes by. */
function stopAt(count: number, stop: () => void) {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let seen = 0;
  const before = (request: string) => {
    if (MESH_WRITE.test(request) && ++seen === count) {
      stop();
      resolve();
    }
    return undefined;
  };
  return { before, done };
}

function turnOver(book: Map<string, Entry>, round: number, random: (below: number) => number): void {
  const live = [...book].filter(([, { isGone }]) => !isGone);
  const isFull = live.length + NEW_PER_ROUND > MOST_SERVICES;
  // While the book fills nothing goes; then as much goes as comes.
  const going = isFull ? live.splice(0, Math.max(GONE_PER_ROUND, live.length + NEW_PER_ROUND - MOST_SERVICES)) : [];
  for (const [, entry] of going) entry.isGone = true;
  for (let changed = 0; changed < CHANGED_PER_ROUND && live.length > 0; changed++) {
    const [[, entry] = ["", undefined]] = live.splice(random(live.length), 1);
    if (entry === undefined) continue;
    entry.address = `192.0.2.${round}`;
    entry.changes++;
  }
  for (let index = 0; index < NEW_PER_ROUND; index++)
    book.set(`r${round}-${index}`, { address: `192.0.2.${round}`, changes: 0, isGone: false });
}

function setBook(files: Fixture, book: ReadonlyMap<string, Entry>): Promise<void> {
  const live = [...book].filter(([, { isGone }]) => !isGone);
  return files.setServices(live.map(([name, { address }]) => httpService(name, address)));
}

/** Wait until all objects stand as the registry wants them; what is gone stands without endpoints, or not at all. */
function untilWritten(kube: Kube, book: ReadonlyMap<string, Entry>): Promise<void> {
  return until("all is written", async () => {
    const [standing, routes, aliases] = await Promise.all([
      entries(kube),
      list(kube, routesPath),
      list(kube, servicesPath()),
    ]);
    return [...book].every(([name, { address, isGone }]) => {
      const host = hostOf(httpService(name));
      const found = endpointsOf(standing.get(host));
      if (isGone) return found === undefined || found.length === 0;
      return found?.join() === address && routes.has(host) && aliases.has(name);
    });
  });
}

async function assertVips(kube: Kube, book: ReadonlyMap<string, Entry>): Promise<void> {
  const vips = vipsOf(await entries(kube));
  const ledger = await ledgerLines(kube);
  for (const [name, { isGone }] of book) {
    const host = hostOf(httpService(name));
    const vip = vips.get(host);
    if (!isGone) assert.equal(ledger.get(vip ?? ""), `${host} east used`);
  }
  for (const [address, line] of ledger) {
    const [host = "", , state] = line.split(" ");
    if (state !== "used") continue;
    const entry = book.get(host.split(".")[0] ?? "");
    assert.ok(entry !== undefined, `${address} is ${line}`);
    if (!entry.isGone) assert.equal(vips.get(host), address);
  }
}

/** Every object was created once, changed once for each change, and deleted once if its service is gone. */
function assertWrittenOnce(mesh: readonly AuditedWrite[], book: ReadonlyMap<string, Entry>): void {
  const objects = Map.groupBy(
    mesh.filter(({ resource }) => resource !== "configmaps"),
    ({ object }) => object,
  );
  const expected = new Map<string, string>();
  for (const [name, { changes, isGone }] of book) {
    const host = hostOf(httpService(name));
    const sum = (patches: number) => `1 created, ${patches} changed, ${isGone ? 1 : 0} deleted`;
    expected.set(`serviceentries/${MESH}/${host}`, sum(changes + (isGone ? 1 : 0)));
    expected.set(`virtualservices/${MESH}/${host}`, sum(0));
    expected.set(`services/${SHOP}/${name}`, sum(0));
  }
  const wrong: string[] = [];
  for (const object of new Set([...expected.keys(), ...objects.keys()])) {
    const done = objects.get(object) ?? [];
    const of = (verb: string) => done.filter((write) => write.verb === verb).length;
    const was = `${of("create")} created, ${of("patch")} changed, ${of("delete")} deleted`;
    if (was === expected.get(object)) continue;
    const history = done.map(({ user, verb, startedAt }) => `    ${startedAt} ${user} ${verb}`);
    wrong.push(`${object}: ${was}, not ${expected.get(object)}\n${history.join("\n")}`);
  }
  assert.deepEqual(wrong, []);
}
