import { type ObjectKey, objectKey, type VirtualService } from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";
import type { ServiceNames } from "../names/naming.ts";
import { sameValue } from "../same.ts";
import { type IndexedStanding, isExposure, type StandingEntry } from "../standing.ts";
import { serviceHost, stageRoutes } from "./stage-routes.ts";
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
  return [...http, ...tcp, ...tls].some((rule) => rule.route.some(({ destination }) => destination.host === inside));
}

/** Whether aliases and names lead to the old host again, so that weights may go down. */
export function leadsOut({ entry, names }: Place, standing: Pick<IndexedStanding, "byService">): boolean {
  return insideAddresses(entry).length === 0 && aliasesLeadTo(names.host, entry, standing);
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
  const { http, tcp, tls } = route.spec;
  const sni = tls?.flatMap(({ match }) => match.flatMap(({ sniHosts }) => sniHosts)) ?? [];
  const wanted = stageRoutes(host, entry.manifest.spec.ports, { ...at, sni: [...new Set(sni)] }, clusterDomain);
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
