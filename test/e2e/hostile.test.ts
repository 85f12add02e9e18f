import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { runCli } from "./cli.ts";
import { fixture } from "./fixture.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

const GOOD = "192.0.2.1";
const MUST = /must be an IPv4 or IPv6 address/;
const LOCAL = /^its address must be reachable from the mesh \(not link-local\)/;
const GROUP = /not multicast/;
const ONE = /not the unspecified address/;
const LOOP = /is in a range of VIPs: a call to it would loop back into the mesh/;
const OWN = /^its address must .*loopback is the caller's own; endpoints.allow may admit it/;
const METADATA = /must not be a cloud's metadata service/;
const TWICE = /registered more than once/;

/** What an endpoint may be said to be, and why it is out. */
const addresses: readonly (readonly [address: string, why: RegExp])[] = [
  ["0.0.0.0", ONE],
  ["::", ONE],
  ["127.0.0.1", OWN],
  ["::1", OWN],
  ["::ffff:127.0.0.1", TWICE],
  ["64:ff9b::7f00:1", /leads to 127\.0\.0\.1, which must be reachable from the mesh/],
  ["169.254.169.254", LOCAL],
  ["::ffff:169.254.169.254", TWICE],
  ["2002:a9fe:a9fe::1", /leads to 169\.254\.169\.254, which must be reachable from the mesh/],
  ["168.63.129.16", METADATA],
  ["fd00:ec2::254", METADATA],
  ["fe80::1", LOCAL],
  ["224.0.0.1", GROUP],
  ["ff02::1", GROUP],
  ["255.255.255.255", /not broadcast/],
  ["240.241.7.7", LOOP],
  ["240.240.0.9", LOOP],
  ["::ffff:240.241.7.7", TWICE],
  ["2001:2::9", LOOP],
  ["db", MUST],
  ["metadata.google.internal", METADATA],
  ["kubernetes.default.svc.cluster.local", /^its address is in cluster\.local, the cluster's own domain/],
  ["orders.shop.live.mesh.internal", /^its address is in mesh\.internal, whose names lead to VIPs/],
  ["0x7f.1", MUST],
  ["192.0.2.010", MUST],
  ["192.0.2.0/24", MUST],
  [`${"a".repeat(300)}.example.org`, MUST],
  ["192.0.2.7\nnameserver 192.0.2.66", MUST],
  ["\u0000\u001b[2J", MUST],
];
const ports: readonly number[] = [0, 65536, -1];
/** Of endpoints that are used. */
const metadata: Readonly<Record<string, string>> = {
  "x2istio.dev/owner": "west",
  "security.istio.io/tlsMode": "istio",
  "istio-locality": "us-east1.a",
  "app\nkubernetes.io/managed-by": "x2istio",
  "team name": "shop",
  big: "b".repeat(400),
  binary: "\u0001\u0002",
  team: "shop",
};

interface Explained {
  readonly matches: readonly {
    readonly endpoints: readonly {
      readonly state: "in" | "out" | "standing";
      readonly address: string;
      readonly ports?: object;
      readonly weight?: number;
      readonly labels?: object;
      readonly reason?: string;
    }[];
    readonly notes: readonly string[];
  }[];
}

test(
  faultRow({
    target: "Polaris",
    fault: "tenants register addresses, ports, labels and texts that nothing can be sent to, or that do harm",
    expect: "each is left out, with the reason in explain; the others are used",
  }),
  async (t) => assertLeftOut(t, await hostilePolaris((stop) => t.after(stop))),
);

test(
  faultRow({
    target: "Consul",
    fault: "tenants register addresses, ports, labels and texts that nothing can be sent to, or that do harm",
    expect: "each is left out, with the reason in explain; the others are used",
  }),
  { skip },
  async (t) => assertLeftOut(t, await hostileConsul((stop) => t.after(stop))),
);

/** A registry with one service, of which one endpoint is good. */
interface Hostile {
  readonly options: object;
  readonly addresses: typeof addresses;
  readonly badPort: (port: number) => string;
  readonly service: string;
  readonly host: string;
}

async function assertLeftOut(t: TestContext, registry: Hostile): Promise<void> {
  const place = await fixture(t, [], {
    registries: [registry.options],
    aliases: [],
    target: { kind: "directory", path: "out" },
  });
  const applied = await runCli(["--config", place.config, "apply"]);
  assert.ok(applied.code === 0 || applied.code === 3, applied.stderr + applied.stdout);
  const { stdout } = await runCli(["--config", place.config, "explain", registry.service, "-o", "json"]);
  const [{ endpoints = [], notes = [] } = {}] = (JSON.parse(stdout) as Explained).matches;
  const [used, ...more] = endpoints.filter(({ state }) => state === "in");
  assert.deepEqual(more, []);
  assert.deepEqual([used?.address, used?.labels], ["192.0.2.1", { team: "shop" }]);
  assert.deepEqual(Object.values(used?.ports ?? {}), [80]);
  assert.ok((used?.weight ?? 0) > 0);
  const out = endpoints.filter(({ state }) => state === "out").map(({ reason = "" }) => reason);
  for (const [, why] of [
    ...registry.addresses,
    ...ports.map((port) => ["", new RegExp(registry.badPort(port))] as const),
  ]) {
    const at = out.findIndex((details) => why.test(details));
    assert.ok(at >= 0, `${why} is missing: ${stdout}`);
    out.splice(at, 1);
  }
  assert.deepEqual(out, [], "nothing else is out");
  for (const key of Object.keys(metadata).filter((one) => one !== "team"))
    assert.ok(
      notes.some((note) => note.startsWith(`label ${key.replaceAll("\n", "?")}: `) && note.includes(" is dropped: ")),
      key,
    );
  const text = await readFile(join(place.dir, "out/mesh-services", `${registry.host}.yaml`), "utf8");
  assert.equal(text.match(/address:/g)?.length, 1);
  assert.doesNotMatch(text, /west|tlsMode|istio-locality/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  assert.doesNotMatch(text + stdout, /[\u0000-\u0009\u000b-\u001f]/);
}

async function hostilePolaris(after: (stop: () => Promise<void>) => void): Promise<Hostile> {
  const polaris = await startPolaris();
  after(() => polaris.stop());
  const base = { namespace: "prod", service: "shop", protocol: "http", port: 80 };
  polaris.register({ ...base, host: GOOD, metadata });
  for (const [host] of addresses) polaris.register({ ...base, host });
  for (const [at, port] of ports.entries()) polaris.register({ ...base, host: `192.0.2.${at + 2}`, port });
  const options = { kind: "polaris", name: "live", address: polaris.address, namespaces: ["prod"] };
  const badPort = (port: number) => `^port ${port} is invalid, 1 to 65535 are allowed`;
  return { options, addresses, badPort, service: "live/prod/shop", host: "shop.prod.live.mesh.internal" };
}

async function hostileConsul(after: (stop: () => Promise<void>) => void): Promise<Hostile> {
  const consul = await startConsul();
  after(() => consul.stop());
  const base = { service: "shop", port: 80 };
  const tags = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  await consul.register({ ...base, id: "good", address: GOOD, tags });
  // Consul itself takes no unspecified address.
  const taken = addresses.filter(([, why]) => why !== ONE);
  for (const [at, [address]] of taken.entries()) await consul.register({ ...base, id: `a${at}`, address });
  for (const [at, port] of ports.entries())
    await consul.register({ ...base, id: `p${at}`, address: `192.0.2.${at + 2}`, port });
  const options = { kind: "consul", name: "dc1", address: `http://127.0.0.1:${consul.ports.http}` };
  const badPort = () => "^it has no port$";
  return { options, addresses: taken, badPort, service: "dc1/default/shop", host: "shop.default.dc1.mesh.internal" };
}
