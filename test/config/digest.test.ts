import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { configDigest } from "../../src/config/digest.ts";
import { parseConfig } from "../../src/config/parse.ts";

const digest = (text: string, file = "x.yaml") => configDigest(parseConfig(text, file, { env: {}, adapters }));
const REGISTRY = '{kind: consul, name: dc1, address: "https://a.example.org", token: one-token}';
const BASE = `registries: [${REGISTRY}]`;

for (const [what, text, file] of [
  [
    "written in another order",
    'registries: [{token: one-token, address: "https://a.example.org", name: dc1, kind: consul}]',
  ],
  ["with defaults written out", `${BASE}\nowner: x2istio`],
  ["with another token", BASE.replace("one-token", "other-token")],
  ["listening elsewhere", `${BASE}\ndns: {listen: ["127.0.0.1:5454"], workers: 3}\nhttp: {listen: "127.0.0.1:9090"}`],
  ["in another place", BASE, "/etc/x2istio/other.yaml"],
] as const)
  test(`configDigest() is the same of a configuration ${what}`, () => assert.equal(digest(text, file), digest(BASE)));

for (const [what, text] of [
  ["another registry", BASE.replace("dc1", "dc2")],
  ["another address", BASE.replace("a.example", "b.example")],
  ["other aliases", `${BASE}\naliases: [{registry: dc1, as: "{service}"}]`],
  ["other zones", `${BASE}\ndns: {zones: [mesh.internal, example.org]}`],
  ["another policy", `${BASE}\npolicy: {minDeletes: 9}`],
  ["another namespace", `${BASE}\ntarget: {kind: directory, namespace: other}`],
] as const)
  test(`configDigest() is another one with ${what}`, () => assert.notEqual(digest(text), digest(BASE)));

test("configDigest() is 16 hexadecimal digits", () => assert.match(digest("{}"), /^[0-9a-f]{16}$/));
