import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { installation, settings, soundFacts } from "../doctor/facts.ts";
import { place, service } from "./folder.ts";

type Schema = Record<string, unknown>;
const file = join(import.meta.dirname, "../../deploy/docs/output.schema.json");
const { $defs, $schema } = JSON.parse(readFileSync(file, "utf8")) as { $defs: Record<string, Schema>; $schema: string };

/** For scripts fields may be added; here what is printed and not described is a fault. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([name, one]) => [name, closed(one)]));
  const isObject = "properties" in schema && "required" in schema;
  return isObject ? { ...inner, additionalProperties: false } : inner;
}

function assertFits(name: string, text: string): Record<string, unknown> {
  const schema = z.fromJSONSchema({ $schema, $ref: `#/$defs/${name}`, $defs: closed($defs) } as Parameters<
    typeof z.fromJSONSchema
  >[0]);
  const value = JSON.parse(text) as Record<string, unknown>;
  const result = schema.safeParse(value);
  assert.ok(result.success, `${name}: ${result.error === undefined ? "" : z.prettifyError(result.error)}\n${text}`);
  return value;
}

const PROSE = /\b(ago|written \d|min\b|in step)/;

test("what commands print as JSON fits its schema, and tells times and states in no prose", async (t) => {
  const legacyNames = ["orders.corp.example.com", "1001:2"];
  const orders = { ...service("orders", "192.0.2.1", "127.0.0.1"), legacyNames };
  const { x2istio, write, configure } = await place(t, [orders, service("stock_2", "192.0.2.2")], {
    aliases: [
      { registry: "vms", as: "{service}", in: "shop" },
      { registry: "vms", service: "nobody", as: "x", in: "shop" },
    ],
    policy: { minDeletes: 0, maxDeletePercent: 100 },
  });
  const json = async (name: string, ...args: readonly string[]) =>
    assertFits(name, (await x2istio(...args, "-o", "json")).stdout);
  const planned = await json("plan", "plan");
  assert.equal((planned.unmatched as unknown[]).length, 1);
  await json("apply", "apply");
  const explained = await json("explain", "explain", "orders");
  assert.doesNotMatch(JSON.stringify({ ...explained, notes: [] }), PROSE);
  const [match] = explained.matches as [Record<string, readonly Record<string, unknown>[]>];
  assert.deepEqual([...new Set(match.endpoints?.map(({ state }) => state))], ["in", "out"]);
  assert.ok(match.objects?.every(({ state, writtenAt }) => state === "inStep" && /Z$/.test(String(writtenAt))));
  assert.deepEqual(
    match.answers?.map(({ http }) => http),
    [undefined, "routed", "dnsOnly"],
  );
  await json("validate", "validate");
  await json("moves", "migrate", "status");
  await json("order", "migrate", "plan");
  await json("check", "migrate", "check", "orders");
  await write("services.yaml", { services: [{ name: "orders" }, service("stock_2", "192.0.2.2")] });
  await json("validate", "validate");
  const held = await json("explain", "explain", "orders");
  assert.match(JSON.stringify(held), /"state":"unread".*"state":"standing"/);
  await json("ownership", "uninstall", "--dry-run");
  await configure({ registries: [] });
  assert.match(JSON.stringify(await json("explain", "explain", "vms/default/orders")), /"state":"removed"/);
});

test("the doctor's findings fit their schema", () => {
  const findings = diagnose(soundFacts, settings, { known: true, value: installation });
  assertFits("doctor", JSON.stringify({ ok: true, findings }));
});
