import fc from "fast-check";
import type { Manifest } from "../../src/model/objects.ts";
import { type Endpoint, parseServiceKey, type Service, type ServicePort, serviceKey } from "../../src/model/service.ts";
import type { Standing } from "../../src/model/standing.ts";
import { decider } from "./at-once.ts";
import { HOUR_MS, NOW_MS, readings, service } from "./build.ts";
import { config, memoryTarget } from "./memory.ts";

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
const ports = (minLength: number, maxLength: number) =>
  fc.uniqueArray(port, { minLength, maxLength, selector: (one) => one.number });
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
/** A service as any registry may tell of it. */
export const anyService: fc.Arbitrary<Service> = fc
  .record({
    name: called,
    namespace: fc.oneof(label, text),
    ports: fc.oneof({ weight: 20, arbitrary: ports(1, 4) }, { weight: 1, arbitrary: ports(200, 256) }),
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

/** Services of one registry, no two of one key, and the `exposures` of some of them. */
export interface AnyFixture {
  readonly services: readonly Service[];
  readonly exposures: readonly object[];
}

const host = fc.tuple(fc.constantFrom("", "*."), fc.domain()).map(([wild, domain]) => `${wild}${domain.toLowerCase()}`);
const path = fc
  .stringMatching(/^(\/[-A-Za-z0-9._~!$&'()*+,;=:@]{1,12}){1,3}$/)
  .filter((one) => !/\/\.{1,2}(\/|$)/.test(one));
const way = fc.record({
  api: fc.constantFrom("istio", "gateway"),
  hosts: fc.option(fc.uniqueArray(host, { minLength: 1, maxLength: 3 }), { nil: undefined }),
  path: fc.option(path, { nil: undefined }),
});

/** Whatever a registry may list, and exposures that a configuration may have for it. */
export function sampleFixture(numRuns: number, seed: number): AnyFixture {
  const samples = fc.sample(anyService, { numRuns, seed });
  const services = [...new Map(samples.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
  const ways = fc.sample(way, { numRuns: services.length, seed });
  const exposures = services.flatMap((one, at) => {
    const key = serviceKey("dc1", one.namespace, one.name);
    const port = one.ports.find(({ protocol }) => protocol !== "UDP");
    // The configuration would read it as a variable.
    if (port === undefined || parseServiceKey(key) === undefined || key.includes("$")) return [];
    const { api, hosts, path: below } = ways[at] ?? { api: "istio" };
    // Each has a gateway of its own, so that none is in the way of another.
    const way = hosts === undefined ? { listen: 1 + at } : { hosts, ...(below !== undefined && { path: below }) };
    return [{ name: `x-${at}`, service: key, port: port.number, api, gateway: `edge/gateway-${at}`, ...way }];
  });
  return { services, exposures };
}

/** All that is written in the life of a fixture. */
export interface Life {
  readonly written: readonly Manifest[];
  /** Services that are held as what Istio would refuse. */
  readonly invalid: number;
}

/** What is written for a fixture that appears, loses all endpoints, vanishes, and comes back. */
export async function lifeOf({ services, exposures }: AnyFixture, registry: object, rest: object): Promise<Life> {
  const target = memoryTarget(new Map(["mesh-services", "shop"].map((name) => [name, "active"] as const)));
  const settings = config([{ name: "dc1", ...registry }], { exposures, ...rest });
  const compute = decider(settings);
  const written: Manifest[] = [];
  let invalid = 0;
  const empty = services.map((one) => ({ ...one, endpoints: [] }));
  const stages: readonly (readonly Service[])[] = [services, empty, [], services];
  for (const [hour, list] of stages.entries()) {
    target.clockMs = NOW_MS + (hour * HOUR_MS) / 4;
    const { plan, desired } = decide(compute, list, target.standing(), target.clockMs);
    invalid = Math.max(invalid, [...desired.kept.values()].filter(({ reason }) => reason === "invalid").length);
    const changes = [...plan.update, ...plan.create];
    written.push(...changes.map(({ object }) => object.manifest));
    await target.write([...changes, ...plan.delete], { signal: new AbortController().signal, mayWrite: () => true });
  }
  return { written, invalid };
}

function decide(compute: ReturnType<typeof decider>, services: readonly Service[], standing: Standing, nowMs: number) {
  return compute({
    readings: readings({ dc1: services }),
    standing,
    nowMs,
    allowDeletes: new Set(["dc1"]),
  });
}
