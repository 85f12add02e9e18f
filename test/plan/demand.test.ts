import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Asked,
  DEMAND_ANNOTATION,
  IDLE_SINCE_ANNOTATION,
  readDemand,
  writeDemand,
} from "../../src/model/demand.ts";
import type { ServiceKey } from "../../src/model/service.ts";
import { merge } from "../../src/plan/catalog/merge.ts";
import { type DemandOptions, divideByDemand, rewriteEveryMs, stillKnown } from "../../src/plan/demand.ts";
import { sized } from "../size.ts";
import {
  at,
  entry,
  failed,
  HOUR_MS,
  incomplete,
  NOW_MS,
  premade,
  readings,
  type Said,
  service,
  standing,
} from "./build.ts";

const DAY_MS = 24 * HOUR_MS;
const TTL_MS = 30 * DAY_MS;
const KEY = "dc1/shop/orders";
const options: DemandOptions = { ttlMs: new Map([["dc1", TTL_MS]]), wanted: new Set(), keepEmptyMs: HOUR_MS };

const askedAt = (lastMs: number, caller = "web"): Asked => ({ lastMs, by: [{ caller, via: "report", lastMs }] });
const demandAt = (ms: number, ...callers: string[]) => ({ [DEMAND_ANNOTATION]: writeDemand({ lastMs: ms, callers }) });
/** Somebody asks for something in the registry: it is heard. */
const heard = { "dc1/shop/other": askedAt(NOW_MS) };

interface Case {
  readonly name: string;
  readonly said?: Said;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly asked?: Readonly<Record<ServiceKey, Asked>>;
  readonly options?: Partial<DemandOptions>;
  readonly premade?: boolean;
  readonly want: "built" | "known" | "goes";
  /** What the entry says: when it was asked for last, by whom, and since when it is idle. */
  readonly marks?: { readonly lastMs: number; readonly callers?: readonly string[]; readonly idleMs?: number };
}

function divided({ said = [service()], annotations, asked = {}, options: more, premade: isFilled }: Case) {
  const stands = annotations === undefined ? [] : [entry(KEY, { annotations })];
  const now = standing({ objects: stands, ...(isFilled === true ? { premade: [premade(KEY, "by-hand")] } : {}) });
  const catalog = merge(readings({ dc1: said }), now);
  const demands = new Map(Object.entries(asked));
  return divideByDemand(catalog, new Map(), now, { asked: demands, nowMs: NOW_MS }, { ...options, ...more });
}

const old = NOW_MS - TTL_MS - 2 * DAY_MS;
const cases: readonly Case[] = [
  { name: "leaves alone what nobody asked for", want: "known" },
  {
    name: "builds what someone asked for",
    asked: { [KEY]: askedAt(NOW_MS - 5000) },
    want: "built",
    marks: { lastMs: NOW_MS - 5000, callers: ["web"] },
  },
  { name: "forgets a question after the TTL", asked: { [KEY]: askedAt(NOW_MS - TTL_MS) }, want: "known" },
  {
    name: "builds what the configuration asks for",
    options: { wanted: new Set([KEY]) },
    want: "built",
    marks: { lastMs: NOW_MS },
  },
  { name: "builds what an entry written by hand asks for", premade: true, want: "built", marks: { lastMs: NOW_MS } },
  {
    name: "takes an entry that stands for a demand",
    annotations: {},
    want: "built",
    marks: { lastMs: NOW_MS },
  },
  {
    name: "takes an entry that says nothing for one that was asked for now, though others are asked for",
    annotations: {},
    asked: heard,
    want: "built",
    marks: { lastMs: NOW_MS },
  },
  {
    name: "takes an entry whose demand cannot be read for one of now",
    annotations: { [DEMAND_ANNOTATION]: "[]" },
    want: "built",
    marks: { lastMs: NOW_MS },
  },
  {
    name: "does not write every question",
    annotations: demandAt(NOW_MS - HOUR_MS, "cron"),
    asked: { [KEY]: askedAt(NOW_MS) },
    want: "built",
    marks: { lastMs: NOW_MS - HOUR_MS, callers: ["cron"] },
  },
  {
    name: "writes one a day, with who asked before",
    annotations: demandAt(NOW_MS - DAY_MS, "cron", "web"),
    asked: { [KEY]: askedAt(NOW_MS) },
    want: "built",
    marks: { lastMs: NOW_MS, callers: ["web", "cron"] },
  },
  {
    name: "marks what nobody asks for as idle, and leaves it whole",
    annotations: demandAt(old, "cron"),
    asked: heard,
    want: "built",
    marks: { lastMs: old, callers: ["cron"], idleMs: NOW_MS },
  },
  {
    name: "waits for what may not have been written yet",
    annotations: demandAt(NOW_MS - TTL_MS - HOUR_MS),
    asked: heard,
    want: "built",
    marks: { lastMs: NOW_MS - TTL_MS - HOUR_MS },
  },
  {
    name: "keeps the time since which it is idle",
    annotations: { ...demandAt(old), [IDLE_SINCE_ANNOTATION]: at(NOW_MS - 1000) },
    asked: heard,
    want: "built",
    marks: { lastMs: old, idleMs: NOW_MS - 1000 },
  },
  {
    name: "lets it go after that",
    annotations: { ...demandAt(old), [IDLE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS) },
    asked: heard,
    want: "goes",
  },
  {
    name: "never lets go by a time that cannot be read",
    annotations: { ...demandAt(old), [IDLE_SINCE_ANNOTATION]: "soon" },
    asked: heard,
    want: "built",
  },
  {
    name: "takes the mark away at the first question",
    annotations: { ...demandAt(old, "cron"), [IDLE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS) },
    asked: { ...heard, [KEY]: askedAt(NOW_MS) },
    want: "built",
    marks: { lastMs: NOW_MS, callers: ["web", "cron"] },
  },
  {
    name: "does not take silence about everything for silence about this",
    annotations: { ...demandAt(old), [IDLE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS) },
    want: "built",
    marks: { lastMs: old },
  },
  {
    name: "lets nothing go that is being moved",
    annotations: {
      ...demandAt(old),
      [IDLE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS),
      "x2istio.dev/effective-stage": "split",
    },
    asked: heard,
    want: "built",
    marks: { lastMs: old },
  },
  {
    name: "lets nothing go by an incomplete list",
    said: incomplete("dc1", [service()]),
    annotations: { ...demandAt(old), [IDLE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS) },
    asked: heard,
    want: "built",
    marks: { lastMs: old },
  },
  {
    name: "builds everything of other registries",
    options: { ttlMs: new Map([["dc2", TTL_MS]]) },
    want: "built",
  },
];
for (const one of cases)
  test(`divideByDemand() ${one.name}`, () => {
    const { catalog, undemanded, marks, decayed } = divided(one);
    const state = catalog.services.has(KEY) ? "built" : decayed.has(KEY) ? "goes" : "known";
    assert.equal(state, one.want);
    assert.equal(undemanded.has(KEY), one.want !== "built");
    const mark = marks.get(KEY);
    if (one.marks === undefined) return;
    const { lastMs, callers = [], idleMs } = one.marks;
    assert.deepEqual(readDemand(mark?.demand), { lastMs, callers });
    assert.equal(mark?.idleSince, idleMs === undefined ? undefined : at(idleMs));
  });

test("divideByDemand() costs registries without demand nothing", () => {
  const now = standing();
  const catalog = merge(readings({ dc1: [service()] }), now);
  const none = { ...options, ttlMs: new Map() };
  assert.equal(divideByDemand(catalog, new Map(), now, { asked: new Map(), nowMs: NOW_MS }, none).catalog, catalog);
});

const before = new Map([[KEY, service()]]);
const silences: readonly { readonly name: string; readonly said: Said; readonly want: boolean }[] = [
  { name: "that could not be read", said: [failed(KEY)], want: true },
  { name: "of a registry that could not be read", said: "boom", want: true },
  { name: "of a registry that was not read yet", said: undefined, want: true },
  { name: "that an incomplete list lacks", said: incomplete("dc1", []), want: true },
  { name: "that a complete list lacks", said: [], want: false },
];
for (const { name, said, want } of silences)
  test(`stillKnown() ${want ? "keeps" : "drops"} a service ${name}`, () => {
    const catalog = merge(readings({ dc1: said }), standing());
    assert.equal(stillKnown(catalog, before).has(KEY), want);
  });

test("a service that is asked for more often than the TTL stands for ever, and one that nobody asks for goes once", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 40 * 24 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 60 }),
      (gapsInHours, ttlDays) => {
        const ttlMs = ttlDays * DAY_MS;
        const rules = { ...options, ttlMs: new Map([["dc1", ttlMs]]) };
        const limitMs = ttlMs + rewriteEveryMs(ttlMs) + rules.keepEmptyMs;
        let nowMs = NOW_MS;
        let lastMs = nowMs;
        let annotations: Readonly<Record<string, string>> | undefined = demandAt(nowMs);
        const look = (asked: boolean) => {
          if (asked) lastMs = nowMs;
          const stands = annotations === undefined ? [] : [entry(KEY, { annotations })];
          const now = standing({ objects: stands });
          const catalog = merge(readings({ dc1: [service()] }), now);
          const demands = new Map([["dc1/shop/other", askedAt(nowMs)]]);
          if (asked) demands.set(KEY, askedAt(nowMs));
          const { catalog: built, marks } = divideByDemand(catalog, new Map(), now, { asked: demands, nowMs }, rules);
          const mark = marks.get(KEY);
          annotations = !built.services.has(KEY)
            ? undefined
            : {
                [DEMAND_ANNOTATION]: mark?.demand ?? "",
                ...(mark?.idleSince === undefined ? {} : { [IDLE_SINCE_ANNOTATION]: mark.idleSince }),
              };
          if (nowMs - lastMs < ttlMs) assert.ok(annotations !== undefined, "it goes before its time");
          if (asked) assert.ok(annotations !== undefined, "it does not come back");
        };
        for (const hours of gapsInHours) {
          for (const endMs = nowMs + hours * HOUR_MS; nowMs < endMs; ) {
            nowMs = Math.min(endMs, nowMs + 6 * HOUR_MS);
            look(nowMs === endMs);
          }
        }
        for (const endMs = nowMs + limitMs + 2 * DAY_MS; nowMs < endMs; nowMs += 6 * HOUR_MS) look(false);
        assert.equal(annotations, undefined, "it stays for ever");
      },
    ),
    { numRuns: sized(60) },
  );
});

test("the demand annotation gives back what was written, whatever it says", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4e12 }),
      fc.array(fc.string({ maxLength: 200 }), { maxLength: 30 }),
      fc.string(),
      (ms, callers, noise) => {
        const read = readDemand(writeDemand({ lastMs: ms, callers }));
        assert.equal(read?.lastMs, Math.floor(ms / 1000) * 1000);
        assert.ok(read.callers.length <= 10 && read.callers.every((caller) => callers.includes(caller)));
        assert.doesNotThrow(() => readDemand(noise));
      },
    ),
  );
});
