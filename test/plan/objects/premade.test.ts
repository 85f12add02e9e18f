import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ServiceEntry } from "../../../src/model/objects.ts";
import type { Update } from "../../../src/model/plan.ts";
import type { PremadeEntry } from "../../../src/model/standing.ts";
import { decider } from "../at-once.ts";
import {
  endpoint,
  endpoints,
  failed,
  HOUR_MS,
  incomplete,
  MESH,
  NOW_MS,
  port,
  premade,
  readings,
  type Said,
  service,
  standing,
} from "../build.ts";
import { config } from "../memory.ts";

const KEY = "dc1/shop/orders";
const handWritten = { endpoints: [], ports: [{ name: "http", number: 80, protocol: "HTTP" }] };

interface Given {
  readonly said: Readonly<Record<string, Said>>;
  readonly entries: readonly PremadeEntry[];
  readonly policy?: object;
  readonly allowDeletes?: readonly string[];
}

function decide({ said, entries, policy = {}, allowDeletes = [] }: Given) {
  const compute = decider(config(["dc1"], { policy }));
  const { plan } = compute({
    readings: readings(said),
    standing: standing({ premade: entries }),
    nowMs: NOW_MS,
    allowDeletes: new Set(allowDeletes),
  });
  const updates = plan.update.filter(({ premade: is }) => is !== undefined);
  return { ...plan, updates, spec: specOf(updates[0]), deletes: plan.delete.length };
}

function specOf(update: Update | undefined) {
  return (update?.object.manifest as ServiceEntry | undefined)?.spec;
}

test("an entry written by hand gets ports and endpoints, and keeps all else", () => {
  const entry = premade(KEY, "orders", {
    ...handWritten,
    addresses: ["240.255.0.7"],
    annotations: { "aeraki.net/external": "false", team: "shop" },
    labels: { manager: "aeraki", registry: "polaris" },
    spec: { location: "MESH_EXTERNAL", exportTo: ["."], subjectAltNames: ["spiffe://example.org/orders"] },
  });
  const ports = [port("web", 8080, "HTTP"), port("dubbo", 20880, "metaprotocol-dubbo")];
  const orders = service("orders", {
    ports,
    endpoints: [
      endpoint("192.0.2.2", { weight: 3, region: "eu", zone: "a" }),
      endpoint("192.0.2.1", { ports: { dubbo: 20881 } }),
    ],
  });
  const { updates, holds = [] } = { holds: [], ...decide({ said: { dc1: [orders] }, entries: [entry] }) };
  assert.deepEqual(holds, []);
  const [update] = updates;
  assert.equal(updates.length, 1);
  assert.equal(update?.standing, entry);
  assert.deepEqual(update?.object.manifest, {
    ...entry.manifest,
    spec: {
      ...entry.manifest.spec,
      ports: [
        { name: "http-web", number: 8080, protocol: "HTTP" },
        { name: "tcp-metaprotocol-dubbo-dubbo", number: 20880, protocol: "TCP" },
      ],
      endpoints: [
        { address: "192.0.2.1", ports: { "tcp-metaprotocol-dubbo-dubbo": 20881 } },
        { address: "192.0.2.2", weight: 3, locality: "eu/a" },
      ],
    },
  });
});

test("the number of an observed port gives way to the one that the author wrote", () => {
  const orders = service("orders", { ports: [{ ...port("web", 8080), observed: true }] });
  const { spec } = decide({ said: { dc1: [orders] }, entries: [premade(KEY, "orders", handWritten)] });
  assert.deepEqual(spec?.ports, [{ name: "http-web", number: 80, protocol: "HTTP" }]);
  assert.deepEqual(spec?.endpoints, [{ address: "192.0.2.1", ports: { "http-web": 8080 } }]);
});

test("a service is found by its alias, unless a service has that name", () => {
  const entry = premade("dc1/Production/64001:65536", "orders", handWritten);
  const orders = service("orders", { aliases: [{ namespace: "Production", name: "64001:65536" }] });
  const { updates, spec } = decide({ said: { dc1: [orders] }, entries: [entry] });
  assert.equal(updates[0]?.object.service, KEY);
  assert.deepEqual(spec?.endpoints, [{ address: "192.0.2.1" }]);
  const itself = service("64001:65536", { namespace: "Production", endpoints: [endpoint("192.0.2.9")] });
  const both = decide({ said: { dc1: [orders, itself] }, entries: [entry] });
  assert.deepEqual(both.spec?.endpoints, [{ address: "192.0.2.9" }]);
  const unread = decide({ said: { dc1: [orders, failed("dc1/Production/64001:65536")] }, entries: [entry] });
  assert.deepEqual(unread.updates, []);
});

test("an entry is filled from the service of its name, though another's alias is called so", () => {
  const aliases = ["stock", "old"].map((name) => ({ namespace: "shop", name }));
  const stock = service("stock", { endpoints: [endpoint("192.0.2.9")] });
  const said = { dc1: [service("orders", { aliases }), stock] };
  const entries = [premade("dc1/shop/stock", "stock", handWritten), premade("dc1/shop/old", "old", handWritten)];
  const { updates } = decide({ said, entries });
  assert.deepEqual(
    updates.map((update) => [update.object.key, update.object.service, specOf(update)?.endpoints]),
    [
      [`ServiceEntry/${MESH}/old`, KEY, [{ address: "192.0.2.1" }]],
      [`ServiceEntry/${MESH}/stock`, "dc1/shop/stock", [{ address: "192.0.2.9" }]],
    ],
  );
});

test("an entry whose selector was set to null is filled", () => {
  const entry = premade(KEY, "orders", { ...handWritten, spec: { workloadSelector: null } });
  const { spec } = decide({ said: { dc1: [service()] }, entries: [entry] });
  assert.deepEqual(spec?.endpoints, [{ address: "192.0.2.1" }]);
});

test("an entry follows its service from decision to decision", () => {
  const compute = decider(config(["dc1"]));
  const entries = [premade(KEY, "orders", handWritten)];
  const addresses = ["192.0.2.1", "192.0.2.2"].map((address) => {
    const said = { dc1: [service("orders", { endpoints: [endpoint(address)] })] };
    const input = { readings: readings(said), standing: standing({ premade: entries }), nowMs: NOW_MS };
    const { plan } = compute({ ...input, allowDeletes: new Set() });
    return specOf(plan.update.find((update) => update.premade !== undefined))?.endpoints?.[0]?.address;
  });
  assert.deepEqual(addresses, ["192.0.2.1", "192.0.2.2"]);
});

const filled = { endpoints: [{ address: "192.0.2.1" }] };
const still = [
  {
    name: "whose name may be an alias of a service that cannot be read",
    said: { dc1: [failed("dc1/shop/x")] },
    hold: "unread",
  },
  { name: "that is as it should be", said: { dc1: [service()] }, hold: undefined },
  {
    name: "whose endpoint list is missing and is to be empty",
    said: { dc1: [service("orders", { endpoints: [] })] },
    fields: { spec: { endpoints: undefined } },
    hold: undefined,
  },
  { name: "whose registry is unread", said: { dc1: undefined }, hold: "unread" },
  { name: "whose registry cannot be read", said: { dc1: "refused" }, hold: "unread" },
  { name: "whose service cannot be read", said: { dc1: [failed(KEY)] }, hold: "unread" },
  { name: "whose service is not in a part of the list", said: { dc1: incomplete("dc1", []) }, hold: "unread" },
  {
    name: "without endpoints whose service nobody lists",
    said: { dc1: [service("stock")] },
    fields: { endpoints: [] },
    hold: "unread",
  },
  {
    name: "of another resolution",
    said: { dc1: [service("orders", { endpoints: endpoints(2) })] },
    fields: { spec: { resolution: "NONE" } },
    hold: "invalid",
  },
  {
    name: "of another resolution, of a service that is gone",
    said: { dc1: [service("stock")] },
    fields: { endpoints: [{ address: "db.example.org" }], spec: { resolution: "DNS" } },
    hold: "invalid",
  },
  {
    name: "of no resolution",
    said: { dc1: [service("orders", { endpoints: endpoints(2) })] },
    fields: { spec: { resolution: undefined } },
    hold: "invalid",
  },
  {
    name: "with a workloadSelector",
    said: { dc1: [service("orders", { endpoints: endpoints(2) })] },
    fields: { spec: { workloadSelector: { labels: { app: "x" } }, endpoints: undefined } },
    hold: "invalid",
  },
  {
    name: "that Istio would refuse",
    said: { dc1: [service("orders", { endpoints: [endpoint("not-an-address")] })] },
    hold: "invalid",
  },
  { name: "of a registry that cannot be told", said: { dc1: [service()] }, key: undefined, hold: "orphan" },
  { name: "of a registry that left", said: { dc1: [service()] }, key: "dc9/shop/orders", hold: "orphan" },
];
for (const { name, said, fields = {}, hold, ...rest } of still)
  test(`an entry written by hand ${name} is left as it is`, () => {
    const key = "key" in rest ? rest.key : KEY;
    const entry = premade(key, "orders", { ...filled, ...fields });
    const plan = decide({ said, entries: [entry] });
    assert.deepEqual(plan.updates, []);
    const holds = plan.hold.filter(({ subject }) => subject === `ServiceEntry/${MESH}/orders`);
    assert.deepEqual(
      holds.map(({ reason }) => reason),
      hold === undefined ? [] : [hold],
    );
  });

test("of a service that is gone the endpoints go, of an emptied one too; the entry is never deleted", () => {
  for (const said of [
    { dc1: [service("stock")] },
    { dc1: [service("stock"), service("orders", { endpoints: [], ports: [] })] },
  ]) {
    const { updates, spec, deletes } = decide({ said, entries: [premade(KEY, "orders", filled)] });
    assert.equal(updates.length, 1);
    assert.deepEqual(spec?.endpoints, []);
    assert.deepEqual(spec?.ports, premade(KEY, "orders").manifest.spec.ports);
    assert.deepEqual(updates[0]?.object.manifest.metadata, updates[0]?.standing.manifest.metadata);
    assert.equal(deletes, 0);
  }
});

test("upsert-only empties an entry of a service that is listed without endpoints, not of one that is gone", () => {
  const policy = { mode: "upsert-only" };
  const gone = decide({ said: { dc1: [service("stock")] }, entries: [premade(KEY, "orders", filled)], policy });
  assert.deepEqual([gone.updates.length, gone.hold.map(({ reason }) => reason)], [0, ["upsert-only"]]);
  const said = { dc1: [service("stock"), service("orders", { endpoints: [] })] };
  assert.deepEqual(decide({ said, entries: [premade(KEY, "orders", filled)], policy }).spec?.endpoints, []);
});

const names = ["a", "b", "c", "d", "e", "f"];
const fleet = (fields: (name: string) => object = () => ({})) =>
  names.map((name) => premade(`dc1/shop/${name}`, name, { ...filled, ...fields(name) }));
const braked = ({ brakes, updates, hold }: ReturnType<typeof decide>) => [
  brakes.map(({ kind }) => kind),
  updates.length,
  hold.filter(({ reason }) => reason === "brake").length,
];

test("the brake counts services of entries written by hand as it does others", () => {
  const left = names.slice(3).map((name) => service(name));
  const said = { dc1: left };
  assert.deepEqual(braked(decide({ said, entries: fleet() })), [["services"], 0, 3]);
  assert.deepEqual(braked(decide({ said, entries: fleet(), allowDeletes: ["dc1"] })), [[], 3, 0]);
  assert.deepEqual(braked(decide({ said: { dc1: [] }, entries: fleet() })), [["services"], 0, 6], "an empty list");
});

test("the brake remembers entries that were emptied within its window, by the time of the write", () => {
  const said = { dc1: names.slice(3).map((name) => service(name)) };
  const emptied = (agoMs: number) =>
    fleet((name) => (name > "b" ? {} : { endpoints: [], object: { writtenMs: NOW_MS - agoMs } }));
  assert.deepEqual(braked(decide({ said, entries: emptied(60_000) })), [["services"], 0, 1]);
  assert.deepEqual(braked(decide({ said, entries: emptied(2 * HOUR_MS) })), [[], 1, 0]);
});

test("the brake on endpoints keeps those of entries written by hand", () => {
  const many = endpoints(8).map(({ address }) => ({ address }));
  const four = names.slice(0, 4);
  const said = { dc1: four.map((name) => service(name, { endpoints: endpoints(1) })) };
  const entries = four.map((name) => premade(`dc1/shop/${name}`, name, { endpoints: many }));
  const { spec, updates, hold, brakes } = decide({ said, entries });
  assert.deepEqual([updates.length, spec, brakes.length], [0, undefined, 1]);
  assert.ok(hold.some(({ reason }) => reason === "brake"));
});

test("only ports and endpoints ever differ, whatever was written by hand", () => {
  const fields = fc.record({
    hosts: fc.array(fc.constantFrom("a.example.org", "*.example.org", "b.example.org"), { minLength: 1 }),
    addresses: fc.option(fc.array(fc.constantFrom("240.255.0.1", "192.0.2.0/24")), { nil: undefined }),
    location: fc.constantFrom("MESH_INTERNAL", "MESH_EXTERNAL", undefined),
    resolution: fc.constantFrom("STATIC", "STATIC", "STATIC", "NONE", "DNS", undefined),
    exportTo: fc.option(fc.constant(["."]), { nil: undefined }),
    endpoints: fc.option(fc.constant([{ address: "203.0.113.9" }]), { nil: undefined }),
    ports: fc.constantFrom([], [{ name: "x", number: 1, protocol: "TCP" }]),
  });
  const read = fc.constantFrom<Said>(
    [service()],
    [service("orders", { endpoints: [] })],
    [service("x")],
    [],
    "down",
    undefined,
  );
  fc.assert(
    fc.property(fields, read, fc.constantFrom("sync", "upsert-only"), (spec, said, mode) => {
      const entry = premade(KEY, "orders", { spec });
      const plan = decide({ said: { dc1: said }, entries: [entry], policy: { mode } });
      for (const { object, standing: before } of plan.updates) {
        assert.equal(before, entry);
        const { ports: _, endpoints: __, ...rest } = (object.manifest as ServiceEntry).spec;
        const { ports: ___, endpoints: ____, ...was } = entry.manifest.spec;
        assert.deepEqual({ ...object.manifest, spec: rest }, { ...entry.manifest, spec: was });
        const again = decide({
          said: { dc1: said },
          entries: [{ ...entry, manifest: object.manifest as ServiceEntry }],
          policy: { mode },
        });
        assert.deepEqual(again.updates, [], "a second look finds nothing to do");
      }
      assert.ok(plan.delete.every(({ standing: { key } }) => key !== entry.key));
    }),
  );
});
