import { finish } from "../async/slices.ts";
import type { Config } from "../config/config.ts";
import { addressText } from "../istio/address.ts";
import { isHostName } from "../istio/host-names.ts";
import { entryPort, isHttp } from "../istio/ports.ts";
import { sharedAddresses } from "../istio/shared-addresses.ts";
import type { NameRow } from "../model/name-table.ts";
import type { EntryEndpoint, EntryPort, ObjectKey, ServiceEntry } from "../model/objects.ts";
import { type Change, concerns, type Hold } from "../model/plan.ts";
import { ownPort, registryOfKey, type ServiceKey } from "../model/service.ts";
import type { CatalogService } from "../plan/catalog/catalog.ts";
import type { Decision } from "../plan/decision.ts";
import { findServices, type Match } from "../plan/find.ts";
import { unaskedNote } from "../plan/names/dns-names.ts";
import { buildNameTable } from "../plan/names/name-table.ts";
import { AT_OUTSIDE, standingStage } from "../plan/stages/standing-stage.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { type ExplainedEndpoint, type Explanation, explainJson, explainLines } from "./print/explain.ts";
import { type SkippedOf, skippedBy } from "./print/skipped.ts";
import { placeText } from "./print/text.ts";
import { unknownName } from "./print/unknown-name.ts";
import { type Once, once } from "./setup/once.ts";

/** Show all that is known of a name, from the registry to the DNS answer. 0: found, 1: not. */
export async function explainCommand(
  context: CliContext,
  { name, output }: { readonly name: string; readonly output: Format },
): Promise<ExitCode> {
  return once(context, async (opened) => {
    const decision = opened.decide();
    const matches = findServices(name, decision, opened.config.target.clusterDomain);
    const table = finish(
      buildNameTable(opened.target.standing(), {
        settleMs: 0,
        nowMs: 0,
        families: opened.config.vips.families,
      }),
    );
    const skipped = skippedBy(name, opened.readings);
    if (matches.length === 0 && skipped.length > 0) return explainSkipped(context, { name, output, skipped });
    if (matches.length === 0) {
      const unread = [...opened.readings].filter(([, { state }]) => state !== "read").map(([registry]) => registry);
      throw new Error(unknownName(name, { config: opened.config, decision, table, unread }));
    }
    const { line } = context.out;
    const answers = table.names;
    const explained = matches.map((match) => explain(match, opened, decision, answers));
    if (output === "json") line(JSON.stringify({ name, matches: explained.map(explainJson) }, null, 2));
    else
      explained.forEach((one, at) => {
        if (at > 0) line("");
        for (const text of explainLines(name, one, Date.now())) line(text);
      });
    return 0 as const;
  });
}

/** A service that its registry lists, and that is not for the mesh. */
function explainSkipped(
  { out: { line } }: CliContext,
  { name, output, skipped }: { name: string; output: Format; skipped: readonly SkippedOf[] },
): ExitCode {
  if (output === "json") line(JSON.stringify({ name, matches: [], skipped }, null, 2));
  else for (const { registry, name: full, why } of skipped) line(`${registry}/${full} is listed, and skipped: ${why}`);
  return 0;
}

function explain(match: Match, once: Once, decision: Decision, answers: ReadonlyMap<string, NameRow>): Explanation {
  const { key } = match;
  const unasked = decision.undemanded.get(key);
  const service = decision.catalog.services.get(key) ?? unasked ?? decision.beyond.get(key);
  const names = decision.naming.services.get(key);
  const entry = decision.standing.entries.get(key);
  const host = names?.host ?? entry?.manifest.spec.hosts[0];
  const holds = decision.plan.hold.filter((hold) => concerns(hold, key));
  const stage = decision.stages.get(key);
  return {
    ...match,
    registry: registryOf(key, service, once, decision),
    endpoints: service === undefined ? standingEndpoints(entry?.manifest) : readEndpoints(service),
    host,
    vips:
      (host === undefined ? undefined : decision.ledger?.vips.get(host)) ??
      entry?.manifest.spec.addresses ??
      entry?.statusAddresses ??
      [],
    objects: objectStates(key, decision, holds),
    targetMs: once.target.nowMs(),
    answers: answersOf(key, host, decision, answers, once),
    stage: { decision: stage, standing: entry === undefined ? AT_OUTSIDE : standingStage(entry) },
    notes: [
      ...(unasked === undefined || decision.beyond.has(key) ? [] : [UNASKED]),
      ...(service?.notes ?? []),
      ...(names?.notes ?? []),
      ...(names?.legacyNames ?? []).flatMap(({ name }) => unaskedNote(name) ?? []),
      ...(names?.rivals ?? []).map(({ message }) => message),
      ...holds
        .filter(({ reason }) => reason !== "stage" || stage?.refusedTo === undefined)
        .map(({ message }) => message),
      ...oldTemplate(names?.templateHost),
      ...crowded(service, once.config),
      ...resolved(service),
    ],
  };
}

const UNASKED = "its registry runs on demand, and nobody has asked for it: its objects are created once somebody does";

function oldTemplate(templateHost: string | undefined): readonly string[] {
  return templateHost === undefined ? [] : [`it keeps its host; hosts.template would now give ${templateHost}`];
}

function crowded(service: CatalogService | undefined, { registries }: Config): readonly string[] {
  const waypoint = registries.find(({ name }) => name === service?.registry)?.waypoint ?? "none";
  if (service === undefined || waypoint !== "none") return [];
  return sharedAddresses(service.endpoints)
    .slice(0, 3)
    .map(
      ([address, count]) =>
        `${address} has ${count} endpoints: an ambient mesh would use one of them only, unless registry ${service.registry} names a waypoint`,
    );
}

function resolved(service: CatalogService | undefined): readonly string[] {
  const [first] = (service?.endpoints ?? []).filter(({ address }) => isHostName(address));
  if (first === undefined) return [];
  return [
    `${addressText(first.address)} is a host name, which the callers' proxies resolve: gRPC without a proxy (xds:///) has no endpoints of this service`,
  ];
}

function registryOf(
  key: ServiceKey,
  service: CatalogService | undefined,
  { readAtMs }: Once,
  { catalog }: Decision,
): Explanation["registry"] {
  const name = registryOfKey(key);
  if (service !== undefined) return { name, state: "read", source: service.source, readAtMs };
  const authority = catalog.authorities.get(name);
  if (authority === undefined) return { name, state: "removed" };
  const why = catalog.failed.get(key) ?? authority.why;
  return why === undefined ? { name, state: "unlisted" } : { name, state: "unread", why };
}

function readEndpoints(service: CatalogService): readonly ExplainedEndpoint[] {
  const ports = service.ports.map(entryPort);
  const used = service.endpoints.map((endpoint): ExplainedEndpoint => {
    const { region, zone, subzone, ports: own, ...rest } = endpoint;
    const renamed = Object.fromEntries(
      service.ports.flatMap((port, at) => {
        const number = ownPort({ ports: own }, port.name);
        return number === undefined ? [] : [[ports[at]?.name ?? port.name, number]];
      }),
    );
    const locality = [region, zone, subzone].filter((part) => part !== undefined).join("/");
    const shown = { ...rest, ports: renamed, ...(locality === "" ? {} : { locality }) };
    return { state: "in", ...withPorts(shown, ports), place: placeText(shown, ports) };
  });
  const out = service.leftOut.map(({ address, kind, reason }) => ({ state: "out" as const, address, kind, reason }));
  return [...used, ...out];
}

function standingEndpoints(entry: ServiceEntry | undefined): readonly ExplainedEndpoint[] {
  const ports = entry?.spec.ports ?? [];
  return (entry?.spec.endpoints ?? []).map((endpoint) => ({
    state: "standing",
    ...withPorts(endpoint, ports),
    place: placeText(endpoint, ports),
  }));
}

/** An endpoint with the numbers that all its ports have. */
function withPorts({ address, ports: own, weight, labels, locality }: EntryEndpoint, ports: readonly EntryPort[]) {
  return {
    address,
    ports: Object.fromEntries(ports.map(({ name, number, targetPort }) => [name, own?.[name] ?? targetPort ?? number])),
    ...(weight === undefined ? {} : { weight }),
    ...(labels === undefined ? {} : { labels }),
    ...(locality === undefined ? {} : { locality }),
  };
}

const STATES = { create: "toBeCreated", update: "toBeChanged", delete: "toBeDeleted" } as const;

function objectStates(
  key: ServiceKey,
  { plan, standing, desired }: Decision,
  holds: readonly Hold[],
): Explanation["objects"] {
  const pending = new Map<ObjectKey, Change>();
  for (const change of [...plan.create, ...plan.update, ...plan.delete])
    pending.set(change.kind === "delete" ? change.standing.key : change.object.key, change);
  const keys = new Set([
    ...(standing.byService.get(key) ?? []).map((object) => object.key),
    ...(desired.objects.get(key) ?? []).map((object) => object.key),
    ...(standing.premadeOf.get(key) ?? []).map((object) => object.key),
  ]);
  return [...keys].sort(byKind).map((object) => {
    const change = pending.get(object);
    if (change !== undefined) return { object, state: STATES[change.kind] };
    const writtenMs = (standing.objects.get(object) ?? standing.premade.get(object))?.writtenMs;
    const held = holds.find((hold) => hold.subject === object || desired.kept.has(key));
    return { object, state: held === undefined ? "inStep" : "held", ...(writtenMs === undefined ? {} : { writtenMs }) };
  });
}

function byKind(a: ObjectKey, b: ObjectKey): number {
  const order = ["ServiceEntry", "VirtualService", "Service", "HTTPRoute", "TCPRoute"];
  const rank = (key: ObjectKey) => order.indexOf(key.slice(0, key.indexOf("/")));
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

function answersOf(
  key: ServiceKey,
  host: string | undefined,
  { naming, catalog }: Decision,
  rows: ReadonlyMap<string, NameRow>,
  { config }: Once,
): Explanation["answers"] {
  const names = naming.services.get(key)?.legacyNames ?? [];
  const wished = new Set([host, ...names.map(({ name }) => name)]);
  // What stands is answered, also where nobody is to have it any more.
  const standing = [...rows.values()].filter(({ service, name }) => service === key && !wished.has(name));
  const hasHttp = (catalog.services.get(key)?.ports ?? []).some(({ protocol }) => isHttp(protocol));
  const xds = config.registries.find(({ name }) => name === registryOfKey(key))?.xds === true;
  const all = [
    ...(host === undefined ? [] : [{ name: host, dnsOnly: undefined }]),
    ...names,
    ...standing.map(({ name }) => ({ name, dnsOnly: undefined })),
  ];
  return all.map(({ name, dnsOnly }) => {
    const row = rows.get(name);
    return {
      name,
      ...(row === undefined
        ? { state: "waiting" as const }
        : { state: "answered" as const, a: row.a, aaaa: row.aaaa, ttlSeconds: config.dns.ttlSeconds }),
      ...(name === host || !hasHttp
        ? {}
        : { http: dnsOnly === undefined ? ("routed" as const) : ("dnsOnly" as const), xds }),
      ...(name === host || !hasHttp || dnsOnly === undefined ? {} : { why: dnsOnly }),
    };
  });
}
