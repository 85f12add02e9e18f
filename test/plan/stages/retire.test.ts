import assert from "node:assert/strict";
import { test } from "node:test";
import { writeDemand } from "../../../src/model/demand.ts";
import { retireBlockers } from "../../../src/plan/stages/retire.ts";
import type { StandingEntry } from "../../../src/plan/standing.ts";
import { at, endpoints, entry, HOUR_MS, NOW_MS, service } from "../build.ts";
import { KEY } from "../moving.ts";

const WEEK_MS = 7 * 24 * HOUR_MS;
const ago = (ms: number) => at(NOW_MS - ms);
const askedAgo = (ms: number, ...callers: string[]) => ({
  "x2istio.dev/demand": writeDemand({ lastMs: NOW_MS - ms, callers }),
});
const long = { "x2istio.dev/empty-since": ago(2 * WEEK_MS) };

const cases: readonly {
  name: string;
  marks?: Readonly<Record<string, string>>;
  createdMs?: number | undefined;
  endpoints?: number;
  unread?: string;
  says: readonly RegExp[];
}[] = [
  { name: "long empty", marks: long, says: [] },
  { name: "empty for just so long", marks: { "x2istio.dev/empty-since": ago(WEEK_MS) }, says: [] },
  {
    name: "empty for a second less",
    marks: { "x2istio.dev/empty-since": ago(WEEK_MS - 1000) },
    says: [/too short a time: wait until 2026-03-01 12:00 UTC/],
  },
  { name: "gone for just so long", marks: { "x2istio.dev/gone-since": ago(WEEK_MS) }, says: [] },
  {
    name: "gone for a second less",
    marks: { "x2istio.dev/gone-since": ago(WEEK_MS - 1000) },
    says: [/too short a time/],
  },
  { name: "never with an endpoint, and old", createdMs: NOW_MS - WEEK_MS, says: [] },
  { name: "never with an endpoint, and new", createdMs: NOW_MS - WEEK_MS + 1000, says: [/too short a time/] },
  { name: "never with an endpoint, of no known age", createdMs: undefined, says: [/too short a time/] },
  {
    name: "empty since nobody can read when, and new",
    marks: { "x2istio.dev/empty-since": "x" },
    createdMs: NOW_MS,
    says: [/too short a time/],
  },
  { name: "with one endpoint", marks: long, endpoints: 1, says: [/still has 1 of the endpoints of dc1\/shop\/orders/] },
  { name: "asked for just so long ago", marks: { ...long, ...askedAgo(WEEK_MS, "web") }, says: [] },
  {
    name: "asked for a second later",
    marks: { ...long, ...askedAgo(WEEK_MS - 1000, "web", "b", "c", "d") },
    says: [/^web, b, c asked for .* lately/],
  },
  { name: "asked for by nobody known", marks: { ...long, ...askedAgo(1000) }, says: [/^someone asked for/] },
  {
    name: "empty and asked for lately",
    marks: { "x2istio.dev/empty-since": ago(1000), ...askedAgo(1000) },
    says: [/too short/, /lately/],
  },
  {
    name: "that could not be read",
    marks: long,
    unread: "connection refused",
    says: [/cannot be read now: connection refused/],
  },
];
for (const { name, marks = {}, endpoints: count = 0, unread, says, ...more } of cases)
  test(`retireBlockers() of a service ${name} ${says.length === 0 ? "is nothing" : `says ${says.join()}`}`, () => {
    const createdMs = "createdMs" in more ? more.createdMs : NOW_MS - 3 * WEEK_MS;
    const stands = entry(KEY, { annotations: marks, object: { createdMs } }) as StandingEntry;
    const candidate = { key: KEY, service: service("orders", { endpoints: endpoints(count) }), entry: stands };
    const found = retireBlockers(candidate, unread, { rules: { retireAfterMs: WEEK_MS }, nowMs: NOW_MS });
    assert.equal(found.length, says.length, JSON.stringify(found));
    for (const [at, one] of says.entries()) assert.match(found[at]?.message ?? "", one);
  });
