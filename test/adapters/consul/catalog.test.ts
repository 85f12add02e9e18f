import assert from "node:assert/strict";
import { test } from "node:test";
import { type Catalog, catalog } from "../../../adapters/consul/catalog.ts";
import type { Listed, Member, Part } from "../../../adapters/consul/catalog-state.ts";
import { intern } from "../../../adapters/intern.ts";
import type { Instance } from "../../../adapters/shapes/instance.ts";
import { noRules } from "../no-rules.ts";
import { addresses, failures } from "./registry.ts";

const EAST: Member = { name: "east" };
const WEST: Member = { name: "west" };

function instance(address: string): Instance {
  return { id: address, address, ports: [{ number: 80 }], tags: [], meta: {}, notes: [] };
}

function ok(datacenter: string, ...of: readonly string[]): Part {
  return { state: "ok", datacenter, instances: of.map(instance), besides: [] };
}

function listed(names: readonly string[], further: Partial<Listed> = {}): Listed {
  return {
    names: new Set(names),
    skipped: { filter: 0, infrastructure: 1, name: 0 },
    incomplete: undefined,
    ...further,
  };
}

/** A catalog of these datacenters, and how often it told of a change. */
function setUp(...members: readonly Member[]) {
  const told = { count: 0 };
  const all = catalog({
    registry: "dc1",
    namespace: "default",
    pool: intern(),
    rules: noRules,
    onChange: () => told.count++,
  });
  for (const member of members) all.add(member);
  return { all, told };
}

const at = (all: Catalog, name: string) => addresses(all.snapshot(), name);
const broken = (all: Catalog) => Object.keys(failures(all.snapshot()));

/** Services `web` in both datacenters, `stock` in the east, `mail` in the west. */
async function twoDatacenters() {
  const { all, told } = setUp(EAST, WEST);
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  all.put(EAST, "stock", ok("east", "192.0.2.2"));
  all.put(WEST, "web", ok("west", "192.0.2.11"));
  all.put(WEST, "mail", ok("west", "192.0.2.12"));
  await all.list(EAST, listed(["web", "stock"]));
  await all.list(WEST, listed(["web", "mail"]));
  return { all, told };
}

test("a service of two datacenters has the endpoints of both", async () => {
  const { all } = await twoDatacenters();
  assert.deepEqual(at(all, "web"), ["192.0.2.1", "192.0.2.11"]);
  assert.deepEqual([at(all, "stock"), at(all, "mail")], [["192.0.2.2"], ["192.0.2.12"]]);
  assert.equal(
    all.snapshot().services.flatMap((one) => (one.state === "ok" ? one.service.source : []))[2],
    "/v1/health/service/web in east, west",
  );
});

test("a service that is written in another way keeps what is known of it", async () => {
  const { all } = setUp(EAST);
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  await all.list(EAST, listed(["web"]));
  const version = all.version();
  await all.list(EAST, listed(["web"], { spellings: new Map([["web", "Web"]]) }));
  assert.deepEqual([at(all, "web"), at(all, "Web")], [undefined, ["192.0.2.1"]]);
  assert.ok(all.version() > version);
  all.put(EAST, "web", { state: "failed", cause: new Error("no answer") });
  await all.list(EAST, listed(["web"]));
  assert.deepEqual(broken(all), ["dc1/default/web"]);
});

test("a service that its datacenters write in several ways is one, by the name in lower case", async () => {
  const { all } = setUp(EAST, WEST);
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  await all.list(EAST, listed(["web"], { spellings: new Map([["web", "Web"]]) }));
  await all.list(WEST, listed([]));
  assert.deepEqual(at(all, "Web"), ["192.0.2.1"]);
  all.put(WEST, "web", ok("west", "192.0.2.2"));
  await all.list(WEST, listed(["web"], { spellings: new Map([["web", "WEB"]]) }));
  assert.deepEqual(at(all, "WEB"), ["192.0.2.1", "192.0.2.2"]);
  await all.list(WEST, listed(["web"]));
  assert.deepEqual(at(all, "web"), ["192.0.2.1", "192.0.2.2"]);
  all.put(EAST, "web", { state: "failed", cause: new Error("no answer") });
  assert.deepEqual(broken(all), ["dc1/default/web"]);
});

test("a service that one of its datacenters cannot tell is failed, the others are not", async () => {
  const { all } = await twoDatacenters();
  all.put(WEST, "web", { state: "failed", cause: new Error("no answer") });
  assert.deepEqual(broken(all), ["dc1/default/web"]);
  assert.deepEqual([at(all, "stock"), at(all, "mail")], [["192.0.2.2"], ["192.0.2.12"]]);
  all.put(WEST, "web", ok("west", "192.0.2.11"));
  assert.deepEqual(at(all, "web"), ["192.0.2.1", "192.0.2.11"]);
});

test("of a datacenter that is lost all it had is failed, and nothing goes; what it is known not to have goes on", async () => {
  const { all, told } = await twoDatacenters();
  const count = told.count;
  all.lose(WEST, new Error("connection refused"));
  assert.deepEqual(broken(all), ["dc1/default/mail", "dc1/default/web"]);
  assert.deepEqual(at(all, "stock"), ["192.0.2.2"]);
  assert.match(all.snapshot().incomplete ?? "", /connection refused/);
  assert.ok(told.count > count);
  await all.list(WEST, listed(["web", "mail"]));
  assert.deepEqual(broken(all), []);
  assert.equal(all.snapshot().incomplete, undefined);
});

test("a datacenter that was never listed may have any service: none is told without it", async () => {
  const { all } = setUp(EAST, WEST);
  all.lose(WEST, new Error("connection refused"));
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  await all.list(EAST, listed(["web"]));
  assert.deepEqual(broken(all), ["dc1/default/web"]);
  await all.list(WEST, listed([]));
  assert.deepEqual(at(all, "web"), ["192.0.2.1"]);
});

test("a service that goes in one datacenter stays with the other's endpoints, and goes with the last", async () => {
  const { all } = await twoDatacenters();
  await all.list(EAST, listed(["stock"]));
  assert.deepEqual(at(all, "web"), ["192.0.2.11"]);
  await all.list(WEST, listed(["mail"]));
  assert.equal(at(all, "web"), undefined);
  assert.deepEqual(broken(all), []);
});

test("a service that is passed over in one datacenter counts in the other, and is counted where in none", async () => {
  const { all } = await twoDatacenters();
  all.put(EAST, "web", { state: "skipped", why: "kubernetes" });
  assert.deepEqual(at(all, "web"), ["192.0.2.11"]);
  all.put(WEST, "web", { state: "skipped", why: "filter" });
  assert.equal(at(all, "web"), undefined);
  assert.deepEqual(all.snapshot().skipped, { kubernetes: 1, infrastructure: 1 });
  all.put(WEST, "web", ok("west", "192.0.2.11"));
  assert.deepEqual(at(all, "web"), ["192.0.2.11"]);
});

test("counts are those of the datacenter that has most, and all reasons for lacking services are told", async () => {
  const { all } = setUp(EAST, WEST);
  await all.list(EAST, listed([], { skipped: { filter: 3, infrastructure: 1, name: 0 }, incomplete: "east lacks" }));
  await all.list(WEST, listed([], { skipped: { filter: 2, infrastructure: 4, name: 1 }, incomplete: "west lacks" }));
  const { skipped, incomplete } = all.snapshot();
  assert.deepEqual(skipped, { filter: 3, infrastructure: 4, name: 1 });
  assert.equal(incomplete, "east lacks; west lacks");
});

test("version() counts what a snapshot says otherwise, and nothing else; what is the same stays the same object", async () => {
  const { all, told } = await twoDatacenters();
  const [before, version, count] = [all.snapshot(), all.version(), told.count];
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  await all.list(EAST, listed(["web", "stock"]));
  assert.equal(all.version(), version);
  assert.equal(told.count, count);
  assert.deepEqual(
    all.snapshot().services.map((one, index) => one === before.services[index]),
    [true, true, true],
  );
  all.put(EAST, "web", ok("east", "192.0.2.1", "192.0.2.3"));
  assert.equal(all.version(), version + 1);
  const after = all.snapshot();
  assert.deepEqual(
    after.services.map((one, index) => one === before.services[index]),
    [true, true, false],
  );
  assert.notEqual(after.revision, before.revision);
});

test("a failure and the same again in between leave a service the same object", async () => {
  const { all } = setUp(EAST);
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  await all.list(EAST, listed(["web"]));
  const serviceOf = () => all.snapshot().services.map((one) => (one.state === "ok" ? one.service : undefined))[0];
  const before = serviceOf();
  all.put(EAST, "web", { state: "failed", cause: new Error("no answer") });
  const version = all.version();
  all.put(EAST, "web", { state: "failed", cause: new Error("no answer") });
  assert.equal(all.version(), version, "the same failure is no change");
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  assert.equal(serviceOf(), before);
});

test("what is put before it is listed, or after it went, is not told", async () => {
  const { all } = setUp(EAST);
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  assert.equal(at(all, "web"), undefined);
  await all.list(EAST, listed(["web"]));
  assert.deepEqual(at(all, "web"), ["192.0.2.1"]);
  await all.list(EAST, listed([]));
  all.put(EAST, "web", ok("east", "192.0.2.1"));
  assert.equal(at(all, "web"), undefined);
});

test("services come in the order of their names", async () => {
  const { all } = setUp(EAST);
  const names = Array.from({ length: 300 }, (_, index) => `s${(index * 7) % 300}`);
  for (const name of names) all.put(EAST, name, ok("east", "192.0.2.1"));
  await all.list(EAST, listed(names));
  const found = all.snapshot().services.flatMap((one) => (one.state === "ok" ? one.service.name : []));
  assert.deepEqual(found, [...names].sort());
});
