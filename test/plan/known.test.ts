import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../src/plan/decide.ts";
import { demandCounts, demandTtls, isStillNews, knows } from "../../src/plan/known.ts";
import { entry, NOW_MS, readings, service, standing } from "./build.ts";
import { config } from "./memory.ts";

const DAY_MS = 86_400_000;
const settings = config([
  { name: "dc1", demand: "reported", demandTtl: "8h" },
  { name: "dc2", demand: "reported" },
  "prod",
]);
const decision = decide(settings, {
  readings: readings({ dc1: [service("a"), service("b")], dc2: [], prod: [service("a", { registry: "prod" })] }),
  standing: standing({ objects: [entry("dc1/shop/a"), entry("dc2/shop/gone")] }),
  ...{ nowMs: NOW_MS, allowDeletes: new Set<string>() },
});

test("knows() what is listed, only known, or stands", () => {
  for (const key of ["dc1/shop/a", "dc1/shop/b", "dc2/shop/gone", "prod/shop/a"]) assert.ok(knows(decision, key), key);
  for (const key of ["dc1/shop/c", "dc2/shop/a", ""]) assert.equal(knows(decision, key), false, key);
});

test("demandTtls() has registries that run on demand alone, 30 days where none is said", () =>
  assert.deepEqual(
    demandTtls(settings.registries),
    new Map([
      ["dc1", 8 * 3_600_000],
      ["dc2", 30 * DAY_MS],
    ]),
  ));

test("demandCounts() counts what is to stand and what is only known, by registry that runs on demand", () =>
  assert.deepEqual(
    demandCounts(decision, ["dc1", "dc2"]),
    new Map([
      ["dc1", { demanded: 1, known: 1 }],
      ["dc2", { demanded: 0, known: 0 }],
    ]),
  ));

test("isStillNews() of what does not stand, and of no registry but those that run on demand", () => {
  const ttlMs = demandTtls(settings.registries);
  assert.ok(isStillNews(decision, "dc1/shop/b", NOW_MS, ttlMs));
  assert.equal(isStillNews(decision, "prod/shop/new", NOW_MS, ttlMs), false);
  assert.equal(isStillNews(decision, "nonsense", NOW_MS, ttlMs), false);
});
