import assert from "node:assert/strict";
import { test } from "node:test";
import type { Checker } from "../../../adapters/static/check.ts";
import { parseFile } from "../../../adapters/static/file.ts";
import { targetsOf, withoutDown } from "../../../adapters/static/health.ts";
import type { Target } from "../../../adapters/static/probe.ts";
import { serviceReads } from "../../../adapters/static/reads.ts";
import { finish } from "../../../src/async/slices.ts";
import type { Service } from "../../../src/model/service.ts";

function items(text: string) {
  const { items: found, problems } = parseFile(text, "services.yaml", {
    ...{ registry: "vms", namespace: "default" },
  });
  assert.deepEqual(problems, []);
  return found;
}

function service(check: string, ports = "{name: http, number: 80, protocol: http}"): readonly Target[] {
  const endpoints = "[{address: 192.0.2.1}, {address: 192.0.2.2, ports: {http: 8081}}]";
  const text = `services:\n  - {name: a, ports: [${ports}, {name: admin, number: 9000, protocol: http, targetPort: 9001}], endpoints: ${endpoints}, check: {${check}}}\n`;
  const [item] = items(text);
  if (item?.service === undefined || item.check === undefined) assert.fail(item?.problems.join());
  return targetsOf(item.service, item.check);
}

const probed: readonly { readonly check: string; readonly want: readonly string[] }[] = [
  { check: "tcp: http", want: ["192.0.2.1:80", "192.0.2.2:8081"] },
  { check: "http: {port: http}", want: ["192.0.2.1:80", "192.0.2.2:8081"] },
  { check: "tcp: admin", want: ["192.0.2.1:9001", "192.0.2.2:9001"] },
  { check: "http: {port: admin}", want: ["192.0.2.1:9001", "192.0.2.2:9001"] },
];
for (const { check, want } of probed)
  test(`a check ${check} probes ${want.join(" and ")}`, () =>
    assert.deepEqual(
      service(check).map(({ host, port }) => `${host}:${port}`),
      want,
    ));

function readsAtOnce(checks: Parameters<typeof serviceReads>[0]) {
  const reads = serviceReads(checks, true);
  return { of: (...args: Parameters<typeof reads.of>) => finish(reads.of(...args)) };
}

test("a check that is not configured further is probed every 5 s, for 2 s, and rises with 2 and falls with 3", () => {
  const [target] = service("tcp: http");
  const { interval, timeout, rise, fall } = target?.check ?? assert.fail();
  assert.deepEqual([interval, timeout, rise, fall], [5000, 2000, 2, 3]);
  const [probe] = service("http: {port: http}");
  assert.deepEqual(probe?.check.http, { port: "http", path: "/", status: [200] });
});

for (const [check, isGood] of [
  ["rise: 1", true],
  ["rise: 100", true],
  ["rise: 0", false],
  ["rise: 101", false],
  ["fall: 0", false],
  ["fall: 101", false],
  ["interval: 100ms", true],
  ["interval: 99ms", false],
  ["interval: 1h", true],
  ["interval: 3601s", false],
  ["timeout: 10ms", true],
  ["timeout: 9ms", false],
  ["timeout: 1m", true],
  ["timeout: 61s", false],
] as const)
  test(`a check with ${check} ${isGood ? "can be used" : "is refused"}`, () => {
    const endpoints = "[{address: 192.0.2.1}]";
    const text = `services:\n  - {name: a, ports: [{name: http, number: 80, protocol: http}], endpoints: ${endpoints}, check: {tcp: http, ${check}}}\n`;
    assert.equal(items(text)[0]?.problems.length === 0, isGood);
  });

const base = (...addresses: readonly string[]): Service => ({
  ...{ registry: "vms", namespace: "default", name: "a", source: "services.yaml:2", metadata: {}, legacyNames: [] },
  ports: [{ name: "http", number: 80, protocol: "HTTP" }],
  endpoints: addresses.map((address) => ({ address })),
  leftOut: [],
  notes: [],
});

test("withoutDown() takes the endpoints out that are down, and no others", () => {
  const all = base("192.0.2.1", "192.0.2.2", "192.0.2.3");
  assert.equal(withoutDown(all, [undefined, undefined, undefined], true), all);
  for (const failOpen of [true, false]) {
    const { endpoints, leftOut, notes } = withoutDown(all, [undefined, "why", undefined], failOpen);
    assert.deepEqual(endpoints, [{ address: "192.0.2.1" }, { address: "192.0.2.3" }]);
    assert.deepEqual(leftOut, [{ address: "192.0.2.2:80", kind: "health", reason: "why" }]);
    assert.deepEqual(notes, []);
  }
});

test("withoutDown() keeps all in when all are down, unless failOpen is off, and says so", () => {
  for (const failOpen of [true, false]) {
    const { endpoints, leftOut, notes } = withoutDown(base("192.0.2.1", "192.0.2.2"), ["why", "why"], failOpen);
    assert.deepEqual([endpoints.length, leftOut.length, notes.length], failOpen ? [2, 0, 1] : [0, 2, 1]);
  }
  assert.deepEqual(withoutDown(base(), [], false).notes, [], "a service without endpoints has none that is down");
});

/** Checks that find what the test says, and note what they are to probe. */
function fakeChecks() {
  const state = { down: new Set<string>(), probed: [] as string[] };
  const checks: Checker = {
    adopt(targets) {
      state.probed = targets.map(({ host }) => host);
    },
    down: (id) => ([...state.down].some((host) => id.includes(host)) ? "down" : undefined),
    generation: () => 0,
    run: async () => {},
  };
  return { ...{ checks, state } };
}

const one = (name: string, address: string, rest = "check: {tcp: http}") =>
  `  - {name: ${name}, ports: [{name: http, number: 80, protocol: http}], endpoints: [{address: ${address}}, {address: 192.0.2.99}], ${rest}}\n`;

test("a service that cannot be read for a while keeps its checks, and comes back as it was", () => {
  const { checks, state } = fakeChecks();
  const reads = readsAtOnce(checks);
  const good = items(`services:\n${one("a", "192.0.2.1")}${one("b", "192.0.2.2")}`);
  state.down.add("192.0.2.1");
  const [before] = reads.of(good, true);
  assert.equal(before?.state === "ok" && before.service.endpoints.length, 1);
  // Its form is wrong, or its file is: both times it is not known what has become of it.
  const wrong = items(`services:\n${one("a", "192.0.2.1", "check: {tcp: nothing}")}${one("b", "192.0.2.2")}`);
  assert.deepEqual(
    reads.of(wrong, true).map(({ state: is }) => is),
    ["failed", "ok"],
  );
  assert.ok(state.probed.includes("192.0.2.1"));
  assert.deepEqual(reads.of([], false), []);
  assert.ok(state.probed.includes("192.0.2.1"));
  assert.equal(reads.of(good, true)[0], before);
});

test("a service that is gone is probed no more", () => {
  const { checks, state } = fakeChecks();
  const reads = readsAtOnce(checks);
  reads.of(items(`services:\n${one("a", "192.0.2.1")}${one("b", "192.0.2.2")}`), true);
  reads.of(items(`services:\n${one("b", "192.0.2.2")}`), true);
  assert.deepEqual(state.probed, ["192.0.2.2", "192.0.2.99"]);
});

test("a check that is taken off ends, and what it found with it", () => {
  const { checks, state } = fakeChecks();
  const reads = readsAtOnce(checks);
  state.down.add("192.0.2.1");
  reads.of(items(`services:\n${one("a", "192.0.2.1")}`), true);
  const [after] = reads.of(items(`services:\n${one("a", "192.0.2.1", "metadata: {}")}`), true);
  assert.deepEqual(state.probed, []);
  assert.equal(after?.state === "ok" && after.service.endpoints.length, 2);
});

test("a read is the same object as long as the file and the checks say the same, and another when a check turns", () => {
  const { checks, state } = fakeChecks();
  const reads = readsAtOnce(checks);
  const text = `services:\n${one("a", "192.0.2.1")}`;
  const [first] = reads.of(items(text), true);
  assert.equal(reads.of(items(text), true)[0], first);
  state.down.add("192.0.2.1");
  const [second] = reads.of(items(text), true);
  assert.notEqual(second, first);
  assert.equal(reads.of(items(text), true)[0], second);
});
