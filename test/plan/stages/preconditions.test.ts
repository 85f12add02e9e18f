import assert from "node:assert/strict";
import { test } from "node:test";
import type { Claim, LiveClaimant, MeshNamespace, SidecarScope } from "../../../src/model/claim.ts";
import { writeDemand } from "../../../src/model/demand.ts";
import { blockersOf, hostsOf, type StepInput } from "../../../src/plan/stages/preconditions.ts";
import { entry, MESH, port, service } from "../build.ts";
import { claimOf, HOST, INSIDE, KEY, LEGACY, LIVE } from "../moving.ts";

const NAMES = { host: HOST, legacyNames: [{ name: LEGACY }, { name: "*.old", dnsOnly: "…" }], aliases: [], notes: [] };
const NAMESPACES = new Map(["shop", "apps", "edge", MESH].map((name) => [name, "active"] as const));

interface Given {
  readonly input?: Partial<StepInput>;
  readonly live?: Partial<LiveClaimant>;
  readonly claim?: Partial<Claim>;
  readonly sidecar?: SidecarScope;
  readonly meshed?: Readonly<Record<string, Partial<MeshNamespace>>>;
  readonly standing?: Partial<StepInput["standing"]>;
}

function blockers({ input, live, claim, sidecar, meshed = {}, standing = {} }: Given): readonly string[] {
  const namespaces = Object.entries(meshed).map(
    ([name, fields]) => [name, { isAmbient: false, isInjected: false, hasWaypoint: false, ...fields }] as const,
  );
  const made = blockersOf({
    ...{ key: KEY, service: service(), names: NAMES, entry: entry() as StepInput["entry"], route: undefined },
    ...{ exportTo: ["*"], waypoint: undefined, namespace: MESH, clusterDomain: "cluster.local" },
    ...input,
    claim: claimOf({ stage: "split", weight: 10, live: { ...LIVE, ...live }, ...claim }),
    standing: {
      namespaces: NAMESPACES,
      ...(sidecar === undefined ? {} : { sidecars: new Map([["Sidecar/x/y", sidecar]]) }),
      meshNamespaces: new Map(namespaces),
      ...standing,
    },
  });
  return made.map(({ kind }) => kind);
}

const livePort = (fields: object): Partial<LiveClaimant> => ({
  ports: [{ ...LIVE.ports[0], ...fields } as LiveClaimant["ports"][0]],
});
const ports = (...list: ReturnType<typeof port>[]): Partial<StepInput> => ({
  service: service("orders", { ports: list }),
});
const speaks = (ours: string, theirs: string | undefined): Given => ({
  input: ports(port("main", 8080, ours)),
  live: livePort({ protocol: theirs }),
  claim: { sni: [HOST] },
});
const sees = (namespace: string, ...egressHosts: string[]): SidecarScope => ({
  namespace,
  name: "default",
  egressHosts,
});
const exported = (exportTo: readonly string[], to: readonly string[]): Given => ({
  input: { exportTo },
  live: { exportTo: to },
});

const cases: readonly (Given & { readonly name: string; readonly want: readonly string[] })[] = [
  { name: "a Service that fits", want: [] },
  {
    name: "a TCP port that the Service has for UDP alone",
    input: ports(port("db", 8080, "TCP")),
    live: livePort({ protocol: undefined, transport: "UDP" }),
    want: ["ports"],
  },
  {
    name: "a TCP port that the Service has for UDP, too",
    input: ports(port("db", 8080, "TCP")),
    live: {
      ports: [
        { name: "u", number: 8080, protocol: undefined, transport: "UDP" },
        { name: "t", number: 8080, protocol: undefined, transport: "TCP" },
      ],
    },
    want: [],
  },
  {
    name: "one of two ports that the Service does not have",
    input: ports(port(), port("admin", 8081)),
    want: ["ports"],
  },
  {
    name: "a service that declares no ports, by the ports that stand",
    input: { service: service("orders", { ports: [] }) },
    live: livePort({ number: 8081 }),
    want: ["ports"],
  },
  { name: "gRPC for HTTP/2", ...speaks("GRPC", "HTTP2"), want: [] },
  { name: "HTTP/2 for gRPC", ...speaks("HTTP2", "GRPC"), want: [] },
  { name: "HTTP for HTTP/2", ...speaks("HTTP2", "HTTP"), want: ["ports"] },
  { name: "a port of no declared protocol for TCP", ...speaks("TCP", undefined), want: [] },
  { name: "a port of no declared protocol for MySQL", ...speaks("MYSQL", undefined), want: [] },
  { name: "HTTP for TCP", ...speaks("TCP", "HTTP"), want: ["ports"] },
  { name: "HTTPS for TLS", ...speaks("TLS", "HTTPS"), want: [] },
  { name: "TCP for TLS", ...speaks("TLS", "TCP"), want: ["ports"] },
  { name: "one cluster IP", live: { clusterIPs: ["10.96.0.7"] }, want: [] },
  { name: "no cluster IP", live: { clusterIPs: [] }, want: ["service"] },
  { name: "one ready endpoint", live: { readyEndpoints: 1 }, want: [] },
  { name: "no ready endpoint", live: { readyEndpoints: 0 }, want: ["endpoints"] },
  {
    name: "no ready endpoint where there is no cluster to ask",
    live: { readyEndpoints: 0 },
    standing: { namespaces: undefined },
    want: [],
  },

  { name: "an export to nobody", ...exported(["~"], ["shop"]), want: [] },
  { name: "an export to nobody and to one who sees it", ...exported(["~", "shop"], ["shop"]), want: [] },
  { name: "an export to nobody and to one who does not", ...exported(["~", "edge"], ["shop"]), want: ["export"] },
  { name: "an export to everyone", ...exported(["*"], ["shop", "edge"]), want: ["export"] },
  { name: "a Service that everyone sees", ...exported(["*"], ["shop", "*"]), want: [] },
  { name: "a Service that does not say who sees it", ...exported(["*"], []), want: [] },
  { name: "an export to the claimant's namespace alone", ...exported(["shop"], ["."]), want: [] },
  { name: "an export to another namespace than the claimant's", ...exported(["edge"], ["."]), want: ["export"] },
  { name: "an export to the entries' namespace alone", ...exported(["."], [MESH]), want: [] },
  {
    name: "an export to the entries' namespace, which does not see it",
    ...exported(["."], ["shop"]),
    want: ["export"],
  },

  { name: "a Sidecar of callers", sidecar: sees("edge", `${MESH}/*`), want: ["sidecar"] },
  {
    name: "a Sidecar of callers that do not see the service",
    sidecar: sees("edge", `${MESH}/*`),
    input: { exportTo: ["shop"] },
    want: [],
  },
  {
    name: "a Sidecar for the whole mesh, of a service that not everyone sees",
    sidecar: sees("istio-system", `${MESH}/*`),
    input: { exportTo: ["shop"] },
    want: ["sidecar"],
  },
  {
    name: "a Sidecar of the entries' namespace, where the service is exported there alone",
    sidecar: sees(MESH, `./${HOST}`),
    input: { exportTo: ["."] },
    want: ["sidecar"],
  },
  { name: "a Sidecar that shows both", sidecar: sees("edge", `${MESH}/${HOST}`, `shop/${INSIDE}`), want: [] },
  { name: "a Sidecar that shows neither", sidecar: sees("edge", "apps/*"), want: [] },
  {
    name: "a Sidecar that says nothing of hosts",
    sidecar: { namespace: "edge", name: "default", egressHosts: undefined },
    want: [],
  },
  { name: "a Sidecar that shows all of all", sidecar: sees("edge", "*/*"), want: [] },
  { name: "a Sidecar that shows the claimant's namespace", sidecar: sees("edge", `${MESH}/*`, "shop/*"), want: [] },
  {
    name: "a Sidecar in the claimant's namespace that shows its own",
    sidecar: sees("shop", `${MESH}/*`, "./*"),
    want: [],
  },
  { name: "a Sidecar elsewhere that shows its own", sidecar: sees("edge", `${MESH}/*`, "./*"), want: ["sidecar"] },
  {
    name: "a Sidecar with a wildcard for the claimant",
    sidecar: sees("edge", `${MESH}/*`, "*/*.svc.cluster.local"),
    want: [],
  },
  {
    name: "a Sidecar with a wildcard in the middle of the claimant's name",
    sidecar: sees("edge", `${MESH}/*`, "*/*.shop.svc"),
    want: ["sidecar"],
  },
  {
    name: "a Sidecar with a wildcard for other hosts",
    sidecar: sees("edge", `${MESH}/*`, "*/*.example.org"),
    want: ["sidecar"],
  },

  { name: "ambient callers", meshed: { edge: { isAmbient: true } }, want: ["ambient"] },
  { name: "callers with sidecars", meshed: { edge: { isInjected: true } }, want: [] },
  {
    name: "ambient callers and the registry's waypoint",
    meshed: { edge: { isAmbient: true } },
    input: { waypoint: "edge/way" },
    want: [],
  },
  {
    name: "ambient callers and a registry without waypoint",
    meshed: { edge: { isAmbient: true }, [MESH]: { hasWaypoint: true } },
    input: { waypoint: "none" },
    want: ["ambient"],
  },
  {
    name: "ambient callers and a waypoint of the entries' namespace",
    meshed: { edge: { isAmbient: true }, [MESH]: { hasWaypoint: true } },
    want: [],
  },
  {
    name: "ambient callers and a waypoint of their own namespace",
    meshed: { edge: { isAmbient: true, hasWaypoint: true } },
    want: ["ambient"],
  },
  {
    name: "ambient namespaces that do not see the service",
    meshed: { edge: { isAmbient: true } },
    input: { exportTo: ["shop"] },
    want: [],
  },

  {
    name: "a TLS port without server names",
    input: ports(port("tls", 8080, "TLS")),
    live: livePort({ protocol: "TLS" }),
    want: ["sni"],
  },
  {
    name: "a TLS port with an empty list of server names",
    input: ports(port("tls", 8080, "TLS")),
    live: livePort({ protocol: "TLS" }),
    claim: { sni: [] },
    want: ["sni"],
  },
  {
    name: "a TLS port with the host and a legacy name",
    input: ports(port("tls", 8080, "TLS")),
    live: livePort({ protocol: "TLS" }),
    claim: { sni: [HOST, LEGACY] },
    want: [],
  },
  {
    name: "a server name that only DNS has",
    input: ports(port("tls", 8080, "TLS")),
    live: livePort({ protocol: "TLS" }),
    claim: { sni: ["*.old"] },
    want: ["sni"],
  },
  { name: "server names where no port needs them", claim: { sni: ["other.example.org"] }, want: [] },
];
for (const { name, want, ...given } of cases)
  test(`blockersOf() for ${name} is ${want.join() || "nothing"}`, () => assert.deepEqual(blockers(given), want));

const strict = { namespace: "shop", name: "strict", matchLabels: {}, mode: "STRICT", hasStrictPort: false };
const callers: readonly {
  name: string;
  callers: readonly string[];
  meshed?: Given["meshed"];
  want: readonly string[];
}[] = [
  { name: "a caller outside the mesh", callers: ["apps/web"], want: ["strict"] },
  { name: "a caller with a sidecar", callers: ["apps/web"], meshed: { apps: { isInjected: true } }, want: [] },
  { name: "an ambient caller", callers: ["apps/web"], meshed: { apps: { isAmbient: true } }, want: [] },
  {
    name: "one of two callers outside the mesh",
    callers: ["apps/web", "edge/web"],
    meshed: { apps: { isInjected: true } },
    want: ["strict"],
  },
  { name: "a caller of no known namespace", callers: ["192.0.2.1"], want: [] },
  { name: "nobody", callers: [], want: [] },
];
for (const { name, callers: list, meshed = {}, want } of callers)
  test(`blockersOf() under mutual TLS only for ${name} is ${want.join() || "nothing"}`, () => {
    const annotations = { "x2istio.dev/demand": writeDemand({ lastMs: 0, callers: list }) };
    const input = { entry: entry(KEY, { annotations }) as StepInput["entry"], waypoint: "edge/way" };
    const standing = { peerRules: new Map([["PeerAuthentication/shop/strict", strict]]) };
    assert.deepEqual(blockers({ input, standing, meshed }), want);
    assert.deepEqual(blockers({ input, meshed }), [], "without the rule");
  });

test("hostsOf() has the host and the names that Istio can carry", () =>
  assert.deepEqual(hostsOf(NAMES), [HOST, LEGACY]));
