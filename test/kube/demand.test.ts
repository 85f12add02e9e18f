import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ConflictError } from "../../src/errors.ts";
import { demandChannel } from "../../src/kube/demand.ts";
import type { StandingDemand } from "../../src/model/demand.ts";
import { fakeApi, statusError } from "./fake-api.ts";
import { MESH } from "./objects.ts";

const PATH = `/api/v1/namespaces/${MESH}/configmaps/x2istio-east-demand`;
const AT = Date.UTC(2026, 0, 1);

function setUp(t: TestContext, api = fakeApi()) {
  const ending = new AbortController();
  const channel = demandChannel({ client: api.client, owner: "east", namespace: MESH });
  const following = channel.follow(ending.signal);
  t.after(async () => {
    ending.abort();
    await following;
  });
  return { api, channel };
}

const told = (...entries: readonly (readonly [string, StandingDemand])[]) => new Map(entries);
const asked = (lastMs: number, ...callers: readonly string[]): StandingDemand => ({ lastMs, callers });
const text = ({ api }: ReturnType<typeof setUp>) =>
  (api.objects.get(PATH)?.data as { readonly asked?: string } | undefined)?.asked;

test("tell() writes what told() then says, three callers of each service", async (t) => {
  const world = setUp(t);
  await world.channel.tell(told(["vms/shop/web", asked(AT, "a", "b", "c", "d")]));
  assert.deepEqual(world.channel.told(), told(["vms/shop/web", asked(AT, "a", "b", "c")]));
  await world.channel.tell(told(["vms/shop/db", asked(AT + 1000, "a")]));
  assert.deepEqual([...world.channel.told().keys()], ["vms/shop/db"], "the whole is replaced");
  assert.deepEqual(world.api.objects.get(PATH)?.metadata?.labels, {
    "app.kubernetes.io/managed-by": "x2istio",
    "x2istio.dev/owner": "east",
  });
});

test("tell() makes no ConfigMap to say nothing, but empties one that stands", async (t) => {
  const world = setUp(t);
  await world.channel.tell(told());
  assert.equal(world.api.objects.has(PATH), false);
  await world.channel.tell(told(["vms/shop/web", asked(AT, "a")]));
  await world.channel.tell(told());
  assert.equal(text(world), "");
  assert.equal(world.channel.told().size, 0);
});

test("tell() is a conflict where another replica was quicker, and loses nothing of what that wrote", async (t) => {
  const world = setUp(t);
  await world.channel.tell(told(["vms/shop/web", asked(AT, "a")]));
  const theirs = world.api.put(PATH, { data: { asked: `vms/shop/db\t{"asked":"2026-01-01T00:00:00Z","by":["b"]}` } });
  await assert.rejects(world.channel.tell(told(["vms/shop/web", asked(AT, "c")])), ConflictError);
  assert.equal(world.api.objects.get(PATH), theirs);
});

test("tell() is a conflict where two make the ConfigMap at once, or where somebody removed it", async (t) => {
  const world = setUp(t);
  world.api.put(PATH, { metadata: { name: "x2istio-east-demand", namespace: MESH }, data: {} });
  const first = world.channel.tell(told(["vms/shop/web", asked(AT, "a")]));
  await assert.rejects(first, ConflictError);
  const other = setUp(t);
  await other.channel.tell(told(["vms/shop/web", asked(AT, "a")]));
  other.api.objects.delete(PATH);
  await assert.rejects(other.channel.tell(told(["vms/shop/web", asked(AT, "b")])), ConflictError);
});

test("tell() is a failure where the namespace is missing or the right is", async (t) => {
  const world = setUp(t);
  for (const [status, reason] of [
    [404, "NotFound"],
    [403, "Forbidden"],
  ] as const) {
    world.api.before = ({ method }) => {
      if (method !== "GET") throw statusError(status, reason);
    };
    await assert.rejects(
      world.channel.tell(told(["vms/shop/web", asked(AT, "a")])),
      (error) => error instanceof Error && !(error instanceof ConflictError),
    );
  }
});

test("tell() leaves out a service whose name would break the line, and no other", async (t) => {
  const world = setUp(t);
  await world.channel.tell(
    told(["vms/shop/a\tb", asked(AT, "a")], ["vms/shop/a\nb", asked(AT, "a")], ["vms/shop/web", asked(AT, "a")]),
  );
  assert.deepEqual([...world.channel.told().keys()], ["vms/shop/web"]);
});

test("tell() keeps to what a ConfigMap may hold: those that come first", async (t) => {
  const world = setUp(t);
  const key = (at: number) => `vms/shop/${String(at).padStart(3, "0")}${"x".repeat(997)}`;
  const many = Array.from({ length: 1000 }, (_, at) => [key(at), asked(AT, "a")] as const);
  await world.channel.tell(told(...many));
  const length = text(world)?.length ?? 0;
  assert.ok(length <= 700_000 && length > 698_000, `${length} characters`);
  assert.equal(world.channel.told().has(key(0)), true);
});

test("follow() sees what others write, and that it is gone; lines that make no sense say nothing", async (t) => {
  const { api, channel } = setUp(t);
  const metadata = { name: "x2istio-east-demand", namespace: MESH, uid: "u" };
  while (api.watches.length === 0) await new Promise(setImmediate);
  const [watch] = api.watches;
  assert.equal(watch?.query.get("fieldSelector"), "metadata.name=x2istio-east-demand");
  const lines = ['vms/shop/web\t{"asked":"2026-01-01T00:00:00Z","by":["a"]}', "vms/shop/db\t{", "\t{}", "nothing"];
  let version = channel.version();
  watch?.send({
    type: "ADDED",
    object: { metadata: { ...metadata, resourceVersion: "500" }, data: { asked: lines.join("\n") } },
  });
  await channel.wait(version, t.signal);
  assert.deepEqual(channel.told(), told(["vms/shop/web", asked(AT, "a")]));
  version = channel.version();
  watch?.send({ type: "DELETED", object: { metadata: { ...metadata, resourceVersion: "501" } } });
  await channel.wait(version, t.signal);
  assert.equal(channel.told().size, 0);
});
