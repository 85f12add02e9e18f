import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { entryPort } from "../../../src/istio/ports.ts";
import { type Endpoint, ownPort, type Service, type ServicePort } from "../../../src/model/service.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import { settlePorts } from "../../../src/plan/catalog/settle.ts";
import { planMemory } from "../../../src/plan/memory.ts";
import { endpoint, entry, readings, service, standing } from "../build.ts";

const KEY = "dc1/shop/orders";

function seen(number: number, name = "http", protocol = "HTTP"): ServicePort {
  return { name, number, protocol, observed: true };
}

function stands(...ports: readonly ServicePort[]) {
  return entry(KEY, { ports: ports.map(entryPort) }).manifest;
}

const cases: {
  name: string;
  ports: readonly ServicePort[];
  entry?: readonly ServicePort[];
  endpoints?: readonly Endpoint[];
  want: { ports: readonly number[]; endpoints?: readonly Endpoint[] };
}[] = [
  { name: "takes the lowest seen where nothing stands", ports: [seen(8080)], want: { ports: [8080] } },
  {
    name: "keeps the standing number when a lower one appears",
    ports: [seen(8079)],
    entry: [seen(8080)],
    endpoints: [endpoint("192.0.2.1"), endpoint("192.0.2.2", { ports: { http: 8080 } })],
    want: { ports: [8080], endpoints: [endpoint("192.0.2.1", { ports: { http: 8079 } }), endpoint("192.0.2.2")] },
  },
  {
    name: "keeps the standing number when the lowest instance goes",
    ports: [seen(8081)],
    entry: [seen(8080)],
    endpoints: [endpoint("192.0.2.2")],
    want: { ports: [8080], endpoints: [endpoint("192.0.2.2", { ports: { http: 8081 } })] },
  },
  {
    name: "keeps the number of an only port whose protocol changes",
    ports: [seen(8081, "grpc", "GRPC")],
    entry: [seen(8080)],
    want: { ports: [8080] },
  },
  {
    name: "leaves a configured number alone",
    ports: [{ name: "http", number: 8081, protocol: "HTTP" }],
    entry: [seen(8080)],
    want: { ports: [8081] },
  },
  {
    name: "settles several ports by name",
    ports: [seen(7000, "http"), seen(7001, "grpc", "GRPC")],
    entry: [seen(9001, "grpc", "GRPC"), seen(9000, "http")],
    want: { ports: [9000, 9001] },
  },
  {
    name: "keeps a standing number from a new port that was seen there",
    ports: [seen(8080, "tcp", "TCP"), seen(8081, "http")],
    entry: [seen(8080, "http")],
    endpoints: [endpoint("192.0.2.1"), endpoint("192.0.2.2", { ports: { http: 8080 } })],
    want: {
      ports: [8081, 8080],
      endpoints: [
        endpoint("192.0.2.1", { ports: { tcp: 8080, http: 8081 } }),
        endpoint("192.0.2.2", { ports: { tcp: 8080 } }),
      ],
    },
  },
  {
    name: "gives a port that was seen on another's number the next free one",
    ports: [seen(8080, "http"), seen(8080, "tcp", "TCP")],
    endpoints: [endpoint("192.0.2.1")],
    want: { ports: [8080, 8081], endpoints: [endpoint("192.0.2.1", { ports: { tcp: 8080 } })] },
  },
  {
    name: "goes up to port 65535, and down from there",
    ports: [seen(65_534, "a"), seen(65_534, "b"), seen(65_534, "c")],
    want: { ports: [65_534, 65_535, 65_533] },
  },
  {
    name: "never takes a configured number for a port that was seen there",
    ports: [seen(8080, "tcp", "TCP"), { name: "http", number: 8080, protocol: "HTTP" }],
    want: { ports: [8081, 8080] },
  },
  {
    name: "leaves a new second port the number that it was seen on",
    ports: [seen(8080, "http"), seen(9000, "tcp", "TCP")],
    entry: [seen(7000, "http")],
    want: { ports: [7000, 9000] },
  },
  {
    name: "gives up a standing number that is now configured for another port",
    ports: [seen(7000, "http"), { name: "admin", number: 9000, protocol: "TCP" }],
    entry: [seen(9000, "http")],
    want: { ports: [7000, 9000] },
  },
];
for (const { name, ports, entry: on, endpoints, want } of cases) {
  test(`settlePorts() ${name}`, () => {
    const given = service("orders", { ports, ...(endpoints === undefined ? {} : { endpoints }) });
    const settled = settlePorts(given, on === undefined ? undefined : stands(...on));
    assert.deepEqual(
      settled.ports.map(({ number }) => number),
      want.ports,
    );
    if (want.endpoints !== undefined) assert.deepEqual(settled.endpoints, want.endpoints);
  });
}

test("settlePorts() gives every port a number of its own", () => {
  const ports = fc.uniqueArray(fc.integer({ min: 65_530, max: 65_535 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(ports, ports, (now, before) => {
      const named = (numbers: readonly number[]) => numbers.map((number, at) => seen(number, `p${at}`, "TCP"));
      const settled = settlePorts(service("orders", { ports: named(now) }), stands(...named(before)));
      assert.equal(new Set(settled.ports.map(({ number }) => number)).size, now.length);
      const kept = settled.ports.slice(0, before.length).map(({ number }) => number);
      assert.deepEqual(kept, before.slice(0, now.length));
    }),
  );
});

test("settlePorts() never moves the place where an endpoint answers", () => {
  const numbers = fc.integer({ min: 1, max: 65_535 });
  const overrides = fc.array(fc.option(numbers, { nil: undefined }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(numbers, numbers, overrides, (lowest, standingNumber, own) => {
      const endpoints = own.map((number, at) =>
        endpoint(`192.0.2.${at + 1}`, number === undefined ? {} : { ports: { http: number } }),
      );
      const given = service("orders", { ports: [seen(lowest)], endpoints });
      const settled = settlePorts(given, stands(seen(standingNumber)));
      assert.deepEqual(places(settled), places(given));
    }),
  );
});

function places({ ports, endpoints }: Service): string[] {
  const [port] = ports;
  return endpoints.map((one) => `${one.address}:${ownPort(one, "http") ?? port?.number}`);
}

test("merge() hands out the same settled service as long as nothing changes", () => {
  const orders = service("orders", { ports: [seen(8079)] });
  const memory = planMemory();
  const now = standing({ objects: [entry(KEY, { ports: [entryPort(seen(8080))] })] });
  const [first, second] = [1, 2].map(() => merge(readings({ dc1: [orders] }), now, [], memory));
  assert.equal(first?.services.get(KEY)?.ports[0]?.number, 8080);
  assert.equal(first?.services.get(KEY), second?.services.get(KEY));
});
