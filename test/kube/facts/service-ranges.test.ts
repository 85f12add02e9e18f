import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { KubeClient, KubeRequest } from "../../../src/kube/client/client.ts";
import { KubeStatusError } from "../../../src/kube/client/kube-error.ts";
import { serviceRanges } from "../../../src/kube/facts/service-ranges.ts";

type Answer = (request: KubeRequest) => unknown;

const listOf = (...cidrs: readonly string[]) => ({ metadata: { resourceVersion: "1" }, items: [{ spec: { cidrs } }] });
const refused = (status: number) => () => {
  throw new KubeStatusError("list servicecidrs", status, {});
};

/** Ranges of a cluster that answers as it is told, one answer after the other; the last one stands. */
function setUp(t: TestContext, ...answers: readonly Answer[]) {
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  const said: object[] = [];
  let asked = 0;
  const request = async (one: KubeRequest) => {
    const answer = answers[Math.min(asked++, answers.length - 1)];
    return answer?.(one);
  };
  const ranges = serviceRanges({ request } as KubeClient, { info: (fields: object) => void said.push(fields) });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { ranges, said, pass, asked: () => asked };
}

test("serviceRanges() are read once in ten minutes, and are the last known where that fails", async (t) => {
  const { ranges, said, asked, pass } = setUp(t, () => listOf("10.96.0.0/16", "fd00:96::/112"), refused(500));
  assert.deepEqual(await ranges(), ["10.96.0.0/16", "fd00:96::/112"]);
  pass(599_999);
  await ranges();
  assert.equal(asked(), 1);
  pass(1);
  assert.deepEqual(await ranges(), ["10.96.0.0/16", "fd00:96::/112"], "failed is not empty");
  assert.equal(said.length, 1);
});

test("serviceRanges() are none without the right to list them, which is said once, and asked for again in a minute", async (t) => {
  const { ranges, said, asked, pass } = setUp(t, refused(403), refused(403), () => listOf("10.96.0.0/16"));
  assert.deepEqual(await ranges(), []);
  pass(59_999);
  await ranges();
  assert.equal(asked(), 1);
  pass(1);
  assert.deepEqual(await ranges(), []);
  pass(60_000);
  assert.deepEqual(await ranges(), ["10.96.0.0/16"]);
  assert.equal(said.length, 1);
});

test("serviceRanges() say nothing where the cluster does not know them", async (t) => {
  const { ranges, said } = setUp(t, refused(404));
  assert.deepEqual(await ranges(), []);
  assert.deepEqual(said, []);
});

test("serviceRanges() are asked for once, however many want them, and not waited for without end", async (t) => {
  const silent: Answer = ({ signal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const { ranges, asked } = setUp(t, silent);
  assert.deepEqual(await Promise.all([ranges(), ranges()]), [[], []]);
  assert.equal(asked(), 1);
});
