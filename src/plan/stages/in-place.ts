import { isHttp } from "../../istio/ports.ts";
import { type ObjectKey, objectKey, type VirtualService } from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";
import type { ServiceNames } from "../names/naming.ts";
import { sameValue } from "../same.ts";
import { type IndexedStanding, isExposure, type StandingEntry } from "../standing.ts";
import { destinations, isAnnouncement, serviceHost, stageRoutes } from "./stage-routes.ts";
import { insideAddresses, isPast, type StandingStage } from "./standing-stage.ts";

interface Place {
  readonly entry: StandingEntry;
  readonly names: ServiceNames;
}

/** Whether everything that leads calls of a service stands as its stage has it, so that the next step can be taken. */
export function isInPlace(
  at: StandingStage,
  { entry, names }: Place,
  standing: Pick<IndexedStanding, "objects" | "byService">,
  clusterDomain: string,
): boolean {
  if (at.stage === "outside" || at.claimant === undefined) return true;
  const host = isPast(at.stage) ? serviceHost(at.claimant, clusterDomain) : names.host;
  return hasRoutes(at, entry, names, standing.objects, clusterDomain) && aliasesLeadTo(host, entry, standing);
}

/** Whether any call is led inside by the routes that stand: a step that was not written in full leads nobody yet. */
export function leadsIn(
  { claimant }: StandingStage,
  { entry }: Pick<Place, "entry">,
  { objects }: Pick<IndexedStanding, "objects">,
  clusterDomain: string,
): boolean {
  const route = routeOf(entry, objects);
  if (claimant === undefined || route === undefined) return false;
  const inside = serviceHost(claimant, clusterDomain);
  const { http = [], tcp = [], tls = [] } = route.spec;
  const taken = [...http.filter((rule) => !isAnnouncement(rule)), ...tcp, ...tls];
  return taken.some((rule) => rule.route.some(({ destination }) => destination.host === inside));
}

/** Whether aliases and names lead to the old host again, so that weights may go down. */
export function leadsOut({ entry, names }: Place, standing: Pick<IndexedStanding, "byService">): boolean {
  return insideAddresses(entry).length === 0 && aliasesLeadTo(names.host, entry, standing);
}

/**
 * How long what stands must have stood before calls are led elsewhere: as long as istiod may take to tell every client of it. It
 * waits for further changes for 0.1 s, in a busy mesh for longer; where it needs more, the time between a claim and its first step
 * is what counts.
 */
const SETTLE_MS = 5000;

/** What is asked of {@link knownAtMs}. */
interface Lead {
  /** Where calls are to be led. */
  readonly next: Pick<StandingStage, "weight" | "claimant">;
  readonly isForward: boolean;
  readonly clusterDomain: string;
  readonly nowMs: number;
}

/**
 * When all clients will know where calls are led next, by each of the service's names: what is not announced yet is so with this
 * pass. In a folder nobody knows when it was written, and nothing is waited for; nor is it where no client would need it.
 */
export function knownAtMs(
  { entry, names }: Place,
  standing: Pick<IndexedStanding, "objects" | "byService">,
  { next: { weight, claimant }, isForward, clusterDomain, nowMs }: Lead,
): number {
  const ports = entry.manifest.spec.ports.filter(({ protocol }) => isHttp(protocol));
  if (ports.length === 0) return nowMs;
  const inside = claimant === undefined ? names.host : serviceHost(claimant, clusterDomain);
  const { http = [] } = routeOf(entry, standing.objects)?.spec ?? {};
  const isKnown = ports.every(({ number }) => {
    const known = http
      .filter(({ match = [] }) => match.some(({ port }) => port === number))
      .flatMap(({ route }) => route.map(({ destination }) => destination.host));
    return destinations(names.host, number, inside, weight).every(({ destination }) =>
      known.includes(destination.host),
    );
  });
  if (isForward && !isKnown) return nowMs + SETTLE_MS;
  const leading = (standing.byService.get(entry.service) ?? []).filter(
    (object) => object.manifest.kind !== "ServiceEntry" && object.yielded === undefined && !isExposure(object),
  );
  return Math.max(...leading.map(({ writtenMs }) => (writtenMs === undefined ? 0 : writtenMs + SETTLE_MS)), 0);
}

function hasRoutes(
  at: StandingStage,
  entry: StandingEntry,
  { host }: ServiceNames,
  objects: ReadonlyMap<ObjectKey, StandingObject>,
  clusterDomain: string,
): boolean {
  const route = routeOf(entry, objects);
  if (route === undefined) return false;
  const { http: all, tcp, tls } = route.spec;
  const http = all?.filter((rule) => !isAnnouncement(rule));
  const sni = tls?.flatMap(({ match }) => match.flatMap(({ sniHosts }) => sniHosts)) ?? [];
  const split = { ...at, announced: [], sni: [...new Set(sni)] };
  const wanted = stageRoutes(host, entry.manifest.spec.ports, split, clusterDomain);
  return sameValue({ http, tcp, tls }, wanted);
}

function routeOf(entry: StandingEntry, objects: ReadonlyMap<ObjectKey, StandingObject>): VirtualService | undefined {
  const { namespace, name } = entry.manifest.metadata;
  const route = objects.get(objectKey("VirtualService", namespace, name))?.manifest;
  return route?.kind === "VirtualService" ? route : undefined;
}

/** An alias that was taken over by someone else is left to them. */
function aliasesLeadTo(host: string, entry: StandingEntry, { byService }: Pick<IndexedStanding, "byService">): boolean {
  return (byService.get(entry.service) ?? []).every(
    (object) =>
      object.manifest.kind !== "Service" ||
      object.yielded !== undefined ||
      isExposure(object) ||
      object.manifest.spec.externalName === host,
  );
}
