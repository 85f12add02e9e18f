import assert from "node:assert/strict";
import { test } from "node:test";
import type { CatalogService } from "../../../src/plan/catalog/catalog.ts";
import type { ServiceNames } from "../../../src/plan/names/naming.ts";
import { waitingNames } from "../../../src/plan/names/waiting-names.ts";
import { service } from "../build.ts";

const namesOf = (host: string, ...legacy: string[]): ServiceNames => ({
  host,
  legacyNames: legacy.map((name) => ({ name })),
  aliases: [],
  notes: [],
});
const [a, b] = [namesOf("a.internal", "a.old"), namesOf("b.internal")];

function known(services: readonly CatalogService[], undemanded: readonly CatalogService[], names: object) {
  const byKey = (list: readonly CatalogService[]) =>
    new Map(list.map((one) => [`${one.registry}/${one.namespace}/${one.name}`, one]));
  return {
    catalog: { services: byKey(services) },
    undemanded: byKey(undemanded),
    naming: { services: new Map<string, ServiceNames>(Object.entries(names)) },
  };
}

const reported = new Set(["dc1"]);
const both = known([service("a")], [service("b"), service("c", { registry: "prod" })], {
  "dc1/shop/a": a,
  "dc1/shop/b": b,
  "prod/shop/c": namesOf("c.internal"),
});

test("waitingNames() has all names of registries that run on demand, of what stands and of what is only known", () => {
  assert.deepEqual(waitingNames(both, reported).rows, [
    { name: "a.internal", host: "a.internal", service: "dc1/shop/a" },
    { name: "a.old", host: "a.internal", service: "dc1/shop/a" },
    { name: "b.internal", host: "b.internal", service: "dc1/shop/b" },
  ]);
});

test("waitingNames() is the same object while the names are the same, and no longer", () => {
  const first = waitingNames(both, reported);
  assert.equal(waitingNames(both, reported, first), first);
  const fewer = waitingNames(known([service("a")], [], { "dc1/shop/a": a }), reported, first);
  assert.deepEqual(
    fewer.rows.map(({ name }) => name),
    ["a.internal", "a.old"],
    "a service that went does not wait",
  );
  const held = waitingNames(known([service("a")], [service("b")], { "dc1/shop/b": b }), reported, first);
  assert.deepEqual(
    held.rows.map(({ name }) => name),
    ["b.internal"],
    "a service without names does not wait",
  );
  const other = known([service("a")], [service("b")], { "dc1/shop/a": namesOf("a.internal"), "dc1/shop/b": b });
  assert.deepEqual(
    waitingNames(other, reported, first).rows.map(({ name }) => name),
    ["a.internal", "b.internal"],
  );
  assert.deepEqual(waitingNames(both, new Set(), first).rows, []);
});
