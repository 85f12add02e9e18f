import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { guarded } from "../../../adapters/module/guard.ts";
import { describeError, ReadError, readFailure } from "../../../src/errors.ts";
import type { Adapter, Snapshot } from "../../../src/model/adapter.ts";
import type { Service } from "../../../src/model/service.ts";

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const guard = { registry: "targets", legacyNames: false, readTimeoutMs: 60_000, log: quiet };

/** A service as an adapter may give it; `fields` may be anything. */
function service(name: string, fields: object = {}): Service {
  return {
    registry: "targets",
    namespace: "shop",
    name,
    ports: [{ name: "http", number: 80, protocol: "HTTP" }],
    endpoints: [{ address: "192.0.2.1" }],
    leftOut: [],
    metadata: {},
    legacyNames: [],
    source: "there",
    notes: [],
    ...fields,
  };
}

const ok = (name: string, fields?: object) => ({ state: "ok", service: service(name, fields) });
const snapshot = (services: unknown, fields: object = {}) => ({
  registry: "targets",
  services,
  revision: "1",
  ...fields,
});

/** A guarded adapter whose read gives what `give` gives. */
function adapterThat(
  give: (signal: AbortSignal) => unknown,
  rest: Partial<Adapter> = {},
  options: object = {},
): Adapter {
  const read = async (signal: AbortSignal) => give(signal) as Snapshot;
  return guarded({ registry: "targets", read, ...rest }, { ...guard, ...options });
}

const read = (adapter: Adapter, trigger: "poll" | "hint" = "poll", signal = new AbortController().signal) =>
  adapter.read(signal, { trigger });

/** `shop/name` of what was read, and the sentences of what was not. */
async function outcome(
  adapter: Adapter,
): Promise<{ readonly ok: readonly string[]; readonly failed: readonly string[]; readonly incomplete?: string }> {
  const { services, incomplete } = await read(adapter);
  return {
    ok: services.flatMap((one) => (one.state === "ok" ? [`${one.service.namespace}/${one.service.name}`] : [])),
    failed: services.flatMap((one) => (one.state === "failed" ? [`${one.key}: ${describeError(one.cause)}`] : [])),
    ...(incomplete === undefined ? {} : { incomplete }),
  };
}

const badServices: readonly { readonly name: string; readonly fields: object; readonly says: RegExp }[] = [
  {
    name: "a port of 0",
    fields: { ports: [{ name: "http", number: 0, protocol: "HTTP" }] },
    says: /ports\[0\]\.number must be 1–65535, is 0$/,
  },
  {
    name: "a port of 65536",
    fields: { ports: [{ name: "http", number: 65536, protocol: "HTTP" }] },
    says: /is 65536$/,
  },
  {
    name: "a port that is no number",
    fields: { ports: [{ name: "http", number: Number.NaN, protocol: "HTTP" }] },
    says: /ports\[0\]\.number must be a whole number/,
  },
  {
    name: "a protocol in lower case",
    fields: { ports: [{ name: "http", number: 80, protocol: "http" }] },
    says: /ports\[0\]\.protocol must be one that Istio knows/,
  },
  {
    name: "two ports of one name",
    fields: {
      ports: [
        { name: "http", number: 80, protocol: "HTTP" },
        { name: "http", number: 81, protocol: "HTTP" },
      ],
    },
    says: /ports\[1\]\.name must be unique/,
  },
  {
    name: "two ports of one number",
    fields: {
      ports: [
        { name: "a", number: 80, protocol: "HTTP" },
        { name: "b", number: 80, protocol: "TCP" },
      ],
    },
    says: /ports\[1\]\.number must be unique/,
  },
  {
    name: "a port name that is no label",
    fields: { ports: [{ name: "Web", number: 80, protocol: "HTTP" }] },
    says: /ports\[0\]\.name must be a DNS label/,
  },
  { name: "endpoints without ports", fields: { ports: [] }, says: /ports must have at least one entry/ },
  {
    name: "an address that is a name of one label",
    fields: { endpoints: [{ address: "orders" }] },
    says: /endpoints\[0\]\.address must be an IPv4 or IPv6 address, or a host name of two labels or more, is "orders"$/,
  },
  { name: "a short IPv4 address", fields: { endpoints: [{ address: "10.1" }] }, says: /endpoints\[0\]\.address/ },
  {
    name: "one endpoint twice",
    fields: { endpoints: [{ address: "2001:db8::1" }, { address: "2001:DB8:0::1" }] },
    says: /endpoints\[1\] is the same as endpoints\[0\]$/,
  },
  {
    name: "an endpoint's port that the service has not",
    fields: { endpoints: [{ address: "192.0.2.1", ports: { grpc: 1 } }] },
    says: /endpoints\[0\]\.ports\.grpc must name a port of the service \(http\)/,
  },
  {
    name: "a weight of 0",
    fields: { endpoints: [{ address: "192.0.2.1", weight: 0 }] },
    says: /endpoints\[0\]\.weight must be 1–4294967295, is 0$/,
  },
  {
    name: "a label that Kubernetes refuses",
    fields: { endpoints: [{ address: "192.0.2.1", labels: { "a b": "c" } }] },
    says: /endpoints\[0\]\.labels\.a b cannot be a label: its key/,
  },
  {
    name: "a field that is not known",
    fields: { endpoints: [{ address: "192.0.2.1", port: 8080 }] },
    says: /endpoints\[0\]\.port is not known here; known are address, ports/,
  },
  { name: "a field that is missing", fields: { notes: undefined }, says: /notes is missing$/ },
  {
    name: "an endpoint that is left out for no kind",
    fields: { leftOut: [{ address: "192.0.2.1:80", kind: "mood", reason: "x" }] },
    says: /leftOut\[0\]\.kind must be one of address, /,
  },
  {
    name: "an endpoint that is left out for no reason",
    fields: { leftOut: [{ address: "192.0.2.1:80", kind: "health", reason: "" }] },
    says: /leftOut\[0\]\.reason/,
  },
  {
    name: "what a terminal would obey",
    fields: { source: "\u001b[2J" },
    says: /source must be a printable text of at most 1000 characters, is " \[2J"$/,
  },
  {
    name: "legacy names",
    fields: { legacyNames: ["orders.example.org"] },
    says: /legacyNames must be empty, unless the registry option ownNames is true/,
  },
  { name: "another registry's service", fields: { registry: "dc1" }, says: /registry must be "targets", is "dc1"$/ },
  {
    name: "too many endpoints",
    fields: { endpoints: Array.from({ length: 4097 }, (_, at) => ({ address: `192.0.2.${at}` })) },
    says: /endpoints must have at most 4096 entries/,
  },
  {
    name: "metadata that are no texts",
    fields: { metadata: { version: 1 } },
    says: /metadata\.version must be a text, is 1$/,
  },
];
for (const { name, fields, says } of badServices) {
  test(`a service with ${name} is a failed read, and the others are read`, async () => {
    const adapter = adapterThat(() => snapshot([ok("bad", fields), ok("good")]));
    const { ok: good, failed, incomplete } = await outcome(adapter);
    assert.deepEqual(good, ["shop/good"]);
    assert.equal(failed.length, 1);
    assert.match(failed[0] ?? "", /^targets\/shop\/bad: Cannot use service targets\/shop\/bad: /);
    assert.match(failed[0] ?? "", says);
    assert.equal(incomplete, undefined);
  });
}

const nameless: readonly { readonly name: string; readonly one: unknown; readonly says: RegExp }[] = [
  { name: "is nothing", one: null, says: /a read must have the state "ok" or "failed", has missing/ },
  { name: "has another state", one: { state: "gone" }, says: /has "gone"/ },
  { name: "has no service", one: { state: "ok" }, says: /a service cannot be named: it is missing/ },
  { name: "has no name", one: ok("x", { name: 7 }), says: /a service cannot be named: name must be a printable text/ },
  {
    name: "has a namespace with a slash",
    one: ok("x", { namespace: "a/b" }),
    says: /namespace must be .* without slash/,
  },
  {
    name: "failed for another registry",
    one: { state: "failed", key: "dc1/a/b", cause: 1 },
    says: /must have a key targets\/<namespace>\/<service>, has "dc1\/a\/b"/,
  },
  {
    name: "throws when it is looked at",
    one: {
      get state() {
        throw new Error("no");
      },
    },
    says: /cannot be inspected: no/,
  },
];
for (const { name, one, says } of nameless) {
  test(`a read that ${name} makes the snapshot incomplete: it may be any service`, async () => {
    const { ok: good, failed, incomplete } = await outcome(adapterThat(() => snapshot([one, ok("good")])));
    assert.deepEqual([good, failed], [["shop/good"], []]);
    assert.match(incomplete ?? "", says);
  });
}

const badSnapshots: readonly { readonly name: string; readonly given: unknown; readonly says: RegExp }[] = [
  { name: "nothing", given: undefined, says: /registry must be "targets", is missing$/ },
  { name: "another registry's", given: snapshot([], { registry: "dc1" }), says: /is "dc1"$/ },
  { name: "one without services", given: snapshot(undefined), says: /services must be a list, is missing$/ },
  { name: "one without revision", given: snapshot([], { revision: 7 }), says: /revision must be a text/ },
  {
    name: "one that is incomplete for no reason",
    given: snapshot([], { incomplete: true }),
    says: /incomplete must say why/,
  },
  {
    name: "one that skips something unknown",
    given: snapshot([], { skipped: { mood: 1 } }),
    says: /skipped\.mood must be one of filter, /,
  },
  {
    name: "one that skips infinitely many",
    given: snapshot([], { skipped: { filter: Infinity } }),
    says: /skipped\.filter must be a count, is Infinity$/,
  },
];
for (const { name, given, says } of badSnapshots) {
  test(`a snapshot that is ${name} fails the read`, async () => {
    await assert.rejects(read(adapterThat(() => given)), (error) => {
      assert.equal(readFailure(error), "answer");
      assert.match(describeError(error), /^Cannot read services of registry "targets": its snapshot cannot be used: /);
      assert.match(describeError(error), says);
      return true;
    });
  });
}

test("whatever an adapter gives, a read ends in a snapshot of its registry or in an error", async () => {
  const part = fc.oneof(
    fc.anything(),
    fc.constant(service("a")),
    fc.record({ state: fc.constantFrom("ok", "failed"), service: fc.anything(), key: fc.string() }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.anything(),
        fc.array(part).map((all) => snapshot(all)),
      ),
      async (given) => {
        const { services, registry } = await read(adapterThat(() => given)).catch((error) => {
          assert.match(describeError(error), /^Cannot read services of registry "targets": /);
          return { services: [], registry: "targets" };
        });
        assert.equal(registry, "targets");
        for (const one of services) assert.ok(one.state === "ok" || one.key.startsWith("targets/"));
      },
    ),
  );
});

test("a service that stands twice is a failed read", async () => {
  const { ok: good, failed } = await outcome(adapterThat(() => snapshot([ok("a"), ok("b"), ok("a")])));
  assert.deepEqual([good, failed], [["shop/b"], ["targets/shop/a: targets/shop/a occurs 2 times in one snapshot"]]);
});

test("legacy names are for the operator to allow", async () => {
  const give = () => snapshot([ok("a", { endpoints: [{ address: "127.0.0.1" }], legacyNames: ["a.example.org"] })]);
  assert.deepEqual(await outcome(adapterThat(give, {}, { legacyNames: true })), {
    ok: ["shop/a"],
    failed: [],
  });
});

test("an unchanged service is the same object, however often and in whatever order an adapter makes it anew", async () => {
  const endpoints = [{ address: "2001:DB8::2" }, { address: "192.0.2.1" }, { address: "192.0.2.9" }];
  let [list, round] = [endpoints, 0];
  const adapter = adapterThat(() => {
    const all = [ok("a", { endpoints: list }), ok("b")];
    return snapshot(round++ % 2 === 0 ? all : all.reverse());
  });
  const first = await read(adapter);
  list = endpoints.toReversed();
  const second = await read(adapter);
  assert.equal(first.services.length, 2);
  for (const [at, one] of first.services.entries()) {
    const other = second.services[at];
    assert.ok(one.state === "ok" && other?.state === "ok" && one.service === other.service);
  }
  const [a] = first.services;
  assert.ok(a?.state === "ok");
  assert.deepEqual(
    a.service.endpoints.map(({ address }) => address),
    ["192.0.2.1", "192.0.2.9", "2001:db8::2"],
  );
});

test("an unchanged service is the same object after failed and incomplete reads", async () => {
  const gives: unknown[] = [
    snapshot([ok("a"), ok("b")]),
    snapshot([{ state: "failed", key: "targets/shop/a", cause: "x" }, ok("b")]),
    snapshot([], { incomplete: "half" }),
    null,
    snapshot([ok("a"), ok("b")]),
  ];
  const adapter = adapterThat(() => gives.shift());
  const first = await read(adapter);
  while (gives.length > 1) await read(adapter).catch(() => undefined);
  const last = await read(adapter);
  assert.deepEqual(
    last.services.map((one) => one.state === "ok" && one.service),
    first.services.map((one) => one.state === "ok" && one.service),
  );
  for (const [at, one] of last.services.entries())
    assert.ok(one.state === "ok" && Object.is(one.service, (first.services[at] as typeof one).service));
});

test("other work goes on while a large snapshot is checked", async () => {
  const endpoints = Array.from({ length: 4000 }, (_, at) => ({ address: `10.0.${at >> 8}.${at & 255}` }));
  const adapter = adapterThat(() => snapshot(Array.from({ length: 20 }, (_, at) => ok(`s${at}`, { endpoints }))));
  let turns = 0;
  let isOver = false;
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await read(adapter);
  isOver = true;
  assert.ok(turns >= 10, `${turns} turns of the event loop`);
});

test("services that incomplete snapshots lack are not remembered for ever", async () => {
  let at = 0;
  const adapter = adapterThat(() =>
    snapshot(
      at === 9
        ? [ok("a")]
        : Array.from({ length: 500 }, (_, name) => ok(at === 0 ? "a" : `s${at}-${name}`)).slice(0, at === 0 ? 1 : 500),
      {
        incomplete: "half",
      },
    ),
  );
  const first = await read(adapter);
  for (at = 1; at < 9; at++) await read(adapter);
  const last = await read(adapter);
  const [a, b] = [first.services[0], last.services[0]];
  assert.ok(a?.state === "ok" && b?.state === "ok");
  assert.deepEqual(a.service, b.service);
  assert.notEqual(a.service, b.service);
});

test("a service that an adapter changes in place is found on the poll, and what was handed on stays as it was", async () => {
  const mine = ok("a");
  const adapter = adapterThat(() => snapshot([mine]));
  const [before] = (await read(adapter)).services;
  (mine.service.endpoints as { address: string }[]).push({ address: "192.0.2.2" });
  const [hinted] = (await read(adapter, "hint")).services;
  const [polled] = (await read(adapter, "poll")).services;
  const count = (one: typeof before) => (one?.state === "ok" ? one.service.endpoints.length : undefined);
  assert.deepEqual([count(before), count(hinted), count(polled)], [1, 1, 2]);
});

const errors: readonly {
  readonly name: string;
  readonly thrown: unknown;
  readonly kind: string;
  readonly says: string;
}[] = [
  { name: "a ReadError", thrown: new ReadError("denied", "403"), kind: "denied", says: "403" },
  {
    name: "another copy's ReadError",
    thrown: Object.assign(new Error("late"), { failure: "timeout" }),
    kind: "timeout",
    says: "late",
  },
  {
    name: "a ReadError as cause",
    thrown: new Error("list", { cause: new ReadError("server", "503") }),
    kind: "server",
    says: "list: 503",
  },
  {
    name: "an unknown kind",
    thrown: Object.assign(new Error("odd"), { failure: "constructor" }),
    kind: "other",
    says: "odd",
  },
  { name: "a text", thrown: "oops", kind: "other", says: "oops" },
  { name: "nothing", thrown: undefined, kind: "other", says: "no reason given" },
  { name: "control characters", thrown: new Error("a\u001b[31m\nb"), kind: "other", says: "a [31m b" },
];
for (const { name, thrown, kind, says } of errors) {
  test(`a read that throws ${name} is a failed one of kind ${kind}`, async () => {
    const adapter = adapterThat(() => {
      throw thrown;
    });
    await assert.rejects(read(adapter), (error) => {
      assert.equal(describeError(error), `Cannot read services of registry "targets": ${says}`);
      assert.equal(readFailure(error), kind);
      return true;
    });
    const failed = adapterThat(() => snapshot([{ state: "failed", key: "targets/shop/a", cause: thrown }]));
    const [one] = (await read(failed)).services;
    assert.ok(one?.state === "failed");
    assert.deepEqual([describeError(one.cause), readFailure(one.cause)], [says, kind]);
  });
}

test("a read that does not stop when told to is left behind, and the next one waits for it", async () => {
  const gates = [Promise.withResolvers<unknown>(), Promise.withResolvers<unknown>()];
  let calls = 0;
  const adapter = adapterThat(() => gates[calls++]?.promise);
  const stop = new AbortController();
  const first = read(adapter, "poll", stop.signal);
  stop.abort(new Error("stopped"));
  await assert.rejects(first, /stopped/);
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  const second = read(adapter);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(calls, 1, "reads never overlap");
  gates[0]?.resolve(null);
  gates[1]?.resolve(snapshot([ok("a")]));
  assert.equal((await second).services.length, 1);
});

test("a read that does not end fails as timed out, its signal aborted", async () => {
  let inner: AbortSignal | undefined;
  const adapter = adapterThat(
    (signal) => {
      inner = signal;
      return new Promise(() => undefined);
    },
    {},
    { readTimeoutMs: 100 },
  );
  for (let round = 0; round < 2; round++)
    await assert.rejects(read(adapter), (error) => {
      assert.equal(
        describeError(error),
        'Cannot read services of registry "targets": its read did not end within 100 ms',
      );
      assert.equal(readFailure(error), "timeout");
      return true;
    });
  assert.equal(inner?.aborted, true);
});

test("an adapter whose hints never end gives a few each second", async () => {
  const adapter = adapterThat(() => snapshot([]), { waitForChange: async () => undefined });
  const startedMs = performance.now();
  for (let hints = 0; hints < 4; hints++) await adapter.waitForChange?.("1", new AbortController().signal);
  assert.ok(performance.now() - startedMs > 700);
});

test("a wait that does not stop when told to is left behind", async () => {
  const adapter = adapterThat(() => snapshot([]), { waitForChange: () => new Promise(() => undefined) });
  for (let round = 0; round < 2; round++) {
    const stop = new AbortController();
    const waiting = adapter.waitForChange?.("1", stop.signal);
    stop.abort(new Error("stopped"));
    await assert.rejects(waiting ?? Promise.resolve(), /stopped/);
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  }
});

test("an adapter without waitForChange() is only polled", () => {
  assert.equal(adapterThat(() => snapshot([])).waitForChange, undefined);
});

test("an adapter that cannot be closed is logged", async () => {
  const warned: object[] = [];
  const log = { ...quiet, warn: (fields: object) => warned.push(fields) };
  const close = async () => {
    throw new Error("stuck");
  };
  await adapterThat(() => snapshot([]), { close }, { log }).close?.();
  assert.match(JSON.stringify(warned.map((one) => describeError((one as { error: unknown }).error))), /stuck/);
});

test("of many reads that name no service twenty are told of, and how many there are besides", async () => {
  for (const [count, more] of [
    [20, undefined],
    [21, "and 1 more"],
    [50, "and 30 more"],
  ] as const) {
    const many = Array.from({ length: count }, (_, at) => ({ state: "ok", service: { name: 7, at } }));
    const { incomplete = "" } = await outcome(adapterThat(() => snapshot([...many, ok("good")])));
    assert.equal(/and \d+ more$/.exec(incomplete)?.[0], more);
  }
});

test("a module that lists ports and names in another order has changed nothing", async () => {
  const port = (name: string, number: number) => ({ name, number, protocol: "HTTP" });
  const aliases = [
    { namespace: "b", name: "x" },
    { namespace: "a", name: "y" },
  ];
  let turn = 0;
  const turned = <Item>(items: readonly Item[]) => (turn % 2 === 0 ? items : items.toReversed());
  const adapter = guarded(
    {
      registry: "own",
      async read() {
        turn++;
        const service = {
          ...{
            registry: "own",
            namespace: "shop",
            name: "orders",
            leftOut: [],
            metadata: {},
            source: "here",
            notes: [],
          },
          ports: turned([port("web", 80), port("admin", 90)]),
          endpoints: turned([{ address: "192.0.2.1" }, { address: "192.0.2.2" }]),
          legacyNames: turned(["a.example.org", "b.example.org"]),
          aliases: turned(aliases),
        };
        return { registry: "own", services: [{ state: "ok", service }], revision: "1" };
      },
    },
    { registry: "own", legacyNames: true, readTimeoutMs: 1000, log: { debug() {}, info() {}, warn() {}, error() {} } },
  );
  const again = () => adapter.read(new AbortController().signal, { trigger: "poll" });
  const reads = [await again(), await again()].map(({ services: [one] }) => one?.state === "ok" && one.service);
  assert.ok(reads[0]);
  assert.equal(reads[0], reads[1]);
  assert.deepEqual(
    reads[0].ports.map(({ number }) => number),
    [80, 90],
  );
});
