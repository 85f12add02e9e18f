import assert from "node:assert/strict";
import { test } from "node:test";
import type { Question } from "../../../adapters/polaris/client/answer.ts";
import { polarisClient } from "../../../adapters/polaris/client/client.ts";
import { polarisMetrics } from "../../../adapters/polaris/metrics.ts";
import { polarisOptions } from "../../../adapters/polaris/options.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { recording, recordingNames, startRecorded } from "../../polaris/recordings.ts";
import { adapterOf, failures, places, poll, services } from "./fixture.ts";

/** What becomes of each recorded answer: `ok` with counts of instances and services, or how it fails. */
const answers: Readonly<Record<string, string>> = {
  "001-services-all-empty-server": "ok 0 1",
  "040-discover-instance-while-beating": "ok 5 0",
  "041-discover-instance-first": "ok 5 0",
  "042-discover-instance-same-revision": "unchanged",
  "043-discover-instance-other-revision": "ok 5 0",
  "044-discover-instance-only-healthy": "ok 5 0",
  "045-discover-instance-only-healthy-same-revision": "unchanged",
  "046-discover-instance-unknown-service": "absent",
  "047-discover-instance-wrong-namespace": "absent",
  "048-discover-instance-numeric-type": "ok 2 0",
  "060-services-namespace": "ok 0 5",
  "061-services-same-revision": "unchanged",
  "062-services-wrong-namespace": "ok 0 0",
  "063-services-all-namespaces": "ok 0 7",
  "064-services-wrong-namespace-with-revision": "ok 0 0",
  "100-discover-alias": "ok 1 0",
  "101-discover-cl5-sid": "ok 1 0",
  "102-services-with-aliases": "ok 0 7",
  "103-services-production-with-cl5": "ok 0 3",
  "104-discover-catalog": "ok 2 0",
  "105-discover-catalog-exported":
    "connection POST /v1/Discover, INSTANCE of Production/catalog: the server closed the connection without an answer, as it does for a name that only another namespace's export_to makes visible",
  "107-discover-catalog-merged": "ok 3 0",
  "112-discover-after-change": "ok 5 0",
  "113-discover-healthy-filter-after-isolate": "ok 1 0",
  "114-services-after-instance-change": "ok 0 7",
  "123-discover-stale-after-deregister": "ok 2 0",
  "125-discover-empty-service": "ok 0 0",
  "126-discover-empty-service-same-revision": "unchanged",
  "129-discover-deleted-service": "absent",
  "303-strict-discover-no-token":
    "denied POST /v1/Discover, INSTANCE of default/orders: the answer has code 401001: access is not approved",
  "305-strict-discover-token": "ok 1 0",
  "306-strict-services-no-token":
    "denied POST /v1/Discover, SERVICES of namespace default: the answer has code 401001: access is not approved",
  "307-strict-services-token": "ok 0 1",
  "308-strict-unknown-service-no-token":
    "denied POST /v1/Discover, INSTANCE of default/nope: the answer has code 401001: access is not approved",
};
/** Questions that the adapter never asks, and refusals that are there already. */
const others = /^(049|05[0-7]|304|309|33[1-6])/;

test("every recorded exchange of discovery is judged here", () => {
  const asked = recordingNames().filter((name) => {
    if (/^(20|22|310|311|320|321)/.test(name)) return false; // other protocols
    return recording(name).request.path === "/v1/Discover" && !others.test(name);
  });
  assert.deepEqual(asked, Object.keys(answers));
});

for (const [name, want] of Object.entries(answers)) {
  test(`discover() of ${name}`, async (t) => {
    const { body, headers } = recording(name).request;
    const server = await startRecorded([name]);
    t.after(server.stop);
    const token = headers["X-Polaris-Token"];
    const options = polarisOptions.parse({ address: server.address, ...(token === undefined ? {} : { token }) });
    const log = createLog({ level: "silent", pretty: false });
    const metrics = createMetrics();
    const client = polarisClient(
      options,
      { registry: "prod", dir: "/", log, metrics, secrets: createSecrets() },
      polarisMetrics(metrics, "prod"),
    );
    t.after(client.close);
    const got = await client.discover(questionOf(body), new AbortController().signal).then(
      (answer) =>
        answer.state === "ok" ? `ok ${answer.reply.instances.length} ${answer.reply.services.length}` : answer.state,
      (error) => `${error.failure} ${error.message}`,
    );
    assert.equal(got, want);
    assert.deepEqual([...new Set(server.served)], [name]);
  });
}

function questionOf(body: unknown): Question {
  const { type, service = {} } = body as { type: unknown; service?: Readonly<Record<string, string>> };
  const { namespace = "", name = "", revision = "" } = service;
  return type === "SERVICES"
    ? { type, namespace, revision }
    : { type: "INSTANCE", name: { namespace, name }, revision };
}

test("the recorded registry", async (t) => {
  const server = await startRecorded([
    "102-services-with-aliases",
    "103-services-production-with-cl5",
    "041-discover-instance-first",
    "048-discover-instance-numeric-type",
    "104-discover-catalog",
    "100-discover-alias",
    "101-discover-cl5-sid",
    "125-discover-empty-service",
  ]);
  t.after(server.stop);
  const adapter = adapterOf(t, { address: server.address, namespaces: ["default", "Production"] });
  const snapshot = await poll(adapter);
  const found = services(snapshot);

  assert.deepEqual(
    Object.entries(found).map(([name, service]) => [name, places(service), service.aliases ?? []]),
    [
      ["Production/64129:65536", [], []],
      ["default/catalog", ["10.2.0.2:8080"], []],
      ["default/orders", ["10.0.0.1:8080"], []],
      ["default/payments", ["fd00::17:443", "pay.internal.example.:443"], []],
    ],
  );
  const orders = found["default/orders"];
  assert.deepEqual(orders?.ports, [{ name: "http", number: 8080, protocol: "HTTP", observed: true }]);
  assert.deepEqual(
    orders?.leftOut.map(({ address, kind }) => `${address} ${kind}`),
    ["10.0.0.2:8080 disabled", "10.0.0.3:8080 health", "10.0.0.4:8080 weight", "10.0.0.5:9090 port"],
  );
  assert.equal(orders?.source, "service default/orders");
  // Nobody recorded an answer for these; what they lead to keeps its names.
  assert.deepEqual(Object.keys(failures(snapshot)).sort(), [
    "prod/Production/inventory",
    "prod/default/DEFAULT_GROUP__Foo.Bar/baz:1",
    "prod/default/org.apache.dubbo.DemoService",
    "prod/default/portzero",
  ]);
  assert.equal(snapshot.incomplete, undefined);
});

test("a recorded service that stays the same", async (t) => {
  const server = await startRecorded([
    "060-services-namespace",
    "041-discover-instance-first",
    "043-discover-instance-other-revision",
    "042-discover-instance-same-revision",
  ]);
  t.after(server.stop);
  const adapter = adapterOf(t, {
    address: server.address,
    namespaces: ["default"],
    services: { include: ["orders"] },
  });
  const first = services(await poll(adapter))["default/orders"];
  const second = services(await poll(adapter))["default/orders"];
  assert.equal(second, first, "an answer in another order is no change");
  const third = services(await poll(adapter))["default/orders"];
  assert.equal(third, first);
  assert.equal(server.served.at(-1), "042-discover-instance-same-revision", "from then on the revision is told");
});
