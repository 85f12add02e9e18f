import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldsOf } from "../../src/istio/fields.ts";
import type { RawObject } from "../../src/kube/client/raw.ts";
import type { ObjectEditor } from "../../src/kube/write/object-editor.ts";
import { HANDED_OVER_ANNOTATION, NAMES_ANNOTATION, type ObjectKey } from "../../src/model/objects.ts";
import { takeActions } from "../../src/ownership/actions.ts";
import type { Candidate } from "../../src/ownership/adoptable.ts";
import { type HandOverTools, handingOver, leftStandIns } from "../../src/ownership/hand-over.ts";
import { entry, NOW_MS, standing } from "../plan/build.ts";

const VIP = "240.240.0.1";
const nameOf = (service: string) => `${service}.corp.example.com`;

/** An entry elsewhere that handed its name over an hour ago. */
const theirs = (service: string, rest: object = {}, hosts = [nameOf(service)]): RawObject =>
  ({
    metadata: { annotations: { [HANDED_OVER_ANNOTATION]: `x2istio@${new Date(NOW_MS - 3_600_000).toISOString()}` } },
    spec: { hosts, ports: [{ number: 3306, protocol: "TCP" }] },
    ...rest,
  }) as RawObject;

interface Surroundings {
  /** Ours lose their names while it waits. */
  readonly loses?: boolean;
  /** Nothing new may be made. */
  readonly refuses?: boolean;
  /** A stand-in that is there already. */
  readonly standing?: RawObject;
}

/** What `adopt --all` does to these entries, whose names ours answer, and how long it waits. */
async function handOver(
  entries: Readonly<Record<string, RawObject>>,
  { loses = false, refuses = false, standing: also }: Surroundings = {},
) {
  const keyOf = (service: string): ObjectKey => `ServiceEntry/far/${service}`;
  const ours = Object.keys(entries).map((service) =>
    entry(`dc1/shop/${service}`, {
      annotations: { [NAMES_ANNOTATION]: JSON.stringify([{ name: nameOf(service) }]) },
    }),
  );
  const found = standing({ objects: ours });
  const longAgo = [...found.objects].map(([key, one]) => [key, { ...one, writtenMs: NOW_MS - 3_600_000 }] as const);
  const stands = { ...found, objects: new Map(longAgo) };
  const objects = new Map<ObjectKey, RawObject>([
    ...Object.entries(entries).map(([service, raw]) => [keyOf(service), raw] as const),
    ...[...stands.objects].map(([key, { manifest }]) => [key, manifest as unknown as RawObject] as const),
  ]);
  if (also !== undefined) objects.set("ServiceEntry/far/orders.handed-over", also);
  const done: string[] = [];
  const editor: Pick<ObjectEditor, "read" | "create" | "mark" | "remove"> = {
    read: async (key) => objects.get(key),
    async create(key, { spec }) {
      if (objects.has(key)) return { outcome: "conflict" };
      const { hosts, addresses } = fieldsOf(spec);
      done.push(`${key} ${JSON.stringify({ hosts, addresses })}`);
      if (refuses) return { outcome: "failed" };
      objects.set(key, { metadata: {}, spec } as RawObject);
      return { outcome: "written" };
    },
    async mark(key, raw, { labels, spec }) {
      done.push(`${key} ${JSON.stringify({ labels, spec })}`);
      const changed = { ...fieldsOf(raw.spec), ...spec };
      objects.set(key, {
        ...raw,
        metadata: { ...raw.metadata, ...(labels && { labels }) },
        spec: changed,
      } as RawObject);
      return { outcome: "written" };
    },
    async remove(key) {
      done.push(`${key} removed`);
      return { outcome: "written" };
    },
  };
  const handover = handingOver({
    ...{ target: { standing: () => stands, nowMs: () => NOW_MS }, editor: editor as ObjectEditor, owner: "x2istio" },
    ...{ ttlSeconds: 30, onProgress: () => undefined },
    async wait(ms) {
      if (ms === 0) return;
      done.push(`${Math.round(ms / 1000)} s`);
      if (loses) for (const key of stands.objects.keys()) objects.delete(key);
    },
  });
  const actions = Object.entries(entries).flatMap(([service, raw]) => {
    const candidate = { key: keyOf(service), service: `dc1/shop/${service}` } as Candidate;
    return [handover(candidate, raw)];
  });
  const results = await takeActions(actions, { isDryRun: false, signal: new AbortController().signal });
  return { done, outcomes: results.map(({ kind, outcome }) => `${kind} ${outcome}`) };
}

const far = (name: string) => `ServiceEntry/far/${name}`;
const standIn = (service: string) =>
  `${far(service)}.handed-over ${JSON.stringify({ hosts: [`${nameOf(service)}.handed-over.invalid`], addresses: [VIP] })}`;
const pinned = (service: string) => `${far(service)} ${JSON.stringify({ spec: { addresses: [VIP] } })}`;
const removed = (service: string) => `${far(service)} removed`;
const standInRemoved = (service: string) => `${far(service)}.handed-over removed`;
/** As Istio's allocator gives one. */
const given = { status: { addresses: [{ host: "any", value: VIP }] } };

test("entries without a VIP are deleted once DNS answers have run out", async () => {
  const { done, outcomes } = await handOver({ orders: theirs("orders") });
  assert.deepEqual(done, [`${far("orders")} removed`]);
  assert.deepEqual(outcomes, ["delete written"]);
});

test("a VIP that Istio answered leads where it led until clients have forgotten it; all wait together", async () => {
  const { done, outcomes } = await handOver({ orders: theirs("orders", given), stock: theirs("stock", given) });
  assert.deepEqual(done, [
    ...[pinned("orders"), standIn("orders"), pinned("stock"), standIn("stock"), "5 s"],
    ...[removed("orders"), removed("stock"), "32 s", standInRemoved("orders"), standInRemoved("stock")],
  ]);
  assert.deepEqual(outcomes, ["delete written", "delete written"]);
});

test("so does one that the entry says itself", async () => {
  const own = theirs("orders");
  const { done } = await handOver({ orders: { ...own, spec: { ...fieldsOf(own.spec), addresses: [VIP] } } });
  assert.deepEqual(done.slice(1), [standIn("orders"), "5 s", removed("orders"), "32 s", standInRemoved("orders")]);
});

test("the next command goes on where one was ended", async () => {
  const { done } = await handOver({ orders: theirs("orders", given) }, { standing: theirs("orders") });
  assert.deepEqual(done.slice(1), ["5 s", removed("orders"), "32 s", standInRemoved("orders")]);
});

test("what is not answered any more stays", async () => {
  const { done, outcomes } = await handOver({ orders: theirs("orders", given) }, { loses: true });
  assert.deepEqual(outcomes, ["delete conflict"]);
  assert.ok(!done.includes(removed("orders")));
});

test("where no stand-in can be made the entry stays", async () => {
  const { done, outcomes } = await handOver({ orders: theirs("orders", given) }, { refuses: true });
  assert.deepEqual(outcomes, ["delete failed"]);
  assert.ok(!done.includes(removed("orders")));
});

test("where the name of a stand-in would be too long there is none", async () => {
  const long = "o".repeat(230);
  const { done, outcomes } = await handOver({ [long]: theirs(long, given) });
  assert.deepEqual(outcomes, ["delete written"]);
  assert.ok(done.includes(removed(long)) && !done.includes(standIn(long)));
});

test("stand-ins that a command left are deleted, but for those of entries that this one deals with", async () => {
  const left = new Map([far("orders.handed-over"), far("stock.handed-over"), far("pay")].map((key) => [key, {}]));
  const editor = { entries: async () => left, remove: async () => ({ outcome: "written" }) } as unknown as ObjectEditor;
  const candidates = new Map([[far("stock") as ObjectKey, undefined]]);
  const found = await leftStandIns({ editor, owner: "x" } as HandOverTools, candidates, new AbortController().signal);
  assert.deepEqual(
    found.map(({ kind, key }) => `${kind} ${key}`),
    [`delete ${far("orders.handed-over")}`],
  );
});
