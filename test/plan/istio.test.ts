import assert from "node:assert/strict";
import { test } from "node:test";
import { ServiceEntry, VirtualService } from "@kubernetes-models/istio/networking.istio.io/v1";
import fc from "fast-check";
import { staticOptions } from "../../adapters/static/options.ts";
import { staticFiles } from "../../adapters/static/static.ts";
import { createCompute } from "../../src/controller/compute.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Manifest } from "../../src/model/objects.ts";
import type { Endpoint, Service, ServicePort } from "../../src/model/service.ts";
import type { Reading } from "../../src/plan/merge.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { validate } from "../servers/istioctl.ts";
import { NOW_MS, readings, service, standing } from "./build.ts";
import { config } from "./memory.ts";

const skip = (await ensureServers(["istioctl"])) === undefined && noServers;
const RULE = { as: "{service}", in: "shop" };

/** All that would be written of `said`, and how many services are held as invalid. */
function manifests(
  said: ReadonlyMap<string, Reading>,
  registry: object,
  rest: object,
): { made: readonly Manifest[]; invalid: number } {
  const compute = createCompute(config([registry], rest));
  const input = {
    readings: said,
    standing: standing(),
    nowMs: NOW_MS,
    allowDeletes: new Set<string>(),
    endpointPeaks: new Map(),
  };
  const { plan, desired } = compute(input);
  return {
    made: plan.create.map(({ object }) => object.manifest),
    invalid: [...desired.kept.values()].filter(({ reason }) => reason === "invalid").length,
  };
}

test("Istio finds no fault with what is made of the example estate", { skip }, async () => {
  const dir = new URL("../../deploy/example/", import.meta.url).pathname;
  const context = {
    registry: "vms",
    dir,
    log: createLog({ level: "silent", pretty: false }),
    metrics: createMetrics(),
  };
  const snapshot = await staticFiles(staticOptions.parse({ file: "services.yaml" }), context).read(
    AbortSignal.timeout(10_000),
    { trigger: "poll" },
  );
  const registry = { name: "vms", legacyNames: ["{service}.{namespace}.vms.example.com"], xds: true };
  const { made, invalid } = manifests(new Map([["vms", { state: "read", snapshot }]]), registry, {
    aliases: [{ ...RULE, registry: "vms", namespace: "shop" }],
  });
  assert.equal(invalid, 0);
  assert.ok(snapshot.services.length >= 12 && made.length > 2 * snapshot.services.length, `${made.length} objects`);
  assertSchema(made, "");
  assert.deepEqual(await validate(made), { ok: true, output: "validation succeed" });
});

const PROTOCOLS = [
  "TCP",
  "UDP",
  "GRPC",
  "GRPC-WEB",
  "HTTP",
  "HTTP_PROXY",
  "HTTP2",
  "HTTPS",
  "TLS",
  "MONGO",
  "REDIS",
  "MYSQL",
  "metaprotocol-dubbo",
  "metaprotocol-thrift",
];
const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const name = fc.oneof(label, fc.constantFrom("http", "grpc", "tcp", "http2", "grpc-web", "a".repeat(63)));
const port: fc.Arbitrary<ServicePort> = fc
  .record({
    name,
    number: fc.integer({ min: 1, max: 65_535 }),
    protocol: fc.constantFrom(...PROTOCOLS),
    target: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  })
  .map(({ target, ...one }) => ({ ...one, ...(target === undefined ? {} : { targetPort: target }) }));
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().map((text) => new URL(`http://[${text}]`).hostname.slice(1, -1)),
);
const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((one) => !/[/\p{C}]/u.test(one));
const labels = fc.dictionary(
  fc.stringMatching(
    /^([a-z0-9]{1,5}(\.[a-z0-9]{1,3}-{0,2}[a-z0-9]{1,3}){0,2}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,40}[A-Za-z0-9])?$/,
  ),
  fc.stringMatching(/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,40}[A-Za-z0-9])?)?$/),
  { maxKeys: 3 },
);
const place: fc.Arbitrary<Endpoint> = fc.record(
  { address, weight: fc.integer({ min: 1, max: 4_294_967_295 }), labels, region: text, zone: text, subzone: text },
  { requiredKeys: ["address"] },
);
const legacy = fc.oneof(
  fc.domain(),
  fc.stringMatching(/^[0-9]{1,5}:[0-9]{1,5}$/),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,20}(\.[A-Za-z0-9_-]{1,20}){0,3}\.?$/),
  text,
);
/** Whatever a registry may call a service. */
const called = fc.oneof(
  label,
  text,
  fc.stringMatching(/^[A-Z_]{3,12}__[A-Za-z.]{1,20}(\/[a-z]{1,5}:[0-9])?$/),
  fc.string({ minLength: 64, maxLength: 90 }),
);
const any: fc.Arbitrary<Service> = fc
  .record({
    name: called,
    namespace: fc.oneof(label, text),
    ports: fc.uniqueArray(port, { minLength: 1, maxLength: 4, selector: (one) => one.number }),
    endpoints: fc.array(place, { maxLength: 4 }),
    legacyNames: fc.array(legacy, { maxLength: 4 }),
  })
  .map(({ name, ...fields }) =>
    service(name, {
      ...fields,
      endpoints: fields.endpoints.map((one, n) =>
        n % 2 === 0 ? one : { ...one, ports: { [fields.ports[0]?.name ?? ""]: 8080 } },
      ),
    }),
  );

/** The schema of Istio's CRDs, which `istioctl validate` does not look at. */
function assertSchema(made: readonly Manifest[], hint: string): void {
  for (const manifest of made) {
    if (manifest.kind === "Service") continue;
    // The generated types have mutable lists.
    const plain = structuredClone(manifest) as object;
    const model =
      manifest.kind === "ServiceEntry" ? new ServiceEntry(plain as never) : new VirtualService(plain as never);
    assert.doesNotThrow(() => model.validate(), `${hint}${JSON.stringify(manifest)}`);
  }
}

test("Istio finds no fault with what is made of whatever a registry may say", { skip, timeout: 60_000 }, async () => {
  const seed = Date.now();
  const samples = fc.sample(any, { numRuns: 250, seed });
  const services = [...new Map(samples.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
  const registry = { name: "dc1", legacyNames: ["{service}.{namespace}.old.example.org"], xds: true };
  const { made, invalid } = manifests(readings({ dc1: services }), registry, {
    vips: { ranges: ["240.241.0.0/16", "fd00:241::/64"] },
    aliases: [{ ...RULE, registry: "dc1" }],
  });
  // Two names of ports that become one when they are cut are what may be held here.
  assert.ok(invalid < 25 && made.length > 250, `seed ${seed}: ${made.length} objects, ${invalid} services held`);
  assertSchema(made, `seed ${seed}: `);
  const { ok, output } = await validate(made);
  assert.ok(ok, `seed ${seed}: ${output.slice(0, 2000)}`);
});
