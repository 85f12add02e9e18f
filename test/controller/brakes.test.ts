import assert from "node:assert/strict";
import { test } from "node:test";
import { brakeNotice, createBrakeLog } from "../../src/controller/brakes.ts";
import { soleWriter } from "../../src/controller/leadership.ts";
import { createLog } from "../../src/log.ts";
import type { Brake } from "../../src/model/plan.ts";

const brake = (registry: string): Brake => ({ registry, kind: "services", message: `brake: ${registry}` });

test("what people are told of a brake says how to release it", () =>
  assert.deepEqual(brakeNotice(brake("dc1")), {
    reason: "BrakeOn",
    subject: "dc1 services",
    message: "brake: dc1; x2istio apply --allow-deletes dc1 releases it",
  }));

test("a brake is said when it goes on and when it is off, whatever its numbers are meanwhile", () => {
  const said: string[] = [];
  const write = (line: string) => {
    const { level, msg, registry, kind } = JSON.parse(line) as Readonly<Record<string, string>>;
    said.push(`${level} ${msg}: ${registry} ${kind}`);
  };
  const { record } = createBrakeLog(createLog({ level: "info", pretty: false, stream: { write } }));
  const brake = (message: string) => ({ registry: "dc1", kind: "services", message }) as const;
  for (const brakes of [[], [brake("3 of 10")], [brake("4 of 10")], [], []]) record({ brakes, released: [] });
  assert.deepEqual(said, ["warn a brake is on: dc1 services", "info a brake is off again: dc1 services"]);
});

test("a brake that ends by itself is said once, though its losses are not written yet", () => {
  const said: string[] = [];
  const write = (line: string) => void said.push((JSON.parse(line) as { readonly msg: string }).msg);
  const { record } = createBrakeLog(createLog({ level: "info", pretty: false, stream: { write } }));
  record({ brakes: [brake("dc1")], released: [] });
  for (let pass = 0; pass < 3; pass++) record({ brakes: [], released: [brake("dc1")] });
  assert.deepEqual(said, [
    "a brake is on",
    "the registry's brake was on for policy.releaseAfter and has been released",
    "a brake is off again",
  ]);
});

test("a process that alone writes obeys a release once", () => {
  const { allowDeletes, release, releaseDone, changes } = soleWriter("me");
  const version = changes.version();
  release(["dc1"]);
  release(["dc2", "dc1"]);
  assert.deepEqual(allowDeletes(), ["dc1", "dc2"]);
  assert.ok(changes.version() > version);
  releaseDone();
  assert.deepEqual(allowDeletes(), []);
});

test("the two brakes of one registry are said apart, and one registry's beside another's", () => {
  const said: string[] = [];
  const write = (line: string) => {
    const { msg, registry, kind } = JSON.parse(line) as Readonly<Record<string, string>>;
    said.push(`${msg}: ${registry} ${kind}`);
  };
  const { record } = createBrakeLog(createLog({ level: "info", pretty: false, stream: { write } }));
  const endpoints: Brake = { ...brake("dc1"), kind: "endpoints" };
  for (const brakes of [[brake("dc1")], [brake("dc1"), endpoints, brake("prod")], [endpoints]])
    record({ brakes, released: [] });
  assert.deepEqual(said, [
    "a brake is on: dc1 services",
    "a brake is on: dc1 endpoints",
    "a brake is on: prod services",
    "a brake is off again: dc1 services",
    "a brake is off again: prod services",
  ]);
});
