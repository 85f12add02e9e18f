import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError } from "../../../src/errors.ts";
import type { KubeRequest } from "../../../src/kube/client/client.ts";
import { objectPath, RESOURCES } from "../../../src/kube/client/resources.ts";
import { clusterState } from "../../../src/kube/watch/state.ts";
import { writeLedgerBlocks } from "../../../src/kube/write/ledger.ts";
import { type Writer, writeChanges } from "../../../src/kube/write/write.ts";
import type { OwnedObject } from "../../../src/model/objects.ts";
import type { Change } from "../../../src/model/plan.ts";
import type { WriteOptions } from "../../../src/model/target.ts";
import { fakeApi, statusError } from "../fake-api.ts";
import { aliasOf, entryOf, MESH, SHOP } from "../objects.ts";
import { outcomes } from "../target.ts";

/** What a target writes with, on an API server in memory. */
function setUp({ inFlight = 16, settleMs = 0 } = {}) {
  const api = fakeApi();
  const state = clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
  });
  const writer: Writer = { client: api.client, state, owner: "east", inFlight, settleMs };
  const how: WriteOptions = { signal: new AbortController().signal, mayWrite: () => true };
  const pathOf = ({ manifest: { kind, metadata } }: OwnedObject) =>
    objectPath(RESOURCES[kind], metadata.namespace, metadata.name);
  return {
    ...{ api, state, how, pathOf },
    write: async (changes: readonly Change[], further: Partial<WriteOptions> = {}) =>
      outcomes(await writeChanges(changes, writer, { ...how, ...further })),
    ledger: (writes: Parameters<typeof writeLedgerBlocks>[0], further: Partial<WriteOptions> = {}) =>
      writeLedgerBlocks(writes, MESH, writer, { ...how, ...further }),
    /** Let it stand, as the watch has shown it. */
    stands(object: OwnedObject, metadata: object = {}) {
      const { manifest } = object;
      const raw = api.put(pathOf(object), { ...manifest, metadata: { ...manifest.metadata, ...metadata } });
      state.sinks[manifest.kind].put(raw);
      return state.standing.objects.get(object.key) ?? assert.fail();
    },
    /** The writes that were sent: `POST serviceentries`. */
    writes: () =>
      api.seen
        .filter((line) => !line.startsWith("GET"))
        .map((line) =>
          line.replace(/^(\S+) .*\/(serviceentries|virtualservices|services|configmaps)(\/.*)?$/, "$1 $2"),
        ),
  };
}

const create = (object: OwnedObject): Change => ({ kind: "create", object });
const only = ({ writes }: ReturnType<typeof setUp>, kind: RegExp) => writes().filter((line) => kind.test(line));

/** The VirtualService of a service. */
function routeOf(name: string): OwnedObject {
  const entry = entryOf(name);
  const { metadata } = entry.manifest;
  const manifest = {
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata },
    spec: { hosts: [`${name}.example.org`], http: [] },
  };
  return { ...entry, key: `VirtualService/${MESH}/${metadata.name}`, manifest: manifest as never };
}

test("an object that somebody's finalizer keeps goes on standing, until it is really gone", async () => {
  const world = setUp();
  const alias = aliasOf("kept");
  const standing = world.stands(alias, { finalizers: ["example.org/keep"] });
  assert.deepEqual(await world.write([{ kind: "delete", standing, why: "a test" }]), [`delete ${alias.key}: written`]);
  const kept = world.state.standing.objects.get(alias.key) ?? assert.fail("it still stands");
  assert.notEqual(kept.resourceVersion, standing.resourceVersion);
  assert.equal(kept.terminating, "finalizer example.org/keep keeps it");
  const raw = world.api.objects.get(world.pathOf(alias)) ?? assert.fail();
  world.state.sinks.Service.remove({ ...raw, metadata: { ...raw.metadata, resourceVersion: "999" } });
  assert.equal(world.state.standing.objects.has(alias.key), false);
});

test("an object without a finalizer is gone with the answer, and so is one that was gone already", async () => {
  const world = setUp();
  for (const name of ["now", "before"]) {
    const alias = aliasOf(name);
    const standing = world.stands(alias);
    if (name === "before") world.api.objects.clear();
    assert.deepEqual(await world.write([{ kind: "delete", standing, why: "a test" }]), [
      `delete ${alias.key}: written`,
    ]);
    assert.equal(world.state.standing.objects.has(alias.key), false, name);
  }
});

test("a 404 that does not name the object is no proof that it is gone", async () => {
  const world = setUp();
  const alias = aliasOf("unserved");
  const standing = world.stands(alias);
  world.api.before = () => {
    throw statusError(404, "page not found");
  };
  assert.deepEqual(await world.write([{ kind: "delete", standing, why: "a test" }]), [`delete ${alias.key}: failed`]);
  assert.equal(world.state.standing.objects.get(alias.key), standing);
});

test("changes go in phases: updates, entries, what points to them, then deletes the other way round", async () => {
  const world = setUp();
  const [gone, goneAlias, goneRoute] = [entryOf("gone"), aliasOf("gone"), routeOf("gone")].map((object) =>
    world.stands(object),
  );
  const changed = world.stands(entryOf("changed"));
  const remove = (standing = gone ?? assert.fail()): Change => ({ kind: "delete", standing, why: "a test" });
  await world.write([
    remove(gone),
    remove(goneAlias),
    remove(goneRoute),
    create(aliasOf("new")),
    create(routeOf("new")),
    create(entryOf("new")),
    { kind: "update", object: entryOf("changed", ["192.0.2.9"]), standing: changed },
  ]);
  assert.deepEqual(world.writes(), [
    "PATCH serviceentries",
    "POST serviceentries",
    "POST services",
    "POST virtualservices",
    "DELETE services",
    "DELETE virtualservices",
    "DELETE serviceentries",
  ]);
});

/** An entry with legacy names. */
function named(name: string, ...names: readonly string[]): OwnedObject {
  return entryOf(name, undefined, { "x2istio.dev/names": JSON.stringify(names.map((one) => ({ name: one }))) });
}

const namesThere = ({ state }: ReturnType<typeof setUp>, name: string) =>
  state.standing.objects.get(entryOf(name).key)?.manifest.metadata.annotations?.["x2istio.dev/names"];

test("services that exchange names have both, until the other one has what it is given", async () => {
  const world = setUp();
  const changes = [
    ["a", "one", "two"],
    ["b", "two", "one"],
  ].map(([name = "", has = "", gets = ""]): Change => {
    const standing = world.stands(named(name, has));
    const both = named(name, has, gets);
    const other = entryOf(name === "a" ? "b" : "a").key;
    return {
      kind: "update",
      object: named(name, gets),
      standing,
      turn: { after: [other], meanwhile: both, first: both },
    };
  });
  const seen: string[] = [];
  world.api.before = () => void seen.push(`${namesThere(world, "a")}${namesThere(world, "b")}`);
  const keys = changes.map((change) => change.kind === "update" && `update ${change.object.key}: written`);
  assert.deepEqual(await world.write(changes), keys);
  assert.deepEqual(world.writes(), Array(4).fill("PATCH serviceentries"));
  for (const moment of seen) assert.match(moment, /one.*two|two.*one/);
  assert.match(`${namesThere(world, "a")}`, /two/);
  assert.doesNotMatch(`${namesThere(world, "a")}`, /one/);
});

test("a name stays where it is, and an alias, while the entry that is given it cannot be made; all else is written", async () => {
  const world = setUp();
  const standing = world.stands(named("old", "one"));
  const alias = world.stands(aliasOf("old"));
  const taker = named("new", "one");
  world.api.before = ({ method }) => {
    if (method === "POST") throw statusError(500, "InternalError");
  };
  const meanwhile = entryOf("old", ["192.0.2.9"], named("old", "one").manifest.metadata.annotations ?? {});
  const changes: Change[] = [
    create(taker),
    { kind: "update", object: entryOf("old", ["192.0.2.9"]), standing, turn: { after: [taker.key], meanwhile } },
    { kind: "update", object: aliasOf("old", "new.mesh.internal"), standing: alias, turn: { after: [taker.key] } },
  ];
  const results = await world.write(changes);
  assert.deepEqual(results.map((one) => one.replace(/^.*: /, "")).sort(), ["failed", "skipped", "skipped"]);
  assert.match(`${namesThere(world, "old")}`, /one/);
  assert.match(JSON.stringify(world.state.standing.objects.get(standing.key)?.manifest.spec), /192\.0\.2\.9/);
  assert.equal(world.state.standing.objects.get(alias.key), alias);
});

test("names turn to an entry that is made once the mesh can have it, and to one that stands at once", async () => {
  const settleMs = 200;
  for (const { makes, waits } of [
    { makes: true, waits: [true, true] },
    { makes: false, waits: [false, false] },
  ]) {
    // An hour fails by the time that a test may take.
    const world = setUp({ settleMs: makes ? settleMs : 3_600_000 });
    const standing = world.stands(named("old", "one"));
    const alias = world.stands(aliasOf("old"));
    const taker = named("new", "one");
    const stood = makes ? undefined : world.stands(named("new"));
    const sentMs: number[] = [];
    world.api.before = ({ method }) => {
      if (method !== "GET") sentMs.push(performance.now());
    };
    await world.write([
      stood === undefined ? create(taker) : { kind: "update", object: taker, standing: stood },
      {
        ...{ kind: "update", object: entryOf("old"), standing },
        turn: { after: [taker.key], meanwhile: named("old", "one") },
      },
      { kind: "update", object: aliasOf("old", "new.mesh.internal"), standing: alias, turn: { after: [taker.key] } },
    ]);
    const [firstMs = 0, ...laterMs] = sentMs;
    assert.deepEqual(
      laterMs.map((ms) => ms - firstMs >= settleMs - 5),
      waits,
    );
  }
});

test("a write that is ended does not wait for the mesh", async () => {
  const world = setUp({ settleMs: 3_600_000 });
  const alias = world.stands(aliasOf("old"));
  const taker = named("new", "one");
  const ending = new AbortController();
  world.api.before = () => ending.abort();
  const turn = { after: [taker.key] };
  await world.write(
    [create(taker), { kind: "update", object: aliasOf("old", "new.mesh.internal"), standing: alias, turn }],
    { signal: ending.signal },
  );
});

test("nothing points to an entry that could not be made; one that stands by now will do", async () => {
  for (const { status, reason, want } of [
    { status: 500, reason: "InternalError", want: "skipped" },
    { status: 409, reason: "AlreadyExists", want: "written" },
  ]) {
    const world = setUp();
    const entry = entryOf("web");
    if (status === 409) world.api.put(world.pathOf(entry), entry.manifest);
    world.api.before = ({ method, path }: KubeRequest) => {
      if (method === "POST" && path.includes("serviceentries")) throw statusError(status, reason);
    };
    const all = await world.write([create(entry), create(aliasOf("web")), create(aliasOf("other"))]);
    assert.ok(all.includes(`create Service/${SHOP}/web: ${want}`), String(all));
    assert.ok(all.includes(`create Service/${SHOP}/other: written`), "another service goes on");
  }
});

test("an entry whose name somebody else has is foreign, and nothing points to it", async () => {
  const world = setUp();
  const entry = entryOf("web");
  world.api.put(world.pathOf(entry), { metadata: { name: entry.manifest.metadata.name, namespace: MESH } });
  assert.deepEqual(await world.write([create(entry), create(aliasOf("web"))]), [
    `create ${entry.key}: foreign`,
    `create Service/${SHOP}/web: skipped`,
  ]);
  assert.ok(world.state.standing.foreign.has(entry.key));
});

test("an entry stays while anything that points to it could not be deleted", async () => {
  for (const other of [aliasOf("web"), routeOf("web")]) {
    const world = setUp();
    const entry = world.stands(entryOf("web"));
    const pointing = world.stands(other);
    const free = world.stands(entryOf("free"));
    world.api.before = ({ method, path }: KubeRequest) => {
      if (method === "DELETE" && path === world.pathOf(other)) throw statusError(500, "InternalError");
    };
    const all = await world.write(
      [entry, pointing, free].map((standing): Change => ({ kind: "delete", standing, why: "a test" })),
    );
    assert.deepEqual(all, [
      `delete ${other.key}: failed`,
      `delete ${entry.key}: skipped`,
      `delete ${free.key}: written`,
    ]);
    assert.ok(world.api.objects.has(world.pathOf(entryOf("web"))));
  }
});

test("leadership that is lost after so many writes ends them there, in whatever phase", async () => {
  const objects = [entryOf("a"), entryOf("b"), aliasOf("a"), aliasOf("b")];
  for (let allowed = 0; allowed <= 6; allowed++) {
    const world = setUp({ inFlight: 1 });
    const gone = [world.stands(aliasOf("gone")), world.stands(entryOf("gone"))];
    const changes = [
      ...objects.map(create),
      ...gone.map((standing): Change => ({ kind: "delete", standing, why: "" })),
    ];
    let left = allowed;
    const all = await world.write(changes, { mayWrite: () => left-- > 0 });
    assert.equal(world.writes().length, allowed);
    assert.equal(all.filter((one) => one.endsWith(": written")).length, allowed);
    assert.equal(all.filter((one) => one.endsWith(": skipped")).length, changes.length - allowed);
  }
});

test("nothing more is sent once the signal has aborted", async () => {
  const world = setUp({ inFlight: 1 });
  const ending = new AbortController();
  world.api.before = () => ending.abort();
  const all = await world.write([create(entryOf("a")), create(entryOf("b"))], { signal: ending.signal });
  assert.deepEqual(
    all.map((one) => one.split(": ")[1]),
    ["written", "skipped"],
  );
  assert.equal(world.writes().length, 1);
});

test("no more requests are under way at once than allowed, and each result is told", async () => {
  const world = setUp({ inFlight: 3 });
  const told: string[] = [];
  let underWay = 0;
  let most = 0;
  world.api.before = async () => {
    most = Math.max(most, ++underWay);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    underWay--;
  };
  const changes = Array.from({ length: 10 }, (_, at) => create(entryOf(`s${at}`)));
  await world.write(changes, { onProgress: (done, total) => told.push(`${done}/${total}`) });
  assert.equal(most, 3);
  assert.deepEqual(
    told,
    Array.from({ length: 10 }, (_, at) => `${at + 1}/10`),
  );
});

const answers: readonly {
  readonly name: string;
  readonly error: () => Error;
  readonly sends: number;
}[] = [
  {
    name: "429 is sent again, three times at most",
    error: () => statusError(429, "Slow", { retryAfter: "0" }),
    sends: 4,
  },
  { name: "503 with Retry-After likewise", error: () => statusError(503, "Slow", { retryAfter: "0" }), sends: 4 },
  { name: "503 without it is refused at once", error: () => statusError(503, "Away"), sends: 1 },
  {
    name: "500 is refused at once, Retry-After or not",
    error: () => statusError(500, "X", { retryAfter: "0" }),
    sends: 1,
  },
  { name: "no answer is not sent again", error: () => new Error("no answer"), sends: 1 },
];
for (const { name, error, sends } of answers)
  test(`of a write that is turned away: ${name}`, async () => {
    const world = setUp();
    world.api.before = () => {
      throw error();
    };
    assert.deepEqual(await world.write([create(entryOf("web"))]), [`create ${entryOf("web").key}: failed`]);
    assert.equal(only(world, /POST/).length, sends);
  });

test("an update that meets another version is a conflict, and what stands is known then", async () => {
  const world = setUp();
  const standing = world.stands(entryOf("web"));
  world.api.put(world.pathOf(entryOf("web")), entryOf("web", ["192.0.2.7"]).manifest);
  const update: Change = { kind: "update", object: entryOf("web", ["192.0.2.8"]), standing };
  assert.deepEqual(await world.write([update]), [`update ${standing.key}: conflict`]);
  const now = world.state.standing.objects.get(standing.key) ?? assert.fail();
  assert.deepEqual(now.manifest, entryOf("web", ["192.0.2.7"]).manifest);
  assert.deepEqual(await world.write([{ ...update, standing: now }]), [`update ${standing.key}: written`]);
});

test("a change that changes nothing is written without a request", async () => {
  const world = setUp();
  const standing = world.stands(entryOf("web"));
  assert.deepEqual(await world.write([{ kind: "update", object: entryOf("web"), standing }]), [
    `update ${standing.key}: written`,
  ]);
  assert.deepEqual(world.api.seen, []);
});

const BLOCK = "x2istio-vips-240-241-0-0";
const blockPath = `/api/v1/namespaces/${MESH}/configmaps/${BLOCK}`;

test("a ledger block is written from the version it was computed from, and no other", async () => {
  const world = setUp();
  const version = () => world.state.standing.ledger.get(BLOCK)?.resourceVersion ?? "";
  await world.ledger([{ name: BLOCK, resourceVersion: "", data: { "240.241.0.1": "a" } }]);
  const first = version();
  await assert.rejects(world.ledger([{ name: BLOCK, resourceVersion: "", data: {} }]), ConflictError);
  assert.equal(only(world, /configmaps/).length, 1, "an older state is not even sent");
  await world.ledger([{ name: BLOCK, resourceVersion: first, data: { "240.241.0.2": "b" } }]);
  assert.deepEqual(world.api.objects.get(blockPath)?.data, { "240.241.0.2": "b" });
  await assert.rejects(world.ledger([{ name: BLOCK, resourceVersion: first, data: {} }]), ConflictError);
  world.api.put(blockPath, { data: { "240.241.0.2": "another's" } });
  const stale = world.ledger([{ name: BLOCK, resourceVersion: version(), data: { "240.241.0.2": "mine" } }]);
  await assert.rejects(stale, ConflictError);
  assert.deepEqual(world.state.standing.ledger.get(BLOCK)?.data, { "240.241.0.2": "another's" });
});

test("a ledger block that somebody removed is a conflict, and stands no more", async () => {
  const world = setUp();
  await world.ledger([{ name: BLOCK, resourceVersion: "", data: { "240.241.0.1": "a" } }]);
  world.api.objects.delete(blockPath);
  const { resourceVersion = "" } = world.state.standing.ledger.get(BLOCK) ?? {};
  await assert.rejects(world.ledger([{ name: BLOCK, resourceVersion, data: {} }]), ConflictError);
  assert.equal(world.state.standing.ledger.has(BLOCK), false);
});

test("a ledger write that is withheld, refused or lost is a failure and no conflict", async () => {
  const write = [{ name: BLOCK, resourceVersion: "", data: { "240.241.0.1": "a" } }];
  const world = setUp();
  const isFailure = (error: unknown) => error instanceof Error && !(error instanceof ConflictError);
  await assert.rejects(world.ledger(write, { mayWrite: () => false }), isFailure);
  assert.deepEqual(world.api.seen, []);
  for (const error of [statusError(404, "NotFound"), statusError(403, "Forbidden"), new Error("no answer")]) {
    world.api.before = () => {
      throw error;
    };
    await assert.rejects(world.ledger(write), isFailure);
  }
  assert.equal(world.state.standing.ledger.size, 0);
});

test("of several ledger blocks all are tried, and a conflict is told before a failure", async () => {
  const world = setUp();
  const names = [0, 16, 32].map((third) => `x2istio-vips-240-241-${third}-0`);
  world.api.put(`/api/v1/namespaces/${MESH}/configmaps/${names[0]}`, { data: {}, metadata: { name: names[0] ?? "" } });
  world.api.before = ({ body }: KubeRequest) => {
    if (JSON.stringify(body ?? {}).includes("240-241-16-0")) throw statusError(403, "Forbidden");
  };
  await assert.rejects(
    world.ledger(names.map((name) => ({ name, resourceVersion: "", data: { a: "b" } }))),
    (error) => error instanceof ConflictError && error.message.includes(names[0] ?? "-"),
  );
  assert.deepEqual([...world.state.standing.ledger.keys()].sort(), [names[0], names[2]]);
});
