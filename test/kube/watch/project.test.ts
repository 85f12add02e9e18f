import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { isOurs, toStanding, valuePool } from "../../../src/kube/watch/project.ts";

const labels = {
  "app.kubernetes.io/managed-by": "x2istio",
  "x2istio.dev/owner": "east",
  "x2istio.dev/registry": "vms",
};
const service = (spec: object): RawObject => ({ metadata: { name: "web", namespace: "shop", labels }, spec });

const yielded: { name: string; spec: object; want: string | undefined }[] = [
  { name: "as ours", spec: { type: "ExternalName", externalName: "x" }, want: undefined },
  { name: "with another type", spec: { type: "ClusterIP" }, want: "someone changed its type to ClusterIP" },
  {
    name: "with a selector",
    spec: { type: "ExternalName", selector: { app: "web" } },
    want: "someone gave it a selector",
  },
];
for (const { name, spec, want } of yielded) {
  test(`toStanding() reads a Service ${name}`, () =>
    assert.equal(toStanding("Service", service(spec), valuePool()).yielded, want));
}

test("toStanding() shares label maps and takes the time of our own last write", () => {
  const pooled = valuePool();
  const time = (manager: string, seconds: number) => ({ manager, time: `2026-01-01T00:00:0${seconds}Z` });
  const raw = {
    ...service({ type: "ExternalName" }),
    metadata: { ...service({}).metadata, managedFields: [time("x2istio", 1), time("x2istio", 3), time("kubectl", 5)] },
  };
  const one = toStanding("Service", structuredClone(raw), pooled);
  const other = toStanding("Service", structuredClone(raw), pooled);
  assert.equal(one.manifest.metadata.labels, other.manifest.metadata.labels);
  assert.equal(one.writtenMs, Date.UTC(2026, 0, 1, 0, 0, 3));
});

test("isOurs() wants both labels", () => {
  assert.equal(isOurs({ metadata: { labels } }, "east"), true);
  assert.equal(isOurs({ metadata: { labels } }, "west"), false);
  assert.equal(isOurs({ metadata: { labels: { "x2istio.dev/owner": "east" } } }, "east"), false);
  assert.equal(isOurs({}, "east"), false);
});
