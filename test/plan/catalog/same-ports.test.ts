import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { intern } from "../../../adapters/intern.ts";
import { toService as polarisService } from "../../../adapters/polaris/mapping/service.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import { toService as sharedService } from "../../../adapters/shapes/service.ts";
import type { OwnedObject } from "../../../src/model/objects.ts";
import type { Service } from "../../../src/model/service.ts";
import type { Standing, StandingObject } from "../../../src/model/standing.ts";
import { sized } from "../../size.ts";
import { decider, objectsOf } from "../at-once.ts";
import { NOW_MS, readings, standing } from "../build.ts";
import { config } from "../memory.ts";

/** What somebody registers of a service. */
interface Registered {
  readonly host: number;
  readonly port: number;
  readonly protocol: string | undefined;
  readonly tag: string | undefined;
}

const registered = fc.record({
  host: fc.integer({ min: 1, max: 4 }),
  port: fc.constantFrom(80, 8080, 8081, 9090),
  protocol: fc.constantFrom(undefined, undefined, "HTTP", "GRPC"),
  tag: fc.constantFrom(undefined, undefined, "http", "rpc"),
});
const rules = compileRules({ ports: [], protocols: [], instances: { exclude: [] } }, true);
const addressOf = ({ host }: Registered) => `192.0.2.${host}`;

/** As an adapter reads them, in the order in which its registry happens to list them. */
const readers: Readonly<Record<string, (name: string, all: readonly Registered[]) => Service>> = {
  dc1(name, all) {
    const instances = all.map((one) => ({
      id: JSON.stringify(one),
      address: addressOf(one),
      ports: [{ number: one.port, ...(one.protocol === undefined ? {} : { protocol: one.protocol }) }],
      ...{ tags: one.tag === undefined ? [] : [one.tag], meta: {}, notes: [] },
    }));
    const place = { registry: "dc1", namespace: "shop", name, source: "here" };
    return sharedService(place, instances, [], { pool: intern(), allUnhealthy: "drop", rules });
  },
  pol(name, all) {
    const raw = all.map((one) => ({
      ...{ id: JSON.stringify(one), host: addressOf(one), port: one.port, healthy: true, metadata: {} },
      ...(one.protocol === undefined ? {} : { protocol: one.protocol }),
    }));
    const place = { registry: "pol", namespace: "shop", name, source: "here" };
    const options = { allUnhealthy: "drop", rules } as unknown as Parameters<typeof polarisService>[2];
    return polarisService(place, raw as Parameters<typeof polarisService>[1], options, intern()) ?? assert.fail(name);
  },
};

const written = (object: OwnedObject): StandingObject => ({
  ...{ ...object, uid: `uid-${object.key}`, resourceVersion: "1", statusAddresses: [] },
  ...{ createdMs: NOW_MS - 3_600_000, writtenMs: NOW_MS - 3_600_000 },
});

type Estate = Readonly<Record<string, readonly Registered[]>>;

/** One cluster: it first had what it saw of `before`, then reads `estate`. Ports of the entries by host. */
function clusterOf(before: Estate, estate: Estate, merge: boolean) {
  const decide = decider(config(["dc1", "pol"], merge ? { merge: ["dc1", "pol"] } : {}));
  const pass = (read: Estate, stands: Standing) => {
    const all = Object.entries(readers).map(([registry, reader]) => [
      registry,
      Object.entries(read).map(([name, list]) => reader(name, list)),
    ]);
    const input = { readings: readings(Object.fromEntries(all)), standing: stands };
    return objectsOf(decide({ ...input, nowMs: NOW_MS, allowDeletes: new Set() }).desired);
  };
  const first = pass(before, standing({}));
  const entries = pass(estate, standing({ objects: first.map(written) })).flatMap(({ manifest }) =>
    manifest.kind === "ServiceEntry" ? [[manifest.spec.hosts[0] ?? "", manifest.spec.ports] as const] : [],
  );
  return new Map(entries);
}

const shuffled = <Value>(list: readonly Value[]) =>
  fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length });
const some = fc.array(registered, { minLength: 1, maxLength: 6 });

test("two clusters that read the same registrations of a new service write the same ports, whatever each saw before and in whatever order", () => {
  const estate = fc.record({ old: some, orders: some, stock: some });
  const cases = estate.chain((all) => {
    const reading = fc
      .record({ old: shuffled(all.old), orders: shuffled(all.orders), stock: shuffled(all.stock) })
      .chain((one) => shuffled(Object.entries(one)).map((names) => Object.fromEntries(names) as Estate));
    return fc.tuple(some, some, reading, reading, fc.boolean());
  });
  let entries = 0;
  fc.assert(
    fc.property(cases, ([earlier, later, one, other, merge]) => {
      const a = clusterOf({ old: earlier }, one, merge);
      const b = clusterOf({ old: later }, other, merge);
      for (const [host, ports] of a) if (!host.startsWith("old.")) assert.deepEqual(b.get(host), ports, host);
      assert.deepEqual([...a.keys()].sort(), [...b.keys()].sort());
      entries += a.size;
    }),
    { numRuns: sized(150) },
  );
  assert.ok(entries > sized(100));
});

test("a port that stands keeps its number, so that clusters that saw a service at different times may differ", () => {
  const at = (port: number): Registered => ({ host: port % 3, port, protocol: "HTTP", tag: undefined });
  const now = { orders: [at(8081), at(8080)] };
  const numbers = (before: Estate) =>
    [...clusterOf(before, now, false)].map(([, ports]) => ports.map(({ number }) => number).join());
  assert.deepEqual(numbers({}), ["8080", "8080"]);
  assert.deepEqual(numbers({ orders: [at(8081)] }), ["8081", "8081"]);
});
