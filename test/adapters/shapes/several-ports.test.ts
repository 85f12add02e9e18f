import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { intern } from "../../../adapters/intern.ts";
import type { Instance } from "../../../adapters/shapes/instance.ts";
import { compileRules, type RuleOptions } from "../../../adapters/shapes/rules.ts";
import { toService } from "../../../adapters/shapes/service.ts";
import type { Service } from "../../../src/model/service.ts";
import { sized } from "../../size.ts";

/** What is registered at one place: `192.0.2.1:4646 http`, with tags after the place and metadata as `key=value`. */
function instance(text: string, more: Partial<Instance> = {}): Instance {
  const [place = "", ...words] = text.split(" ");
  const [, address = "", port = ""] = /^(.*):(\d+)$/.exec(place) ?? [];
  const meta = Object.fromEntries(words.filter((word) => word.includes("=")).map((word) => word.split("=")));
  const tags = words.filter((word) => !word.includes("="));
  const ports =
    port === "0" ? [] : [{ number: Number(port), ...(meta.protocol === undefined ? {} : { protocol: meta.protocol }) }];
  return { id: text, address, ports, tags, meta, notes: [], ...more };
}

const place = { registry: "dc1", namespace: "default", name: "nomad", source: "here" };

function made(instances: readonly Instance[], options: Partial<RuleOptions> = {}): Service {
  const rules = compileRules({ ports: [], protocols: [], instances: { exclude: [] }, ...options }, true);
  return toService(place, instances, [], { pool: intern(), allUnhealthy: "drop", rules });
}

/** Where a call to a port of the service arrives at each endpoint, as istiod says: the endpoint's own, else targetPort, else the number. */
function reached({ ports, endpoints }: Service, number: number): readonly string[] {
  const port = ports.find((one) => one.number === number) ?? assert.fail(`there is no port ${number}`);
  return endpoints.map(({ address, ports: own }) => `${address}:${own?.[port.name] ?? port.targetPort ?? port.number}`);
}

const shown = ({ ports }: Service) => ports.map(({ name, number, protocol }) => `${name} ${number} ${protocol}`);
const HOSTS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const each = (...texts: readonly string[]) => HOSTS.flatMap((host) => texts.map((text) => instance(`${host}:${text}`)));
const rule = (fields: object) => ({ service: "*", also: [], ...fields }) as RuleOptions["ports"][number];

const NOMAD = each("4646 http", "4647 rpc", "4648 serf");
const cases: readonly {
  readonly name: string;
  readonly instances: readonly Instance[];
  readonly options?: Partial<RuleOptions>;
  readonly ports: readonly string[];
  /** By port, what a call to it reaches. */
  readonly reaches?: Readonly<Record<number, readonly string[]>>;
  readonly undecided?: RegExp;
}[] = [
  {
    name: "Nomad's servers, told apart by tags",
    instances: NOMAD,
    ports: ["http 4646 TCP", "rpc 4647 TCP", "serf 4648 TCP"],
    reaches: { 4646: HOSTS.map((host) => `${host}:4646`), 4647: HOSTS.map((host) => `${host}:4647`) },
  },
  {
    name: "the same with protocols in metadata, and what each states",
    instances: each("4646 http protocol_http=http", "4647 rpc protocol=GRPC", "4648 serf"),
    ports: ["http 4646 HTTP", "rpc 4647 GRPC", "serf 4648 TCP"],
  },
  {
    name: "tags that are on all, on one address, or no port's name",
    instances: [
      ...each("5672 amqp prod", "15672 management prod"),
      instance("192.0.2.4:5672 amqp prod leader id=4"),
      instance("192.0.2.4:15672 management prod Tag.With.Dots"),
    ],
    ports: ["amqp 5672 TCP", "management 15672 TCP"],
  },
  {
    name: "one server alone",
    instances: NOMAD.filter(({ address }) => address === HOSTS[0]),
    ports: ["http 4646 TCP", "rpc 4647 TCP", "serf 4648 TCP"],
  },
  {
    name: "a server that lacks a port: it is called on the others, and on none of them for that",
    instances: NOMAD.filter(({ id }) => id !== "192.0.2.2:4647 rpc"),
    ports: ["http 4646 TCP", "rpc 4647 TCP", "serf 4648 TCP"],
    reaches: { 4646: HOSTS.map((host) => `${host}:4646`), 4647: HOSTS.map((host) => `${host}:4647`) },
  },
  {
    name: "numbers of their own on an address",
    instances: [
      ...each("9200 http", "9300 transport"),
      instance("192.0.2.4:19200 http"),
      instance("192.0.2.4:19300 transport"),
    ],
    ports: ["http 9200 TCP", "transport 9300 TCP"],
    reaches: { 9300: [...HOSTS.map((host) => `${host}:9300`), "192.0.2.4:19300"] },
  },
  {
    name: "numbers the other way round, where one is lacking: nobody is called on another's",
    instances: [
      ...each("80 a", "81 b"),
      instance("192.0.2.4:81 a"),
      instance("192.0.2.5:81 a"),
      instance("192.0.2.5:80 b"),
    ],
    ports: ["a 80 TCP", "b 81 TCP"],
    reaches: {
      80: [...HOSTS.map((host) => `${host}:80`), "192.0.2.4:81", "192.0.2.5:81"],
      81: [...HOSTS.map((host) => `${host}:81`), "192.0.2.4:1", "192.0.2.5:80"],
    },
  },
  {
    name: "protocols that all state, without tags",
    instances: each("5672 protocol=TCP", "15672 protocol=HTTP"),
    ports: ["http 15672 HTTP", "tcp 5672 TCP"],
  },
  {
    name: "nothing that tells them apart",
    instances: each("2379", "2380"),
    ports: ["tcp 2379 TCP"],
    undecided: /have the ports 2379, 2380 on the same addresses, .*option ports, by tag, meta or registered/,
  },
  {
    name: "nothing that tells them apart, while an address lacks one",
    instances: each("2379", "2380").filter(({ id }) => id !== "192.0.2.2:2380"),
    ports: ["tcp 2379 TCP"],
    undecided: /2379, 2380/,
  },
  {
    name: "tags that do not part them alike",
    instances: [
      instance("192.0.2.1:9000 a"),
      instance("192.0.2.1:9001 b"),
      instance("192.0.2.2:9000 b"),
      instance("192.0.2.2:9001"),
    ],
    ports: ["tcp 9000 TCP"],
    undecided: /9000, 9001/,
  },
  {
    name: "numbers that a scheduler gave",
    instances: ["192.0.2.1:21000", "192.0.2.1:22000", "192.0.2.2:23000", "192.0.2.2:24000"].map((one) => instance(one)),
    ports: ["tcp 21000 TCP"],
    reaches: { 21000: ["192.0.2.1:21000", "192.0.2.1:22000", "192.0.2.2:23000", "192.0.2.2:24000"] },
  },
  {
    name: "numbers that a scheduler gave, with tags of each instance",
    instances: ["192.0.2.1:21000 i-1", "192.0.2.1:22000 i-2", "192.0.2.2:23000 i-3"].map((one) => instance(one)),
    ports: ["tcp 21000 TCP"],
  },
  {
    name: "numbers that a scheduler gave, with tags of which most addresses lack one",
    instances: ["192.0.2.1:21000 blue", "192.0.2.1:22000 green", "192.0.2.2:23000 blue"].map((one) => instance(one)),
    ports: ["tcp 21000 TCP"],
  },
  {
    name: "a tag that happens to be on one port of each address",
    instances: [
      ...["192.0.2.1:4646 http a", "192.0.2.1:4647 rpc", "192.0.2.2:4646 http", "192.0.2.2:4647 rpc a"],
      ...["192.0.2.3:4646 http a", "192.0.2.3:4647 rpc"],
    ].map((one) => instance(one)),
    ports: ["http 4646 TCP", "rpc 4647 TCP"],
  },
  {
    name: "two processes on one address",
    instances: [instance("192.0.2.1:8080"), instance("192.0.2.1:8081")],
    ports: ["tcp 8080 TCP"],
    reaches: { 8080: ["192.0.2.1:8080", "192.0.2.1:8081"] },
  },
  {
    name: "the operator's rules by number",
    instances: each("9000", "9001"),
    options: {
      ports: [rule({ registered: 9001, name: "console", protocol: "HTTP" }), rule({ name: "s3", protocol: "HTTP" })],
    },
    ports: ["console 9001 HTTP", "s3 9000 HTTP"],
    reaches: { 9000: HOSTS.map((host) => `${host}:9000`), 9001: HOSTS.map((host) => `${host}:9001`) },
  },
  {
    name: "the operator's rules by tag and metadata, whatever tags say",
    instances: each("9000 x role=api", "9001 y role=console", "9002 z"),
    options: { ports: [rule({ meta: "role=api", number: 80, protocol: "HTTP", name: "api" }), rule({ tag: "y" })] },
    ports: ["api 80 HTTP", "y 9001 TCP"],
    reaches: { 80: HOSTS.map((host) => `${host}:9000`), 9001: HOSTS.map((host) => `${host}:9001`) },
  },
  {
    name: "one rule that says that all are instances of one port",
    instances: each("2379", "2380"),
    options: { ports: [rule({ service: "NOMAD", number: 2379, name: "http", protocol: "HTTP", also: [80] })] },
    ports: ["http 2379 HTTP", "http-p80 80 HTTP"],
    reaches: {
      2379: HOSTS.flatMap((host) => [`${host}:2379`, `${host}:2380`]),
      80: HOSTS.flatMap((host) => [`${host}:2379`, `${host}:2380`]),
    },
  },
  {
    name: "protocols by default, where nobody states one",
    instances: [instance("192.0.2.1:8080"), instance("192.0.2.2:8080")],
    options: {
      protocols: [
        { service: "other", protocol: "TCP" },
        { service: "*", protocol: "HTTP" },
      ],
    },
    ports: ["http 8080 HTTP"],
  },
  {
    name: "a rule for another service",
    instances: [instance("192.0.2.1:8080")],
    options: { ports: [rule({ service: "web", number: 80 })] },
    ports: ["tcp 8080 TCP"],
  },
];

for (const { name, instances, options, ports, reaches = {}, undecided } of cases)
  test(`several ports: ${name}`, () => {
    for (const order of [instances, instances.toReversed()]) {
      const service = made(order, options);
      assert.deepEqual(shown(service), ports);
      for (const [number, want] of Object.entries(reaches)) assert.deepEqual(reached(service, Number(number)), want);
      if (undecided === undefined) assert.equal(service.undecided, undefined);
      else assert.match(service.undecided ?? "", undecided);
    }
  });

test("several ports: an address is called as soon as one of its ports can be used, with the weight of those that can", () => {
  const out = { address: "192.0.2.1:4647", kind: "health", reason: "critical: rpc" } as const;
  const weighted = NOMAD.map((one, at) => ({ ...one, weight: at + 1, ...(at === 1 ? { out } : {}) }));
  const { endpoints, leftOut } = made(weighted);
  assert.deepEqual(
    endpoints.map(({ address, weight }) => `${address} ${weight}`),
    ["192.0.2.1 3", "192.0.2.2 6", "192.0.2.3 9"],
  );
  assert.deepEqual(leftOut, [out]);
  const none = made(NOMAD.map((one) => (one.address === HOSTS[0] ? { ...one, out } : one)));
  assert.deepEqual(
    none.endpoints.map(({ address }) => address),
    HOSTS.slice(1),
  );
});

test("several ports: an instance that is sick stays so, also where no rule fits it", () => {
  const out = { address: "192.0.2.1:9001", kind: "health", reason: "critical: disk" } as const;
  const all = each("9000 api", "9001").map((one) => (one.id === "192.0.2.1:9001" ? { ...one, out } : one));
  assert.deepEqual(
    made(all, { ports: [rule({ tag: "api" })] }).leftOut.find(({ kind }) => kind === "health"),
    out,
  );
});

test("several ports: what no rule fits is left out, and explained", () => {
  const { leftOut, notes } = made(each("9000 api", "9001"), { ports: [rule({ tag: "api" })] });
  assert.deepEqual(
    leftOut.map(({ address, reason }) => `${address} ${reason}`),
    HOSTS.map((host) => `${host}:9001 no rule in ports of the registry says which port it is`),
  );
  assert.deepEqual(notes, ["ports[0] of the registry says which instances are of port api"]);
});

test("several ports: no call reaches a port that was not asked for, and no instance that can be used is never called", () => {
  const TAGS = ["http", "rpc", "serf", "admin"];
  const registration = fc.record({
    host: fc.integer({ min: 1, max: 4 }),
    role: fc.nat(3),
    shift: fc.constantFrom(0, 0, 0, 1, 2),
    weight: fc.constantFrom(0, 1, 1, 100),
    extra: fc.constantFrom("", "leader", "prod", "x=y"),
  });
  const isRuled = fc.boolean();
  fc.assert(
    fc.property(
      fc.array(registration, { minLength: 1, maxLength: 14 }),
      isRuled,
      fc.boolean(),
      (list, ruled, turned) => {
        const instances = list.map(({ host, role, shift, weight, extra }, at): Instance => {
          const text = `192.0.2.${host}:${4646 + role + shift} ${TAGS[role]} ${extra}`.trim();
          const out = { address: text, kind: "weight", reason: "weight 0" } as const;
          return instance(text, { id: `${at}`, weight, ...(weight === 0 ? { out } : {}) });
        });
        const options = ruled ? { ports: TAGS.map((tag) => rule({ tag })) } : {};
        const service = made(turned ? instances.toReversed() : instances, options);
        const { undecided: _1, notes: _2, leftOut: _3, ...core } = service;
        const {
          undecided: _4,
          notes: _5,
          leftOut: _6,
          ...other
        } = made(turned ? instances : instances.toReversed(), options);
        assert.deepEqual(core, other);
        if (service.undecided !== undefined) return;
        const isApart = service.ports.some(({ name }) => TAGS.includes(name));
        const called = new Set<string>();
        for (const port of service.ports)
          for (const at of reached(service, port.number)) {
            called.add(at);
            const others = instances.filter(
              ({ address, ports, tags }) =>
                `${address}:${ports[0]?.number}` === at && isApart && !tags.includes(port.name),
            );
            const own = instances.some(
              ({ address, ports, tags }) => `${address}:${ports[0]?.number}` === at && tags.includes(port.name),
            );
            assert.ok(others.length === 0 || own, `a call to ${port.name} reaches ${at}`);
          }
        for (const { address, ports, out } of instances)
          if (out === undefined)
            assert.ok(called.has(`${address}:${ports[0]?.number}`), `${address}:${ports[0]?.number} is never called`);
        for (const { weight } of service.endpoints) assert.ok((weight ?? 1) > 0);
      },
    ),
    { numRuns: sized(2000) },
  );
});
