import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "undici";
import { askInstances, askServices, hostsOf, namesOf, revisionOf } from "./ask.ts";
import { recordedText, recording, recordingFile, recordingNames, startRecorded } from "./recordings.ts";

const ALL = recordingNames().filter(
  (name) => typeof (recordingFile(name)["request"] as { method?: unknown } | undefined)?.method === "string",
);
const FIRST = "041-discover-instance-first";
const SAME = "042-discover-instance-same-revision";
const CHANGED = "112-discover-after-change";

test("recordings agree with their Content-Length", () => {
  const sized = ALL.filter((name) => recording(name).response.headers["Content-Length"] !== undefined);
  const wrong = sized.filter((name) => {
    const one = recording(name);
    return Buffer.byteLength(recordedText(one)) !== Number(one.response.headers["Content-Length"]);
  });
  assert.ok(sized.length > 60);
  assert.deepEqual(wrong, ["320-login"]); // the token was taken out
});

test("recordings hold no token but stand-ins", () => {
  const found = recordingNames().flatMap((name) => {
    const fields = JSON.stringify(recordingFile(name)).matchAll(/"(?:[a-z_]*token|X-Polaris-Token)":"([^"]*)"/gi);
    return [...fields].map(([, token]) => token);
  });
  assert.deepEqual([...new Set(found)].sort(), ["0".repeat(32), "TOKEN-MAIN", "TOKEN-SUB", "nonsense"]);
});

test("startRecorded() serves the bytes of a recording", async (t) => {
  const recorded = await startRecorded(ALL);
  t.after(() => recorded.stop());
  const { request: asked, response } = recording(FIRST);
  const { method, path, headers, body } = asked;
  const answer = await request(recorded.address + path, {
    method: method as "POST",
    headers: { ...headers },
    body: JSON.stringify(body),
  });
  assert.equal(await answer.body.text(), recordedText(recording("040-discover-instance-while-beating")));
  assert.equal(answer.headers["content-type"], response.headers["Content-Type"]);
});

test("startRecorded() serves recordings of one question in order, and the last from then on", async (t) => {
  const recorded = await startRecorded([FIRST, SAME, CHANGED]);
  t.after(() => recorded.stop());
  const ask = (revision?: unknown) =>
    askInstances(recorded.address, "orders", revision === undefined ? {} : { revision });
  const first = await ask();
  assert.equal(hostsOf(first).length, 5);
  assert.equal((await ask(revisionOf(first))).body["code"], 200001);
  const changed = await ask(revisionOf(first));
  assert.notEqual(revisionOf(changed), revisionOf(first));
  assert.deepEqual((await ask(revisionOf(first))).body, changed.body);
  assert.deepEqual(recorded.served, [FIRST, SAME, CHANGED, CHANGED]);
});

test("startRecorded() closes where the server did, and answers 404 to what was never asked", async (t) => {
  const recorded = await startRecorded(["060-services-namespace", "105-discover-catalog-exported"]);
  t.after(() => recorded.stop());
  assert.equal(namesOf(await askServices(recorded.address, "default")).length, 5);
  await assert.rejects(askInstances(recorded.address, "catalog", { namespace: "Production" }), {
    code: "UND_ERR_SOCKET",
  });
  await assert.rejects(askInstances(recorded.address, "catalog"), SyntaxError);
  assert.deepEqual(recorded.served, ["060-services-namespace", "105-discover-catalog-exported", undefined]);
});

test("recording() refuses what is no HTTP exchange", () => {
  assert.throws(() => recording("220-l5-sync-by-agent"), /Cannot use "220-l5-sync-by-agent" as an HTTP exchange/);
});
