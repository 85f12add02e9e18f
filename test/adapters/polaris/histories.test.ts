import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { Snapshot } from "../../../src/model/adapter.ts";
import type { Fault } from "../../polaris/faults.ts";
import { type Polaris, seeded } from "../../polaris/polaris.ts";
import { sized } from "../../size.ts";
import { adapterOf, failures, hint, places, poll, serverOf, services } from "./fixture.ts";

interface Instance {
  readonly id: string;
  readonly place: string;
  isUsed: boolean;
}

/** What Polaris should be saying: instances by service, targets by alias. */
interface Model {
  readonly services: Map<string, Instance[]>;
  readonly aliases: Map<string, string>;
}

const NAMES = ["a", "b", "C", "1:2", "x/y"];
const NAMESPACES = ["default", "Production"];

type Pick = <Item>(items: readonly Item[]) => Item;

function picker(random: () => number): Pick {
  return <Item>(items: readonly Item[]): Item => {
    const item = items[Math.floor(random() * items.length)];
    if (item === undefined) throw new Error("Cannot pick from nothing");
    return item;
  };
}

const named = (id: string) => {
  const at = id.indexOf("/");
  return { namespace: id.slice(0, at), name: id.slice(at + 1) };
};

/** One change that the model and the server go through alike. */
function change(server: Polaris, { services: all, aliases }: Model, pick: Pick, serial: number): string {
  const isFree = (id: string) => !all.has(id) && !aliases.has(id);
  const ids = NAMESPACES.flatMap((namespace) => NAMES.map((name) => `${namespace}/${name}`));
  const register = (id: string) => {
    const { namespace, name: service } = named(id);
    const host = `192.0.2.${serial + 1}`;
    const instance = server.register({ namespace, service, host, port: 80, protocol: "http" });
    all.set(id, [...(all.get(id) ?? []), { id: instance, place: `${host}:80`, isUsed: true }]);
  };
  const remove = (id: string) => {
    const { namespace, name } = named(id);
    server.deleteService(namespace, name);
    all.delete(id);
    for (const [alias, target] of aliases) if (target === id) aliases.delete(alias);
  };
  const existing = [...all.keys()];
  const filled = existing.filter((id) => all.get(id)?.length !== 0);
  const free = ids.filter(isFree);
  const what = pick(["register", "register", "out", "in", "deregister", "delete", "alias", "repoint", "rename"]);
  if (what === "register" || existing.length === 0) {
    const open = ids.filter((one) => !aliases.has(one));
    if (open.length > 0) register(pick(open));
    return what;
  }
  const id = pick(filled.length > 0 ? filled : existing);
  const instance = (all.get(id) ?? []).at(0);
  if (what === "out" && instance !== undefined) {
    server.update(instance.id, pick([{ isolate: true }, { weight: 0 }, { healthy: false }]));
    instance.isUsed = false;
  } else if (what === "in" && instance !== undefined) {
    server.update(instance.id, { isolate: false, weight: 100, healthy: true });
    instance.isUsed = true;
  } else if (what === "deregister" && instance !== undefined) {
    server.deregister(instance.id);
    all.set(id, (all.get(id) ?? []).slice(1));
  } else if (what === "delete") remove(id);
  else if (what === "rename") {
    remove(id);
    const open = ids.filter((one) => !aliases.has(one));
    register(pick(open));
  } else if (what === "alias" && free.length > 0) {
    const alias = pick(free);
    server.createAlias(named(alias), named(id));
    aliases.set(alias, id);
  } else if (what === "repoint" && aliases.size > 0) {
    const alias = pick([...aliases.keys()]);
    server.deleteAlias(named(alias));
    server.createAlias(named(alias), named(id));
    aliases.set(alias, id);
  }
  return what;
}

/** `lists`: the lists lie, else the server denies knowing a service. When both say that it is gone, it is. */
function randomFault(pick: Pick, model: Model, lists: boolean): Fault {
  const id = pick(["default/a", ...model.services.keys(), ...model.aliases.keys()]);
  const { namespace, name: service } = named(id);
  const list = { type: "SERVICES" };
  return pick<Fault>([
    { kind: "code", code: 500000, match: { namespace, service } },
    { kind: "code", code: 401001, match: { namespace, service } },
    { kind: "close", match: { namespace, service } },
    { kind: "truncate", match: { namespace, service } },
    { kind: "text", match: { namespace, service } },
    { kind: "revision" },
    { kind: "flap" },
    { kind: "code", code: 500001, match: list },
    { kind: "code", code: 401001 },
    { kind: "status", status: 503, match: { type: "INSTANCE" } },
    { kind: "close", match: list, count: 1 },
    ...(lists
      ? [{ kind: "empty", match: list } as const, { kind: "stale", match: list } as const]
      : [{ kind: "code", code: 400202, match: { namespace, service } } as const]),
  ]);
}

/** What the snapshot should say once nothing fails; L5 clients find 1:2 in default first. */
function wanted({ services: all, aliases }: Model): Readonly<Record<string, readonly string[]>> {
  const isName = (id: string) => id !== "Production/1:2" || !(all.has("default/1:2") || aliases.has("default/1:2"));
  const names = (id: string) =>
    [...aliases]
      .filter(([alias, target]) => target === id && isName(alias))
      .map(([alias]) => alias)
      .sort();
  return Object.fromEntries([...all].map(([id, instances]) => [id, [...used(instances), "also", ...names(id)]]));
}

const used = (instances: readonly Instance[]) =>
  instances.flatMap(({ isUsed, place }) => (isUsed ? [place] : [])).sort();

function said(snapshot: Snapshot): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(services(snapshot)).map(([id, service]) => [
      id,
      [...[...places(service)].sort(), "also", ...(service.aliases ?? []).map((one) => `${one.namespace}/${one.name}`)],
    ]),
  );
}

/** What must hold of every snapshot that claims to be complete, whatever fails: no service is missing, no endpoint invented. */
function checkWhole(snapshot: Snapshot, { services: all }: Model, seen: ReadonlySet<string>): void {
  const found = services(snapshot);
  const failed = failures(snapshot);
  for (const [id, instances] of all) {
    if (failed[`prod/${id}`] !== undefined || (!seen.has(id) && found[id] === undefined)) continue;
    const service = found[id] ?? assert.fail(`${id} is missing`);
    assert.deepEqual([...places(service)].sort(), used(instances), id);
  }
}

async function history(t: TestContext, seed: number, by: "poll" | "hint"): Promise<void> {
  const random = seeded(seed);
  const pick = picker(random);
  const server = await serverOf(t, { seed });
  const model: Model = { services: new Map(), aliases: new Map() };
  const adapter = adapterOf(t, {
    timeout: "30s",
    address: server.address,
    namespaces: NAMESPACES,
    allUnhealthy: "drop",
  });
  const seen = new Set<string>();
  const faults: (() => void)[] = [];
  let serial = 0;
  for (; serial < 5; serial++) change(server, model, pick, serial);
  let snapshot = await poll(adapter);
  for (; serial < 11; serial++) {
    for (const id of Object.keys(services(snapshot))) seen.add(id);
    if (random() < 0.6) faults.push(server.fault(randomFault(pick, model, seed % 2 === 0)));
    change(server, model, pick, serial);
    for (const id of seen) if (!model.services.has(id)) seen.delete(id);
    try {
      snapshot = await poll(adapter);
      checkWhole(snapshot, model, seen);
    } catch (error) {
      if ((error as Error).name !== "ReadError") throw error;
    }
    if (random() < 0.5) faults.pop()?.();
  }
  for (const undo of faults) undo();

  snapshot = await poll(adapter);
  if (by === "hint") change(server, model, pick, serial);
  while (by === "hint" && !isDeepStrictEqual(said(snapshot), wanted(model))) snapshot = await hint(adapter, snapshot);
  assert.deepEqual(failures(snapshot), {});
  assert.equal(snapshot.incomplete, undefined);
  assert.deepEqual(said(snapshot), wanted(model));
}

const seeds = (count: number, from: number) => Array.from({ length: count }, (_, at) => from + at);

for (const seed of seeds(sized(200), 1))
  test(`history ${seed} ends as the registry does`, (t) => history(t, seed, "poll"));

describe("between polls", { concurrency: 20 }, () => {
  for (const seed of seeds(sized(40), 1001))
    test(`history ${seed} ends as the registry does`, (t) => history(t, seed, "hint"));
});
